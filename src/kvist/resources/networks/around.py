"""What a network of a host has to get along with: other networks, interfaces, routes."""

from __future__ import annotations

from ipaddress import ip_network
from typing import TYPE_CHECKING

from kvist.errors import Unsupported
from kvist.resources.networks.wish import Subnet, Surroundings, subnets
from kvist.specs.network import Network
from kvist.xml.document import Document

if TYPE_CHECKING:
    from kvist.host.hand import Hand
    from kvist.resources.hosts.host import Host


def around(host: Host, *, besides: str = "", switches: bool = False, zones: bool = False) -> Surroundings:
    """Look around on a host; network `besides` is the one that is being changed, and is in nobody's way.

    `switches` asks for the bridges of Open vSwitch too, `zones` for those of firewalld.
    """
    taken: list[tuple[Subnet, str]] = []
    bridges: dict[str, str] = {}
    own = ""
    for state in host.connection.networks.all():
        net = Network.read(Document.parse(state.xml).root)
        if state.name == besides:
            own = net.bridge or ""
            continue
        taken += [(subnet, f'network "{state.name}"') for subnet in subnets(net)]
        if net.bridge:
            bridges[net.bridge] = state.name
    try:
        hand = host.hand
    except Unsupported:
        # Nobody can look there: libvirt will say what is in the way.
        return Surroundings(tuple(taken), bridges)
    links = _interfaces(hand, taken, {*bridges, own})
    asked = (_switches(hand) if switches else None, _zones(hand) if zones else None)
    return Surroundings(tuple(taken), bridges, links, *asked)


def _interfaces(hand: Hand, taken: list[tuple[Subnet, str]], known: set[str]) -> dict[str, str]:
    from kvist.host.net.links import links, routes

    kinds: dict[str, str] = {}
    for link in links(hand):
        kinds[link.name] = link.kind
        if link.name not in known:
            taken += [(ip_network(str(cidr), strict=False), f'interface "{link.name}"') for cidr in link.addresses]
    for route in routes(hand):
        # A route to a single host is in nobody's way; libvirt looks at networks only, too.
        if "/" in route.to and route.dev not in known:
            taken.append((ip_network(route.to, strict=False), f'the route by "{route.dev}"'))
    return kinds


def _switches(hand: Hand) -> list[str] | None:
    if not hand.has("ovs-vsctl"):
        return []
    return hand.run(["ovs-vsctl", "--timeout=5", "list-br"]).text.split()


def _zones(hand: Hand) -> list[str] | None:
    if not hand.has("firewall-cmd"):
        return None
    told = hand.run(["firewall-cmd", "--get-zones"], check=False)
    # Where it does not run, its zones are nobody's: libvirt says so when it starts the network.
    return told.text.split() if told.code == 0 else None
