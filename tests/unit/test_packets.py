"""A packet is walked through the rules as the kernel walks it, and what cannot be told makes the answer unsure."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.test_ruleset import OUT, recorded

from kvist.host.firewall.packets import Packet, fate, stops, through, translated
from kvist.host.firewall.ruleset import Chain, Match, Rule, Ruleset

BACK = Packet("192.0.2.1", "192.168.122.50", "eth0", "virbr0", "tcp", 443, 40000, "established")


def ruleset(*rules: tuple[str, str, Any, str], policy: str = "accept") -> Ruleset:
    """Make one chain of the forward hook; each rule is field, operator, value and verdict."""
    made = tuple(
        Rule("inet", "t", "c", number, (Match(field, op, value),) if field else (), verdict)
        for number, (field, op, value, verdict) in enumerate(rules)
    )
    return Ruleset({("inet", "t", "c"): Chain("inet", "t", "c", made, "filter", "forward", 0, policy)}, {})


def test_a_nat_network_lets_guests_out_and_answers_in_and_nothing_else() -> None:
    rules = recorded("nat")
    assert fate(rules, "forward", OUT).action == "accept"
    assert fate(rules, "forward", OUT._replace(source="10.0.0.1")).action == "reject"
    assert fate(rules, "forward", BACK).action == "accept"
    found = fate(rules, "forward", BACK._replace(state="new"))
    assert (found.action, found.sure) == ("reject", True)
    assert found.proof == 'ip filter LIBVIRT_FWI: oifname "virbr0" reject'


@pytest.mark.parametrize("proto", ["tcp", "udp", "icmp"])
def test_what_leaves_a_nat_network_gets_the_hosts_address(proto: str) -> None:
    found = translated(recorded("nat"), OUT._replace(proto=proto))
    assert found.action == "masquerade" and "LIBVIRT_PRT" in found.proof
    assert translated(recorded("nat"), OUT._replace(destination="192.168.122.1")).action == "accept"
    assert translated(recorded("nat"), OUT._replace(source="10.0.0.1")).action == "accept"


def test_the_policy_of_docker_stops_what_no_rule_accepts() -> None:
    rules = recorded("docker")
    assert fate(rules, "forward", OUT).action == "accept", "libvirt's chains come before the policy"
    found = fate(rules, "forward", Packet("10.0.0.5", "10.0.0.9", "br0", "br0", "icmp"))
    assert (found.action, found.sure, found.proof) == ("drop", True, "ip filter FORWARD: policy drop")


def test_a_filter_of_a_card_stops_the_packets_of_its_tap_alone() -> None:
    rules = recorded("nwfilter3")
    assert fate(rules, "forward", OUT._replace(tap_in="vnet0")).proof == "ip filter FI-vnet0: drop"
    assert fate(rules, "forward", BACK._replace(tap_out="vnet0")).proof == "ip filter FO-vnet0: drop"
    other = fate(rules, "forward", OUT._replace(tap_in="vnet1"))
    assert (other.action, other.sure) == ("accept", True)


def test_a_filter_against_spoofing_lets_the_address_out_that_it_has_learnt_and_dhcp() -> None:
    rules = recorded("antispoof")
    (chain,) = [each for each in rules.chains.values() if each.name == "libvirt-I-vnet0"]
    learnt = next(match.value for rule in rules.rules() for match in rule.matches if match.field == "ip saddr"
                  and match.value != "0.0.0.0")  # fmt: skip
    sent = Packet(learnt, "192.168.122.1", "virbr0", "", "udp", 40000, 53, mac="52:54:00:0b:aa:07")
    assert through(rules, chain, sent).action == "accept"
    spoofed = through(rules, chain, sent._replace(source="192.168.122.250"))
    assert (spoofed.action, spoofed.sure, spoofed.proof) == ("drop", True, "bridge nat I-vnet0-ipv4-ip: drop")
    assert through(rules, chain, sent._replace(mac="52:54:00:0b:aa:08")).proof == "bridge nat I-vnet0-mac: drop"
    asking = sent._replace(source="0.0.0.0", destination="255.255.255.255", sport=68, dport=67)
    assert through(rules, chain, asking).action == "accept"
    arp = through(rules, chain, Packet(ether="arp", mac="52:54:00:0b:aa:07"))
    assert arp.sure is False, "what is inside of ARP is not looked at"


def test_sets_and_verdict_maps_are_looked_up() -> None:
    rules = recorded("firewalld")
    stranger = OUT._replace(iif="eth7")
    assert fate(rules, "forward", stranger).action == "reject"
    for trusted in ("10.8.1.1", "192.168.122.7"):
        found = fate(rules, "forward", stranger._replace(destination=trusted))
        assert (found.proof, found.sure) == ("inet firewalld filter_FORWARD: ip daddr @trusted accept", True)
    mapped = fate(rules, "forward", OUT)
    assert mapped.proof.startswith('inet firewalld libvirt: oifname "eth0"')
    inner = Packet("198.51.100.1", "192.168.122.50", "eth0", "virbr0", "tcp", 40000, 8042)
    assert fate(rules, "forward", inner).proof.startswith("inet firewalld public: tcp dport { 22, 8000-8080 } accept")


def test_a_goto_does_not_come_back_and_leaves_the_packet_to_the_policy() -> None:
    found = fate(recorded("firewalld"), "forward", OUT._replace(source="192.168.122.99"))
    assert (found.action, found.rule) == ("accept", None)


def test_an_accept_that_cannot_be_told_makes_a_later_stop_unsure() -> None:
    found = fate(recorded("firewalld"), "forward", OUT._replace(iif="eth7"))
    assert (found.action, found.sure) == ("reject", False), "the limit may have let it pass"
    certain = ruleset(("mark", "==", 7, "drop"), ("", "", None, "reject"))
    assert fate(certain, "forward", OUT).sure is True, "what may have been dropped before is stopped either way"


def test_rules_for_ipv6_mean_nothing_to_ipv4_and_the_other_way_round() -> None:
    rules = recorded("firewalld")
    six = Packet("fd01::1", "fd00::5", "virbr0", "eth0", "tcp", 1, 2, ether="ip6")
    assert [each.proof.partition(":")[0] for each in stops(rules, "forward", six)] == ["ip6 six f"]
    assert fate(recorded("nat"), "forward", six).action == "accept"


@pytest.mark.parametrize(
    ("field", "op", "value", "fits"),
    [
        *(("iifname", "==", "virbr*", True), ("iifname", "==", "virbr1", False), ("iifname", "!=", "virbr0", False)),
        *(("tcp dport", ">=", 443, True), ("tcp dport", "<", 443, False), ("udp dport", "==", 443, False)),
        *(
            ("th dport", "==", {"set": [80, 443]}, True),
            ("l4proto", "==", "tcp", True),
            ("nfproto", "==", "ipv4", True),
        ),
        *(("ip saddr", "==", {"range": ["192.168.122.40", "192.168.122.60"]}, True), ("ip6 saddr", "!=", "::1", False)),
        *(("ct state", "in", ["new", "established"], True), ("ct status", "in", "dnat", False)),
        *(("ct status", "!=", "dnat", True), ("ip daddr", "==", {"elem": {"val": "192.0.2.1"}}, True)),
        *(("ether type", "==", "arp", False), ("arp operation", "==", "request", False)),
    ],
)
def test_a_condition_fits_or_does_not(field: str, op: str, value: Any, fits: bool) -> None:
    found = fate(ruleset((field, op, value, "drop")), "forward", OUT)
    assert (found.action, found.sure) == ("drop" if fits else "accept", True)


def test_every_chain_that_stops_a_packet_is_named_and_a_later_accept_does_not_help() -> None:
    one, two = (
        Chain("inet", name, "f", (), "filter", "forward", prio, "drop") for name, prio in (("late", 9), ("soon", -9))
    )
    rules = Ruleset({chain[:3]: chain for chain in (one, two)}, {})
    assert [found.proof for found in stops(rules, "forward", OUT)] == [
        "inet soon f: policy drop",
        "inet late f: policy drop",
    ]
    assert fate(rules, "forward", OUT).chain == two
    assert OUT.words == "tcp 192.168.122.50 -> 192.0.2.1 port 443"
