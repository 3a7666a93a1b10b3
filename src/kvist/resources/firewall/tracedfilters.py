"""What libvirt's own filters on the cards of a packet's way do with it, and which of their rules it is."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, NamedTuple

from kvist.errors import CommandFailed, Denied, Unsupported
from kvist.host.firewall.cardrules import NOBODY
from kvist.host.firewall.cardwalk import CardFilters, Frame, Ruling
from kvist.host.firewall.choice import OF_FILTER
from kvist.resources.filters.library import Binding, Library, Placed, bindings
from kvist.resources.filters.words import told
from kvist.specs.nwfilter import ROOT
from kvist.specs.nwfilter_protocols import ON_ETHERNET
from kvist.specs.policy import ICMP_TYPES, ROUTER

if TYPE_CHECKING:
    from kvist.resources.firewall.firewall import Firewall
    from kvist.resources.firewall.tracing import End, Packet

DECIDES = {"accept": ("accept", "return"), "drop": ("drop", "reject"), "reject": ("reject",)}
"""What a rule says that the kernel's verdict comes from: on the Ethernet nothing is rejected."""
PROTOCOLS = {"icmpv6": "ipv6-icmp"}
EVERYBODY = "33:33:00:00:00:01"
NEXT = {"ip": "ipv4", "ip6": "ipv6", "arp": "arp"}


class Found(NamedTuple):
    """What a card's filter says of a packet."""

    where: str
    verdict: str
    """accept, drop, reject; `not judged` where it cannot be read."""
    rule: str


class Filtering:
    """One packet, and the filters on the cards that it leaves and comes to."""

    def __init__(self, firewall: Firewall, packet: Packet) -> None:
        self._firewall, self.packet = firewall, packet

    @cached_property
    def library(self) -> Library:
        return Library(self._firewall.host.connection)

    def bound(self, end: End) -> Binding | None:
        """Find what is bound to a card; a filter that is stored alone counts for nothing.

        One that is made from its policy says what that says, and is not asked.
        """
        if end.card is None:
            return None
        theirs = [one for one in self._bindings if not one.filter.startswith(OF_FILTER)]
        return next((one for one in theirs if one.mac.lower() == end.card.mac), None)

    @cached_property
    def _bindings(self) -> list[Binding]:
        try:
            return bindings(self._firewall.host.connection)
        except Unsupported:
            # A driver of libvirt's that has no filters binds none.
            return []

    @cached_property
    def _rules(self) -> CardFilters:
        return CardFilters(self._firewall.site.hand)

    def frame(self) -> Frame:
        """Give the packet as it is on the wire."""
        return frame_of(self.packet, self._tap(self.packet.source), self._tap(self.packet.to))

    def _tap(self, end: End) -> str:
        """Give the interface of a guest's card; for one without a filter any name will do that no rule has."""
        if end.card is None:
            return ""
        bound = self.bound(end)
        return bound.port if bound is not None else end.card.tap

    def sent(self, frame: Frame, end: End) -> Iterator[Found]:
        """Judge what a card sends, before anybody else does."""
        yield from self._hop(end, frame, sent=True, ethernet=True)

    def passed_on(self, frame: Frame, source: End, to: End) -> Iterator[Found]:
        """Judge what is on its way to another card, or comes to the host."""
        yield from self._hop(source, frame, sent=True, ethernet=False)
        if frame.bridged:
            yield from self._hop(to, frame, sent=False, ethernet=False)

    def received(self, frame: Frame, end: End) -> Iterator[Found]:
        """Judge what comes to a card, behind all others."""
        yield from self._hop(end, frame, sent=False, ethernet=True)

    def answer(self) -> Found | None:
        """Give what keeps the answer from who began; None where it comes, or where none is to be awaited."""
        frame = self.frame()
        if frame.protocol != "tcp" and frame.message not in (8, 128):
            return None
        back, source, to = frame.answer(), self.packet.to, self.packet.source
        found = [*self.sent(back, source), *self.passed_on(back, source, to), *self.received(back, to)]
        return next((one for one in found if one.verdict in ("drop", "reject")), None)

    def _hop(self, end: End, frame: Frame, *, sent: bool, ethernet: bool) -> Iterator[Found]:
        bound = self.bound(end)
        if bound is None or end.card is None:
            return
        where = f'filter "{bound.filter}" of {end.name}, {"out" if sent else "in"}'
        try:
            ruling = self._ruling(frame, sent=sent, ethernet=ethernet)
        except (CommandFailed, Denied) as wrong:
            yield Found(where, "not judged", wrong.what)
            return
        if ruling is None or bound.port not in ruling.chain:
            return
        unsure = "" if ruling.sure else " (as far as can be told: a rule before it counts or looks into the packet)"
        yield Found(where, ruling.verdict, self._words(bound, ruling, frame, sent=sent, ethernet=ethernet) + unsure)

    def _ruling(self, frame: Frame, *, sent: bool, ethernet: bool) -> Ruling | None:
        rules = self._rules
        if ethernet:
            return rules.entering(frame) if sent else rules.leaving(frame)
        # What does not go to another card is for the host, or leaves by it.
        alone = sent and not frame.tap_out and self.packet.to.is_host
        back = sent and not frame.tap_out and self.packet.source.is_host
        return rules.arriving(frame) if alone or back else rules.crossing(frame)

    def _words(self, bound: Binding, ruling: Ruling, frame: Frame, *, sent: bool, ethernet: bool) -> str:
        """Say which rule of the filter it is, and the kernel's rule where none can be told."""
        placed = self.library.evaluated(bound.filter)
        fitting = [
            (fits, number, one)
            for number, one in enumerate(placed, 1)
            if one.said.action in DECIDES[ruling.verdict]
            and (fits := _may_be(one, ruling, frame, bound.port, sent=sent, ethernet=ethernet)) is not False
        ]
        if not fitting:
            return f"{ruling.chain}: {ruling.text}"
        _, number, rule = next((one for one in fitting if one[0]), fitting[0])
        of = "" if rule.filter == bound.filter else f' (of "{rule.filter}", which it includes)'
        return f"rule {number}: {told(rule.said)}{of}"


def frame_of(packet: Packet, tap_in: str, tap_out: str) -> Frame:
    """Give a packet as it is on the wire."""
    service, source, to = packet.service, packet.source, packet.to
    six = ":" in (packet.claimed or to.address)
    kind = "ip6" if six else "ip"
    made = Frame(
        kind,
        packet.claimed,
        to.address,
        service.protocol,
        mac=packet.mac or (str(source.card.mac) if source.card is not None else ""),
        to_mac=str(to.card.mac) if to.card is not None else "",
        tap_in=tap_in,
        tap_out=tap_out,
    )
    if service.protocol == "arp":
        return made._replace(kind="arp", protocol="")
    if service.protocol == "dhcp":
        asks = not source.is_host
        ports = (68, 67) if asks else (67, 68)
        made = made._replace(kind="ip", protocol="udp", sport=ports[0], dport=ports[1])
        return made._replace(source=NOBODY) if asks else made
    if service.protocol == "nd":
        return made._replace(kind="ip6", protocol="ipv6-icmp", message=135, to_mac=EVERYBODY)
    if service.protocol == ROUTER:
        return made._replace(kind="ip6", protocol="ipv6-icmp", message=134, to_mac=EVERYBODY)
    if service.protocol == "icmp":
        message = ICMP_TYPES[service.message][int(six)]
        return made._replace(protocol="ipv6-icmp" if six else "icmp", message=message)
    return made._replace(dport=service.ports[0][0] if service.ports else 0)


def _may_be(one: Placed, ruling: Ruling, frame: Frame, port: str, *, sent: bool, ethernet: bool) -> bool | None:
    """Tell whether a rule of a filter is the kernel's that decided; None where that is likely and not sure."""
    on_ethernet = not one.said.protocol or one.said.protocol in ON_ETHERNET
    if on_ethernet != ethernet:
        return False
    if ethernet:
        chain = ROOT if ruling.chain.startswith("libvirt-") else ruling.chain.partition(f"{port}-")[2]
        if one.chain != chain or one.said.direction not in ("inout", "out" if sent else "in"):
            return False
        return _says(one, frame)
    ways = {"in": (not sent,), "out": (sent,), "inout": (True, False)}[one.said.direction]
    # A rule about one direction is about its answers in the other.
    told_of = [_says(one, frame if straight else frame.answer()) for straight in ways]
    return True if True in told_of else None if None in told_of else False


def _says(one: Placed, frame: Frame) -> bool | None:
    """Tell whether the conditions of a rule are met; None where one of them cannot be told here."""
    said = one.said
    protocol = said.protocol.removesuffix("-ipv6")
    if protocol in ("arp", "rarp", "ip", "ipv6") and {"ip": "ip", "ipv6": "ip6"}.get(protocol, protocol) != frame.kind:
        return False
    if said.protocol not in ON_ETHERNET and said.protocol:
        six = said.protocol.endswith("ipv6") or said.protocol == "icmpv6"
        if (frame.kind == "ip6") != six:
            return False
        wanted = PROTOCOLS.get(protocol, protocol)
        if wanted != "all" and wanted != frame.protocol:
            return False
    met: list[bool | None] = []
    for name, term in said.terms.items():
        if name == "comment":
            continue
        fits = _term(name, term.value, frame)
        met.append(fits if fits is None else fits != term.negated)
    return False if False in met else None if None in met else True


def _term(name: str, value: str, frame: Frame) -> bool | None:
    if "$" in value:
        return None
    if name in ("sport", "dport"):
        first, _, last = value.replace(":", "-").partition("-")
        return int(first, 0) <= (frame.sport if name == "sport" else frame.dport) <= int(last or first, 0)
    if name in ("source_ip", "dest_ip"):
        address = frame.source if name == "source_ip" else frame.target
        return None if not address else ip_address(address) in ip_network(value, strict=False)
    if name == "type":
        return value.isdecimal() and int(value) == frame.message
    if name == "protocolid":
        return value.lower() == NEXT[frame.kind]
    return None
