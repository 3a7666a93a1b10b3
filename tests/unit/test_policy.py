"""Policies: what a person may write, what it means, and which rule decides about a packet."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvist.resources.firewall.check import covers
from kvist.resources.firewall.policies import Card, Guest, read, unreadable
from kvist.resources.firewall.policing import useless, with_rule
from kvist.resources.firewall.tracing import End, Packet, verdict
from kvist.specs.policy import ICMP_TYPES, PROTOCOLS, VERDICTS, WITH_PORTS, Policy, Rule, Service
from kvist.values import Mac

ports = st.tuples(st.integers(1, 65535), st.integers(1, 65535)).map(lambda two: (min(two), max(two)))
services = st.one_of(
    st.sampled_from(PROTOCOLS).map(Service),
    st.sampled_from(sorted(ICMP_TYPES)).map(lambda message: Service("icmp", message=message)),
    st.tuples(st.sampled_from(WITH_PORTS), st.lists(ports, min_size=1, max_size=4)).map(
        lambda two: Service.parse(f"{two[0]}/{','.join(f'{a}-{b}' for a, b in two[1])}")
    ),
)
peers = st.sampled_from(("", "host", "app", "group:web-tier", "10.0.0.0/8", "10.1.2.3", "fd00::/8"))


@given(st.sampled_from(VERDICTS), services, st.booleans(), peers, st.sampled_from((0, 2)), st.booleans())
def test_what_is_written_is_read_again_as_the_same(
    verdict: str, service: Service, out: bool, peer: str, most: int, log: bool
) -> None:
    rule = Rule(verdict, service, out, "" if out else peer, peer if out else "", "", most, log)
    if not rule.problems():
        assert Rule.parse(str(rule)) == rule
        policy = Policy((rule,), incoming="deny", blocked=out, antispoof=log, addresses=("10.0.0.1",) if log else ())
        assert Policy.parse(policy.lines) == policy


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("allow 22", "allow tcp/22"),
        ("allow TCP/22,80-90,85-95", "allow tcp/22,80-95"),
        ("allow tcp/22 from 10.1.2.3/8", "allow tcp/22 from 10.0.0.0/8"),
        ("deny all to group:db", "deny any out to group:db"),
        ("deny icmp from fd00::1/128", "deny icmp from fd00::1"),
        ("allow tcp/22 from any to 10.0.0.5", "allow tcp/22 from any to 10.0.0.5"),
        ("allow udp/53 out log max 3", "allow udp/53 out max 3 log"),
        ("reject 25 to any", "reject tcp/25 out to any"),
    ],
)
def test_many_spellings_are_one_rule(typed: str, read: str) -> None:
    assert str(Rule.parse(typed)) == read


@pytest.mark.parametrize(
    ("typed", "complaints"),
    [
        ("allow foo/1 from 10.0.0.0/40 bla", ('"foo"', "10.0.0.0/40", '"bla"')),
        ("allow tcp/70000,x", ("65535", '"x"')),
        ("deny tcp/22 max 3", ("what is allowed",)),
        ("reject arp", ("it can be denied, not rejected",)),
        ("allow icmp/hello", ('"hello"',)),
        ("allow esp/4", ("no ports",)),
        ("allow icmp max 2", ("no connections",)),
        ("allow arp from 10.0.0.1", ("all of it",)),
        ("allow tcp/22 from a b", ('"b"',)),
        ("allow tcp/22 from host to web", ("only addresses",)),
        ("allow tcp/22 from 10.0.0.1 to fd00::1", ("different families",)),
        ("allow ipv4 from fd00::1", ("no address of ipv4",)),
        ("allow tcp/22 nic x max 0", ("MAC", "number of connections")),
        ("permit tcp/22", ("not a rule",)),
    ],
)
def test_all_that_is_wrong_with_a_rule_is_said_at_once(typed: str, complaints: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"\w") as caught:
        Rule.parse(typed)
    assert [word for word in complaints if word not in str(caught.value)] == []


def test_a_policy_says_which_of_its_lines_are_wrong() -> None:
    with pytest.raises(ValueError, match=r"default in=no: .*; deny foo: .*"):
        Policy.parse(("block", "default in=no", "deny foo"))


def guest(name: str, mac: str, *groups: str) -> Guest:
    return Guest(name, (Card(Mac.parse(mac), "tap", "virbr0", "default"),), (), frozenset(groups))


WEB, APP = guest("web", "52:54:00:00:00:01"), guest("app", "52:54:00:00:00:02", "db")
ENDS = {
    "web": End("web", WEB, WEB.cards[0], "10.0.0.1"),
    "app": End("app", APP, APP.cards[0], "10.0.0.2"),
    "host": End("host", address="10.0.0.254"),
    "far": End("1.2.3.4", address="1.2.3.4"),
}


@pytest.mark.parametrize(
    ("lines", "service", "source", "to", "out", "decided"),
    [
        ((), "tcp/22", "far", "web", False, ("accept", "default in=allow")),
        (("default in=deny",), "tcp/22", "far", "web", False, ("drop", "default in=deny")),
        (("default in=deny",), "tcp/22", "web", "far", True, ("accept", "default out=allow")),
        (("block", "allow any"), "arp", "far", "web", False, ("drop", "block")),
        (("off", "block"), "tcp/22", "far", "web", False, ("accept", "disabled")),
        (("deny tcp/22", "allow tcp"), "tcp/22", "far", "web", False, ("drop", "rule 1: deny tcp/22")),
        (("deny tcp/22", "allow tcp"), "tcp/23", "far", "web", False, ("accept", "rule 2: allow tcp")),
        (("deny any from group:db",), "udp/53", "app", "web", False, ("drop", "rule 1: deny any from group:db")),
        (("deny any from group:db",), "udp/53", "host", "web", False, ("accept", "default in=allow")),
        (("deny any from host",), "icmp/echo-request", "host", "web", False, ("drop", "rule 1: deny any from host")),
        (("deny any out to app",), "tcp/1", "web", "app", True, ("drop", "rule 1: deny any out to app")),
        (("deny any from 10.0.0.0/30",), "tcp/1", "app", "web", False, ("drop", "rule 1: deny any from 10.0.0.0/30")),
        (("deny any from 10.0.0.0/30",), "tcp/1", "far", "web", False, ("accept", "default in=allow")),
        (("deny any", "default in=deny"), "dhcp", "far", "web", False, ("accept", "dhcp is denied by its name only")),
        (("deny dhcp",), "dhcp", "far", "web", False, ("drop", "rule 1: deny dhcp")),
        (("deny ipv6",), "tcp/1", "far", "web", False, ("accept", "default in=allow")),
        (("deny ipv4",), "tcp/1", "far", "web", False, ("drop", "rule 1: deny ipv4")),
        (("deny any nic 52:54:00:00:00:09",), "tcp/1", "far", "web", False, ("accept", "default in=allow")),
        (("deny any from any to 10.0.0.9",), "tcp/1", "far", "web", False, ("accept", "default in=allow")),
        (("deny icmp/redirect",), "icmp/echo-request", "far", "web", False, ("accept", "default in=allow")),
    ],
)
def test_the_first_rule_that_fits_decides(
    lines: tuple[str, ...], service: str, source: str, to: str, out: bool, decided: tuple[str, str]
) -> None:
    packet = Packet(Service.parse(service), ENDS[source], ENDS[to], ENDS[source].address)
    assert verdict(Policy.parse(lines), packet, out=out) == decided


@pytest.mark.parametrize(
    ("one", "other", "is_covered"),
    [
        ("deny any", "allow tcp/22 from host", True),
        ("deny any", "allow dhcp", False),
        ("deny any", "allow tcp/22 out", False),
        ("deny tcp/1-100", "allow tcp/22,80-90", True),
        ("deny tcp/1-85", "allow tcp/22,80-90", False),
        ("deny tcp from 10.0.0.0/8", "allow tcp/22 from 10.1.0.0/16", True),
        ("deny tcp from 10.1.0.0/16", "allow tcp/22 from 10.0.0.0/8", False),
        ("deny tcp from group:x", "allow tcp/22 from app", False),
        ("allow tcp/22 max 2", "deny tcp/22", False),
        ("deny any from fd00::/8", "deny any from 10.0.0.1", False),
        ("deny any nic 52:54:00:00:00:09", "deny any", False),
    ],
)
def test_a_rule_that_can_never_match_is_found(one: str, other: str, is_covered: bool) -> None:
    assert covers(Rule.parse(one), Rule.parse(other)) is is_covered


def test_a_rule_is_put_where_it_is_wanted_and_only_once() -> None:
    first, second, third = map(Rule.parse, ("allow tcp/1", "allow tcp/2", "deny tcp"))
    policy = with_rule(with_rule(Policy(), first, None), third, None)
    assert with_rule(policy, first, None) == policy
    assert with_rule(policy, second, 2).rules == (first, second, third)
    assert with_rule(policy, third, 1).rules == (third, first)
    assert "in=deny makes it count" in useless(with_rule(Policy(), first, None), first)
    assert useless(with_rule(Policy(incoming="deny"), first, None), first) == ""


def test_a_vm_and_its_group_say_what_holds_together() -> None:
    own = Policy.parse(("default in=allow out=allow", "allow tcp/22"))
    joined = own.joined(Policy.parse(("default in=deny out=allow", "deny icmp", "antispoof")))
    assert joined.lines == ("antispoof", "default in=deny out=allow", "allow tcp/22", "deny icmp")
    assert own.joined(Policy.parse(("off", "block"))) == own


def test_what_cannot_be_read_lets_nothing_pass_and_is_told() -> None:
    assert read(("allow tcp/22", "nonsense")) == Policy(blocked=True)
    assert "nonsense" in unreadable(("allow tcp/22", "nonsense"))
    assert unreadable(("allow tcp/22",)) == ""


def test_a_service_that_is_called_by_its_name_is_answered_with_its_port() -> None:
    with pytest.raises(ValueError, match=r'"ssh" is not a protocol .*; ssh is tcp/22'):
        Service.parse("ssh")
