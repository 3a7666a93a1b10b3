"""What the host says of the rules of cards and of their connections, and what is made of it."""

from __future__ import annotations

from typing import Any

import pytest

from kvist.errors import CommandFailed
from kvist.host.firewall.cardchains import Installed, installed
from kvist.host.firewall.cardrules import Guarded, Judgement, Peer
from kvist.host.firewall.connections import denied, end
from kvist.host.hand import Hand
from kvist.host.run import Result
from kvist.resources.firewall.backends.policyfilter import rows
from kvist.resources.firewall.backends.rulesinforce import missing, rules
from kvist.values import Mac

WEB = Mac.parse("52:54:00:00:00:01")
FRAMES = """Bridge table: nat

Bridge chain: PREROUTING, entries: 1, policy: ACCEPT
-i vnet0 -j libvirt-I-vnet0 , pcnt = 5 -- bcnt = 140

Bridge chain: libvirt-I-vnet0, entries: 1, policy: RETURN
-j DROP , pcnt = 5 -- bcnt = 140

Bridge chain: libvirt-O-vnet0, entries: 1, policy: RETURN
-j DROP , pcnt = 7 -- bcnt = 200
"""
PACKETS = """*filter
:FO-vnet0 - [0:0]
[3:84] -A FORWARD -j libvirt-in
[3:84] -A INPUT -j libvirt-host-in
[1:60] -A FI-vnet0 -p tcp -m tcp --sport 22 -m comment --comment "allow tcp/22" -j RETURN
[2:120] -A FO-vnet0 -p tcp -m tcp --dport 22 -m comment --comment "allow tcp/22" -j ACCEPT
[0:0] -A HI-vnet0 -m comment --comment x -j DROP
COMMIT
"""
CONNECTIONS = """\
tcp      6 99 ESTABLISHED src=10.0.0.2 dst=10.0.0.9 sport=4711 dport=7 src=10.0.0.9 dst=10.0.0.2 sport=7 dport=4711 \
[ASSURED] mark=0 use=1
tcp      6 99 ESTABLISHED src=10.0.0.2 dst=10.0.0.9 sport=4712 dport=80 src=10.0.0.9 dst=10.0.0.2 sport=80 dport=4712
tcp      6 99 ESTABLISHED src=10.0.0.8 dst=10.0.0.2 sport=4713 dport=7 src=10.0.0.2 dst=10.0.0.8 sport=7 dport=4713
icmp     1 19 src=10.0.0.2 dst=10.0.0.1 type=8 code=0 id=213 src=10.0.0.1 dst=10.0.0.2 type=0 code=0 id=213 mark=0
"""


class Told(Hand):
    """A host whose programs print this."""

    def __init__(self, frames: str = FRAMES, packets: str = PACKETS, *, code: int = 0) -> None:
        super().__init__()
        self.frames, self.packets, self.code = frames, packets, code
        self.ran: list[list[str]] = []

    def has(self, program: str) -> bool:
        return True

    def run(self, argv: Any, **rest: Any) -> Result:
        self.ran.append(list(argv))
        if self.code and rest.get("check", True):
            raise CommandFailed(f"{argv[0]} failed")
        text = {"ebtables": self.frames, "conntrack": CONNECTIONS if "ipv4" in argv else ""}
        return Result(tuple(argv), self.code, text.get(argv[0], self.packets).encode(), b"")


def test_rules_are_read_with_their_interface_their_packets_and_their_comment() -> None:
    found = installed(Told())
    assert found[:2] == [
        Installed("vnet0", "I", "", 5, "bridge -j DROP"),
        Installed("vnet0", "O", "", 7, "bridge -j DROP"),
    ]
    said = [(one.tap, one.chain, one.comment, one.packets) for one in found[2:] if one.text.startswith("ip ")]
    assert said == [
        ("", "FORWARD", "", 3),
        ("", "INPUT", "", 3),
        ("vnet0", "FI", "allow tcp/22", 1),
        ("vnet0", "FO", "allow tcp/22", 2),
        ("vnet0", "HI", "x", 0),
    ]


def test_who_may_not_see_rules_is_not_told_that_there_are_none() -> None:
    with pytest.raises(CommandFailed):
        installed(Told(code=4))


def test_an_interface_whose_rules_were_flushed_is_found() -> None:
    blocked, judged = rows(Guarded(WEB, "", blocked=True)), rows(Guarded(WEB, "", incoming=False, outgoing=False))
    assert missing(Told(), {"vnet0": blocked}) == set()
    assert missing(Told(frames=""), {"vnet0": blocked}) == {"vnet0"}
    four = [row for row in judged if not row.on_ethernet]
    assert missing(Told(frames=""), {"vnet0": four}) == set()
    for flushed in ("[0:0] -A HI", "-A FORWARD"):
        assert missing(Told(frames="", packets=PACKETS.replace(flushed, "#")), {"vnet0": four}) == {"vnet0"}


def test_rules_about_frames_are_told_by_their_place() -> None:
    shown = list(rules(Told(packets=""), {"vnet0": (str(WEB), rows(Guarded(WEB, "", blocked=True)))}))
    assert [(rule.chain, rule.line, rule.packets) for rule in shown] == [
        ("I-vnet0", "block", 5),
        ("O-vnet0", "block", 7),
    ]


def test_connections_end_that_their_guest_may_not_have_and_no_others() -> None:
    hand = Told()
    lines = (
        Judgement(True, "allow tcp/80 out", "tcp", (6, 6), ((80, 80),), out=True),
        Judgement(False, "deny tcp out to 10.0.0.9", "tcp", (6, 6), out=True, peer=Peer(network="10.0.0.9")),
        Judgement(False, "deny icmp/echo-request out", "icmp", (1, 58), message=(8, 128), out=True),
    )
    found = denied(hand, Guarded(WEB, "", lines, addresses=("10.0.0.2",)))
    assert [(one.protocol, one.to, one.dport) for one in found] == [("tcp", "10.0.0.9", 7), ("icmp", "10.0.0.1", 0)]
    for one in found:
        end(hand, one)
    ports = ["--sport", "4711", "--dport", "7"]
    assert hand.ran[-2:] == [
        ["conntrack", "-D", "-f", "ipv4", "-p", "tcp", "-s", "10.0.0.2", "-d", "10.0.0.9", *ports],
        ["conntrack", "-D", "-f", "ipv4", "-p", "icmp", "-s", "10.0.0.2", "-d", "10.0.0.1"],
    ]
