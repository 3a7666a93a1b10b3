"""Networks and cards as plain facts, read from the documents of one look at a host."""

from __future__ import annotations

import re
from ipaddress import ip_address, ip_interface
from typing import TYPE_CHECKING, NamedTuple

from kvist.resources.networks.wish import network_of as subnet_of
from kvist.specs.network import Network
from kvist.values import Cidr
from kvist.xml.document import Document
from kvist.xml.path import NAMESPACES

if TYPE_CHECKING:
    from kvist.host.net.links import Link
    from kvist.virt.connection import Connection
    from kvist.xml.document import Element

ROUTED = ("nat", "route", "open")
"""Modes in which the host forwards packets for the guests. Source: https://libvirt.org/formatnetwork.html#connectivity."""

OWN_BRIDGE = (*ROUTED, "isolated")
"""Modes in which libvirt makes the bridge and gives it the host's address."""


class Net(NamedTuple):
    """A network of libvirt's."""

    name: str
    active: bool
    mode: str
    """isolated, nat, route, open, bridge, private, vepa, passthrough or hostdev."""
    bridge: str
    dev: str
    """The interface that it goes out by, where it is bound to one."""
    addresses: tuple[Cidr, ...]
    """Of the host on it."""
    dhcp: bool
    dns: bool
    zone: str = ""
    switch: str = ""
    """openvswitch, where the bridge is not the kernel's."""

    @property
    def forwards(self) -> bool:
        """Whether the host is to forward its packets."""
        return self.mode in ROUTED

    @property
    def inet(self) -> tuple[Cidr, ...]:
        return tuple(each for each in self.addresses if ":" not in each.address)


class Card(NamedTuple):
    """A network card of a VM."""

    vm: str
    running: bool
    mac: str
    type: str
    source: str
    """The network, bridge or interface that it is plugged into, as its document names it."""
    bridge: str
    """The bridge that its tap is a port of; empty for a card that has none, and where the VM is off."""
    tap: str
    link: bool
    filter: str
    model: str = ""
    mode: str = ""

    @property
    def network(self) -> str:
        return self.source if self.type == "network" else ""


def nets(connection: Connection) -> list[Net]:
    """Read all networks of a host."""
    return [net(state.xml, active=state.active) for state in connection.networks.all()]


def net(text: str, *, active: bool) -> Net:
    """Read one network from its document."""
    said = Network.read(Document.parse(text).root)
    mode = said.forward or "isolated"
    return Net(
        name=str(said.name),
        active=active,
        mode=mode,
        bridge=said.bridge or "",
        dev=said.dev or next(iter(said.interfaces or ()), ""),
        addresses=tuple(Cidr(str(ip.address), at.prefixlen) for ip in said.ips if (at := subnet_of(ip)) is not None),
        dhcp=any(ip.ranges or ip.hosts or ip.bootp_file for ip in said.ips),
        dns=mode in OWN_BRIDGE and said.dns is not False,
        zone=said.zone or "",
        switch=said.virtualport or "",
    )


class Promise(NamedTuple):
    """A port of the host that leads to a VM, as it stands in the VM's document: `8080/tcp:80 on eth0`."""

    vm: str
    proto: str
    ports: str
    to: str
    """Ports of the guest."""
    on: str


def plugged(connection: Connection) -> tuple[list[Card], list[Promise]]:
    """Read the cards of all VMs, running or not, and the forwards that lead to them, each document once."""
    roots = [Document.parse(text).root for _, text in connection.domains.documents()]
    return [card for root in roots for card in cards_of(root)], [one for root in roots for one in promises(root)]


def promises(root: Element) -> list[Promise]:
    """Read the forwards that kvist noted in the document of a VM; what it does not understand is left out."""
    name = str(root.findtext("name"))
    at = NAMESPACES["kvist"]
    found = [_NOTED.match(each.text or "") for each in root.iterfind(f"metadata/{{{at}}}vm/{{{at}}}forward")]
    return [
        Promise(name, one["proto"] or "tcp", one["ports"], _as_many(one["ports"], one["to"]), one["on"] or "")
        for one in found
        if one is not None
    ]


_NOTED = re.compile(
    r"(?P<ports>\d+(?:-\d+)?)(?:/(?P<proto>\w+))?:(?P<to>\d+)(?:-\d+)?(?: from \S+)?(?: on (?P<on>\S+))?$"
)


def _as_many(ports: str, to: str) -> str:
    """Give as many ports of the guest as there are of the host."""
    first, _, last = ports.partition("-")
    return f"{to}-{int(to) + int(last) - int(first)}" if last else to


def cards_of(root: Element) -> list[Card]:
    """Read the cards of one VM from its document."""
    name, running = str(root.findtext("name")), root.get("id") is not None
    return [_card(each, name, running) for each in root.iterfind("devices/interface")]


def _card(element: Element, vm: str, running: bool) -> Card:
    def of(path: str, attribute: str) -> str:
        found = element.find(path)
        return (found.get(attribute) or "") if found is not None else ""

    # On a network that is somebody's bridge, libvirt tells of a running card what it has become, and the network too.
    kind = "network" if of("source", "network") else str(element.get("type"))
    source = {"network": "network", "bridge": "bridge"}.get(kind, "dev")
    return Card(
        vm=vm,
        running=running,
        mac=of("mac", "address").lower(),
        type=kind,
        source=of("source", source),
        bridge=of("source", "bridge"),
        tap=of("target", "dev") if running else "",
        link=of("link", "state") != "down",
        filter=of("filterref", "filter"),
        model=of("model", "type"),
        mode=of("source", "mode"),
    )


def network_of(card: Card, known: list[Net]) -> Net | None:
    """Find the network that a card is on: by its name, else by its bridge."""
    if card.network:
        return next((each for each in known if each.name == card.network), None)
    return next((each for each in known if each.bridge and each.bridge == card.bridge), None)


def inside(address: str, subnets: tuple[Cidr, ...]) -> bool:
    """Tell whether an address is in one of some subnets."""
    found = ip_address(address)
    return any(found in ip_interface(str(each)).network for each in subnets)


def subnet(address: Cidr) -> str:
    """Give the network that an address with its length is in: `192.168.122.0/24`."""
    return str(ip_interface(str(address)).network)


def uplinks(links: list[Link], bridge: str, taps: frozenset[str]) -> list[Link]:
    """Find the ports of a bridge that lead out: what is plugged into it and no guest's."""
    return [each for each in links if each.master == bridge and each.name not in taps]
