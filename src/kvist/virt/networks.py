"""Calls on networks."""

from __future__ import annotations

from typing import NamedTuple

import libvirt

from kvist.virt.errors import calling


class NetworkState(NamedTuple):
    """One network and whether it runs."""

    name: str
    active: bool
    autostart: bool
    bridge: str


class Lease(NamedTuple):
    """An address that a network's DHCP server gave out; `expiry` in seconds since 1970."""

    network: str
    mac: str
    address: str
    prefix: int
    hostname: str
    expiry: int


class Networks:
    """Networks of one host."""

    def __init__(self, handle: libvirt.virConnect) -> None:
        self._handle = handle

    def _find(self, name: str) -> libvirt.virNetwork:
        with calling(f'find network "{name}"'):
            return self._handle.networkLookupByName(name)

    def all(self) -> list[NetworkState]:
        """List all networks, sorted by name."""
        with calling("list the networks"):
            return sorted(
                NetworkState(
                    net.name(),
                    bool(net.isActive()),
                    bool(net.autostart()),
                    net.bridgeName() if _has_bridge(net) else "",
                )
                for net in self._handle.listAllNetworks(0)
            )

    def leases(self) -> list[Lease]:
        """Read the leases of all running networks, one call a network."""
        found: list[Lease] = []
        with calling("read the leases"):
            for net in self._handle.listAllNetworks(libvirt.VIR_CONNECT_LIST_NETWORKS_ACTIVE):
                try:
                    given = net.DHCPLeases()
                except libvirt.libvirtError as error:
                    # A network without a DHCP server of libvirt's own (bridge, macvtap; the test driver) has no leases.
                    if error.get_error_code() in (libvirt.VIR_ERR_OPERATION_UNSUPPORTED, libvirt.VIR_ERR_NO_SUPPORT):
                        continue
                    raise
                found += [
                    Lease(
                        net.name(),
                        one["mac"],
                        one["ipaddr"],
                        one["prefix"],
                        one.get("hostname") or "",
                        one["expirytime"],
                    )
                    for one in given
                    if one["mac"]
                ]
        return found

    def documents(self) -> list[tuple[str, bool, str]]:
        """Read the documents of all networks, sorted by name: name, whether it runs, and XML of each."""
        with calling("read the definitions of the networks"):
            return sorted((net.name(), bool(net.isActive()), net.XMLDesc(0)) for net in self._handle.listAllNetworks(0))

    def xml(self, name: str) -> str:
        """Read the document of a network."""
        net = self._find(name)
        with calling(f'read the definition of network "{name}"'):
            return str(net.XMLDesc(0))

    def start(self, name: str) -> None:
        """Start a network."""
        net = self._find(name)
        with calling(f'start network "{name}"'):
            net.create()

    def set_autostart(self, name: str, on: bool) -> None:
        """Start a network with its host, or not."""
        net = self._find(name)
        with calling(f'set the autostart mark of network "{name}"'):
            net.setAutostart(int(on))


def _has_bridge(net: libvirt.virNetwork) -> bool:
    return "<bridge name=" in net.XMLDesc(0)
