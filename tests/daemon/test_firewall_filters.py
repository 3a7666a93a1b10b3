"""Policies beside libvirt's own filters: the trace walks those too, and says what the wire does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest
from tests.daemon.policed import APP, SIX, WEB, Guests

from kvist.host.run import run
from kvist.resources.firewall.tracing import Hop, trace
from kvist.resources.hosts.host import Host

OTHER, OTHER_MAC = "192.168.122.77", "52:54:00:66:66:66"
CONNECTS = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 1.5)"


class Case(NamedTuple):
    """A packet, what the filter on the card of one end makes of it, and a word of the rule that decides."""

    service: str
    source: str
    to: str
    verdict: str
    rule: str = ""
    claimed: str = ""


FILTERS: dict[tuple[str, ...], tuple[Case, ...]] = {
    ("add drop in tcp --dport 20-30",): (
        Case("tcp/23", APP, WEB, "drop", "rule 1: drop in tcp --dport 20-30"),
        Case("tcp/80", APP, WEB, "accept"),
        # What the host sends to a guest, libvirt does not look at; the answer it does.
        Case("tcp/23", "host", WEB, "drop", "rule 1: drop in tcp --dport 20-30"),
        Case("tcp/23", WEB, APP, "accept"),
    ),
    ("add drop out icmp",): (
        Case("icmp", WEB, APP, "drop", "rule 1: drop out icmp"),
        Case("icmp", WEB, "host", "drop", "rule 1: drop out icmp"),
        Case("icmp", APP, WEB, "drop", "rule 1: drop out icmp"),
        Case("tcp/80", APP, WEB, "accept"),
    ),
    ("add drop inout all-ipv6",): (
        Case("icmp", SIX[APP], SIX[WEB], "drop", "rule 1: drop inout all-ipv6"),
        Case("icmp", APP, WEB, "accept"),
    ),
    ("add drop in ipv6",): (
        Case("tcp/80", SIX[APP], SIX[WEB], "drop", "rule 1: drop in ipv6"),
        Case("tcp/80", APP, WEB, "accept"),
    ),
    ("add reject in tcp --dport 80",): (
        Case("tcp/80", APP, WEB, "reject", "rule 1: reject in tcp --dport 80"),
        Case("tcp/7", APP, WEB, "accept"),
    ),
    ("add accept in tcp --dport 80 --priority 100", "add accept inout icmp --priority 200", "add drop inout all"): (
        Case("tcp/80", APP, WEB, "accept"),
        Case("tcp/7", APP, WEB, "drop", "rule 3: drop inout all"),
        Case("tcp/80", WEB, APP, "drop", "rule 3: drop inout all"),
        Case("icmp", WEB, APP, "accept"),
    ),
    ("add drop in tcp --source-ip {app} --dport 80",): (
        Case("tcp/80", APP, WEB, "drop", "rule 1: drop in tcp --source-ip"),
        Case("tcp/80", "host", WEB, "accept"),
    ),
    ("include clean-traffic IP={web}",): (
        Case("icmp", WEB, APP, "accept"),
        Case("tcp/80", APP, WEB, "accept"),
        Case("icmp", WEB, APP, "drop", '"no-ip-spoofing"', OTHER),
        Case("arp", WEB, APP, "drop", '"no-arp-ip-spoofing"', OTHER),
        Case("icmp", WEB, APP, "drop", '"no-mac-spoofing"', OTHER_MAC),
    ),
}


@contextmanager
def filtered(guests: Guests, lines: tuple[str, ...]) -> Iterator[None]:
    """Let a VM's card have a filter that says this."""
    line = guests.line
    line("filter", "create", "mine", "-q")
    for words in lines:
        act, *rest = words.format(**guests.addresses).split()
        line("filter", act, "mine", *rest, "-q")
    try:
        line("nic", "set", WEB, "default", "--filter", "mine", "-q")
        yield
    finally:
        line("nic", "set", WEB, "default", "--filter", "none", "-q")
        line("filter", "delete", "mine", "-q")


@pytest.mark.parametrize("lines", FILTERS, ids="; ".join)
def test_the_wire_and_the_trace_of_a_card_with_a_filter_agree(free: Guests, host: Host, lines: tuple[str, ...]) -> None:
    with filtered(free, lines):
        for case in FILTERS[lines]:
            last = traced(free, host, case)
            assert (case, last.verdict) == (case, case.verdict)
            assert (case, case.rule in last.rule) == (case, True)
            assert (case, done(free, case)) == (case, case.verdict)


def where(guests: Guests, end: str) -> str:
    return guests.addresses.get(end, end)


def traced(guests: Guests, host: Host, case: Case) -> Hop:
    ends = where(guests, case.source), where(guests, case.to)
    return trace(host.firewall, case.service, from_=ends[0], to=ends[1], as_=case.claimed)[-1]


def done(guests: Guests, case: Case) -> str:
    """Really send it: does the answer come, or for what bears a false address, does it arrive?"""
    if case.claimed:
        return "accept" if arrives(guests, case) else "drop"
    to = "192.168.122.1" if case.to == "host" else where(guests, case.to)
    if case.source == "host":
        said = run(guests.sandbox.enter(["python3", "-c", CONNECTS, to, case.service[4:]]), check=False)
        return "accept" if said.code == 0 else "drop"
    sender = case.source if case.source in guests.addresses else APP
    ping = "ping6" if ":" in to else "ping"
    # libvirt rejects by a message of ICMP's: who asks for a connection asks once more before it believes that.
    wait = 3 if case.verdict == "reject" else 1
    act = f"{ping} -c 1 -W 1 {to}" if case.service == "icmp" else f"nc -w {wait} {to} {case.service[4:]} </dev/null"
    told = guests.inside(sender, f"({act}) 2>&1 && echo ANSWERED; true")
    return "accept" if "ANSWERED" in told else "reject" if "refused" in told else "drop"


def arrives(guests: Guests, case: Case) -> bool:
    """Let a guest bear a false address, and see whether what it sends comes to the other."""
    to, mac = where(guests, case.to), guests.inside(WEB, "cat /sys/class/net/eth0/address").strip()
    act = f"arping -c 1 -w 1 -U -s {OTHER} -I eth0 {to}" if case.service == "arp" else f"ping -c 1 -W 1 -I {OTHER} {to}"
    script = f"ip addr add {OTHER}/32 dev eth0; {act}; ip addr del {OTHER}/32 dev eth0"
    like: dict[str, Any] = {"source": OTHER, "kind": "arp" if case.service == "arp" else "icmp4"}
    if case.claimed == OTHER_MAC:
        turn = "ip link set eth0 down; ip link set eth0 address {}; ip link set eth0 up"
        again = f"ip -6 addr add {SIX[WEB]}/64 dev eth0"
        script = f"{turn.format(OTHER_MAC)}; ping -c 1 -W 1 {to}; {turn.format(mac)}; {again}"
        like = {"source": guests.addresses[WEB], "kind": "icmp4"}
    guests.wire.forget()
    guests.inside(WEB, f"({script}) >/dev/null 2>&1; true")
    if case.claimed == OTHER:
        assert guests.wire.saw(tap=guests.taps[WEB], to=False, **like), "it was really sent"
    return guests.wire.saw(within=0.3, tap=guests.taps[APP], to=True, **like)


def test_a_policy_stands_around_a_filter_until_it_replaces_it(free: Guests, host: Host) -> None:
    case = Case("tcp/80", APP, WEB, "drop")
    with filtered(free, ("add drop in tcp --dport 80",)):
        said = free.line("fw", "allow", WEB, "tcp/80").err.decode()
        assert [word in said for word in ('filter "mine"', "--replace")] == [True, True]
        assert done(free, case) == "drop"
        last = traced(free, host, case)
        told = ('filter "mine" of web', "drop in tcp --dport 80", "kvist fw allow web tcp/80 --replace")
        assert [word in last.rule for word in told] == [True, True, True]
        free.line("fw", "allow", WEB, "tcp/80", "--replace")
        assert (done(free, case), traced(free, host, case).verdict) == ("accept", "accept")
        assert free.line.json("fw", "allow", WEB, "tcp/80", "--replace")["changed"] is False
        assert [one.port for one in host.connection.nwfilters.bindings()] == []
        free.line("undo")
        assert done(free, case) == "drop"
        assert [row["filter"] for row in free.line.json("nic", "ls", WEB)] == ["mine"]


def test_a_filter_that_was_replaced_comes_back_when_nobody_confirms(free: Guests, virsh: Callable[..., str]) -> None:
    with filtered(free, ("include clean-traffic",)):
        free.line("nic", "set", WEB, "default", "--filter-parameters", "IP=192.168.122.9", "-q")

        def said() -> list[list[str]]:
            texts = virsh("dumpxml", WEB), virsh("dumpxml", "--inactive", WEB)
            return [
                [line.strip() for line in text.splitlines() if "filter" in line or "'IP'" in line] for text in texts
            ]

        before = said()
        assert [len(each) for each in before] == [3, 3]
        free.line("fw", "block", WEB, "--replace", "--confirm", "60")
        assert said() == [[], []]
        assert not free.pings(WEB)
        free.line("fw", "revert")
        assert said() == before
        assert free.line.json("fw", "ls") == []


def test_the_filters_of_all_members_of_a_group_are_replaced(free: Guests, virsh: Callable[..., str]) -> None:
    free.line("fw", "group", "create", "tier", WEB)
    with filtered(free, ("add drop in tcp --dport 80",)):
        free.line("fw", "deny", "group:tier", "icmp", "--from", "host", "--replace")
        assert "filterref" not in virsh("dumpxml", "--inactive", WEB)
        assert done(free, Case("tcp/80", APP, WEB, "accept")) == "accept"
        assert not free.pings(WEB)


def test_check_finds_filters_that_nobody_uses_are_not_there_or_are_not_bound(
    free: Guests, virsh: Callable[..., str]
) -> None:
    def found(name: str) -> list[tuple[str, str]]:
        rows = free.line.json("fw", "check")
        return [(row["what"], row["hint"]) for row in rows if f"filter {name}" in row["object"] or name in row["what"]]

    mac = free.line.json("nic", "ls", WEB)[0]["mac"]
    free.line("filter", "create", "mine")
    assert [hint for _, hint in found("mine")] == ["kvist filter delete mine"]
    assert found("clean-traffic") == []
    # Stored alone, for the next boot of a VM that runs: that is a use too.
    stored = virsh("dumpxml", "--inactive", WEB)
    virsh("define", "/dev/stdin", input=stored.replace("</interface>", "<filterref filter='mine'/></interface>"))
    assert found("mine") == []
    virsh("define", "/dev/stdin", input=stored.replace("</interface>", "<filterref filter='ghost'/></interface>"))
    ((what, hint),) = found("ghost")
    assert ("not there" in what, hint) == (True, f"kvist nic set {WEB} {mac} --filter none")
    virsh("define", "/dev/stdin", input=stored)
    free.line("nic", "set", WEB, "default", "--filter", "mine")
    try:
        assert found("mine") == []
        virsh("nwfilter-binding-delete", free.taps[WEB])
        ((what, hint),) = found("mine")
        assert "not bound" in what
        for line in hint.split("; "):
            free.line(*line.split()[1:])
        assert found("mine") == []
    finally:
        free.line("nic", "set", WEB, "default", "--filter", "none")
        free.line("filter", "delete", "mine")
