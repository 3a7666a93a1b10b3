"""Calls on the devices of a running VM. What they change ends with the run; the stored definition is another call."""

from __future__ import annotations

import libvirt

from kvist.virt.errors import calling

LIVE = libvirt.VIR_DOMAIN_AFFECT_LIVE


class Devices:
    """Devices of the running VMs of one host."""

    def __init__(self, handle: libvirt.virConnect) -> None:
        self._handle = handle

    def _find(self, name: str) -> libvirt.virDomain:
        with calling(f'find VM "{name}"'):
            return self._handle.lookupByName(name)

    def attach(self, name: str, xml: str) -> None:
        """Plug a device in."""
        domain = self._find(name)
        with calling(f'plug a device into VM "{name}"'):
            domain.attachDeviceFlags(xml, LIVE)

    def update(self, name: str, xml: str) -> None:
        """Make a device that is plugged in like this document of it, which must name the same device."""
        domain = self._find(name)
        with calling(f'change a device of VM "{name}"'):
            domain.updateDeviceFlags(xml, LIVE)

    def detach(self, name: str, alias: str) -> None:
        """Ask the guest to let a device go; the event `device-removed` says that it has."""
        domain = self._find(name)
        with calling(f'unplug device "{alias}" from VM "{name}"'):
            domain.detachDeviceAlias(alias, LIVE)

    def capacity(self, name: str, target: str) -> int:
        """Give the size of a disk as the guest sees it, in bytes."""
        domain = self._find(name)
        with calling(f'read the size of disk "{target}" of VM "{name}"'):
            return int(domain.blockInfo(target)[0])

    def resize(self, name: str, target: str, capacity: int) -> None:
        """Make a disk this many bytes large. libvirt shrinks without a word: whoever asks has to look first."""
        domain = self._find(name)
        with calling(f'resize disk "{target}" of VM "{name}"'):
            domain.blockResize(target, capacity, libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES)
