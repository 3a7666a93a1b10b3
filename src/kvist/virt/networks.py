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
    uuid: str = ""
    persistent: bool = True
    xml: str = ""
    """Its document: what runs, or what would."""


class Lease(NamedTuple):
    """An address that a network's DHCP server gave out; `expiry` in seconds since 1970."""

    network: str
    mac: str
    address: str
    prefix: int
    hostname: str
    expiry: int


SECTIONS = {
    "ip-dhcp-range": libvirt.VIR_NETWORK_SECTION_IP_DHCP_RANGE,
    "ip-dhcp-host": libvirt.VIR_NETWORK_SECTION_IP_DHCP_HOST,
    "dns-host": libvirt.VIR_NETWORK_SECTION_DNS_HOST,
    "dns-txt": libvirt.VIR_NETWORK_SECTION_DNS_TXT,
    "dns-srv": libvirt.VIR_NETWORK_SECTION_DNS_SRV,
    "portgroup": libvirt.VIR_NETWORK_SECTION_PORTGROUP,
    "forward-interface": libvirt.VIR_NETWORK_SECTION_FORWARD_INTERFACE,
}
"""The parts of a network that libvirt changes while it runs, by virsh's names."""

COMMANDS = {
    "add-first": libvirt.VIR_NETWORK_UPDATE_COMMAND_ADD_FIRST,
    "add": libvirt.VIR_NETWORK_UPDATE_COMMAND_ADD_LAST,
    "modify": libvirt.VIR_NETWORK_UPDATE_COMMAND_MODIFY,
    "delete": libvirt.VIR_NETWORK_UPDATE_COMMAND_DELETE,
}


class Networks:
    """Networks of one host."""

    def __init__(self, handle: libvirt.virConnect) -> None:
        self._handle = handle

    def _find(self, name: str) -> libvirt.virNetwork:
        with calling(f'find network "{name}"'):
            return self._handle.networkLookupByName(name)

    def all(self) -> list[NetworkState]:
        """List all networks, sorted by name, each with its document."""
        with calling("list the networks"):
            return sorted(_state(net) for net in self._handle.listAllNetworks(0))

    def get(self, name: str) -> NetworkState:
        """Give one network with its document. Raises NotFound."""
        net = self._find(name)
        with calling(f'read network "{name}"'):
            return _state(net)

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

    def exists(self, name: str) -> bool:
        """Tell whether there is a network of this name."""
        with calling("list the networks"):
            return any(net.name() == name for net in self._handle.listAllNetworks(0))

    def uuid(self, name: str) -> str:
        """Give the UUID of a network."""
        return str(self._find(name).UUIDString())

    def active(self, name: str) -> bool:
        """Tell whether a network runs."""
        net = self._find(name)
        with calling(f'read the state of network "{name}"'):
            return bool(net.isActive())

    def xml(self, name: str, *, stored: bool = False) -> str:
        """Read the document of a network: what runs now, or what its next start will use."""
        net = self._find(name)
        # The test driver has one document of each network, and knows no flag.
        flags = libvirt.VIR_NETWORK_XML_INACTIVE if stored and self._handle.getType() != "TEST" else 0
        with calling(f'read the definition of network "{name}"'):
            return str(net.XMLDesc(flags))

    def stored(self) -> dict[str, str]:
        """Read what the next start of each network will use, by name: of a transient one, what runs."""
        # The test driver has one document of each network, and knows no flag.
        knows = self._handle.getType() != "TEST"
        with calling("read the definitions of the networks"):
            return {
                net.name(): net.XMLDesc(libvirt.VIR_NETWORK_XML_INACTIVE if knows and net.isPersistent() else 0)
                for net in self._handle.listAllNetworks(0)
            }

    def define(self, xml: str, *, name: str) -> None:
        """Store the document as what the next start of the network will use."""
        with calling(f'define network "{name}"'):
            self._handle.networkDefineXML(xml)

    def create(self, xml: str, *, name: str) -> None:
        """Start a network that is gone once it is stopped."""
        with calling(f'start network "{name}"'):
            self._handle.networkCreateXML(xml)

    def undefine(self, name: str) -> None:
        """Remove the definition; a network that runs goes on until it is stopped."""
        net = self._find(name)
        with calling(f'remove the definition of network "{name}"'):
            net.undefine()

    def start(self, name: str) -> None:
        """Start a network."""
        net = self._find(name)
        with calling(f'start network "{name}"'):
            net.create()

    def stop(self, name: str) -> None:
        """Stop a network; cards that are plugged into it hang in the air."""
        net = self._find(name)
        with calling(f'stop network "{name}"'):
            net.destroy()

    def update(
        self, name: str, section: str, command: str, xml: str, *, parent: int = -1, live: bool, stored: bool
    ) -> None:
        """Change one element of a section, in the network that runs, in its definition, or in both at once.

        `parent` is the number of the <ip> that it stands in.
        """
        flags = (libvirt.VIR_NETWORK_UPDATE_AFFECT_LIVE if live else 0) | (
            libvirt.VIR_NETWORK_UPDATE_AFFECT_CONFIG if stored else 0
        )
        net = self._find(name)
        with calling(f'change {section} of network "{name}"'):
            net.update(COMMANDS[command], SECTIONS[section], parent, xml, flags)

    def set_autostart(self, name: str, on: bool) -> None:
        """Start a network with its host, or not."""
        net = self._find(name)
        with calling(f'set the autostart mark of network "{name}"'):
            net.setAutostart(int(on))


def _state(net: libvirt.virNetwork) -> NetworkState:
    xml = str(net.XMLDesc(0))
    persistent = bool(net.isPersistent())
    return NetworkState(
        name=net.name(),
        active=bool(net.isActive()),
        autostart=bool(net.autostart()) if persistent else False,
        bridge=net.bridgeName() if "<bridge name=" in xml else "",
        uuid=net.UUIDString(),
        persistent=persistent,
        xml=xml,
    )
