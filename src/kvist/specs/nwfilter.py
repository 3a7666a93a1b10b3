"""The tables of a network filter, its rules and what it includes; and what two of them have in common.

A rule may hold several elements of its protocol, and all of them must be met; those with match='no' are met where none
of their conditions is. The mapper keeps them as they are; `Meaning` takes them together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, get_args

from kvist.specs.nic import FilterParameter
from kvist.specs.nwfilter_ethernet import (
    FORMAT,
    ArpMatch,
    IpMatch,
    Ipv6Match,
    MacMatch,
    Match,
    RarpMatch,
    StpMatch,
    VlanMatch,
)
from kvist.specs.nwfilter_protocols import PROTOCOLS
from kvist.specs.nwfilter_traffic import (
    AhIpv6Match,
    AhMatch,
    AllIpv6Match,
    AllMatch,
    EspIpv6Match,
    EspMatch,
    IcmpMatch,
    Icmpv6Match,
    IgmpMatch,
    SctpIpv6Match,
    SctpMatch,
    TcpIpv6Match,
    TcpMatch,
    UdpIpv6Match,
    UdpliteIpv6Match,
    UdpliteMatch,
    UdpMatch,
)
from kvist.specs.nwfilter_values import CHAIN, FILTER_NAME, Matcher, variables
from kvist.xml.codec import UUID, Codec, choice, number
from kvist.xml.field import LIVE, RECREATE, attr, many, text
from kvist.xml.kinds import Aside, Field, Scalar
from kvist.xml.pairs import Pair
from kvist.xml.spec import Spec

if TYPE_CHECKING:
    from kvist.xml.document import Element

Action = Literal["accept", "drop", "reject", "return", "continue"]
Direction = Literal["in", "out", "inout"]
PRIORITY: Final = number(-1000, 1000, "priority")
USUAL_PRIORITY: Final = 500
"""Of a rule that has none."""
ROOT: Final = "root"
"""The chain that every packet passes, and that the others are entered from."""
CHAIN_PRIORITIES: Final = {
    "root": 0,
    "stp": -810,
    "mac": -800,
    "vlan": -750,
    "ipv4": -700,
    "ipv6": -600,
    "arp": -500,
    "rarp": -400,
}
"""Of a filter that has none, by the beginning of its chain's name."""


FEW: Final = 5
"""Protocols that the words about a condition name."""


class Rule(Spec):
    """One rule: what is done with the packets of a direction that meet its conditions."""

    TAG = "rule"
    PAGE = f"{FORMAT}#filtering-rules"

    action: str | None = attr(
        "@action", choice(*get_args(Action)), applies=LIVE, doc="What is done with the packet.", default=None
    )
    direction: str | None = attr(
        "@direction",
        choice(*get_args(Direction)),
        applies=LIVE,
        doc="Towards the VM (in), from it (out), or both.",
        default=None,
    )
    priority: int | None = attr(
        "@priority", PRIORITY, applies=LIVE, doc="Its turn, the smallest first: -1000 to 1000.", default=None
    )
    statematch: str | None = attr(
        "@statematch",
        choice("true", "false", "0"),
        applies=LIVE,
        doc="Whether the state of connections counts.",
        default=None,
    )
    mac: tuple[MacMatch, ...] = many("mac", MacMatch, applies=LIVE, doc="Frames of Ethernet.", default=())
    vlan: tuple[VlanMatch, ...] = many("vlan", VlanMatch, applies=LIVE, doc="Frames with a VLAN tag.", default=())
    stp: tuple[StpMatch, ...] = many("stp", StpMatch, applies=LIVE, doc="Spanning tree.", default=())
    arp: tuple[ArpMatch, ...] = many("arp", ArpMatch, applies=LIVE, doc="ARP.", default=())
    rarp: tuple[RarpMatch, ...] = many("rarp", RarpMatch, applies=LIVE, doc="Reverse ARP.", default=())
    ip: tuple[IpMatch, ...] = many("ip", IpMatch, applies=LIVE, doc="IPv4 on the Ethernet.", default=())
    ipv6: tuple[Ipv6Match, ...] = many("ipv6", Ipv6Match, applies=LIVE, doc="IPv6 on the Ethernet.", default=())
    tcp: tuple[TcpMatch, ...] = many("tcp", TcpMatch, applies=LIVE, doc="TCP.", default=())
    udp: tuple[UdpMatch, ...] = many("udp", UdpMatch, applies=LIVE, doc="UDP.", default=())
    sctp: tuple[SctpMatch, ...] = many("sctp", SctpMatch, applies=LIVE, doc="SCTP.", default=())
    icmp: tuple[IcmpMatch, ...] = many("icmp", IcmpMatch, applies=LIVE, doc="ICMP.", default=())
    igmp: tuple[IgmpMatch, ...] = many("igmp", IgmpMatch, applies=LIVE, doc="IGMP.", default=())
    esp: tuple[EspMatch, ...] = many("esp", EspMatch, applies=LIVE, doc="ESP.", default=())
    ah: tuple[AhMatch, ...] = many("ah", AhMatch, applies=LIVE, doc="AH.", default=())
    udplite: tuple[UdpliteMatch, ...] = many("udplite", UdpliteMatch, applies=LIVE, doc="UDP-Lite.", default=())
    all: tuple[AllMatch, ...] = many("all", AllMatch, applies=LIVE, doc="All of IPv4.", default=())
    tcp_ipv6: tuple[TcpIpv6Match, ...] = many("tcp-ipv6", TcpIpv6Match, applies=LIVE, doc="TCP over IPv6.", default=())
    udp_ipv6: tuple[UdpIpv6Match, ...] = many("udp-ipv6", UdpIpv6Match, applies=LIVE, doc="UDP over IPv6.", default=())
    sctp_ipv6: tuple[SctpIpv6Match, ...] = many(
        "sctp-ipv6", SctpIpv6Match, applies=LIVE, doc="SCTP over IPv6.", default=()
    )
    icmpv6: tuple[Icmpv6Match, ...] = many("icmpv6", Icmpv6Match, applies=LIVE, doc="ICMPv6.", default=())
    esp_ipv6: tuple[EspIpv6Match, ...] = many("esp-ipv6", EspIpv6Match, applies=LIVE, doc="ESP over IPv6.", default=())
    ah_ipv6: tuple[AhIpv6Match, ...] = many("ah-ipv6", AhIpv6Match, applies=LIVE, doc="AH over IPv6.", default=())
    udplite_ipv6: tuple[UdpliteIpv6Match, ...] = many(
        "udplite-ipv6", UdpliteIpv6Match, applies=LIVE, doc="UDP-Lite over IPv6.", default=()
    )
    all_ipv6: tuple[AllIpv6Match, ...] = many("all-ipv6", AllIpv6Match, applies=LIVE, doc="All of IPv6.", default=())


class Include(Spec):
    """A filter whose rules are rules of this one, too, with values for its variables."""

    TAG = "filterref"
    PAGE = f"{FORMAT}#references-to-other-filters"

    filter: str | None = attr("@filter", FILTER_NAME, applies=LIVE, doc="The filter that is included.", default=None)
    parameters: tuple[FilterParameter, ...] = many(
        "parameter", FilterParameter, key="name", applies=LIVE, doc="Values for its variables.", default=()
    )


class Filter(Spec):
    """A network filter."""

    TAG = "filter"
    PAGE = f"{FORMAT}#filtering-chains"
    ORDER = ("uuid", "filterref", "rule")

    name: str | None = attr("@name", FILTER_NAME, applies=RECREATE, doc="Name of the filter.", default=None)
    uuid: str | None = text("uuid", UUID, applies=RECREATE, doc="Identity of the filter.", default=None)
    chain: str | None = attr(
        "@chain",
        CHAIN,
        applies=LIVE,
        doc="Where its rules for the Ethernet stand: root, or one such as ipv4.",
        default=None,
    )
    priority: int | None = attr(
        "@priority", PRIORITY, applies=LIVE, doc="When its chain is entered, the smallest first.", default=None
    )
    includes: tuple[Include, ...] = many("filterref", Include, applies=LIVE, doc="Filters it includes.", default=())
    rules: tuple[Rule, ...] = many("rule", Rule, applies=LIVE, doc="Its rules.", default=())


class Conditions(Spec):
    """What a rule may ask of a packet, as options of a line; `!` in front of a value asks for the contrary."""

    PAGE = f"{FORMAT}#supported-protocols"
    TAG = "conditions"


def _conditions() -> dict[str, Field]:
    """Gather the conditions of all protocols; where few have one, its words say which."""
    found: dict[str, list[str]] = {}
    for tag, kind in PROTOCOLS.items():
        for name in kind.DECLARED:
            found.setdefault(name, []).append(tag)
    made: dict[str, Field] = {}
    for name, tags in found.items():
        if name != "match":
            fields = [PROTOCOLS[tag].DECLARED[name] for tag in tags]
            only = f" ({', '.join(tags)})." if len(tags) <= FEW else "."
            made[name] = Aside("", _any(name, fields), applies=LIVE, doc=fields[0].doc.removesuffix(".") + only)
            made[name].name, made[name].page = name, Conditions.PAGE
    return made


def _any(name: str, fields: Sequence[Field]) -> Codec[str]:
    """Accept what one of the fields accepts, also with a `!` in front."""
    codecs = list(dict.fromkeys(field.codec for field in fields))

    def parse(text: str) -> str:
        wrong: list[str] = []
        for codec in codecs:
            try:
                codec.parse(Term.of(name, text).value)
            except ValueError as complaint:
                wrong.append(str(complaint))
        if len(wrong) == len(codecs):
            raise ValueError("; ".join(dict.fromkeys(wrong)))
        return text

    words = dict.fromkeys(word for codec in codecs for word in codec.choices)
    return Codec(codecs[0].name, str, parse=parse, choices=tuple(words))


class Term(NamedTuple):
    """One condition of a rule: as it is spelled, and whether it must not be met."""

    value: str
    negated: bool

    def __str__(self) -> str:
        return f"{'!' if self.negated else ''}{self.value}"

    @classmethod
    def of(cls, name: str, text: str) -> Term:
        """Read it as it is typed; a comment is what it is."""
        negated = text.startswith("!") and name != "comment"
        return cls(text[1:].strip() if negated else text, negated)


Conditions.DECLARED = Conditions.FIELDS = _conditions()


class Meaning(NamedTuple):
    """What a rule says, with all its elements taken together."""

    action: str
    direction: str
    priority: int
    stateful: bool
    protocol: str
    terms: Mapping[str, Term]
    """Conditions by the name of their field."""
    strange: tuple[tuple[str, str], ...] = ()
    """Attributes that libvirt documents nowhere, and their values."""

    @property
    def same(self) -> tuple[Any, ...]:
        """Give what two rules that mean the same have in common."""
        kind = PROTOCOLS.get(self.protocol)
        plain = frozenset((name, _plain(kind, name, term.value), term.negated) for name, term in self.terms.items())
        return (*self[:5], plain, frozenset(self.strange))

    @property
    def variables(self) -> tuple[str, ...]:
        """The variables that its conditions name."""
        return tuple(
            dict.fromkeys(
                name for key, term in self.terms.items() if key != "comment" for name in variables(term.value)
            )
        )


def meaning(node: Element) -> Meaning:
    """Read what a rule says from its element."""
    rule = Rule.read(node)
    known = [each for each in node if str(each.tag) in PROTOCOLS]
    tag = str(known[0].tag) if known else ""
    terms: dict[str, Term] = {}
    strange: list[tuple[str, str]] = []
    for each in known:
        # libvirt goes by the first protocol; what is of another counts for nothing.
        if each.tag != tag:
            strange.append((str(each.tag), ""))
            continue
        read = PROTOCOLS[tag].read(each)
        for name, value in read.items():
            if name != "match":
                terms[name] = Term(str(value), read.match is False and name != "comment")
        strange += [
            (str(name), str(each.get(name))) for name in each.attrib if str(name) not in attributes(PROTOCOLS[tag])
        ]
    priority = USUAL_PRIORITY if rule.priority is None else rule.priority
    stateful = (rule.statematch or "true").lower() not in ("false", "0")
    return Meaning(rule.action or "", rule.direction or "", priority, stateful, tag, terms, tuple(strange))


def attributes(kind: type[Spec]) -> dict[str, str]:
    """Give the attributes of an element, each with the field that it is (part of)."""
    found: dict[str, str] = {}
    for name, field in kind.DECLARED.items():
        if isinstance(field, Scalar) and field.path.startswith("@"):
            for attribute in field.attributes if isinstance(field, Pair) else (field.attribute,):
                found[attribute] = name
    return found


def _plain(kind: type[Match] | None, name: str, value: str) -> str:
    codec = kind.DECLARED[name].codec if kind is not None else None
    return codec.plain(value) if isinstance(codec, Matcher) else value


def rule_of(said: Meaning) -> Rule:
    """Make a rule that says this: the conditions that must not be met stand in an element of their own."""
    rule = Rule(action=said.action, direction=said.direction, priority=said.priority)
    if not said.stateful:
        rule = rule.replace(statematch="false")
    if not said.protocol:
        return rule
    kind = PROTOCOLS[said.protocol]
    met: dict[str, Any] = {name: term.value for name, term in said.terms.items() if not term.negated}
    unmet: dict[str, Any] = {name: term.value for name, term in said.terms.items() if term.negated}
    parts = [kind(match=False, **unmet)] if unmet else []
    if met or not unmet:
        parts.append(kind(**met))
    return rule.replace(**{said.protocol.replace("-", "_"): tuple(parts)})


def entries(root: Element) -> Iterator[Element]:
    """Go through the rules and includes of a filter, in their order."""
    return (each for each in root if each.tag in (Rule.TAG, Include.TAG))


def chain_of(root: Element) -> tuple[str, int]:
    """Give the chain of a filter and its priority, also where the document leaves them out."""
    chain = root.get("chain")
    if chain is None:
        return ROOT, CHAIN_PRIORITIES[ROOT]
    told = root.get("priority")
    usual = next((value for name, value in CHAIN_PRIORITIES.items() if chain.startswith(name)), 0)
    return chain, usual if told is None else int(told)


def values(include: Include) -> dict[str, tuple[str, ...]]:
    """Give the values that an include hands on, by variable."""
    found: dict[str, tuple[str, ...]] = {}
    for each in include.parameters:
        found[each.name or ""] = (*found.get(each.name or "", ()), each.value or "")
    return found


def same(node: Element) -> tuple[Any, ...]:
    """Give what two rules, or two includes, have in common that mean the same."""
    if node.tag == Rule.TAG:
        return ("rule", *meaning(node).same)
    include = Include.read(node)
    return ("filterref", include.filter, frozenset(values(include).items()))


def same_filter(root: Element) -> tuple[Any, ...]:
    """Give what two filters have in common that mean the same, whatever their names and identities are."""
    return (chain_of(root), tuple(same(each) for each in entries(root)))
