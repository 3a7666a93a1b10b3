"""Policies over time: open connections, restarts of everything, members that come and go, second thoughts."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import IO

import pytest
from tests.daemon.outside import outside
from tests.daemon.policed import APP, SIX, WEB, Guests

from kvist.host.run import run, spawn

TALK = """
import socket, sys
peers = [socket.create_connection((sys.argv[1], int(sys.argv[2])), 3) for _ in range(int(sys.argv[3]))]
print(len(peers), flush=True)
for line in sys.stdin:
    try:
        peers[0].settimeout(1.5)
        peers[0].send(b"x\\n")
        print("alive" if peers[0].recv(10) else "closed", flush=True)
    except OSError as wrong:
        print(type(wrong).__name__, flush=True)
"""
CHATTER = """
import socket, sys, threading, time
peer = socket.create_connection((sys.argv[1], int(sys.argv[2])), 3)
def chat():
    while True:
        peer.send(b"x")
        time.sleep(0.05)
def listen():
    while peer.recv(10):
        print(time.monotonic(), flush=True)
for each in (chat, listen):
    threading.Thread(target=each, daemon=True).start()
sys.stdin.read()
"""
REVOKED, FOLLOWED = 2.0, 5.0
"""Seconds within which a connection has ended whose permission was taken away, and rules have followed a group."""
CONNECTS = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 1.5)"


@contextmanager
def talking(guests: Guests, address: str, port: int, count: int = 1) -> Iterator[Callable[[], str]]:
    """Keep connections of the host open; gives what asks whether the first is alive."""
    argv = ["python3", "-c", TALK, address, str(port), str(count)]
    process = spawn(guests.sandbox.enter(argv), stdin=PIPE, stdout=PIPE, stderr=DEVNULL)
    stdin, stdout = process.stdin, process.stdout
    assert stdin is not None
    assert stdout is not None

    def ask(write: IO[bytes] = stdin, read: IO[bytes] = stdout) -> str:
        write.write(b"\n")
        write.flush()
        return read.readline().decode().strip()

    try:
        assert stdout.readline().decode().strip() == str(count), "it did not connect at all"
        yield ask
    finally:
        # What was started in there goes on when nsenter is killed, and ends when nobody tells it anything any more.
        stdin.close()
        process.wait(5)


def restart_libvirt(guests: Guests) -> None:
    """Kill libvirtd, and wait until the sandbox has started it again."""

    def pid() -> str:
        return run(guests.sandbox.enter(["cat", "/run/libvirtd.pid"]), check=False).text.strip()

    old, end = pid(), time.monotonic() + 20
    run(guests.sandbox.enter(["kill", "-9", old]))
    while pid() in ("", old) or run(guests.sandbox.enter(["virsh", "-q", "net-list"]), check=False).code:
        assert time.monotonic() < end, "the sandbox starts it again"
        time.sleep(0.1)


def connects(guests: Guests, address: str, port: int) -> bool:
    done = run(guests.sandbox.enter(["python3", "-c", CONNECTS, address, str(port)]), check=False)
    return done.code == 0


@contextmanager
def chattering(guests: Guests, address: str, port: int) -> Iterator[list[float]]:
    """Keep a connection of the host busy; gives the times at which an answer came, as they come."""
    process = spawn(guests.sandbox.enter(["python3", "-c", CHATTER, address, str(port)]), stdin=PIPE, stdout=PIPE)
    stdin, stdout = process.stdin, process.stdout
    assert stdin is not None
    assert stdout is not None
    times: list[float] = []
    threading.Thread(target=lambda: times.extend(map(float, stdout)), daemon=True).start()
    try:
        yield times
    finally:
        stdin.close()
        process.wait(5)


@pytest.mark.parametrize("verdict", ["deny", "reject"])
def test_taking_a_permission_away_ends_the_connections_that_it_let_in(free: Guests, verdict: str) -> None:
    free.let(WEB, f"default in={verdict} out=allow", "allow tcp/7 from host")
    with chattering(free, free.addresses[WEB], 7) as answers:
        end = time.monotonic() + 10
        while len(answers) < 5:
            assert time.monotonic() < end, "it talks"
            time.sleep(0.05)
        free.line("fw", "remove", WEB, "1")
        time.sleep(REVOKED)
        over = time.monotonic()
        # Had it only stumbled, it would go on by now: TCP sends again after much less than this.
        time.sleep(REVOKED)
        assert [one for one in answers if one > over] == []
    free.line("undo")
    assert connects(free, free.addresses[WEB], 7)


def test_a_connection_that_stays_allowed_goes_on_over_changes(free: Guests) -> None:
    free.let(WEB, "default in=deny out=allow", "allow tcp/7 from host")
    with talking(free, free.addresses[WEB], 7) as alive:
        free.line("fw", "deny", WEB, "icmp")
        free.line("fw", "block", APP)
        assert alive() == "alive"
        free.line("fw", "block", WEB)
        assert alive() != "alive"


def test_more_connections_than_allowed_are_denied_and_room_is_made_by_those_that_end(free: Guests) -> None:
    free.line("fw", "allow", WEB, "tcp/7", "--max-connections", "2")
    with talking(free, free.addresses[WEB], 7, count=2) as alive:
        assert not connects(free, free.addresses[WEB], 7)
        assert connects(free, free.addresses[WEB], 80)
        # Another VM's policy, and a restore by a hook, do not make the kernel forget what it has counted.
        free.line("fw", "block", APP)
        run(free.sandbox.enter(["/etc/kvist/restore"]))
        assert not connects(free, free.addresses[WEB], 7)
        assert alive() == "alive"
    end = time.monotonic() + 5
    while not connects(free, free.addresses[WEB], 7):
        assert time.monotonic() < end, "the connections have ended"


def test_a_guest_can_only_be_itself(free: Guests) -> None:
    free.line("fw", "antispoof", APP)
    web, app, wire = free.addresses[WEB], free.addresses[APP], free.wire
    mac = free.inside(APP, "cat /sys/class/net/eth0/address").strip()

    assert free.sends(f"ping -c 1 -W 1 {web}", kind="icmp4", source=app, number=8) == (True, True)
    other = "192.168.122.77"
    as_other = f"ip addr add {other}/32 dev eth0; ping -c 1 -W 1 -I {other} {web}; ip addr del {other}/32 dev eth0"
    assert free.sends(as_other, kind="icmp4", source=other) == (True, False)
    asks = f"arping -c 1 -w 1 -U -s {other} -I eth0 {web}"
    told = f"ip addr add {other}/32 dev eth0; {asks}; ip addr del {other}/32 dev eth0"
    assert free.sends(told, kind="arp", source=other) == (True, False)
    rogue = f"echo x | nc.traditional -n -u -q 0 -w 1 -p 67 {web} 68"
    assert free.sends(rogue, kind="udp4", number=68) == (True, False)
    other6 = f"ip -6 addr add fd00::77 dev eth0; sleep 2; ping6 -c 1 -W 1 -I fd00::77 {SIX[WEB]}"
    assert (
        free.sends(f"{other6}; ip -6 addr del fd00::77 dev eth0", kind="icmp6", source="fd00::77", number=128)[1]
        is False
    )
    assert free.sends(f"ping6 -c 1 -W 1 {SIX[WEB]}", kind="icmp6", source=SIX[APP], number=128) == (True, True)
    turned = (
        f"ip link set eth0 down; ip link set eth0 address 52:54:00:66:66:66; ip link set eth0 up; ping -c 1 -W 1 {web}"
    )
    back = f"ip link set eth0 down; ip link set eth0 address {mac}; ip link set eth0 up"
    wire.forget()
    free.inside(APP, f"({turned}; {back}; ip -6 addr add {SIX[APP]}/64 dev eth0) >/dev/null 2>&1; true")
    assert not wire.saw(within=0.3, tap=free.taps[WEB], to=True, source=app, kind="icmp4")
    last = free.line.json("fw", "trace", "icmp", "--from", APP, "--to", WEB, "--as", other)[-1]
    assert (last["verdict"], "antispoof" in last["rule"]) == ("drop", True)


def test_a_guest_gets_its_address_though_everything_is_denied(free: Guests) -> None:
    free.let(APP, "default in=deny out=deny")
    renew = "udhcpc -i eth0 -n -q -t 3 -T 1 -f -s /bin/true"
    free.inside(APP, renew)
    free.line("fw", "deny", APP, "dhcp", "--out")
    assert free.inside(APP, f"{renew} >/dev/null 2>&1 && echo got || echo none").strip() == "none"


def test_rules_follow_members_that_come_and_go_and_change_their_address(free: Guests) -> None:
    web, app, new = free.addresses[WEB], free.addresses[APP], "192.168.122.88"
    free.line("fw", "group", "create", "tier")
    free.let(WEB, "default in=deny out=allow", "allow icmp from group:tier")

    def comes_to_be(reached: bool, sender: str, words: str) -> bool:
        """Ask again until it is so, for as long as rules may take to follow."""
        end = time.monotonic() + FOLLOWED
        while True:
            said = free.inside(sender, f"ping -c 1 -W 1 {words} >/dev/null && echo yes || echo no")
            if ("yes" in said) == reached:
                return True
            if time.monotonic() > end:
                return False

    assert comes_to_be(False, APP, web)
    free.line("fw", "group", "add", "tier", APP)
    assert comes_to_be(True, APP, web)
    free.inside(APP, f"ip addr add {new}/24 dev eth0")
    assert comes_to_be(True, APP, f"-I {new} {web}")
    # Whom the rule is about is known by where it is, in the other direction too, and by its new address.
    free.let(WEB, "default in=deny out=deny", "allow icmp out to group:tier")
    assert comes_to_be(True, WEB, app)
    assert comes_to_be(True, WEB, new)
    free.inside(APP, f"ip addr del {new}/24 dev eth0")
    free.line("fw", "group", "remove", "tier", APP)
    assert comes_to_be(False, WEB, app)
    free.line("fw", "group", "create", "tier", "--tag", "front")
    free.line("set", APP, "--tags", "front")
    assert comes_to_be(True, WEB, app)
    free.line("unset", APP, "tags")
    assert comes_to_be(False, WEB, app)


def test_the_policy_of_a_group_reaches_every_member(free: Guests) -> None:
    free.line("fw", "group", "create", "tier", WEB)
    free.line("fw", "deny", "group:tier", "icmp", "--from", "host")
    assert (free.pings(WEB), free.pings(APP)) == (False, True)
    free.line("fw", "group", "add", "tier", APP)
    assert (free.pings(WEB), free.pings(APP)) == (False, False)
    free.line("fw", "group", "remove", "tier", WEB, APP)
    assert (free.pings(WEB), free.pings(APP)) == (True, True)


def test_a_change_that_nobody_confirms_is_taken_back_though_kvist_was_killed(free: Guests) -> None:
    program = str(Path(sys.executable).with_name("kvist"))
    argv = [program, "fw", "block", WEB, "--confirm", "4"]
    process = spawn(argv, stdout=PIPE, stderr=PIPE, env=free.line.env, detach=True)
    end = time.monotonic() + 10
    while free.pings(WEB):
        assert time.monotonic() < end, "it is in force at some time"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    while not free.pings(WEB):
        assert time.monotonic() < end + 10, "it is taken back"
    assert free.line.json("fw", "ls") == []


def test_a_change_that_is_confirmed_stays(free: Guests) -> None:
    free.line("fw", "block", WEB, "--confirm", "3")
    assert "waits to be confirmed" in free.line.refused("fw", "block", APP, "--confirm", "3", code=1)
    free.line("fw", "confirm")
    assert free.line.json("fw", "confirm")["changed"] is False
    time.sleep(4)
    assert not free.pings(WEB)


def test_a_flush_of_all_rules_is_seen_and_mended(free: Guests) -> None:
    enter = free.sandbox.enter
    free.line("fw", "block", WEB)
    run(enter(["nft", "delete", "table", "bridge", "kvist-fw"]))
    assert free.line.json("fw", "ls")[0]["state"].endswith("was flushed or changed; kvist fw restore")
    assert any("not in force" in row["what"] for row in free.line.json("fw", "check"))
    free.line("fw", "restore")
    assert not free.pings(WEB)
    assert free.line.json("fw", "restore")["changed"] is False
    # firewalld tells libvirt when it has flushed everything; a hook of libvirt's has it all made again.
    run(enter(["nft", "flush", "ruleset"]))
    end = time.monotonic() + 15
    # The host and the guest may still think that the other is not there.
    while not free.pings(WEB):
        assert time.monotonic() < end, "nothing is in force"
    run(enter(["kill", "-HUP", run(enter(["cat", "/run/libvirtd.pid"])).text.strip()]))
    end = time.monotonic() + 15
    while free.pings(WEB):
        assert time.monotonic() < end, "the hook puts it in force"
    # libvirt makes its own chains when it starts, and not before: for the tests after this one.
    restart_libvirt(free)
    while "LIBVIRT_INP" not in run(enter(["iptables", "-w", "10", "-S"])).text:
        assert time.monotonic() < end + 20, "libvirt has its rules again"


def test_bad_input_is_complained_of_as_a_whole_and_changes_nothing(free: Guests) -> None:
    before = run(free.sandbox.enter(["virsh", "dumpxml", WEB])).text
    said = free.line.refused("fw", "allow", WEB, "foo/1", "--from", "10.0.0.0/40", "--nic", "none", code=2)
    assert [word in said for word in ('"foo"', "10.0.0.0/40", '"none"')] == [True, True, True]
    assert "65535" in free.line.refused("fw", "deny", WEB, "tcp/70000", code=2)
    assert "kvist fw group create" in free.line.refused("fw", "deny", WEB, "icmp", "--from", "group:nobody", code=2)
    assert "nor a VM" in free.line.refused("fw", "deny", WEB, "icmp", "--from", "nobody", code=2)
    free.line("create", "silent", "--image", "micro", "--no-start", "--memory", "128M")
    try:
        assert "no address" in free.line.refused("fw", "deny", WEB, "icmp", "--from", "silent", code=2)
    finally:
        free.line("delete", "silent", "--purge", "--yes")
    assert "no rule 3" in free.line.refused("fw", "remove", WEB, "3", code=3)
    free.line.refused("fw", "block", "nobody", code=3)
    assert run(free.sandbox.enter(["virsh", "dumpxml", WEB])).text == before
    assert free.line.json("fw", "ls") == []


def test_a_card_that_is_plugged_in_later_is_judged_too(free: Guests) -> None:
    mac = "52:54:00:ab:cd:ef"
    free.line("fw", "block", APP)
    free.line("nic", "add", APP, "default", "--mac", mac)
    try:
        assert mac in free.line.json("fw", "ls")[0]["cards"]
        taps = run(free.sandbox.enter(["virsh", "-q", "domiflist", APP])).text.splitlines()
        tap = next(line.split()[0] for line in taps if mac in line)
        free.wire.forget()
        asks = "for i in 1 2 3 4 5; do [ -e /sys/class/net/eth1 ] && break; sleep 1; done; ip link set eth1 up"
        free.inside(APP, f"{asks}; udhcpc -i eth1 -n -q -t 2 -T 1 -f -s /bin/true; true")
        assert free.wire.saw(tap=tap, to=False, kind="udp4", number=67)
        assert not free.wire.saw(within=0.3, tap=tap, to=True, kind="udp4", number=68)
        assert not any("not bound" in row["what"] for row in free.line.json("fw", "check"))
    finally:
        free.line("nic", "remove", APP, mac)


def test_a_forwarded_connection_is_judged_by_who_began_it(free: Guests) -> None:
    with outside(free.sandbox, "far", "10.98.0") as far:

        def comes() -> bool:
            return not far("python3", "-c", CONNECTS, far.here, "8088", check=False).code

        free.line("forward", "add", "8088", f"{WEB}:80")
        assert comes()
        free.let(WEB, "default in=deny out=allow", "allow tcp/80 from 10.98.0.0/24")
        assert comes()
        way = ("fw", "trace", "tcp/8088", "--from", far.address, "--to", far.here)
        hops = free.line.json(*way)
        assert (hops[-1]["verdict"], any(hop["where"] == "forward" for hop in hops)) == ("accept", True)
        free.line("fw", "remove", WEB, "1")
        assert not comes()
        assert free.line.json(*way)[-1]["verdict"] == "drop"
        # What one of both has put on the host stays for the other.
        free.line("forward", "remove", "8088")
        free.line("fw", "block", APP)
        assert not free.pings(APP)
        assert "firewall.nft" in run(free.sandbox.enter(["ls", "/etc/kvist"])).text


def test_a_vm_that_brings_a_policy_along_does_not_start_without_it(free: Guests) -> None:
    free.line("fw", "block", APP)
    free.line("create", "moved", "--image", "micro", "--no-start", "--memory", "128M")
    try:
        enter = free.sandbox.enter
        stored = run(enter(["virsh", "dumpxml", "--inactive", "moved"])).text
        said = stored.replace("</kvist:vm>", "<kvist:fw>block</kvist:fw></kvist:vm>")
        assert said != stored
        run(enter(["virsh", "define", "/dev/stdin"]), input=said.encode())
        refused = run(enter(["virsh", "start", "moved"]), check=False)
        assert (refused.code, "kvist fw restore" in refused.complaint) == (1, True)
        free.line("fw", "restore")
        run(enter(["virsh", "start", "moved"]))
        (row,) = [row for row in free.line.json("fw", "ls") if row["vm"] == "moved"]
        assert (row["incoming"], row["state"]) == ("block", "in force")
    finally:
        free.line("delete", "moved", "--force", "--purge", "--yes")
    assert free.line.json("fw", "check")[0]["object"] != "moved"


@pytest.mark.timeout(180)
def test_it_is_in_force_from_the_first_packet_after_restarts_of_everything(free: Guests) -> None:
    """The last of all: it restarts a guest, its network and libvirt."""

    def virsh(*words: str) -> str:
        return run(free.sandbox.enter(["virsh", "-q", *words])).text

    run(free.sandbox.enter(["nft", "add", "table", "inet", "others"]))
    free.line("fw", "block", WEB)
    virsh("destroy", WEB)
    free.wire.forget()
    virsh("start", WEB)
    free.taps[WEB] = virsh("domiflist", WEB).split()[0]
    assert free.taps[WEB].startswith("kv")
    assert free.wire.saw(within=30, tap=free.taps[WEB], to=False), "it boots, and asks for an address"
    time.sleep(1)
    seen = free.wire.seen()
    # The tap itself, an interface of the host, looks for IPv6 on the wire; no bridge is on its way.
    assert [one for one in seen if one.to and one.tap == free.taps[WEB] and one.kind != "icmp6"] == []
    assert [one for one in seen if one.kind == "udp4" and one.number == 67 and one.tap != free.taps[WEB]] == []
    virsh("net-destroy", "default")
    virsh("net-start", "default")
    for name in (WEB, APP):
        run(free.sandbox.enter(["ip", "link", "set", free.taps[name], "master", "virbr0"]))
    restart_libvirt(free)
    free.line("fw", "unblock", WEB)
    free.line("wait", WEB, "agent", "--timeout", "60")
    end = time.monotonic() + 40
    while not free.pings(WEB):
        assert time.monotonic() < end, "it gets its address, and answers"
    free.line("fw", "block", WEB)
    assert not free.pings(WEB)
    assert "others" in run(free.sandbox.enter(["nft", "list", "tables"])).text
    run(free.sandbox.enter(["nft", "delete", "table", "inet", "others"]))
    free.line("fw", "unblock", WEB)
    free.acquaint()
