"""The firewall of VMs: what really reaches guests is what the policy promises and what `fw trace` says."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import pytest
from tests.daemon.outside import outside
from tests.daemon.policed import APP, SIX, WEB, Guests

from kvist.host.run import run
from kvist.resources.firewall.tracing import trace
from kvist.resources.hosts.host import Host

PATIENCE = 10.0
"""Seconds after which what has not arrived does not arrive."""
SETTLED = 1.1
"""Seconds after which nothing is sent any more of what was begun: all of it gives up within one."""


class Probe(NamedTuple):
    """One packet, and how it is seen when it arrives."""

    service: str
    sender: str
    receiver: str
    kind: str
    number: int
    six: bool = False


PROBES = {
    "app ping": Probe("icmp", APP, WEB, "icmp4", 8),
    "app fragments": Probe("icmp", APP, WEB, "frag4", 1),
    "app ping6": Probe("icmp", APP, WEB, "icmp6", 128, six=True),
    "app tcp22": Probe("tcp/22", APP, WEB, "tcp4", 22),
    "app tcp85": Probe("tcp/85", APP, WEB, "tcp4", 85),
    "app tcp80 v6": Probe("tcp/80", APP, WEB, "tcp6", 80, six=True),
    "app udp53": Probe("udp/53", APP, WEB, "udp4", 53),
    "host ping": Probe("icmp", "host", WEB, "icmp4", 8),
    "host tcp80": Probe("tcp/80", "host", WEB, "tcp4", 80),
    "host udp53": Probe("udp/53", "host", WEB, "udp4", 53),
    "web ping": Probe("icmp", WEB, APP, "icmp4", 8),
    "web tcp22": Probe("tcp/22", WEB, APP, "tcp4", 22),
    "web udp53": Probe("udp/53", WEB, APP, "udp4", 53),
}
EVERYTHING = frozenset(PROBES)
IN = frozenset(name for name in PROBES if not name.startswith("web "))
OUT = EVERYTHING - IN
BY_APP = frozenset(name for name in PROBES if name.startswith("app "))
BY_HOST = frozenset(name for name in PROBES if name.startswith("host "))
PINGS = frozenset({"app ping", "app fragments", "app ping6", "host ping"})

POLICIES: dict[tuple[str, ...], frozenset[str]] = {
    ("default in=allow out=allow",): EVERYTHING,
    ("block",): frozenset(),
    ("off", "block"): EVERYTHING,
    ("default in=deny out=allow",): OUT,
    ("default in=allow out=deny",): IN,
    ("default in=deny out=allow", "allow tcp/22,80-90"): OUT | {"app tcp22", "app tcp85", "app tcp80 v6", "host tcp80"},
    ("default in=deny out=allow", "allow icmp from host"): OUT | {"host ping"},
    ("deny icmp from host",): EVERYTHING - {"host ping"},
    ("deny icmp/echo-reply",): EVERYTHING,
    ("default in=deny out=deny", "allow any from app"): BY_APP,
    ("default in=deny out=deny", "allow udp/53", "allow udp/53 out"): frozenset(
        {"app udp53", "host udp53", "web udp53"}
    ),
    ("default in=deny out=allow", "allow any from 192.168.122.0/24"): EVERYTHING - {"app ping6", "app tcp80 v6"},
    ("deny ipv6",): EVERYTHING - {"app ping6", "app tcp80 v6"},
    ("deny any from fd00::/64", "deny tcp out to app"): EVERYTHING - {"app ping6", "app tcp80 v6", "web tcp22"},
    ("allow tcp/22 from group:tier", "deny tcp from group:tier"): EVERYTHING - {"app tcp85", "app tcp80 v6"},
    ("default in=allow out=deny", "allow icmp out to group:tier"): IN | {"web ping"},
    ("antispoof {address} {six}", "default in=allow out=allow"): EVERYTHING,
    ("deny any from 10.0.0.0/8", "allow icmp", "deny icmp"): EVERYTHING,
    ("default in=reject out=allow", "allow tcp/22"): OUT | {"app tcp22"},
    ("reject tcp/80-90", "reject udp from host", "reject icmp out to app"): EVERYTHING
    - {"app tcp85", "app tcp80 v6", "host tcp80", "host udp53", "web ping"},
    ("default in=allow out=reject", "allow icmp out to group:tier"): IN | {"web ping"},
}


@pytest.mark.parametrize("lines", POLICIES, ids="; ".join)
def test_the_wire_the_policy_and_the_trace_agree(
    guests: Guests, host: Host, tier: None, lines: tuple[str, ...]
) -> None:
    lines = tuple(line.format(address=guests.addresses[WEB], six=SIX[WEB]) for line in lines)
    promised = POLICIES[next(key for key in POLICIES if key == lines or key[0].startswith(lines[0][:9] + " {"))]
    guests.let(WEB, *lines)
    traced = {name for name, probe in PROBES.items() if answer(guests, host, probe) == "accept"}
    assert traced == promised
    assert arrived(guests, promised) == promised


def answer(guests: Guests, host: Host, probe: Probe) -> str:
    where = SIX if probe.six else guests.addresses
    ends = [end if end == "host" else where[end] for end in (probe.sender, probe.receiver)]
    return trace(host.firewall, probe.service, from_=ends[0], to=ends[1])[-1].verdict


def arrived(guests: Guests, awaited: frozenset[str]) -> set[str]:
    """Send everything at once, and give what got to its receiver; what is awaited may take its time."""
    guests.wire.forget()
    web, app = guests.addresses[WEB], guests.addresses[APP]
    for kind, number in (("icmp", 7), ("tcp", 80), ("udp", 53)):
        guests.wire.send(kind, web, number)
    guests.inside(APP, sending(web, SIX[WEB], (22, 85), fragments=True))
    begun = time.monotonic()
    guests.inside(WEB, sending(app, "", (22,), fragments=False))
    while True:
        found, passed = seen(guests), time.monotonic() - begun
        if passed > PATIENCE or (passed > SETTLED and found >= awaited):
            return found
        time.sleep(0.1)


def seen(guests: Guests) -> set[str]:
    """Give the probes that got to their receivers."""
    web, app = guests.addresses[WEB], guests.addresses[APP]
    came = [one for one in guests.wire.seen() if one.to]
    host = {one.source for one in came} - {web, app, *SIX.values()}
    found = set()
    for name, probe in PROBES.items():
        where = SIX if probe.six else guests.addresses
        senders = host if probe.sender == "host" else {where[probe.sender]}
        for one in came:
            alike = (one.tap, one.kind, one.number) == (guests.taps[probe.receiver], probe.kind, probe.number)
            if alike and one.source in senders and (one.syn or probe.service[:3] != "tcp"):
                found.add(name)
    return found


def sending(four: str, six: str, ports: tuple[int, ...], *, fragments: bool) -> str:
    acts = [f"ping -c 1 -W 1 {four}", f"echo x | nc.traditional -n -u -q 0 -w 1 {four} 53"]
    acts += [f"nc -w 1 {four} {port} </dev/null" for port in ports]
    acts += [f"ping -c 1 -W 1 -s 3000 {four}"] if fragments else []
    acts += [f"ping6 -c 1 -W 1 {six}", f"nc -w 1 {six} 80 </dev/null"] if six else []
    return "".join(f"({act}) >/dev/null 2>&1 & " for act in acts) + "true"


def test_block_stops_everything_at_once_and_the_other_vm_still_answers(free: Guests, virsh: Callable[..., str]) -> None:
    assert free.pings(WEB)
    free.line("fw", "block", WEB)
    assert not free.pings(WEB)
    assert free.pings(APP)
    (row,) = free.line.json("fw", "ls")
    assert (row["vm"], row["incoming"], row["state"]) == (WEB, "block", "in force")
    assert "block" in virsh("dumpxml", WEB)
    assert "block" in virsh("dumpxml", "--inactive", WEB)
    assert free.line.json("fw", "block", WEB)["changed"] is False
    assert free.line.json("pending", WEB) == []
    free.line("undo")
    assert free.pings(WEB)
    assert free.line.json("fw", "ls") == []
    free.line("fw", "block", WEB)
    assert not free.pings(WEB)
    free.line("fw", "unblock", WEB)
    assert free.pings(WEB)


def test_a_packet_that_is_really_sent_proves_the_verdict(free: Guests) -> None:
    free.let(WEB, "default in=deny out=allow", "allow tcp/22 from app", "allow tcp/81")
    for service, sender, sent in (
        ("tcp/22", APP, "answered"),
        ("tcp/80", APP, "no answer"),
        ("tcp/81", "host", "answered"),
        ("icmp", "host", "no answer"),
    ):
        hops = free.line.json("fw", "trace", service, "--from", sender, "--to", WEB, "--send")
        assert (hops[-2]["where"], hops[-2]["verdict"]) == ("sent", sent)
        assert hops[-1]["verdict"] == ("accept" if sent == "answered" else "drop")
    free.line("fw", "reject", WEB, "tcp/80", "--at", "1")
    hops = free.line.json("fw", "trace", "tcp/80", "--from", "host", "--to", WEB, "--send")
    assert [hop["verdict"] for hop in hops[-2:]] == ["refused", "reject"]
    said = free.line.refused("fw", "trace", "udp/53", "--from", "1.2.3.4", "--to", WEB, "--send", code=2)
    assert [word in said for word in ("no answer to wait for", "another machine")] == [True, True]


CONNECTS = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 20)"
REFUSED = "Connection refused"


def test_who_is_rejected_is_told_at_once(free: Guests) -> None:
    web, app, wire = free.addresses[WEB], free.addresses[APP], free.wire
    free.line("fw", "default", APP, "in=deny", "-q")
    free.line("fw", "default", WEB, "in=reject")
    free.line("fw", "allow", WEB, "tcp/80")
    free.line("fw", "reject", APP, "tcp/25", "--out")
    free.line("fw", "reject", APP, "udp/25", "--out")

    def asks(address: str, port: int) -> str:
        """Connect from a guest that would wait for a long time."""
        return free.inside(APP, f"nc -w 20 {address} {port} </dev/null 2>&1; true")

    def tells(act: str) -> bool:
        """Tell whether the guest is told that what it sends cannot be reached."""
        wire.forget()
        free.inside(APP, f"({act}) >/dev/null 2>&1; true")
        return wire.saw(tap=free.taps[APP], to=True, kind="icmp4", number=3, target=app)

    assert [REFUSED in asks(web, port) for port in (22, 80)] == [True, False]
    assert REFUSED in asks(web, 25)
    assert REFUSED in asks(
        free.line("exec", APP, "--", "sh", "-c", "ip route | sed -n 's/default via //p'").text.split()[0], 25
    )
    assert tells(f"echo x | nc.traditional -n -u -q 0 -w 1 {web} 53")
    assert tells(f"echo x | nc.traditional -n -u -q 0 -w 1 {web} 25")
    assert tells(f"ping -c 1 -W 1 {web}")
    assert REFUSED in by_host(free, web, 22)
    assert REFUSED not in by_host(free, web, 80)
    with outside(free.sandbox, "far", "10.98.0") as far:
        free.line("forward", "add", "8088", f"{WEB}:22")
        assert REFUSED in far("python3", "-c", CONNECTS, far.here, "8088", check=False).complaint
        free.line("forward", "remove", "8088")


def by_host(guests: Guests, address: str, port: int) -> str:
    """Connect from the host, and give what goes wrong."""
    return run(guests.sandbox.enter(["python3", "-c", CONNECTS, address, str(port)]), check=False).complaint


def test_a_connection_of_ipv6_is_refused_too_where_the_host_has_a_way_to_who_asks(free: Guests) -> None:
    enter = free.sandbox.enter
    free.line("fw", "reject", WEB, "tcp/22")
    run(enter(["sysctl", "-qw", "net.ipv6.conf.virbr0.disable_ipv6=0"]))
    run(enter(["ip", "-6", "address", "add", "fd00::ff/64", "dev", "virbr0", "nodad"]))
    try:
        assert REFUSED in free.inside(APP, f"nc -w 20 {SIX[WEB]} 22 </dev/null 2>&1; true")
        free.inside(WEB, "ping6 -c 1 -W 2 fd00::ff")
        assert REFUSED in by_host(free, SIX[WEB], 22)
    finally:
        run(enter(["ip", "-6", "address", "del", "fd00::ff/64", "dev", "virbr0"]))
        run(enter(["sysctl", "-qw", "net.ipv6.conf.virbr0.disable_ipv6=1"]))
