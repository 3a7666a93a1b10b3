"""Calls on what libvirt knows about the snapshots and checkpoints of VMs; their data lies in the disks."""

from __future__ import annotations

from typing import NamedTuple

import libvirt

from kvist.virt.errors import calling


class Mark(NamedTuple):
    """A snapshot or checkpoint as libvirt describes it; `current` is the one that the next will grow on."""

    xml: str
    current: bool


class Snapshots:
    """Snapshots and checkpoints of the VMs of one host."""

    def __init__(self, handle: libvirt.virConnect) -> None:
        self._handle = handle

    def _find(self, name: str) -> libvirt.virDomain:
        with calling(f'find VM "{name}"'):
            return self._handle.lookupByName(name)

    def snapshots(self, name: str) -> list[Mark]:
        """Describe the snapshots of a VM, each after the one it grew on."""
        domain = self._find(name)
        with calling(f'read the snapshots of VM "{name}"'):
            found = domain.listAllSnapshots(libvirt.VIR_DOMAIN_SNAPSHOT_LIST_TOPOLOGICAL)
            return [
                Mark(each.getXMLDesc(libvirt.VIR_DOMAIN_SNAPSHOT_XML_SECURE), bool(each.isCurrent())) for each in found
            ]

    def checkpoints(self, name: str) -> list[Mark]:
        """Describe the checkpoints of a VM, each after the one it grew on."""
        domain = self._find(name)
        if self._handle.getType() == "TEST":
            return []
        with calling(f'read the checkpoints of VM "{name}"'):
            found = domain.listAllCheckpoints(libvirt.VIR_DOMAIN_CHECKPOINT_LIST_TOPOLOGICAL)
            return [Mark(each.getXMLDesc(libvirt.VIR_DOMAIN_CHECKPOINT_XML_SECURE), False) for each in found]

    def tell_snapshot(self, name: str, mark: Mark) -> None:
        """Make libvirt know a snapshot again whose data is still in the disks."""
        domain = self._find(name)
        current = libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT if mark.current else 0
        with calling(f'bring back a snapshot of VM "{name}"'):
            domain.snapshotCreateXML(mark.xml, libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE | current)

    def tell_checkpoint(self, name: str, mark: Mark) -> None:
        """Make libvirt know a checkpoint again whose bitmaps are still in the disks."""
        domain = self._find(name)
        with calling(f'bring back a checkpoint of VM "{name}"'):
            domain.checkpointCreateXML(mark.xml, libvirt.VIR_DOMAIN_CHECKPOINT_CREATE_REDEFINE)
