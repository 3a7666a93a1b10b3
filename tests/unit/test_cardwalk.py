"""Rules of libvirt's filters as ebtables-save and iptables-save print them, walked as the kernel walks them."""

from __future__ import annotations

import pytest

from kvist.host.firewall.cardwalk import ETHERNET, TRAFFIC, Frame, judge, parse

FRAMES = """\
*nat
:PREROUTING ACCEPT
:I-vnet0-ipv4-ip ACCEPT
:libvirt-I-vnet0 ACCEPT
-A PREROUTING -i vnet0 -j libvirt-I-vnet0
-A I-vnet0-ipv4-ip -p IPv4 --ip-src 0.0.0.0 --ip-proto udp -j RETURN
-A I-vnet0-ipv4-ip -p IPv4 --ip-src 10.0.0.1 -j RETURN
-A I-vnet0-ipv4-ip -j DROP
-A libvirt-I-vnet0 -s ! 52:54:00:00:00:01 -j DROP
-A libvirt-I-vnet0 -p IPv4 -j I-vnet0-ipv4-ip
-A libvirt-I-vnet0 -p ARP --arp-op Request --arp-ip-src ! 10.0.0.1 -j DROP
-A libvirt-I-vnet0 -p IPv6 -d Multicast --ip6-proto ipv6-icmp --ip6-icmp-type 134 -j DROP
-A libvirt-I-vnet0 -p IPv6 -j CONTINUE
"""
PACKETS = """\
*filter
:FORWARD ACCEPT [0:0]
:FO-vnet0 - [0:0]
:libvirt-out - [0:0]
-A libvirt-out -m physdev --physdev-out vnet0 --physdev-is-bridged -g FO-vnet0
-A libvirt-out -j DROP
-A FO-vnet0 ! -s 10.0.0.0/24 -p tcp -m tcp --dport 22 -m comment --comment "not -j ACCEPT" -j DROP
-A FO-vnet0 -p tcp -m tcp --dport 80:90 -m conntrack --ctstate NEW,ESTABLISHED -m conntrack --ctdir ORIGINAL -j RETURN
-A FO-vnet0 -p tcp -m tcp --dport 25 -m connlimit --connlimit-above 2 --connlimit-mask 32 --connlimit-saddr -j DROP
-A FO-vnet0 -p tcp -m tcp --dport 25 -j ACCEPT
-A FO-vnet0 -p icmp -m icmp --icmp-type 8 -j REJECT --reject-with icmp-port-unreachable
COMMIT
*nat
:libvirt-out - [0:0]
-A libvirt-out -j DROP
COMMIT
"""
GOOD = Frame("ip", "10.0.0.1", "10.0.0.2", "tcp", mac="52:54:00:00:00:01", to_mac="52:54:00:00:00:02", tap_in="vnet0")
COMES = Frame("ip", "10.0.0.2", "10.0.0.1", "tcp", tap_in="vnet1", tap_out="vnet0")


@pytest.mark.parametrize(
    ("frame", "verdict", "chain"),
    [
        (GOOD, "accept", "libvirt-I-vnet0"),
        (GOOD._replace(source="10.0.0.9"), "drop", "I-vnet0-ipv4-ip"),
        (GOOD._replace(source="0.0.0.0", protocol="udp"), "accept", "libvirt-I-vnet0"),
        (GOOD._replace(mac="52:54:00:00:00:09"), "drop", "libvirt-I-vnet0"),
        (GOOD._replace(kind="arp"), "accept", "libvirt-I-vnet0"),
        (GOOD._replace(kind="arp", source="10.0.0.9"), "drop", "libvirt-I-vnet0"),
        (
            GOOD._replace(kind="ip6", protocol="ipv6-icmp", message=134, to_mac="33:33:00:00:00:01"),
            "drop",
            "libvirt-I-vnet0",
        ),
        (GOOD._replace(kind="ip6", protocol="ipv6-icmp", message=135), "accept", "libvirt-I-vnet0"),
    ],
)
def test_frames_meet_the_rules_of_ebtables(frame: Frame, verdict: str, chain: str) -> None:
    ruling = judge(parse(FRAMES, "nat", ethernet=True), "PREROUTING", frame, ETHERNET)
    assert ruling is not None
    assert (ruling.verdict, ruling.chain) == (verdict, chain)


def test_a_frame_of_another_card_meets_none_of_them() -> None:
    assert judge(parse(FRAMES, "nat", ethernet=True), "PREROUTING", GOOD._replace(tap_in="vnet1"), ETHERNET) is None


@pytest.mark.parametrize(
    ("frame", "verdict", "sure"),
    [
        (COMES._replace(dport=22), None, True),
        (COMES._replace(dport=22, source="10.9.0.1"), "drop", True),
        (COMES._replace(dport=85), None, True),
        (COMES._replace(dport=25), "accept", False),
        (COMES._replace(protocol="icmp", message=8), "reject", True),
        (COMES._replace(protocol="icmp", message=0), None, True),
    ],
)
def test_packets_meet_the_rules_of_iptables(frame: Frame, verdict: str | None, sure: bool) -> None:
    ruling = judge(parse(PACKETS, "filter"), "libvirt-out", frame, TRAFFIC)
    assert (ruling.verdict if ruling else None, ruling.sure if ruling else True) == (verdict, sure)


def test_what_a_chain_leaves_for_good_does_not_come_back_to_it_and_what_is_not_bridged_never_goes_there() -> None:
    rules = parse(PACKETS, "filter")
    assert judge(rules, "libvirt-out", COMES._replace(dport=85), TRAFFIC) is None
    routed = judge(rules, "libvirt-out", COMES._replace(dport=85, tap_in=""), TRAFFIC)
    assert routed is not None
    assert (routed.verdict, routed.chain) == ("drop", "libvirt-out")


def test_an_answer_is_what_was_asked_the_other_way_round() -> None:
    back = COMES._replace(dport=80).answer()
    assert (back.source, back.target, back.sport, back.tap_in, back.state) == (
        "10.0.0.1", "10.0.0.2", 80, "vnet0", "ESTABLISHED",
    )  # fmt: skip
    assert COMES._replace(protocol="icmp", message=8).answer().message == 0
