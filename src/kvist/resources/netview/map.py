"""The networks of a host as one map: what leads out, bridges, networks, cards, VMs, forwards; from one look."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from kvist.errors import CommandFailed, Denied, TimedOut, Unsupported
from kvist.resources.netview.facts import Card, Net, Promise, nets, plugged

if TYPE_CHECKING:
    from kvist.host.firewall.ruleset import Ruleset
    from kvist.host.hand import Hand
    from kvist.host.net.links import Link, Route
    from kvist.resources.hosts.host import Host
    from kvist.resources.netview.outline import Branch
    from kvist.resources.networks.network import Networks
    from kvist.virt.networks import Lease

GUESTS_OWN = ("tun", "macvtap", "macvlan")
"""Kinds of interfaces that libvirt makes for cards."""
SILENT = ("lo", "ovs-system", "ovs-netdev")


class Uplink(NamedTuple):
    """An interface that leads out of the host, or to something in it that is no guest."""

    name: str
    kind: str
    mac: str
    up: bool
    addresses: tuple[str, ...]
    bridge: str
    """The bridge that it is a port of."""
    gateway: str
    """Where the host's default route leads by it."""


class Bridge(NamedTuple):
    """A bridge of the kernel's or of Open vSwitch."""

    name: str
    kind: str
    up: bool
    addresses: tuple[str, ...]
    ports: tuple[str, ...]


class NetSeen(NamedTuple):
    """A network of libvirt's."""

    name: str
    active: bool
    mode: str
    bridge: str
    addresses: tuple[str, ...]
    dhcp: bool
    uplink: str
    """The interface that its packets leave by, where the host forwards them or it sits on one."""


class CardSeen(NamedTuple):
    """A card of a VM, where it is plugged in, and its addresses."""

    vm: str
    running: bool
    mac: str
    type: str
    network: str
    bridge: str
    dev: str
    """The interface of the host that it sits on, for macvtap."""
    tap: str
    link: bool
    addresses: tuple[str, ...]
    filter: str
    model: str


class Forward(NamedTuple):
    """A port of the host that leads to a guest."""

    proto: str
    on: str
    """The address or interface it is taken from; empty for all."""
    port: str
    to: str
    vm: str


class NetMap(NamedTuple):
    """All of it."""

    uplinks: tuple[Uplink, ...]
    bridges: tuple[Bridge, ...]
    networks: tuple[NetSeen, ...]
    cards: tuple[CardSeen, ...]
    forwards: tuple[Forward, ...]

    def leads(self, dev: str) -> str:
        """Give the uplink that packets to this interface leave by: itself, or the first port of a bridge."""
        return next((each.name for each in self.uplinks if each.bridge == dev != ""), dev)

    def outline(self) -> list[Branch]:
        """Give the map as trees, for a terminal: uplink, bridge, network, card."""
        from kvist.resources.netview.outline import outline

        return outline(self)

    def svg(self) -> str:
        """Give the map as a drawing: an SVG document."""
        from kvist.resources.netview.picture import picture

        return picture(self)


class Around(NamedTuple):
    """What the host itself says."""

    links: tuple[Link, ...] = ()
    routes: tuple[Route, ...] = ()
    leases: tuple[Lease, ...] = ()
    neighbours: tuple[tuple[str, str], ...] = ()
    rules: Ruleset | None = None
    switches: Mapping[str, tuple[str, ...]] = {}
    """Bridges of Open vSwitch and their ports."""


def map(self: Networks) -> NetMap:
    """Draw the networks of the host: what leads out, bridges, networks, taps, VMs, addresses, filters and forwards.

    A tree in the terminal (plain ASCII where it knows no UTF-8), all of it as data with -o json, and a drawing to look
    at in a browser with -o svg. VMs that are off are shown too. Nothing is changed.

    Example: kvist net map -o svg > net.svg
    """
    return read(self.host)


def read(host: Host) -> NetMap:
    """Look at everything once: a call of libvirt's for the networks, one for the VMs, and a handful of programs."""
    try:
        around = _around(host, host.hand)
    except Unsupported:
        # A host whose programs are out of reach: libvirt alone tells, and that is more than nothing.
        around = Around(leases=tuple(host.connection.networks.leases()))
    found, promised = plugged(host.connection)
    return drawn(nets(host.connection), found, around, promised)


def _around(host: Host, hand: Hand) -> Around:
    from kvist.host.net.links import links, routes
    from kvist.host.net.neighbours import neighbours

    return Around(
        links=tuple(links(hand)),
        routes=tuple(routes(hand)),
        leases=tuple(host.connection.networks.leases()),
        neighbours=tuple(neighbours(hand.argv([]))) if hand.here else (),
        rules=_rules(hand),
        switches=_switches(hand),
    )


def _rules(hand: Hand) -> Ruleset | None:
    from kvist.host.firewall.ruleset import ruleset

    try:
        return ruleset(hand)
    except (CommandFailed, Denied, Unsupported):
        # Without nft, or without the right to look, there is no forward to be drawn.
        return None


def _switches(hand: Hand) -> dict[str, tuple[str, ...]]:
    """List the bridges of Open vSwitch and their ports, where its database runs."""
    if "db.sock" not in hand.names("/run/openvswitch"):
        return {}
    ask = ("ovs-vsctl", "--timeout=3")
    try:
        names = hand.run([*ask, "list-br"]).text.split()
        return {name: tuple(hand.run([*ask, "list-ports", name]).text.split()) for name in names}
    except (CommandFailed, Unsupported, TimedOut):
        # Its database does not answer: what libvirt knows of its bridges is drawn.
        return {}


def drawn(known: list[Net], found: list[Card], around: Around, promised: Iterable[Promise] = ()) -> NetMap:
    """Make the map of what was seen."""
    taps = {card.tap for card in found if card.tap}
    leads = tuple(_uplink(each, around) for each in around.links if _leads_out(each, taps, around))
    addresses = _addresses(around)
    seen = tuple(_card(card, known, around, addresses) for card in found)
    return NetMap(
        uplinks=leads,
        bridges=_bridges(known, around),
        networks=tuple(_net(each, around) for each in known),
        cards=seen,
        forwards=tuple(dict.fromkeys([*_noted(promised, seen), *_ruled(around.rules, seen)])),
    )


def _leads_out(link: Link, taps: set[str], around: Around) -> bool:
    if link.name in taps or link.name in SILENT or link.kind in ("bridge", *GUESTS_OWN):
        return False
    # libvirt before 6.7 keeps a bridge's address stable by a dummy port: virbr0-nic.
    return link.kind != "dummy" and link.name not in around.switches


def _uplink(link: Link, around: Around) -> Uplink:
    ovs = next((name for name, ports in around.switches.items() if link.name in ports), "")
    bridge = ovs or link.master
    # The host's own address, and its route, stand on the bridge that its uplink is a port of.
    gateway = next((each.via for each in around.routes if each.to == "default" and each.dev in (link.name, bridge)), "")
    return Uplink(link.name, link.kind, link.mac, link.up, _told(link), bridge, gateway)


def _told(link: Link) -> tuple[str, ...]:
    return tuple(str(each) for each in link.addresses if not each.address.startswith("fe80:"))


def _bridges(known: list[Net], around: Around) -> tuple[Bridge, ...]:
    found = [
        Bridge(
            link.name,
            "linux",
            link.up,
            _told(link),
            tuple(each.name for each in around.links if each.master == link.name),
        )
        for link in around.links
        if link.kind == "bridge"
    ]
    by_name = {link.name: link for link in around.links}
    for name, ports in around.switches.items():
        link = by_name.get(name)
        found.append(Bridge(name, "ovs", bool(link and link.up), _told(link) if link else (), ports))
    there = {each.name for each in found}
    # Where the host's own programs are out of reach, libvirt still says which bridges its networks have.
    found += [
        Bridge(each.bridge, "ovs" if each.switch == "openvswitch" else "linux", True, (), ())
        for each in known
        if each.active and each.bridge and each.bridge not in there and not around.links
    ]
    return tuple(sorted(found))


def _net(net: Net, around: Around) -> NetSeen:
    way = net.dev
    if not way and net.forwards:
        way = next((each.dev for each in around.routes if each.to == "default"), "")
    return NetSeen(
        net.name, net.active, net.mode, net.bridge, tuple(str(each) for each in net.addresses), net.dhcp, way
    )


def _addresses(around: Around) -> dict[str, list[str]]:
    """Give the addresses of each MAC: leases, newest first, then who answered the host."""
    import time

    now, found = time.time(), dict[str, list[str]]()
    for lease in sorted(around.leases, key=lambda one: -one.expiry):
        if lease.expiry > now or not lease.expiry:
            found.setdefault(lease.mac.lower(), []).append(lease.address)
    for mac, address in around.neighbours:
        if not address.startswith("fe80:"):
            found.setdefault(mac, []).append(address)
    return {mac: list(dict.fromkeys(each)) for mac, each in found.items()}


def _card(card: Card, known: list[Net], around: Around, addresses: dict[str, list[str]]) -> CardSeen:
    net = next((each for each in known if each.name == card.network), None)
    bridge = card.bridge or (net.bridge if net else "")
    link = next((each for each in around.links if each.name == card.tap), None)
    return CardSeen(
        vm=card.vm,
        running=card.running,
        mac=card.mac,
        type=card.type,
        network=card.network,
        bridge=(link.master or bridge) if link else bridge,
        dev=card.source if card.type == "direct" else (net.dev if net and not bridge else ""),
        tap=card.tap,
        link=card.link,
        addresses=tuple(addresses.get(card.mac, ())) if card.running else (),
        filter=card.filter,
        model=card.model,
    )


def _noted(promised: Iterable[Promise], seen: tuple[CardSeen, ...]) -> Iterable[Forward]:
    """Give the forwards that stand in documents of VMs, with the address that the VM has now."""
    for one in promised:
        own = [each for card in seen if card.vm == one.vm for each in card.addresses if ":" not in each]
        yield Forward(one.proto, one.on, one.ports, f"{own[0] if own else one.vm}:{one.to}", one.vm)


def _ruled(rules: Ruleset | None, seen: tuple[CardSeen, ...]) -> Iterable[Forward]:
    """Find the forwards in a table of kvist's: rules that send a port of the host to an address of a guest."""
    if rules is None:
        return
    owners = {address: card.vm for card in seen for address in card.addresses}
    for rule in rules.rules():
        if rule.table != "kvist" or rule.verdict != "dnat" or not isinstance(rule.target, dict):
            continue
        ports = next((match for match in rule.matches if match.field.endswith(" dport")), None)
        to, port = rule.target.get("addr"), rule.target.get("port")
        if ports is None or not isinstance(to, str):
            continue
        proto = ports.field.partition(" ")[0]
        proto = str(rule.value("l4proto") or "tcp") if proto == "th" else proto
        on = str(rule.value("ip daddr") or rule.value("iifname") or "")
        yield Forward(proto, on, _ports(ports.value), f"{to}:{_ports(port)}" if port else to, owners.get(to, ""))


def _ports(value: Any) -> str:
    if isinstance(value, dict) and "range" in value:
        return "-".join(str(each) for each in value["range"])
    return str(value)
