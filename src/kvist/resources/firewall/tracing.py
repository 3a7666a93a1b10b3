"""What would become of a packet between guests, the host and others: worked out from the rules, without sending it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Annotated, NamedTuple

from kvist.engine.ask import Ask
from kvist.errors import Invalid, KvistError, Problem
from kvist.resources.firewall.policies import Card, Guest, Said, is_network
from kvist.resources.firewall.tracedfilters import Filtering, Found
from kvist.specs.policy import ALLOW, DENY, GROUP, HOST, NAMED, REJECT, ROUTER, WITH_PORTS, Policy, Rule, Service
from kvist.values import Mac

if TYPE_CHECKING:
    from kvist.resources.firewall.firewall import Firewall
    from kvist.specs.forward import Forward

PASSES, DROPS, REJECTS = "accept", "drop", "reject"
ENDS = (DROPS, REJECTS)
BECOMES = {ALLOW: PASSES, DENY: DROPS, REJECT: REJECTS}
ADVERTISING = (Service("any"), Service("ipv6"), Service("icmp"))
"""What an advertisement that a guest sends is too."""
IP_FORWARD = "net.ipv4.ip_forward"


class Hop(NamedTuple):
    """One place that judges the packet, what it says, and by which rule. The last is the verdict."""

    where: str
    verdict: str
    rule: str


class End(NamedTuple):
    """One end of the packet's way: a guest by one of its cards, the host, or an address somewhere."""

    name: str
    guest: Guest | None = None
    card: Card | None = None
    address: str = ""

    @property
    def is_host(self) -> bool:
        return self.name == HOST


class Packet(NamedTuple):
    """The first packet of a connection."""

    service: Service
    source: End
    to: End
    claimed: str
    """The source address that it bears."""
    mac: str = ""
    """The MAC address that it bears, where that is not the sender's."""


def trace(
    self: Firewall,
    service: Annotated[str, Ask("tcp/22, udp/53, icmp, arp, dhcp, nd, ra", metavar="SERVICE")],
    *,
    from_: Annotated[str, Ask("who sends it: a VM, host, or an address", metavar="WHO", complete="vm")] = HOST,
    to: Annotated[str, Ask("whom it is for: a VM, host, or an address", metavar="WHO", complete="vm")] = HOST,
    as_: Annotated[
        str, Ask("the IP or MAC address that it claims to be from [the sender's own]", metavar="ADDRESS")
    ] = "",
    send: Annotated[bool, Ask("send one such packet too, by the host or the VM's agent, and see")] = False,
) -> list[Hop]:
    """Tell what would become of a packet, place by place, and which rule decides. None is sent, without --send.

    It walks the sender's card, its anti-spoofing and its policy, port isolation, forwards, libvirt's rules for the
    networks on the way, the receiver's policy and card, and libvirt's own filters on both cards. Where the packet
    passes and a filter does not let its answer back, that is told too. Rules that others made on the host are not read.

    Example: kvist fw trace tcp/22 --from 10.0.0.5 --to web
    """
    said = Said(self.site)
    packet = _packet(self, said, service, from_, to, as_)
    hops: list[Hop] = []
    for hop in _walk(self, said, packet):
        hops.append(hop)
        if hop.verdict in ENDS:
            break
    last = next((hop for hop in reversed(hops) if hop.verdict in (PASSES, *ENDS)), None)
    verdict = last.verdict if last is not None else PASSES
    why = f"{last.where}: {last.rule}" if last is not None else "nothing stands in its way"
    if last is not None and verdict in ENDS and (mended := _mended(said, packet, last)):
        why += f"; {mended}"
    if send:
        from kvist.resources.firewall.sending import send as really

        hops.append(Hop("sent", *really(self, packet, rejected=verdict == REJECTS)))
    return [*hops, Hop("verdict", verdict, why)]


def _mended(said: Said, packet: Packet, last: Hop) -> str:
    """Give the line that lets a policy alone decide, where a filter did; empty where there is no policy or filter."""
    for end in (packet.source, packet.to):
        filtered = "filter " in last.where and f" of {end.name}," in last.where
        if filtered and end.guest is not None and said.policy(end.guest).lines:
            way = " --out" if end is packet.source else ""
            return f"the policy alone decides with kvist fw allow {end.name} {packet.service}{way} --replace"
    return ""


def verdict(policy: Policy, packet: Packet, *, out: bool) -> tuple[str, str]:
    """Judge the first packet of a connection by a policy: what becomes of it, and by which line."""
    if policy.off:
        return PASSES, "disabled"
    if policy.blocked:
        return DROPS, "block"
    own, peer = (packet.source, packet.to) if out else (packet.to, packet.source)
    for number, rule in enumerate(policy.rules, 1):
        if rule.out == out and _fits(rule, packet, own, peer, out=out):
            limit = f" (while there are fewer than {rule.most} already)" if rule.most else ""
            return BECOMES[rule.verdict], f"rule {number}: {rule}{limit}"
    if packet.service.protocol in NAMED and not (out and packet.service.protocol == ROUTER):
        return PASSES, f"{packet.service.protocol} is denied by its name only"
    default = policy.outgoing if out else policy.incoming
    return BECOMES[default], f"default {'out' if out else 'in'}={default}"


def _fits(rule: Rule, packet: Packet, own: End, peer: End, *, out: bool) -> bool:
    if rule.nic and (own.card is None or rule.nic != own.card.mac):
        return False
    mine = packet.claimed if own is packet.source else own.address
    theirs = packet.claimed if peer is packet.source else peer.address
    if rule.own and not _inside(mine, rule.own):
        return False
    wanted = rule.peer
    if wanted == HOST:
        there = peer.is_host
    elif wanted.startswith(GROUP):
        there = peer.guest is not None and wanted.removeprefix(GROUP) in peer.guest.groups
    elif wanted and is_network(wanted):
        there = _inside(theirs, wanted)
    else:
        there = not wanted or (peer.guest is not None and peer.guest.name == wanted)
    return there and _about(rule.service, packet.service, theirs or mine, out=out)


def _about(rule: Service, packet: Service, address: str, *, out: bool) -> bool:
    if packet.protocol == ROUTER and (rule.protocol == "nd" or (out and rule in ADVERTISING)):
        return True
    if packet.protocol in NAMED or rule.protocol in NAMED:
        return rule.protocol == packet.protocol
    if rule.protocol in ("any", "ipv4", "ipv6"):
        return rule.protocol == "any" or (":" in address) == (rule.protocol == "ipv6")
    if rule.protocol != packet.protocol:
        return False
    if rule.ports:
        return any(first <= packet.ports[0][0] <= last for first, last in rule.ports)
    return not rule.message or rule.message == packet.message


def _inside(address: str, network: str) -> bool:
    if not address:
        return False
    net, one = ip_network(network, strict=False), ip_address(address)
    return one.version == net.version and one in net


def _packet(self: Firewall, said: Said, service: str, from_: str, to: str, claimed: str) -> Packet:
    problems: list[Problem] = []
    what = Service("any")
    try:
        what = Service.parse(service)
        if what.protocol in WITH_PORTS and (len(what.ports) != 1 or what.ports[0][0] != what.ports[0][1]):
            problems.append(Problem("SERVICE", f"a packet has one port: {what.protocol}/22"))
        if what.protocol == "icmp" and not what.message:
            what = what._replace(message="echo-request")
        if what.protocol in ("any", "ipv4", "ipv6"):
            problems.append(Problem("SERVICE", f"a packet is of one protocol, not of {what.protocol}"))
    except ValueError as wrong:
        problems.append(Problem("SERVICE", str(wrong)))
    mac, claimed = _claimed(claimed, problems)
    ends = [_end(self, said, option, text, problems) for option, text in (("--from", from_), ("--to", to))]
    if problems:
        raise Invalid(problems)
    source, goal = _met(*ends)
    if source.is_host and not source.address and goal.card is not None:
        source = source._replace(address=_host_address(self, goal))
    if goal.is_host and not goal.address and source.card is not None:
        goal = goal._replace(address=_host_address(self, source))
    return Packet(what, source, goal, claimed or source.address, mac)


def _claimed(text: str, problems: list[Problem]) -> tuple[str, str]:
    """Give the MAC address and the IP address that a packet bears, where one of them is not the sender's."""
    try:
        return (str(Mac.parse(text)), "") if text.count(":") == 5 and "::" not in text else ("", _ip(text))
    except ValueError as wrong:
        problems.append(Problem("--as", str(wrong)))
    return "", ""


def _ip(text: str) -> str:
    return str(ip_address(text)) if text else ""


def _end(self: Firewall, said: Said, option: str, text: str, problems: list[Problem]) -> End:
    if text == HOST:
        return End(HOST)
    if text in said.guests:
        guest = said.guests[text]
        if not guest.cards:
            problems.append(Problem(option, f'VM "{text}" has no network card', f"kvist nic add {text} default"))
            return End(text)
        return End(text, guest, guest.cards[0], next(iter(_known(self, said, guest)), ""))
    try:
        address = str(ip_address(text))
    except ValueError:
        problems.append(Problem(option, f'"{text}" is neither a VM, nor host, nor an address', "kvist ls"))
        return End(text)
    from kvist.host.net.links import links

    if any(one.address == address for link in links(self.site.hand) for one in link.addresses):
        return End(HOST, address=address)
    # What the leases know is known at once; guests that run know more.
    with_cards = [guest for guest in said.guests.values() if guest.cards]
    found = next((guest for guest in with_cards if address in said.addresses(guest)), None)
    found = found or next((guest for guest in with_cards if address in _known(self, said, guest)), None)
    if found is not None:
        return End(found.name, found, found.cards[0], address)
    return End(address, address=address)


def _known(self: Firewall, said: Said, guest: Guest) -> list[str]:
    from kvist.resources.reaching.address import addresses

    try:
        told = [one.address for one in addresses(self.host.vm(guest.name))]
    except KvistError:
        # It is off, or nobody knows: the leases may.
        told = []
    return told or list(said.addresses(guest))


def _met(source: End, to: End) -> tuple[End, End]:
    """Choose the cards by which two ends meet: on the same bridge, where there are such."""
    if source.guest is None or to.guest is None:
        return source, to
    for card in source.guest.cards:
        for other in to.guest.cards:
            if card.bridge and card.bridge == other.bridge:
                return source._replace(card=card), to._replace(card=other)
    return source, to


def _host_address(self: Firewall, guest: End) -> str:
    """Give the address of the host that it and a guest talk by."""
    from kvist.host.net.links import links

    assert guest.card is not None, "it is asked of guests only"
    found = [one.address for link in links(self.site.hand) if link.name == guest.card.bridge for one in link.addresses]
    alike = [one for one in found if (":" in one) == (":" in guest.address) and not one.startswith("fe80:")]
    return next(iter(alike), "")


def _walk(self: Firewall, said: Said, packet: Packet) -> Iterator[Hop]:
    source, filters = packet.source, Filtering(self, packet)
    if source.guest is not None and source.card is not None:
        yield from _card(self, filters, source)
        policy = said.policy(source.guest)
        if source.card.trouble:
            yield Hop(f"policy of {source.name}", "not judged", source.card.trouble)
        else:
            yield from _honest(said, packet, policy)
        yield from _hops(filters.sent(filters.frame(), source))
        if policy.lines and not source.card.trouble:
            yield Hop(f"policy of {source.name}, out", *verdict(policy, packet, out=True))
    if packet.to.is_host and (led := _led(self, packet)) is not None:
        forward, end = led
        yield Hop("forward", PASSES, f"{forward}, to {end.name}")
        ports = ((forward.to + packet.service.ports[0][0] - forward.ports.first,) * 2,)
        packet = packet._replace(to=end, service=packet.service._replace(ports=ports))
        filters = Filtering(self, packet)
    else:
        yield from _between(self, said, packet)
    to, frame = packet.to, filters.frame()
    yield from _hops(filters.passed_on(frame, source, to))
    if to.guest is not None and to.card is not None:
        if to.card.trouble:
            yield Hop(f"policy of {to.name}", "not judged", to.card.trouble)
        elif (policy := said.policy(to.guest)).lines:
            yield Hop(f"policy of {to.name}, in", *verdict(policy, packet, out=False))
        yield from _hops(filters.received(frame, to))
        yield from _card(self, filters, to)
    if (back := filters.answer()) is not None:
        yield Hop(f"its answer: {back.where}", back.verdict, back.rule)


def _hops(found: Iterable[Found]) -> Iterator[Hop]:
    return (Hop(*one) for one in found)


def _card(self: Firewall, filters: Filtering, end: End) -> Iterator[Hop]:
    assert end.card is not None, "it is asked of guests' cards only"
    where = f"card {end.card.mac} of {end.name}"
    state = self.host.vm(end.name).state
    if not state.active:
        yield Hop(where, DROPS, f'VM "{end.name}" is {state.value}')
    elif end.card.down:
        yield Hop(where, DROPS, "its link is down")
    elif end.card.filter and filters.bound(end) is None:
        yield Hop(where, "not judged", f'filter "{end.card.filter}" is stored, and not bound to the running card')
    else:
        yield Hop(where, PASSES, "it is plugged in")


def _honest(said: Said, packet: Packet, policy: Policy) -> Iterator[Hop]:
    source = packet.source
    if (
        policy.off
        or policy.blocked
        or not policy.antispoof
        or source.guest is None
        or packet.service.protocol == "dhcp"
    ):
        return
    where = f"anti-spoofing of {source.name}"
    known = (*policy.addresses, *said.addresses(source.guest), source.address)
    if packet.mac and source.card is not None and packet.mac != source.card.mac:
        yield Hop(where, DROPS, f"antispoof: {packet.mac} is not its MAC address")
    elif packet.service.protocol == ROUTER:
        yield Hop(where, DROPS, "antispoof: it is no router")
    elif packet.claimed and packet.claimed not in known:
        yield Hop(where, DROPS, f"antispoof: {packet.claimed} is none of its addresses")
    else:
        yield Hop(where, PASSES, f"antispoof: {packet.claimed or 'the address'} is its own")


def _led(self: Firewall, packet: Packet) -> tuple[Forward, End] | None:
    """Find the forward that a packet to the host would take, and where that leads."""
    if not packet.service.ports:
        return None
    for one in self.host.forwards.all():
        way, port = one.forward, packet.service.ports[0][0]
        fits = way.ports.protocol == packet.service.protocol and way.ports.first <= port <= way.ports.last
        if fits and (not way.source or _inside(packet.claimed, way.source)):
            guest = Said(self.site).guests[one.vm]
            address = next(iter(_known(self, Said(self.site), guest)), "")
            return way, End(one.vm, guest, guest.cards[0] if guest.cards else None, address)
    return None


def _between(self: Firewall, said: Said, packet: Packet) -> Iterator[Hop]:
    source, to = packet.source, packet.to
    if source.card is not None and to.card is not None and source.card.bridge == to.card.bridge:
        if source.card.isolated and to.card.isolated:
            yield Hop(f"bridge {source.card.bridge}", DROPS, "both are isolated ports")
        return
    if source.is_host or to.is_host:
        return
    from kvist.host import sysctl

    if (source.guest or to.guest) and sysctl.read(self.site.hand, IP_FORWARD) == "0":
        yield Hop("host", DROPS, f"{IP_FORWARD} is 0: kvist host set --ip-forward")
    if source.card is not None and (net := said.networks.get(source.card.network)) and not net.mode:
        yield Hop(f"libvirt's rules for {net.name}", DROPS, "it is isolated: nothing leaves it")
    if to.card is not None and (net := said.networks.get(to.card.network)):
        where = f"libvirt's rules for {net.name}"
        if not net.mode:
            yield Hop(where, DROPS, "it is isolated: nothing comes into it")
        elif net.mode == "nat" and not net.exposed:
            yield Hop(where, DROPS, f"mode nat: others begin no connection to its guests: kvist net expose {net.name}")
        elif net.mode == "nat":
            yield Hop(where, PASSES, f"exposed to {', '.join(net.exposed)}")
