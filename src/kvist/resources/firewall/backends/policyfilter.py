"""The filter of libvirt's that says the policy of one card: its rules, in the order in which they count.

libvirt makes two of a rule that accepts: one for packets of connections that were begun in its direction, and one for
their answers in the other. What drops has no such halves: it is about packets of both, each in its direction. So that
it does not meet those of the other direction's connections, the direction that drops nothing stands first: it has
accepted its own by then. Where both drop, what the guest sends stands first, and drops only what begins a connection.

Packets that the host itself sends, or routes, come to a card unseen by these rules; their answers do not leave.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple
from uuid import NAMESPACE_URL, uuid5

from kvist.errors import Unsupported
from kvist.host.firewall.cardrules import (
    NEIGHBOURS,
    NOBODY,
    OF_ROUTERS,
    ROUTER_ADVERT,
    Guarded,
    Judgement,
    is_named,
    sixes,
)
from kvist.host.firewall.choice import filter_of
from kvist.specs.nwfilter import ROOT, Filter, Meaning, Term, rule_of
from kvist.xml.document import Document

FIRST, LAST = -1000, 1000
"""Priorities that libvirt takes."""
CARRIED = {"any": "all", "ipv4": "all", "ipv6": "all", "icmp": "icmp", "igmp": "igmp", "tcp": "tcp", "udp": "udp",
           "sctp": "sctp", "esp": "esp", "ah": "ah"}  # fmt: skip
"""Protocols of policies that libvirt's filters know, by what these call them."""
SIX = {"icmp": "icmpv6"}
ONLY_FOUR = ("igmp",)
ANSWERS = {8: 0, 128: 129}
"""Messages of ICMP and ICMPv6 that are answered, and by which."""
DHCP = (("udp", "68", "67"), ("udp-ipv6", "546", "547"))
Terms = Mapping[str, str]
NEW = {"state": "NEW"}


class Row(NamedTuple):
    """One rule of a filter, and the line of the policy that it is from."""

    action: str
    direction: str
    protocol: str
    terms: Terms = MappingProxyType({})
    line: str = ""
    unless: Terms = MappingProxyType({})
    """What it is not about."""
    stateful: bool = True

    @property
    def on_ethernet(self) -> bool:
        return self.protocol in ("mac", "arp", "ip", "ipv6")


SHUT = (Row("drop", "in", "mac", line="block"), Row("drop", "out", "mac", line="block"))
"""Rules by which nothing passes, and which no policy is made into."""


def document(card: Guarded, uuid: str = "", walls: Sequence[str] = ()) -> Document:
    """Make the filter of a card. Raises Unsupported where libvirt has no room for its rules."""
    return written(card, rows(card, walls), uuid)


def written(card: Guarded, said: Sequence[Row], uuid: str) -> Document:
    """Make a filter of a card that says these rules."""
    if len(said) > LAST - FIRST:
        what = (
            f"the policy of card {card.mac} takes {len(said)} rules of libvirt's, and there is room for {LAST - FIRST}"
        )
        raise Unsupported(what, hint="kvist fw backend nft")
    name = filter_of(card.mac)
    new = Document.new(Filter.TAG)
    Filter(
        name=name,
        uuid=uuid or str(uuid5(NAMESPACE_URL, f"kvist:{name}")),
        chain=ROOT,
        rules=tuple(rule_of(_meaning(row, place)) for place, row in enumerate(said, FIRST)),
    ).write(new.root)
    return new


def _meaning(row: Row, priority: int) -> Meaning:
    terms = {key: Term(value, negated=False) for key, value in row.terms.items()}
    terms |= {key: Term(value, negated=True) for key, value in row.unless.items()}
    if row.line and not row.on_ethernet:
        terms["comment"] = Term(row.line[:250], negated=False)
    return Meaning(row.action, row.direction, priority, row.stateful, row.protocol, terms)


def rows(card: Guarded, walls: Sequence[str] = ()) -> list[Row]:
    """Give the rules of a card: those about frames first, which end what they drop, then those about packets.

    `walls` are ranges of addresses where nothing of it may get, whatever its policy says.
    """
    if card.blocked:
        return [Row("drop", "inout", "mac", line="block")]
    return [*_frames(card), *_packets(card, walls)]


def _frames(card: Guarded) -> Iterator[Row]:
    decided: list[Row] = []
    for rule in card.rules:
        for row in _by_name(rule) if is_named(rule) else ():
            if row not in decided and not rule.allow:
                yield row._replace(line=rule.line)
            decided.append(row)
    if card.antispoof:
        yield from _honest(card)
    for direction, allowed, honest in (("out", card.outgoing, card.antispoof), ("in", card.incoming, False)):
        if not allowed:
            for kind in () if honest else ("arp", "ipv4", "ipv6"):
                yield Row("accept", direction, "mac", {"protocolid": kind})
            yield Row("drop", direction, "mac", line=_default(card, direction))


def _by_name(rule: Judgement) -> Iterator[Row]:
    """Give the rules that deny what a rule names."""
    direction = "out" if rule.out else "in"
    if rule.protocol == "arp":
        yield Row("drop", direction, "arp")
    elif rule.protocol == "dhcp":
        for protocol, client, server in DHCP:
            ports = {"sport": client, "dport": server} if rule.out else {"sport": server, "dport": client}
            yield Row("drop", direction, "ip" if protocol == "udp" else "ipv6", {"protocol": "udp", **ports})
    else:
        for kind in (ROUTER_ADVERT,) if rule.protocol == "ra" else NEIGHBOURS:
            yield Row("drop", direction, "ipv6", {"protocol": "icmpv6", "type": kind})


def _honest(card: Guarded) -> Iterator[Row]:
    """Let a card only be who it is: its own addresses, no DHCP server, no router."""
    mac, said = str(card.mac), "antispoof"
    fours = [one for one in card.addresses if ":" not in one]
    yield Row("drop", "out", "mac", unless={"source_mac": mac}, line=said)
    yield Row("drop", "out", "arp", unless={"arp_source_mac": mac}, line=said)
    for protocol, client, server in DHCP:
        tag = "ip" if protocol == "udp" else "ipv6"
        yield Row("drop", "out", tag, {"protocol": "udp", "sport": server, "dport": client}, said)
    yield Row("drop", "out", "ipv6", {"protocol": "icmpv6", "type": ROUTER_ADVERT}, said)
    for address in (NOBODY, *fours):
        yield Row("accept", "out", "arp", {"arp_source_ip": address})
    yield Row("drop", "out", "arp", line=said)
    _, client, server = DHCP[0]
    yield Row("accept", "out", "ip", {"source_ip": NOBODY, "protocol": "udp", "sport": client, "dport": server})
    for address in fours:
        yield Row("accept", "out", "ip", {"source_ip": address})
    yield Row("drop", "out", "ip", line=said)
    for address in (*sixes(card), "::"):
        yield Row("accept", "out", "ipv6", {"source_ip": address})
    yield Row("drop", "out", "ipv6", line=said)


def _packets(card: Guarded, walls: Sequence[str]) -> Iterator[Row]:
    coming = _needed([rule for rule in card.rules if not rule.out], default=card.incoming)
    going = _needed([rule for rule in card.rules if rule.out], default=card.outgoing)
    if not coming and not going and card.incoming and card.outgoing:
        return
    for protocol in ("all", "all-ipv6"):
        yield Row("accept", "inout", protocol, {"state": "RELATED"})
    for protocol, client, server in DHCP:
        yield Row("accept", "out", protocol, {"sport": client, "dport": server, "state": "NEW,ESTABLISHED"})
        yield Row("accept", "in", protocol, {"sport": server, "dport": client, "state": "NEW,ESTABLISHED"})
    for kind in NEIGHBOURS:
        # No connection is known of these.
        yield Row("accept", "in", "icmpv6", {"type": kind}, stateful=False)
        if kind not in OF_ROUTERS or _may_be_router(card, kind):
            yield Row("accept", "out", "icmpv6", {"type": kind}, stateful=False)
    for wall in walls:
        yield Row("drop", "out", "all", {"dest_range": wall, **NEW}, "networks that libvirt shuts to others")
    drops = [any(not rule.allow for rule in rules) for rules in (coming, going)]
    sections = [
        list(_section(going, out=True, allow=card.outgoing, only_new=all(drops))),
        list(_section(coming, out=False, allow=card.incoming, only_new=False)),
    ]
    for section in sections if drops[0] or not drops[1] else reversed(sections):
        yield from section
    for protocol in ("all", "all-ipv6"):
        for direction, told in (("in", card.told_in), ("out", card.told_out)):
            if told:
                yield Row("reject", direction, protocol, NEW, _default(card, direction))
        said = [_default(card, way) for way, allow in (("in", card.incoming), ("out", card.outgoing)) if not allow]
        yield Row("drop", "inout", protocol, line=", ".join(said))


def _may_be_router(card: Guarded, kind: str) -> bool:
    """Tell whether a card may send what only routers send: that is judged as all else that it sends to everybody."""
    for rule in card.rules:
        named = rule.protocol == "nd" or (rule.protocol == "ra" and kind == ROUTER_ADVERT)
        all_of_it = rule.protocol in ("any", "ipv6", "icmp") and rule.message is None
        if rule.out and (named or (all_of_it and not rule.own and not rule.peer.network)):
            return rule.allow
    return card.outgoing


def _default(card: Guarded, direction: str) -> str:
    told = card.told_out if direction == "out" else card.told_in
    return f"default {direction}={'reject' if told else 'deny'}"


def leaves_open(card: Guarded) -> bool:
    """Tell whether connections that the guest has begun outlive the permission: both of its directions drop."""
    plain = [rule for rule in card.rules if not is_named(rule)]
    return not card.blocked and all(any(not rule.allow and rule.out == out for rule in plain) for out in (True, False))


def _needed(rules: list[Judgement], *, default: bool) -> list[Judgement]:
    """Leave out what changes nothing: what is allowed at the end, where all the rest is allowed too."""
    kept = [rule for rule in rules if not is_named(rule)]
    while kept and default and kept[-1].allow and not kept[-1].most:
        kept.pop()
    return kept


def _section(rules: list[Judgement], *, out: bool, allow: bool, only_new: bool) -> Iterator[Row]:
    direction = "out" if out else "in"
    for rule in rules:
        for protocol, terms in _matches(rule):
            if rule.allow:
                if rule.most:
                    yield _limit(rule, protocol, terms, direction)
                yield Row("accept", direction, protocol, terms, rule.line)
                yield from _answers(rule, protocol, terms, "accept", {"state": "ESTABLISHED"})
            elif only_new:
                yield Row("reject" if rule.told else "drop", direction, protocol, {**terms, **NEW}, rule.line)
            else:
                if rule.told:
                    yield Row("reject", direction, protocol, {**terms, **NEW}, rule.line)
                yield Row("drop", direction, protocol, terms, rule.line)
                yield from _answers(rule, protocol, terms, "drop", {})
    for protocol in ("all", "all-ipv6") if allow else ():
        yield Row("accept", direction, protocol, line=f"default {direction}=allow")


def _limit(rule: Judgement, protocol: str, terms: Terms, direction: str) -> Row:
    above = {"connlimit_above": str(rule.most)}
    if rule.out or protocol != "tcp":
        # Those of each sender are counted, and only of senders on the same bridge.
        return Row("drop", direction, protocol, {**terms, **above, **NEW}, rule.line)
    # All that comes is answered by one guest, so that all connections are counted. libvirt knows flags in IPv4 only.
    answer = {**_mirrored(terms), **above, "flags": "SYN,ACK/SYN,ACK", "state": "ESTABLISHED"}
    return Row("drop", "out", protocol, answer, rule.line)


def _answers(rule: Judgement, protocol: str, terms: Terms, action: str, more: Terms) -> Iterator[Row]:
    """Give the rule about the answers to a message of ICMP, which libvirt does not make itself."""
    answer = ANSWERS.get(int(terms.get("type", "-1")))
    if answer is not None:
        other = "in" if rule.out else "out"
        yield Row(action, other, protocol, {**_mirrored(terms), "type": str(answer), **more}, rule.line)


MIRROR = {"source_ip": "dest_ip", "dest_ip": "source_ip", "sport": "dport", "dport": "sport"}


def _mirrored(terms: Terms) -> dict[str, str]:
    return {MIRROR.get(key, key): value for key, value in terms.items()}


def _matches(rule: Judgement) -> Iterator[tuple[str, dict[str, str]]]:
    """Say in libvirt's words what a rule is about: once for each version of IP and range of ports."""
    own, peer = ("source_ip", "dest_ip") if rule.out else ("dest_ip", "source_ip")
    for version in rule.families:
        if version == 6 and rule.protocol in ONLY_FOUR:
            continue
        tag = CARRIED[rule.protocol]
        protocol = tag if version == 4 else SIX.get(tag, f"{tag}-ipv6")
        terms = {key: text for key, text in ((own, rule.own), (peer, rule.peer.network)) if text}
        if rule.message is not None:
            terms["type"] = str(rule.message[version == 6])
        if not rule.ports:
            yield protocol, terms
        for first, last in rule.ports:
            yield protocol, {**terms, "dport": str(first) if first == last else f"{first}-{last}"}
