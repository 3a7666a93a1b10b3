"""The firewall where policies stand on libvirt's filters: the same promises, on fewer policies.

A filter takes the best part of a second, so that only those policies are here that differ in the kind of rule they
become: nothing, everything, frames, both defaults, ports, ICMP, IPv4 and IPv6, who is at the other end, denials in one
direction and in both, anti-spoofing. Left out are those that differ from these in numbers only.

What the host sends comes to a guest unseen by libvirt's rules; they keep its answers. So of the host's packets, those
that are answered are looked at, and "host udp53" is not.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from tests.daemon.conftest import Kvist, Virsh
from tests.daemon.policed import APP, SIX, WEB, Guests
from tests.daemon.test_firewall import (
    BY_HOST,
    EVERYTHING,
    OUT,
    POLICIES,
    PROBES,
    answer,
    arrived,
)
from tests.daemon.test_firewall_life import connects, restart_libvirt, talking

from kvist.host.run import run
from kvist.resources.hosts.host import Host

OTHER = (
    "<network><name>other</name><forward mode='nat'/><bridge name='virbr9'/>"
    "<ip address='192.168.99.1' netmask='255.255.255.0'/></network>"
)
UNSEEN = frozenset({"host udp53"})
CHOSEN: tuple[tuple[str, ...], ...] = (
    ("off", "block"),
    ("default in=deny out=allow", "allow tcp/22,80-90"),
    ("default in=allow out=deny", "allow icmp out to group:tier"),
    ("deny icmp from host",),
    ("default in=deny out=deny", "allow any from app"),
    ("default in=deny out=deny", "allow udp/53", "allow udp/53 out"),
    ("deny any from fd00::/64", "deny tcp out to app"),
    ("allow tcp/22 from group:tier", "deny tcp from group:tier"),
    ("antispoof {address} {six}", "default in=allow out=allow"),
)
MATRIX: dict[tuple[str, ...], frozenset[str]] = {lines: POLICIES[lines] for lines in CHOSEN}
PINGS_BY_APP = frozenset({"app ping", "app fragments", "app ping6"})
MATRIX["default in=deny out=allow", "allow icmp/echo-request from app"] = OUT | PINGS_BY_APP
MATRIX["deny ipv6", "deny icmp/echo-request out"] = EVERYTHING - {"app ping6", "app tcp80 v6", "web ping"}


@pytest.fixture(scope="module", autouse=True)
def _on_filters(line: Kvist) -> Iterator[None]:
    line("fw", "backend", "nwfilter")
    yield
    line("fw", "backend", "nft")


@pytest.mark.parametrize("lines", MATRIX, ids="; ".join)
def test_the_wire_the_policy_and_the_trace_agree(
    guests: Guests, host: Host, tier: None, lines: tuple[str, ...]
) -> None:
    promised = MATRIX[lines] - UNSEEN
    guests.let(WEB, *(line.format(address=guests.addresses[WEB], six=SIX[WEB]) for line in lines))
    assert {name for name, probe in PROBES.items() if answer(guests, host, probe) == "accept"} - UNSEEN == promised
    assert (arrived(guests, promised - BY_HOST) - BY_HOST) | answered(guests) == promised


def answered(guests: Guests) -> set[str]:
    """Let the host send what is answered, and give what was."""
    found = {"host ping"} if guests.pings(WEB) else set()
    return found | ({"host tcp80"} if connects(guests, guests.addresses[WEB], 80) else set())


def filters(virsh: Virsh) -> list[str]:
    return [line.split()[-1] for line in virsh("nwfilter-list").splitlines() if "kvist-fw-" in line]


def nft_tables(guests: Guests) -> int:
    return run(guests.sandbox.enter(["nft", "list", "tables"])).text.count("kvist-fw")


def test_block_stops_everything_at_once_and_undo_leaves_no_trace(free: Guests, virsh: Virsh) -> None:
    before = virsh("dumpxml", "--inactive", WEB)
    assert free.pings(WEB)
    free.line("fw", "block", WEB)
    assert (free.pings(WEB), free.pings(APP)) == (False, True)
    (row,) = free.line.json("fw", "ls")
    assert (row["vm"], row["incoming"], row["state"]) == (WEB, "block", "in force")
    (name,) = filters(virsh)
    assert name in virsh("nwfilter-binding-list")
    for document in (virsh("dumpxml", WEB), virsh("dumpxml", "--inactive", WEB)):
        assert f"<filterref filter='{name}'/>" in document
    assert {rule["line"] for rule in free.line.json("fw", "show", WEB, "--kernel")} == {"block"}
    assert free.line.json("fw", "block", WEB)["changed"] is False
    assert free.line.json("pending", WEB) == []
    free.line("undo")
    assert free.pings(WEB)
    assert (filters(virsh), virsh("nwfilter-binding-list"), nft_tables(free)) == ([], "", 0)
    assert virsh("dumpxml", "--inactive", WEB) == before
    assert free.line.json("fw", "ls") == []
    assert not {"restore", "firewall.filters"} & set(run(free.sandbox.enter(["ls", "/etc/kvist"])).text.split())


def test_taking_a_permission_away_ends_the_connections_that_it_let_in(free: Guests) -> None:
    for before, after in (
        (("default in=deny out=allow", "allow tcp/7 from host"), ("default in=deny out=allow",)),
        (("allow tcp/80",), ("deny tcp/7",)),
        (("deny tcp/25 out",), ("deny tcp/25 out", "deny tcp/7 from host")),
    ):
        free.let(WEB, *before)
        with talking(free, free.addresses[WEB], 7) as alive:
            assert alive() == "alive"
            free.let(WEB, *after)
            assert alive() != "alive", after


def test_a_connection_that_the_guest_has_begun_ends_too(free: Guests) -> None:
    """Both directions deny: libvirt's rules alone would let it go on."""
    app = free.addresses[APP]
    talks = f"(while sleep 0.2; do echo x; done | nc -w 20 {app} 7 >/tmp/talk 2>&1 &) ; sleep 1; wc -c </tmp/talk"
    free.let(WEB, "deny tcp/25")
    assert int(free.inside(WEB, talks)) > 0
    free.let(WEB, "deny tcp/25", "deny tcp/7 out")
    size = int(free.inside(WEB, "sleep 0.5; wc -c </tmp/talk"))
    assert int(free.inside(WEB, "sleep 1; wc -c </tmp/talk")) == size


def test_a_connection_that_stays_allowed_goes_on_over_changes(free: Guests) -> None:
    free.let(WEB, "default in=deny out=allow", "allow tcp/7 from host")
    with talking(free, free.addresses[WEB], 7) as alive:
        free.line("fw", "deny", WEB, "icmp")
        free.line("fw", "deny", WEB, "tcp/25", "--out")
        assert alive() == "alive"


def test_more_connections_than_allowed_are_denied(free: Guests) -> None:
    free.line("fw", "allow", WEB, "tcp/7", "--max-connections", "2")
    with talking(free, free.addresses[WEB], 7, count=2) as alive:
        assert not connects(free, free.addresses[WEB], 7)
        assert connects(free, free.addresses[WEB], 80)
        assert alive() == "alive"
    end = time.monotonic() + 5
    while not connects(free, free.addresses[WEB], 7):
        assert time.monotonic() < end, "the connections have ended"


def test_who_is_rejected_is_told_so(free: Guests) -> None:
    free.let(WEB, "reject tcp/80", "reject tcp/81 out")
    for name, other, port in ((APP, WEB, 80), (WEB, APP, 81)):
        asks = f"nc -w 3 {free.addresses[other]} {port} </dev/null 2>&1; true"
        assert "refused" in free.inside(name, asks) or "unreachable" in free.inside(name, asks)
    free.let(WEB, "default in=reject out=allow")
    asks = f"nc -w 3 {free.addresses[WEB]} 80 </dev/null 2>&1; true"
    assert "refused" in free.inside(APP, asks)


def test_a_guest_can_only_be_itself(free: Guests) -> None:
    free.line("fw", "antispoof", APP)
    web, app = free.addresses[WEB], free.addresses[APP]
    assert free.sends(f"ping -c 1 -W 1 {web}", kind="icmp4", source=app, number=8) == (True, True)
    other = "192.168.122.77"
    as_other = f"ip addr add {other}/32 dev eth0; ping -c 1 -W 1 -I {other} {web}; ip addr del {other}/32 dev eth0"
    assert free.sends(as_other, kind="icmp4", source=other) == (True, False)
    asks = f"arping -c 1 -w 1 -U -s {other} -I eth0 {web}"
    told = f"ip addr add {other}/32 dev eth0; {asks}; ip addr del {other}/32 dev eth0"
    assert free.sends(told, kind="arp", source=other) == (True, False)
    serves = f"echo x | nc.traditional -n -u -q 0 -w 1 -p 67 {web} 68"
    assert free.sends(serves, kind="udp4", source=app, number=68) == (True, False)


def test_a_guest_that_has_never_run_is_known_by_what_is_reserved_for_it(free: Guests, virsh: Virsh) -> None:
    address = "192.168.122.88"
    free.line(
        "create", "silent", "--image", "micro", "--no-start", "--memory", "128M", "--nic", f"default,ip={address}"
    )
    try:
        free.line("fw", "antispoof", "silent")
        (name,) = filters(virsh)
        assert f"arpsrcipaddr='{address}'" in virsh("nwfilter-dumpxml", name)
    finally:
        free.line("delete", "silent", "--purge", "--yes")
    assert filters(virsh) == []


def test_rules_about_groups_follow_their_members(free: Guests) -> None:
    free.line("fw", "group", "create", "tier")
    free.let(WEB, "default in=deny out=allow", "allow icmp from group:tier")
    ping = f"ping -c 1 -W 1 {free.addresses[WEB]} >/dev/null && echo yes || echo no"
    assert "no" in free.inside(APP, ping)
    free.line("fw", "group", "add", "tier", APP)
    assert "yes" in free.inside(APP, ping)
    new = "192.168.122.77"
    there = f"ping -c 1 -W 1 -I {new} {free.addresses[WEB]} >/dev/null && echo yes || echo no"
    assert "no" in free.inside(APP, f"ip addr add {new}/24 dev eth0; {there}")
    assert "addresses" in free.line.json("fw", "ls")[0]["state"]
    free.line("fw", "restore")
    assert "yes" in free.inside(APP, there)
    free.inside(APP, f"ip addr del {new}/24 dev eth0")
    free.line("fw", "group", "remove", "tier", APP)
    assert "no" in free.inside(APP, ping)


def test_a_filter_opens_no_network_that_libvirt_shuts_to_others(free: Guests, virsh: Virsh) -> None:
    virsh("net-define", "/dev/stdin", input=OTHER)
    virsh("net-start", "other")
    try:
        free.line("fw", "default", WEB, "in=deny")
        free.inside(WEB, "ping -c 1 -W 1 192.168.99.50; ping -c 1 -W 1 192.168.99.1")
        # Whom nobody lets through nobody asks for.
        assert "192.168.99.50" not in run(free.sandbox.enter(["ip", "neigh"])).text
    finally:
        virsh("net-destroy", "other")
        virsh("net-undefine", "other")


def test_a_flush_of_all_rules_is_seen_and_mended(free: Guests) -> None:
    free.line("fw", "default", WEB, "in=deny")
    run(free.sandbox.enter(["iptables", "-F"]))
    run(free.sandbox.enter(["iptables", "-X"]), check=False)
    assert "flushed" in free.line.json("fw", "ls")[0]["state"]
    assert any("not in force" in row["what"] for row in free.line.json("fw", "check"))
    free.line("fw", "restore")
    assert not free.pings(WEB)
    assert free.line.json("fw", "restore")["changed"] is False
    restart_libvirt(free)
    assert not free.pings(WEB)
    assert free.line.json("fw", "ls")[0]["state"] == "in force"


def test_what_libvirts_filters_cannot_say_is_refused_as_a_whole(free: Guests, virsh: Virsh) -> None:
    said = free.line.refused("fw", "deny", WEB, "gre", "--log", code=2)
    assert [word in said for word in ("no log", "kvist fw backend nft")] == [True, True]
    assert free.line.json("fw", "ls") == []


def test_a_policy_replaces_the_filter_of_a_card_and_undo_brings_it_back(free: Guests, virsh: Virsh) -> None:
    mac = virsh("domiflist", WEB).split()[-1]
    free.line("nic", "set", WEB, mac, "--filter", "clean-traffic")
    before = virsh("dumpxml", "--inactive", WEB)
    try:
        said = free.line.refused("fw", "block", WEB, code=1)
        assert [word in said for word in ('"clean-traffic"', "--replace", "kvist fw backend nft")] == [True, True, True]
        assert (free.line.json("fw", "ls"), filters(virsh)) == ([], [])
        free.line("fw", "block", WEB, "--replace")
        assert (free.pings(WEB), free.line.json("fw", "ls")[0]["state"]) == (False, "in force")
        assert "clean-traffic" not in virsh("dumpxml", WEB) + virsh("dumpxml", "--inactive", WEB)
        assert free.line.json("fw", "block", WEB, "--replace")["changed"] is False
        free.line("undo")
        assert (free.pings(WEB), filters(virsh)) == (True, [])
        assert "clean-traffic" in virsh("dumpxml", WEB)
        assert virsh("dumpxml", "--inactive", WEB) == before
    finally:
        free.line("nic", "set", WEB, mac, "--filter", "none")


def test_policies_move_from_one_to_the_other_and_leave_no_trace(free: Guests, virsh: Virsh) -> None:
    free.line("fw", "block", WEB)
    free.line("fw", "default", APP, "in=deny")
    assert (len(filters(virsh)), nft_tables(free)) == (2, 0)
    free.line("fw", "backend", "nft")
    assert (filters(virsh), virsh("nwfilter-binding-list"), nft_tables(free)) == ([], "", 2)
    assert "filterref" not in virsh("dumpxml", "--inactive", WEB) + virsh("dumpxml", WEB)
    assert (free.pings(WEB), free.pings(APP)) == (False, False)
    assert free.line.json("fw", "backend", "nft")["changed"] is False
    free.line("fw", "deny", WEB, "icmp", "--log")
    assert "no log" in free.line.refused("fw", "backend", "nwfilter", code=2)
    free.line("fw", "remove", WEB, "1")
    free.line("fw", "backend", "nwfilter")
    assert (len(filters(virsh)), nft_tables(free)) == (2, 0)
    assert "kv52" not in virsh("dumpxml", "--inactive", WEB)
    assert (free.pings(WEB), free.pings(APP)) == (False, False)
    free.line("undo")
    assert (filters(virsh), nft_tables(free)) == ([], 2)
    free.line("fw", "backend", "nwfilter")
    states = {row["backend"]: row["chosen"] for row in free.line.json("fw", "backends")}
    assert states["nwfilter"] == "by you"


def test_they_are_the_usual_where_nft_is_not_installed(free: Guests, virsh: Virsh) -> None:
    enter = free.sandbox.enter
    free.line("fw", "backend", "nft")
    run(enter(["mv", "/usr/sbin/nft", "/usr/sbin/nft.away"]))
    try:
        free.line("fw", "block", WEB)
        assert not free.pings(WEB)
        assert len(filters(virsh)) == 1
        nft, own = free.line.json("fw", "backends")
        assert (own["chosen"], "not installed" in nft["state"]) == ("as usual", True)
        free.line("fw", "unblock", WEB)
        assert run(enter(["ls", "/etc/kvist"]), check=False).text.split() == []
    finally:
        run(enter(["mv", "/usr/sbin/nft.away", "/usr/sbin/nft"]))
        free.line("fw", "backend", "nwfilter")


def test_a_card_that_is_plugged_in_is_judged_also_when_undo_does_it(free: Guests, virsh: Virsh) -> None:
    mac, name = "52:54:00:ab:cd:ef", "kvist-fw-525400abcdef"
    free.line("fw", "block", APP)
    free.line("nic", "add", APP, "default", "--mac", mac)
    assert name in virsh("nwfilter-binding-list")
    free.line("nic", "remove", APP, mac)
    assert name not in virsh("nwfilter-list")
    free.line("undo")
    try:
        assert name in virsh("nwfilter-binding-list")
        assert free.line.json("fw", "ls")[0]["state"] == "in force"
    finally:
        free.line("nic", "remove", APP, mac)


def test_it_is_in_force_from_the_first_packet(free: Guests, virsh: Virsh) -> None:
    """The last of all: it restarts a guest."""
    free.line("fw", "block", WEB)
    virsh("destroy", WEB)
    virsh("nwfilter-undefine", filters(virsh)[0])
    assert "kvist fw restore" in free.line.refused("start", WEB, code=1)
    free.line("fw", "restore")
    free.wire.forget()
    virsh("start", WEB)
    tap = virsh("domiflist", WEB).split()[0]
    assert free.wire.saw(within=30, tap=tap, to=False), "it boots, and asks for an address"
    time.sleep(1)
    seen = free.wire.seen()
    # The tap itself, an interface of the host, looks for IPv6 on the wire; no bridge is on its way.
    assert [one for one in seen if one.to and one.tap == tap and one.kind != "icmp6"] == []
    assert [one for one in seen if one.kind == "udp4" and one.number == 67 and one.tap != tap] == []
    free.taps[WEB] = tap
    assert free.line.json("fw", "ls")[0]["state"] == "in force"
    free.line("fw", "unblock", WEB)
