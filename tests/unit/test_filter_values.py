"""Values, rules and documents of network filters: understood, compared by what they mean, and complained of."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from kvist.errors import Problem
from kvist.resources.filters.words import differences, parameters, problems, told, typed
from kvist.specs import nwfilter_values as values
from kvist.specs.nwfilter import Conditions, Meaning, Rule, Term, entries, meaning, rule_of, same_filter
from kvist.specs.nwfilter_protocols import ON_ETHERNET, PROTOCOLS, ProtocolName
from kvist.specs.nwfilter_values import Matcher
from kvist.xml.document import Document


def conditions_of(**values: Any) -> Conditions:
    return Conditions(**values)


SAME = [
    (values.MAC, "0:1:2:a:B:cc", "00:01:02:0a:0b:cc"),
    (values.MAC_MASKED, "52:54:00:00:00:00/ff:ff:ff:0:0:0", "52:54:00:00:00:00/ff:ff:ff:00:00:00"),
    (values.IPV4_MASKED, "10.0.0.0/255.0.0.0", "10.0.0.0/8"),
    (values.IPV6_MASKED, "FD00:0::/ffff::", "fd00::/16"),
    (values.IPV6, "::ffff:10.1.2.3", "::ffff:a01:203"),
    (values.SHORT, "0x10", "16"),
    (values.span(values.SHORT), "0x1-0X3ff", "1-1023"),
    (values.ETHERTYPE, "0x800", "ipv4"),
    (values.IP_PROTOCOL, "TCP", "6"),
    (values.OPCODE, "request_reverse", "3"),
    (values.STATE, "established, NEW", "NEW,ESTABLISHED"),
    (values.FLAGS, "ack,SYN/syn", "SYN,ACK/SYN"),
    (values.FLAGS, "FIN,SYN,RST,PSH,ACK,URG/NONE", "ALL/NONE"),
    (values.IPSET_FLAGS, "SRC,dst", "src,dst"),
    (values.GRATUITOUS, "1", "true"),
    (values.IPV4, "$ IP ", "$IP[@0]"),
    (values.SHORT, "$PORTS[ @2 ]", "$PORTS[@2]"),
    (values.SHORT, "$PORTS[ 2 ]", "$PORTS[2]"),
]
WRONG = [
    (values.SHORT, "70000", "70000 is not between 0 and 65535"),
    (values.span(values.SHORT), "20-10", "the smaller comes first"),
    (values.span(values.IPV4), "10.0.0.9-10.0.0.1", "the smaller comes first"),
    (values.IPV4_MASKED, "10.0.0.0/33", "IPv4 addresses have 32 bits"),
    (values.IPV4_MASKED, "10.0.0.0/255.0.255.0", "its ones are not all in front"),
    (values.IPV6_MASKED, "fd00::/129", "IPv6 addresses have 128 bits"),
    (values.MAC_MASKED, "52:54:00:00:00:00/00:ff:00:00:00:00", "its ones are not all in front"),
    (values.MAC, "52:54", "is not a MAC address"),
    (values.IPV4, "fd00::1", "is not an IPv4 address"),
    (values.IPV4, "$", "is not a variable"),
    (values.IPV4, "$A[x]", "is not a variable"),
    (values.COUNT, "0x2", "is not a number"),
    (values.ETHERTYPE, "15", "15 is not between 1536 and 65535"),
    (values.ETHERTYPE, "ipx", "none of arp, rarp, ipv4, ipv6, vlan"),
    (values.DSCP, "0x40", "is not between 0 and 63"),
    (values.VLAN_ID, "4096", "is not between 0 and 4095"),
    (values.STATE, "FRESH", "is not a list of NEW"),
    (values.STATE, "$STATE", "is not a list of NEW"),
    (values.FLAGS, "SYN", "is not like SYN,ACK/SYN"),
    (values.FLAGS, "SIN/SYN", "is not a list of FIN"),
    (values.IPSET, "a" * 32, "is not the name of an ipset"),
    (values.IPSET_FLAGS, "src;dst", "is not like src,dst"),
    (values.GRATUITOUS, "perhaps", "is neither yes nor no"),
    (values.COMMENT, "a" * 257, "has 256 characters at most"),
]


@pytest.mark.parametrize(("kind", "one", "other"), SAME, ids=[f"{kind.name} {one}" for kind, one, _ in SAME])
def test_two_spellings_of_one_value_are_the_same_and_each_is_kept(kind: Matcher, one: str, other: str) -> None:
    assert kind.plain(one) == kind.plain(other)
    assert (kind.parse(one), kind.load(one), kind.dump(one)) == (one, one, one)


@pytest.mark.parametrize(
    ("kind", "text", "complaint"), WRONG, ids=[f"{kind.name} {text[:20]}" for kind, text, _ in WRONG]
)
def test_a_value_that_libvirt_would_not_take_is_complained_of(kind: Matcher, text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        kind.parse(text)
    assert kind.load(text) == text, "what a document says is read all the same"


def test_the_protocols_have_one_list() -> None:
    assert set(get_args(ProtocolName)) == set(PROTOCOLS)
    assert set(ON_ETHERNET) < set(PROTOCOLS)
    assert {name.replace("-", "_") for name in PROTOCOLS} == set(Rule.MANY)


def test_every_condition_of_every_protocol_is_an_option_and_no_other() -> None:
    have = {name for kind in PROTOCOLS.values() for name in kind.DECLARED} - {"match"}
    assert set(Conditions.FIELDS) == have
    assert Conditions.FIELDS["flags"].doc == "Flags of the message (stp, tcp)."


def rule(text: str) -> Meaning:
    return meaning(Document.parse(text).root)


def test_elements_of_a_rule_are_taken_together_and_those_that_are_no_match_are_negated() -> None:
    said = rule(
        "<rule action='drop' direction='out' statematch='FALSE'>"
        "<tcp match='no' srcipaddr='$IP' srcipmask='24' comment='x'/><!-- y -->"
        "<tcp dstportstart='22' dstportend='0x20'/></rule>"
    )
    assert said == Meaning(
        "drop", "out", 500, False, "tcp",
        {"comment": Term("x", False), "source_ip": Term("$IP/24", True), "dport": Term("22-0x20", False)},
    )  # fmt: skip
    assert told(said) == "drop out tcp --comment x --source-ip '!$IP/24' --dport 22-0x20 --stateless"
    assert said.variables == ("IP",)


def test_a_rule_that_is_written_says_what_was_meant() -> None:
    said = Meaning(
        "accept", "in", -5, True, "udp-ipv6", {"dport": Term("53", True), "source_ip": Term("fd00::/8", False)}
    )
    document = Document.new("rule")
    rule_of(said).write(document.root)
    assert meaning(document.root).same == said.same
    assert [dict(each.attrib) for each in document.root] == [
        {"match": "no", "dstportstart": "53"},
        {"srcipaddr": "fd00::", "srcipmask": "8"},
    ]


def test_a_rule_without_conditions_or_without_a_protocol_is_one() -> None:
    for said in (Meaning("drop", "in", 500, True, "all", {}), Meaning("drop", "in", 500, True, "", {})):
        document = Document.new("rule")
        rule_of(said).write(document.root)
        assert meaning(document.root) == said
        assert len(document.root) == bool(said.protocol)


def test_all_mistakes_of_a_typed_rule_are_told_at_once() -> None:
    wrong: list[Problem] = []
    conditions = conditions_of(dport="70000", source_ip="!fd00::1", hwtype="1")
    typed("drop", "in", "tcp", conditions, priority=None, stateful=True, wrong=wrong)
    assert [each.path for each in wrong] == ["--dport", "--source-ip", "--hwtype"]
    assert "--sport, --dport" in wrong[2].hint
    wrong.clear()
    typed("drop", "in", "", conditions, priority=None, stateful=True, wrong=wrong)
    assert {each.what for each in wrong} == {"a condition needs a protocol: tcp, ip, arp ..."}


@pytest.mark.parametrize(
    ("protocol", "conditions", "complaint"),
    [
        ("ip", conditions_of(dport="22"), "ports only with --protocol tcp"),
        ("ip", conditions_of(dport="22", protocol="icmp"), "ports only with --protocol tcp"),
        ("ip", conditions_of(dport="22", protocol="0x11"), ""),
        ("ipv6", conditions_of(sport="22", protocol="$P"), ""),
        ("tcp", conditions_of(ipset_flags="src"), "say which set"),
    ],
)
def test_conditions_that_do_not_go_together_are_told(protocol: str, conditions: Conditions, complaint: str) -> None:
    wrong: list[Problem] = []
    typed("drop", "in", protocol, conditions, priority=None, stateful=True, wrong=wrong)
    assert [complaint in each.what for each in wrong] == ([True] if complaint else [])


def test_values_for_variables_are_read_and_each_mistake_is_told() -> None:
    wrong: list[Problem] = []
    found = parameters(("IP=10.0.0.1,10.0.0.2", "PORT=22"), wrong)
    assert [(each.name, each.value) for each in found] == [("IP", "10.0.0.1"), ("IP", "10.0.0.2"), ("PORT", "22")]
    assert wrong == []
    parameters(("IP", "I P=1", "NET=10.0.0.0/8", "X="), wrong)
    assert len(wrong) == 4


BAD = """<filter name='2' chain='ipv9' prioritty='4'>
  <rule action='dorp' direction='in' priority='2000'>
    <tcp dport='22' dstportstart='70000'/><udp/>
  </rule>
  <rule direction='in'><tpc/></rule>
  <filterref/><filterref filter='a'><parameter name='IP' value='10.0.0.0/8'/></filterref>
  <rules/>
</filter>"""


def test_all_that_is_wrong_with_a_document_is_told_with_its_place() -> None:
    found = [str(each) for each in problems(Document.parse(BAD).root)]
    for begins in (
        'it has no attribute "prioritty"; priority?',
        'name: "2" is not like',
        'chain: "ipv9" is not like',
        "it has no element <rules>; rule?",
        'rule 1 action: "dorp" is not one of',
        "rule 1 priority: 2000 is not between",
        "rule 1: it has tcp and udp; a rule is about one protocol",
        'rule 1 tcp: it has no attribute "dport"',
        "rule 1 tcp dstportstart: 70000 is not between",
        "rule 2: it has no action",
        "rule 2: it has no element <tpc>; tcp",
        "include 1: it names no filter",
        'include 2 parameter value: "10.0.0.0/8" is not like',
    ):
        assert any(each.startswith(begins) for each in found), (begins, found)
    assert [str(each) for each in problems(Document.parse("<domain/>").root)] == [
        "its first element is <domain>, not <filter>"
    ]


def filter_(inside: str, head: str = "") -> Document:
    return Document.parse(f"<filter name='a'{head}>{inside}</filter>")


def test_filters_are_the_same_when_they_mean_the_same() -> None:
    one = filter_("<rule action='drop' direction='in'><tcp dstportstart='22'/></rule><filterref filter='b'/>")
    two = filter_(
        "<uuid>x</uuid><rule action='drop' direction='in' priority='500'>\n<tcp dstportstart='0x16'/></rule>"
        "<filterref filter='b'/>",
        " chain='root'",
    )
    assert same_filter(one.root) == same_filter(two.root)
    assert differences(one.root, two.root, "one", "two") == []


def test_differences_between_filters_are_told_in_the_words_of_lines() -> None:
    drop, accept = "<rule action='drop' direction='in'/>", "<rule action='accept' direction='in'/>"
    one = filter_(drop + accept)
    assert differences(one.root, filter_(accept + drop).root, "asked", "kept") == [
        "the same rules stand in another order"
    ]
    assert differences(one.root, filter_(drop, " chain='arp'").root, "asked", "kept") == [
        "chain is root as asked, arp as kept",
        "priority is 0 as asked, -500 as kept",
        "“accept in” is only asked",
    ]
    assert differences(filter_(drop).root, filter_(accept).root, "asked", "kept") == [
        "“drop in” as asked, “accept in” as kept"
    ]
    assert len(list(entries(one.root))) == 2
