"""The filter of libvirt's that a policy becomes: what libvirt makes of its rules judges as the policy does."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from kvist.errors import Unsupported
from kvist.host.firewall.cardrules import Guarded, Judgement, Peer
from kvist.host.firewall.choice import filter_of
from kvist.resources.filters.words import problems
from kvist.resources.firewall.backends.policyfilter import Row, document, leaves_open, rows
from kvist.resources.firewall.backends.walls import walls
from kvist.resources.forwards.crossings import Network
from kvist.specs.nwfilter import Filter, same_filter
from kvist.values import Cidr, Mac

WEB = Mac.parse("52:54:00:00:00:01")
SSH = Judgement(True, "allow tcp/22 from 10.0.0.0/8", "tcp", (6, 6), ((22, 22),), peer=Peer(network="10.0.0.0/8"))
PING = Judgement(False, "deny icmp/echo-request", "icmp", (1, 58), message=(8, 128))
MAIL = Judgement(False, "deny tcp/25 out", "tcp", (6, 6), ((25, 25),), out=True)
FEW = Judgement(True, "allow tcp/80-90 max 2", "tcp", (6, 6), ((80, 90),), most=2)
NO_ARP = Judgement(False, "deny arp", "arp")


CLIENT = 40000
"""The port that a connection is begun from."""


class Packet(NamedTuple):
    """A packet of a connection between the guest and somebody at an address."""

    begun_by_guest: bool
    answer: bool
    new: bool
    protocol: str
    peer: str
    port: int
    """The port that the connection was begun to."""


def question(card: Guarded, packet: Packet) -> bool:
    """Judge the connection by the policy: the first rule that fits, else the default."""
    for rule in card.rules:
        ports = not rule.ports or any(first <= packet.port <= last for first, last in rule.ports)
        fits = rule.protocol in ("any", packet.protocol) and ports
        there = not rule.peer.network or ip_address(packet.peer) in ip_network(rule.peer.network)
        if rule.out == packet.begun_by_guest and fits and there:
            return rule.allow
    return card.outgoing if packet.begun_by_guest else card.incoming


def judged(said: list[Row], packet: Packet) -> bool:
    """Judge a packet by rules as libvirt puts them in the kernel. Source: its iptablesCreateRuleInstance, 9.0."""
    sent = packet.begun_by_guest != packet.answer
    for row in said:
        if row.on_ethernet or row.protocol not in ("all", packet.protocol):
            continue
        ways = [row.direction] if row.direction != "inout" else ["in", "out"]
        for way in ways:
            mirrored = (way == "out") != sent
            if "state" in row.terms:
                state = "NEW" if packet.new else "ESTABLISHED"
                if mirrored or state not in row.terms["state"].split(","):
                    continue
            elif row.action == "accept" and (mirrored != packet.answer or (mirrored and packet.new)):
                continue
            if _meets(row, packet, mirrored=mirrored):
                return row.action == "accept"
    return True


def _meets(row: Row, packet: Packet, *, mirrored: bool) -> bool:
    way = {"in": False, "out": True, "inout": packet.begun_by_guest}[row.direction]
    # In the words of the rule: by what is the other end's, and by what the packet is for.
    peer = row.terms.get("dest_ip" if way else "source_ip")
    if peer is not None and ip_address(packet.peer) not in ip_network(peer):
        return False
    for key, other in (("dport", "sport"), ("sport", "dport")):
        if key in row.terms:
            first, _, last = row.terms[key].partition("-")
            bears = other if packet.answer != mirrored else key
            if not int(first) <= (packet.port if bears == "dport" else CLIENT) <= int(last or first):
                return False
    return True


def _rules(out: bool, verdicts: some.SearchStrategy[bool]) -> some.SearchStrategy[list[Judgement]]:
    one = some.builds(
        lambda allow, protocol, ports, network: Judgement(
            allow,
            "a line",
            protocol,
            ports=ports if protocol != "any" else (),
            out=out,
            peer=Peer(network=network),
        ),
        verdicts,
        some.sampled_from(["any", "tcp", "udp"]),
        some.sampled_from([(), ((22, 22),), ((20, 25), (80, 80))]),
        some.sampled_from(["", "10.0.0.0/8", "10.1.0.0/16", "192.0.2.1"]),
    )
    return some.lists(one, max_size=4)


PACKETS = some.builds(
    lambda guest, kind, protocol, peer, port: Packet(guest, kind == "answer", kind == "new", protocol, peer, port),
    some.booleans(),
    some.sampled_from(["new", "old", "answer"]),
    some.sampled_from(["tcp", "udp"]),
    some.sampled_from(["10.0.0.1", "10.1.0.1", "192.0.2.1", "198.51.100.7"]),
    some.sampled_from([22, 24, 80, 443]),
)


@settings(max_examples=500)
@given(
    coming=_rules(False, some.booleans()),
    going=_rules(True, some.booleans()),
    defaults=some.tuples(some.booleans(), some.booleans()),
    packet=PACKETS,
)
def test_every_packet_is_judged_as_the_policy_judges_its_connection(
    coming: list[Judgement], going: list[Judgement], defaults: tuple[bool, bool], packet: Packet
) -> None:
    card = Guarded(WEB, "", (*coming, *going), *defaults)
    if leaves_open(card) and packet.begun_by_guest and not packet.new:
        # These are ended by taking the connection away, not by rules.
        return
    assert judged(rows(card), packet) == question(card, packet)


@given(coming=_rules(False, some.booleans()), going=_rules(True, some.booleans()))
def test_connections_are_left_open_where_both_directions_deny_and_nowhere_else(
    coming: list[Judgement], going: list[Judgement]
) -> None:
    denies = [any(not rule.allow for rule in rules) for rules in (coming, going)]
    assert leaves_open(Guarded(WEB, "", (*coming, *going))) == all(denies)


@pytest.mark.parametrize(
    "card",
    [
        Guarded(WEB, "", (SSH, PING, MAIL, FEW, NO_ARP), incoming=False),
        Guarded(WEB, "", (SSH,), antispoof=True, addresses=("10.0.0.2", "fd00::2"), outgoing=False),
        Guarded(WEB, "", blocked=True),
    ],
)
def test_libvirt_understands_every_rule_of_it(card: Guarded) -> None:
    made = document(card)
    assert problems(made.root) == []
    assert Filter.read(made.root).name == filter_of(WEB) == "kvist-fw-525400000001"
    assert same_filter(made.root) == same_filter(document(card).root)
    assert Filter.read(made.root).uuid == Filter.read(document(Guarded(WEB, "")).root).uuid


def test_a_blocked_card_has_no_rule_but_one() -> None:
    assert rows(Guarded(WEB, "", (SSH,), blocked=True)) == [Row("drop", "inout", "mac", line="block")]


def test_what_allows_everything_is_no_rule_at_all() -> None:
    assert rows(Guarded(WEB, "", (SSH,))) == []


def test_a_message_that_is_answered_has_a_rule_for_its_answer() -> None:
    about = [
        (row.action, row.direction, row.terms["type"])
        for row in rows(Guarded(WEB, "", (PING,)))
        if row.line == PING.line
    ]
    assert about == [("drop", "in", "8"), ("drop", "out", "0"), ("drop", "in", "128"), ("drop", "out", "129")]


def test_connections_are_counted_by_their_answers() -> None:
    four, *_ = [row for row in rows(Guarded(WEB, "", (FEW,), incoming=False)) if "connlimit_above" in row.terms]
    assert (four.direction, four.terms["sport"], four.terms["flags"]) == ("out", "80-90", "SYN,ACK/SYN,ACK")


def test_a_card_may_only_be_itself_and_serves_nobody_addresses() -> None:
    card = Guarded(WEB, "", antispoof=True, addresses=("10.0.0.2",))
    said = rows(card)
    assert all(row.on_ethernet and row.direction == "out" for row in said)
    assert {row.terms["source_ip"] for row in said if row.protocol == "ip" and "source_ip" in row.terms} == {
        "0.0.0.0",
        "10.0.0.2",
    }
    assert Row("drop", "out", "ip", {"protocol": "udp", "sport": "67", "dport": "68"}, "antispoof") in said


def test_a_policy_that_libvirt_has_no_room_for_is_refused() -> None:
    many = tuple(SSH._replace(peer=Peer(network=f"10.0.{n // 250}.{n % 250 + 1}")) for n in range(2001))
    with pytest.raises(Unsupported, match="there is room for 2000"):
        document(Guarded(WEB, "", many, incoming=False))


@pytest.mark.parametrize(
    ("lines", "may"),
    [
        ((), True),
        ((Judgement(False, "deny icmp out", "icmp", (1, 58), out=True),), False),
        ((Judgement(True, "allow ra out", "ra", out=True), Judgement(False, "deny any out", "any", out=True)), True),
        ((Judgement(False, "deny any out to fd00::1", "any", out=True, peer=Peer(network="fd00::1")),), True),
    ],
)
def test_who_may_send_as_a_router_is_a_question_of_what_it_may_send_to_everybody(
    lines: tuple[Judgement, ...], *, may: bool
) -> None:
    said = rows(Guarded(WEB, "", lines, incoming=False))
    accepted = [row.direction for row in said if row.action == "accept" and row.terms.get("type") == "134"]
    assert accepted == (["in", "out"] if may else ["in"])


def test_the_first_rule_that_names_it_decides_about_advertisements() -> None:
    lines = (Judgement(True, "allow ra", "ra"), Judgement(False, "deny nd", "nd"))
    dropped = {row.terms["type"] for row in rows(Guarded(WEB, "", lines)) if row.line == "deny nd"}
    assert "135" in dropped
    assert "134" not in dropped


NAT = Network("default", "nat", "virbr0", (Cidr("192.168.122.0", 24),), ("192.168.122.1",), ())
OTHER = Network("other", "nat", "virbr1", (Cidr("10.9.0.0", 30),), ("10.9.0.1",), ())
SHUT = Network("shut", "", "virbr2", (Cidr("10.8.0.0", 24),), ("10.8.0.1",), ())
OPEN = Network("open", "open", "virbr3", (Cidr("10.7.0.0", 24),), ("10.7.0.1",), ())
NETWORKS = {net.name: net for net in (NAT, OTHER, SHUT, OPEN)}
OWN = ("127.0.0.1", "10.9.0.1", "10.8.0.1", "192.168.122.1", "fe80::1")


def test_a_filter_lets_a_card_get_into_no_network_that_is_shut_to_others() -> None:
    shut = ("10.8.0.0-10.8.0.0", "10.8.0.2-10.8.0.255", "10.9.0.0-10.9.0.0", "10.9.0.2-10.9.0.3")
    assert walls(NETWORKS, "default", OWN) == shut
    assert walls({**NETWORKS, "other": OTHER._replace(exposed=("eth0",))}, "default", OWN) == shut[:2]
    assert walls({"default": NAT}, "default", OWN) == ()
    dropped = [row for row in rows(Guarded(WEB, "", incoming=False), shut) if "dest_range" in row.terms]
    assert [(row.action, row.direction, row.terms["state"]) for row in dropped] == [("drop", "out", "NEW")] * 4


def test_a_card_of_an_isolated_network_reaches_its_own_and_the_host() -> None:
    reached = walls({"shut": SHUT}, "shut", ("10.8.0.1", "192.168.122.1"))
    assert reached == ("1.0.0.0-10.7.255.255", "10.8.1.0-192.168.122.0", "192.168.122.2-223.255.255.255")
