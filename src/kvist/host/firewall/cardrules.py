"""The chains of one card of a guest: what it may send, what may come to it, and what answers what.

Packets that the guest sends are judged in family inet, where the kernel knows connections; packets to it are judged in
family bridge, where the kernel knows the card. In between the packet's mark says what was found out.
"""

from __future__ import annotations

from typing import NamedTuple
from zlib import crc32

from kvist.host.firewall.nft import Chain, Rule, Store, mark, number, one_of
from kvist.values import Mac

CARD = 0x01000000
"""Bit of a mark: the low 24 bits are the last half of the MAC address of the card that sent the packet."""
HOST = 0x02000000
"""Bit of a mark: the host itself sent it."""
SOURCE = 0x03FFFFFF
"""All bits that say who sent it."""
ANSWER = 0x04000000
"""Bit of a mark: it belongs to a connection that its receiver began."""
PASS = 0x08000000
"""Bit of a mark: it belongs to such a connection, and nothing else about it can be judged by its addresses."""
GUARDED = 0x20000000
"""Bit of a mark: it was sent by a card that has a policy."""
JUDGED = 0x10000000
"""Bit of a mark: that policy has let it through."""

NEIGHBOURS = ("133", "134", "135", "136", "137", "130", "131", "132", "143")
"""What IPv6 needs on a link, by type of ICMPv6. Source: RFC 4861, RFC 3810."""
DHCP_SENT = (("udp", "sport", "68", "udp", "dport", "67"), ("udp", "sport", "546", "udp", "dport", "547"))
DHCP_GIVEN = (("udp", "sport", "67", "udp", "dport", "68"), ("udp", "sport", "547", "udp", "dport", "546"))
ACKNOWLEDGED = (*DHCP_GIVEN[0], "@th,64,8", "2", "@th,1984,24", "0x350105", "@th,288,48")
"""Of the message behind the UDP header: BOOTREPLY, DHCPACK, and chaddr. Source: RFC 2131, RFC 2132."""
ROUTER_ADVERT = "134"
OF_ROUTERS = (ROUTER_ADVERT, "137")
"""Those of them that only routers send: advertisements and redirections."""
NOBODY = "0.0.0.0"  # noqa: S104
"""The address of who has none yet."""


class Peer(NamedTuple):
    """Who is at the other end: networks, cards, a group of cards, or (all empty) anybody."""

    network: str = ""
    cards: tuple[int, ...] = ()
    group: str = ""
    """The name of the set that has the cards of the group."""


class Judgement(NamedTuple):
    """One rule about a card, ready for the kernel."""

    allow: bool
    line: str
    """The line of the policy that it comes from."""
    protocol: str
    numbers: tuple[int, int] = (0, 0)
    """The protocol's number in IPv4 and in IPv6; 0 for all."""
    ports: tuple[tuple[int, int], ...] = ()
    message: tuple[int, int] | None = None
    """The type of ICMP and of ICMPv6."""
    out: bool = False
    peer: Peer = Peer()
    own: str = ""
    most: int = 0
    log: str = ""
    told: bool = False
    """Who sent what it does not allow is told so."""

    @property
    def families(self) -> tuple[int, ...]:
        """The versions of IP that it is about."""
        for text in (self.peer.network, self.own):
            if text:
                return (6,) if ":" in text else (4,)
        return {"ipv4": (4,), "ipv6": (6,)}.get(self.protocol, (4, 6))


class Guarded(NamedTuple):
    """A card that has a policy."""

    mac: Mac
    tap: str
    """The name of its interface from the next start on."""
    rules: tuple[Judgement, ...] = ()
    incoming: bool = True
    outgoing: bool = True
    blocked: bool = False
    antispoof: bool = False
    addresses: tuple[str, ...] = ()
    """What is known of its own addresses."""
    told_in: bool = False
    """Who sent what no rule fits, and the default denies, is told so; of what comes in."""
    told_out: bool = False

    @property
    def key(self) -> int:
        return key_of(self.mac)

    @property
    def id(self) -> str:
        """What its chains are called by."""
        return self.mac.replace(":", "")

    @property
    def limited(self) -> bool:
        return any(rule.most and not rule.out for rule in self.rules)

    @property
    def refuses(self) -> bool:
        """Tell whether who sends it a packet may be told that it was rejected."""
        return not self.blocked and (self.told_in or any(rule.told and not rule.out for rule in self.rules))

    @property
    def placed(self) -> bool:
        """Tell whether the kernel has to know its addresses before it knows the card."""
        return self.limited or self.refuses


def key_of(mac: str) -> int:
    """Give the mark of what a card sends."""
    return CARD | int(mac.replace(":", "")[6:], 16)


def _has(bits: int) -> Rule:
    return ("meta", "mark", "&", mark(bits), "==", mark(bits))


def _let(card: Guarded, *, answer: bool = False) -> Rule:
    bits = card.key | GUARDED | JUDGED | (ANSWER if answer else 0)
    return ("meta", "mark", "set", mark(bits), "accept")


def _note(text: str) -> Rule:
    return ("counter", "comment", f'"{text.translate({34: None})[:120]}"')


def _judged(verdict: Rule, text: str) -> Rule:
    """Count, decide, and say why: the comment stands last."""
    count, *comment = _note(text)
    return (count, *verdict, *comment)


def refused(match: Rule, text: str, protocol: str = "any") -> list[Rule]:
    """Count, drop, and tell the sender: a connection that is asked for ends at once."""
    reset = _judged(("reject", "with", "tcp", "reset"), text)
    if protocol == "tcp":
        return [(*match, *reset)]
    every = [(*match, "meta", "l4proto", "tcp", *reset)] if protocol in ("any", "ipv4", "ipv6") else []
    return [*every, (*match, *_judged(("reject", "with", "icmpx", "type", "port-unreachable"), text))]


def matches(rule: Judgement, *, sides: tuple[str, str], senders: bool, mirrored: bool = False) -> list[Rule]:
    """Say in the kernel's words what a rule is about: one row for each version of IP.

    `sides` are the words for the own address and the peer's: `saddr` and `daddr` where the guest sends. `senders` says
    that the mark tells who sent the packet, among other things; else it is who receives it and nothing besides.
    `mirrored` is about the answers to what the rule is about.
    """
    own, peer = sides
    rows: list[Rule] = []
    for index, version in enumerate((4, 6)):
        if version not in rule.families:
            continue
        ip = "ip" if version == 4 else "ip6"
        words: list[str] = []
        if rule.own:
            words += [ip, own, rule.own]
        if rule.peer.network:
            words += [ip, peer, rule.peer.network]
        who = ("meta", "mark", "&", mark(SOURCE)) if senders else ("meta", "mark")
        if rule.peer.group:
            words += [*who, f"@{rule.peer.group}"]
        elif rule.peer.cards:
            words += [*who, one_of(map(mark, rule.peer.cards))]
        if rule.ports:
            ports = one_of(number(a) if a == b else f"{number(a)}-{number(b)}" for a, b in rule.ports)
            words += [rule.protocol, "sport" if mirrored else "dport", ports]
        elif rule.message is not None and not mirrored:
            words += ["icmp" if version == 4 else "icmpv6", "type", number(rule.message[index])]
        elif rule.numbers[index]:
            words += ["meta", "l4proto", number(rule.numbers[index])]
        rows.append(tuple(words if ip in words else ["meta", "protocol", ip, *words]))
    return rows


def _counted(card: Guarded, rule: Judgement) -> str:
    """Name the set in which the kernel counts a rule's connections; another number is another set."""
    return f"most_{card.id}_{crc32(rule.line.encode()):08x}"


def _named(rule: Judgement, out: bool) -> list[Rule]:
    """Say what a rule about ARP, DHCP or neighbour discovery is about."""
    if rule.protocol == "arp":
        return [("ether", "type", "arp")]
    if rule.protocol == "dhcp":
        return list(DHCP_SENT if out else DHCP_GIVEN)
    return [("icmpv6", "type", ROUTER_ADVERT if rule.protocol == "ra" else one_of(NEIGHBOURS))]


def is_named(rule: Judgement) -> bool:
    """Tell whether a rule is about what passes unless it is denied by name."""
    return rule.protocol in ("arp", "dhcp", "nd", "ra")


def _verdict(card: Guarded, rule: Judgement, *, sent: bool, answer: bool = False) -> Rule:
    if not rule.allow:
        return ("drop",)
    return _let(card, answer=answer) if sent else ("accept",)


def _rows(card: Guarded, *, about: bool, here: bool, mirrored: bool = False) -> list[Rule]:
    """Give the rules about what is sent (`about`) or comes, as they are judged where it sends (`here`) or receives.

    `mirrored` gives them for the answers, which go the other way.
    """
    sides = ("saddr", "daddr") if here else ("daddr", "saddr")
    rows: list[Rule] = []
    for rule in card.rules:
        if rule.out != about or is_named(rule):
            continue
        for match in matches(rule, mirrored=mirrored, senders=not here, sides=sides):
            if rule.log and not mirrored:
                rows.append((*match, "limit", "rate", "10/minute", "log", "prefix", f'"{rule.log}"'))
            if rule.most and here and not mirrored:
                full = ("ct", "state", "new", "add", f"@{_counted(card, rule)}")
                count = f"{{ meta l4proto ct count over {number(rule.most)} }}"
                rows.append((*match, *full, count, *_judged(("drop",), rule.line)))
            if rule.told and here and not mirrored:
                rows += refused(match, rule.line, rule.protocol)
            else:
                rows.append((*match, *_judged(_verdict(card, rule, sent=here, answer=mirrored), rule.line)))
    return rows


def _needs_receiver(card: Guarded) -> bool:
    return any(rule.peer.cards or rule.peer.group for rule in card.rules)


def _receiver() -> list[Rule]:
    """Put who a packet is for into its mark, which says whom it is from: rules about that are judged by it."""
    return [
        ("meta", "mark", "set", mark(0)),
        ("meta", "mark", "set", "ip", "daddr", "map", "@told4"),
        ("meta", "mark", "set", "ip6", "daddr", "map", "@told6"),
        ("meta", "mark", "set", "ip", "daddr", "map", "@seen4"),
        ("meta", "mark", "set", "ip6", "daddr", "map", "@seen6"),
        ("fib", "daddr", "type", "local", "meta", "mark", "set", mark(HOST)),
    ]


def _end(allow: bool, let: Rule, way: str, *, told: bool = False) -> Rule:
    verdict = "allow" if allow else "reject" if told else "deny"
    return _judged(let if allow else ("drop",), f"default {way}={verdict}")


def _last(card: Guarded) -> list[Rule]:
    """Give what becomes of what the card sends and no rule fits."""
    if card.told_out:
        return refused((), "default out=reject")
    return [_end(card.outgoing, _let(card), "out")]


def sending(card: Guarded) -> list[Chain]:
    """Give the chains of family inet: what the card may send."""
    if card.blocked:
        return [Chain(f"out_{card.id}", (_judged(("drop",), "block"),))]
    receiver = _receiver() if _needs_receiver(card) else []
    learn: list[Rule] = []
    if card.placed:
        learn = [("update", f"@at4_{card.id}", "{ ip saddr }"), ("update", f"@at6_{card.id}", "{ ip6 saddr }")]
    named = [
        (*match, *_judged(_verdict(card, rule, sent=True), rule.line))
        for rule in card.rules
        if rule.out and rule.protocol in ("dhcp", "nd", "ra")
        for match in _named(rule, True)
    ]
    always: list[Rule] = [(*match, *_let(card)) for match in DHCP_SENT]
    always.append(("icmpv6", "type", one_of(one for one in NEIGHBOURS if one not in OF_ROUTERS), *_let(card)))
    chains = [
        Chain(
            f"out_{card.id}",
            (
                *learn,
                (*_has(PASS), "meta", "mark", "set", "meta", "mark", "|", mark(JUDGED), "accept"),
                (*_has(ANSWER), "goto", f"answer_{card.id}"),
                *named,
                *always,
                *receiver,
                *_rows(card, about=True, here=True),
                *_last(card),
            ),
        ),
        Chain(
            f"answer_{card.id}",
            (
                *receiver,
                *_rows(card, about=False, here=True, mirrored=True),
                _end(card.incoming, _let(card, answer=True), "in", told=card.told_in),
            ),
        ),
    ]
    if card.limited:
        chains.append(Chain(f"count_{card.id}", tuple(_counting(card))))
    return chains


def _counting(card: Guarded) -> list[Rule]:
    """Count the connections to a card that rules limit: in family inet, for the other knows none."""
    rows: list[Rule] = []
    coming = [rule for rule in card.rules if not rule.out and not is_named(rule)]
    last = max(index for index, rule in enumerate(coming) if rule.most)
    for rule in coming[: last + 1]:
        for match in matches(rule, senders=True, sides=("daddr", "saddr")):
            if rule.most:
                count = f"{{ meta l4proto ct count over {number(rule.most)} }}"
                full = ("ct", "state", "new", "add", f"@{_counted(card, rule)}", count)
                rows.append((*match, *full, *_judged(("drop",), rule.line)))
            rows.append((*match, "return"))
    return rows


def coming(card: Guarded) -> list[Chain]:
    """Give the chains of family bridge: what may come to the card, and what must not come from it at all."""
    enter = Chain(f"from_{card.id}", tuple(_entering(card)))
    if card.blocked:
        return [enter, Chain(f"in_{card.id}", (_judged(("drop",), "block"),))]
    named = [
        (*match, *_judged(_verdict(card, rule, sent=False), rule.line))
        for rule in card.rules
        if not rule.out and is_named(rule)
        for match in _named(rule, False)
    ]
    learn: list[Rule] = []
    if card.antispoof:
        given = ("update", f"@own4_{card.id}", "{ @th,192,32 }")
        learn = [(*ACKNOWLEDGED, f"0x{card.id}", *given)]
    chain = Chain(
        f"in_{card.id}",
        (
            *learn,
            *named,
            ("ether", "type", "arp", "accept"),
            *(
                []
                if card.incoming
                else [("ether", "type", "!=", "{ ip, ip6 }", *_end(False, (), "in", told=card.told_in))]
            ),
            (*_has(PASS), "accept"),
            (*_has(ANSWER), "goto", f"back_{card.id}"),
            *((*match, "accept") for match in DHCP_GIVEN),
            ("icmpv6", "type", one_of(NEIGHBOURS), "accept"),
            *_rows(card, about=False, here=False),
            _end(card.incoming, ("accept",), "in", told=card.told_in),
        ),
    )
    back = Chain(
        f"back_{card.id}",
        (
            *_rows(card, about=True, here=False, mirrored=True),
            _end(card.outgoing, ("accept",), "out", told=card.told_out),
        ),
    )
    return [enter, chain, back]


def _entering(card: Guarded) -> list[Rule]:
    if card.blocked:
        return [_judged(("drop",), "block")]
    rows: list[Rule] = [
        (*match, *_judged(("drop",), rule.line))
        for rule in card.rules
        if rule.out and rule.protocol == "arp" and not rule.allow
        for match in _named(rule, True)
    ]
    if card.antispoof:
        rows += _honest(card)
    if not card.outgoing:
        rows.append(("ether", "type", "!=", "{ arp, ip, ip6 }", *_end(False, (), "out", told=card.told_out)))
    return rows


def _honest(card: Guarded) -> list[Rule]:
    """Let a card only be who it is: its own addresses, no DHCP server, no router."""
    said, mac = _judged(("drop",), "antispoof"), str(card.mac)
    own = [("ip", "saddr", f"@{name}_{card.id}", "return") for name in ("told4", "own4")]
    asked = [("arp", "saddr", "ip", f"@{name}_{card.id}", "return") for name in ("told4", "own4")]
    advert = ("icmpv6", "type", "136", "@th,64,128")
    return [
        ("ether", "saddr", "!=", mac, *said),
        ("arp", "saddr", "ether", "!=", mac, *said),
        *((*match, *said) for match in DHCP_GIVEN),
        ("icmpv6", "type", ROUTER_ADVERT, *said),
        (*advert, "!=", one_of(f"0x{_hex(one)}" for one in sixes(card)), *said),
        ("ip6", "saddr", "!=", one_of((*sixes(card), "::")), *said),
        ("arp", "saddr", "ip", NOBODY, "return"),
        *asked,
        ("ether", "type", "arp", *said),
        ("ip", "saddr", NOBODY, *DHCP_SENT[0], "return"),
        *own,
        ("ether", "type", "ip", *said),
    ]


def sixes(card: Guarded) -> list[str]:
    """Give the IPv6 addresses that a card may have: those that are known, and those that its MAC address makes."""
    from ipaddress import IPv6Address

    parts = [int(part, 16) for part in card.mac.split(":")]
    eui = bytes((parts[0] ^ 2, parts[1], parts[2], 0xFF, 0xFE, parts[3], parts[4], parts[5]))
    local = IPv6Address(b"\xfe\x80" + bytes(6) + eui)
    return list(dict.fromkeys((str(local), *map(str, map(IPv6Address, _of(card, six=True))))))


def _hex(address: str) -> str:
    from ipaddress import IPv6Address

    return IPv6Address(address).packed.hex()


def _of(card: Guarded, *, six: bool) -> list[str]:
    return [one for one in card.addresses if (":" in one) == six]


def stores(card: Guarded, family: str) -> list[Store]:
    """Give the sets that the chains of a card need."""
    if family == "bridge":
        if not card.antispoof or card.blocked:
            return []
        return [
            Store("set", f"told4_{card.id}", "ipv4_addr", elements=tuple(_of(card, six=False))),
            Store("set", f"own4_{card.id}", "ipv4_addr", learnt=True, size=64),
        ]
    made: list[Store] = []
    if card.placed and not card.blocked:
        made.append(Store("set", f"at4_{card.id}", "ipv4_addr", learnt=True, timeout=86400, size=64))
        made.append(Store("set", f"at6_{card.id}", "ipv6_addr", learnt=True, timeout=86400, size=64))
        made.append(Store("set", f"mine4_{card.id}", "ipv4_addr", elements=tuple(_of(card, six=False))))
        made.append(Store("set", f"mine6_{card.id}", "ipv6_addr", elements=tuple(_of(card, six=True))))
    if not card.blocked:
        counted = dict.fromkeys(_counted(card, rule) for rule in card.rules if rule.most)
        made += [Store("set", name, "inet_proto", learnt=True, size=8) for name in counted]
    return made
