"""Port forwards and exposed networks, with real packets: from outside, the host itself, a sibling, the guest itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from subprocess import PIPE
from typing import TYPE_CHECKING

import pytest
from tests.daemon.outside import Outside, outside

from kvist.host.run import run, spawn
from kvist.sandbox.sandbox import Sandbox

if TYPE_CHECKING:
    from tests.daemon.conftest import Kvist, Virsh

WEB, SIBLING = "fwdweb", "fwdsib"
CARD = "52:54:00:f0:0d:01"
HOST = "192.168.122.1"
SECONDS = 60.0
"""A guest boots within 6 s on a machine with nothing else to do."""
PROBE = """
import socket, sys
kind, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
wire = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM)
wire.settimeout(float(sys.argv[4]))
try:
    wire.connect((address, port))
    wire.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n" if kind == "http" else b"echo")
    print(wire.recv(12).decode().replace("HTTP/1.1 ", "").replace("HTTP/1.0 ", "").strip())
except OSError as wrong:
    print("no:", type(wrong).__name__)
"""
LISTEN = """
import os, socket, sys, threading
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
box = socket.create_server((sys.argv[1], int(sys.argv[2])))
while True:
    wire = box.accept()[0]
    wire.sendall(b"secret")
    wire.close()
"""


@pytest.fixture(scope="module")
def out(sandbox: Sandbox) -> Iterator[Outside]:
    with outside(sandbox, "fwd", "10.98.0") as host:
        yield host


@pytest.fixture(scope="module", autouse=True)
def guests(line: Kvist, out: Outside) -> Iterator[None]:
    base = ("--image", "micro", "--memory", "128M", "--cpus", "1")
    line("create", WEB, *base, "--nic", f"default,mac={CARD}")
    line("create", SIBLING, *base, "--wait", "agent")
    line("wait", WEB, "agent")
    for name in (WEB, SIBLING):
        line("wait", name, "ip")
    yield
    line("delete", WEB, SIBLING, "--force", "--purge", "--yes")


class Ways:
    """The ways to a port: each gives what comes back, `200` from the guest's web server."""

    def __init__(self, line: Kvist, sandbox: Sandbox, out: Outside) -> None:
        self.line, self.sandbox, self.out = line, sandbox, out

    def outside(self, port: int, kind: str = "http", seconds: float = 4) -> str:
        return self.out("python3", "-c", PROBE, kind, self.out.here, str(port), str(seconds)).text.strip()

    def here(self, port: int, address: str = "127.0.0.1", kind: str = "http") -> str:
        asked = ["python3", "-c", PROBE, kind, address, str(port), "4"]
        return run(self.sandbox.enter(asked), timeout=20).text.strip()

    def guest(self, name: str, port: int, address: str = HOST) -> str:
        ask = 'printf "GET / HTTP/1.0\\r\\n\\r\\n" | nc -w 4 "$0" "$1" 2>&1 | head -1'
        words = self.line("exec", name, "--", "sh", "-c", ask, address, str(port)).text.split()
        return words[1] if words[:1] == ["HTTP/1.1"] else " ".join(["no:", *words])

    def all(self, port: int) -> dict[str, str]:
        return {
            "outside": self.outside(port),
            "127.0.0.1": self.here(port),
            "own address": self.here(port, self.out.here),
            "sibling": self.guest(SIBLING, port),
            "sibling, by the uplink": self.guest(SIBLING, port, self.out.here),
            "itself": self.guest(WEB, port),
        }


REACHED = dict.fromkeys(
    ("outside", "127.0.0.1", "own address", "sibling", "sibling, by the uplink", "itself"), "200"
)  # fmt: skip


@pytest.fixture
def ways(line: Kvist, sandbox: Sandbox, out: Outside) -> Ways:
    return Ways(line, sandbox, out)


@pytest.fixture
def sh(sandbox: Sandbox) -> Callable[..., str]:
    """Run a program in the sandbox and give what it prints."""

    def ask(*argv: str, check: bool = True) -> str:
        return run(sandbox.enter(list(argv)), check=check).text.strip()

    return ask


@contextmanager
def listening(sandbox: Sandbox, address: str, port: int) -> Iterator[None]:
    """Let a process of the sandbox listen on a port; it ends when its standard input is closed."""
    with spawn(sandbox.enter(["python3", "-c", LISTEN, address, str(port)]), stdin=PIPE) as process:
        assert process.stdin is not None
        try:
            yield
        finally:
            process.stdin.close()


@pytest.fixture
def forwarded(line: Kvist, sh: Callable[..., str]) -> Iterator[None]:
    """Port 8080 leads to the guest during a test, and nothing of it is left behind it."""
    line("forward", "add", "8080", f"{WEB}:80")
    yield
    for row in line.json("forward", "ls"):
        line("forward", "remove", row["port"])
    assert remains(sh) == []


def remains(sh: Callable[..., str]) -> list[str]:
    """List what forwards have left in the kernel and on the disk of a host."""
    found = [table for table in sh("nft", "list", "tables").splitlines() if "kvist" in table]
    found += [rule for rule in sh("iptables", "-S", "FORWARD").splitlines() if "kvist" in rule]
    found += sh("find", "/etc/kvist", "/etc/libvirt/hooks", "/etc/sysctl.d/90-kvist.conf", check=False).split()
    found += sh("grep", "-l", "1", "/proc/sys/net/ipv4/conf/virbr0/route_localnet", check=False).split()
    return found + sh("sh", "-c", "grep -l 1 /sys/class/net/*/brport/hairpin_mode", check=False).split()


def until(wanted: str, ask: Callable[[], str]) -> None:
    end = time.monotonic() + SECONDS
    while (found := ask()) != wanted:
        assert time.monotonic() < end, f"{found!r}, not {wanted!r}"
        time.sleep(0.3)


def restarted(virsh: Virsh, sh: Callable[..., str]) -> None:
    """Let libvirtd be killed and come back."""
    old = sh("cat", "/run/libvirtd.pid")
    sh("kill", "-9", old)
    end = time.monotonic() + SECONDS
    while sh("cat", "/run/libvirtd.pid", check=False) in ("", old) or "running" not in virsh("list", check=False):
        assert time.monotonic() < end
        time.sleep(0.2)


def replugged(sh: Callable[..., str], virsh: Virsh) -> None:
    """Start the network anew and plug the guests in again, which libvirt does not do."""
    virsh("net-destroy", "default")
    virsh("net-start", "default")
    for name in (WEB, SIBLING):
        for row in virsh("domiflist", name).splitlines():
            if "network" in row.split():
                sh("ip", "link", "set", row.split()[0], "master", "virbr0")


def test_a_forward_is_reached_from_everywhere_and_done_once(line: Kvist, ways: Ways, forwarded: None) -> None:
    assert ways.all(8080) == REACHED
    again = line.json("forward", "add", "8080", f"{WEB}:80")
    assert (again["changed"], again["steps"]) == (False, [])
    (row,) = line.json("forward", "ls")
    assert (row["port"], row["vm"], row["to"], row["state"]) == ("8080/tcp", WEB, "80", "in force")
    assert row["address"] == line("ip", WEB, "-o", "name").text.split()[0]


def test_udp_ranges_and_other_ports_lead_there_too(line: Kvist, ways: Ways, forwarded: None) -> None:
    line("forward", "add", "5353/udp", f"{WEB}:7")
    line("forward", "add", "9075-9082", f"{WEB}:75-82")
    line("forward", "add", "53/udp", f"{WEB}:7")
    assert (ways.outside(5353, "udp"), ways.here(5353, kind="udp")) == ("echo", "echo")
    assert (ways.outside(9080), ways.here(9080)) == ("200", "200")
    # The host's own DNS for its guests is left alone.
    assert ways.outside(53, "udp") == "echo"
    assert ways.here(53, HOST, "udp") != "echo"


def test_a_forward_follows_its_guest_to_another_address(line: Kvist, ways: Ways, virsh: Virsh, forwarded: None) -> None:
    before = line.json("forward", "ls")[0]["address"]
    other = "192.168.122.77" if before != "192.168.122.77" else "192.168.122.78"
    virsh("net-update", "default", "add", "ip-dhcp-host", f"<host mac='{CARD}' ip='{other}'/>", "--live")
    try:
        virsh("destroy", WEB)
        virsh("start", WEB)
        until("200", lambda: ways.outside(8080, seconds=1))
        line("wait", WEB, "agent")
        assert line.json("forward", "ls")[0]["address"] == other
        assert ways.all(8080) == REACHED
    finally:
        virsh("net-update", "default", "delete", "ip-dhcp-host", f"<host mac='{CARD}' ip='{other}'/>", "--live")


def test_a_forward_outlives_network_libvirt_and_foreign_rules(
    ways: Ways, virsh: Virsh, sh: Callable[..., str], forwarded: None
) -> None:
    replugged(sh, virsh)
    until("200", lambda: ways.outside(8080, seconds=1))
    until("200", lambda: ways.here(8080))
    restarted(virsh, sh)
    until("200", lambda: ways.outside(8080, seconds=1))
    assert ways.all(8080) == REACHED
    for table in ("filter", "nat", "mangle"):
        sh("nft", "flush", "table", "ip", table)
    assert ways.all(8080) == REACHED
    restarted(virsh, sh)
    # libvirt puts its own rules on top, and calls the hook a moment later.
    until("200", lambda: ways.outside(8080, seconds=1))
    assert ways.all(8080) == REACHED


def test_what_flushes_everything_is_noticed_and_mended(
    line: Kvist, ways: Ways, virsh: Virsh, sh: Callable[..., str], forwarded: None
) -> None:
    sh("nft", "flush", "ruleset")
    assert ways.outside(8080).startswith("no:")
    assert line.json("forward", "ls")[0]["state"].endswith("was flushed or changed; kvist forward restore")
    assert line.json("forward", "restore")["changed"] is True
    assert line.json("forward", "restore")["changed"] is False
    assert ways.all(8080) == REACHED
    # Without kvist too: libvirt's hooks do it, behind libvirt's own rules.
    sh("nft", "flush", "ruleset")
    restarted(virsh, sh)
    until("200", lambda: ways.outside(8080, seconds=1))
    assert ways.all(8080) == REACHED
    rules = sh("iptables", "-S", "FORWARD").splitlines()
    assert ["kvist" in rule for rule in rules[1:3]] == [True, False]


def test_what_is_for_some_is_not_for_others(line: Kvist, ways: Ways, out: Outside) -> None:
    line("forward", "add", "8081", f"{WEB}:80", "--from", f"{out.address}/32")
    line("forward", "add", "8082", f"{WEB}:80", "--from", "10.1.0.0/16")
    line("forward", "add", "8083", f"{WEB}:80", "--on", out.here)
    line("forward", "add", "8084", f"{WEB}:80", "--on", out.uplink)
    try:
        refused = "no: ConnectionRefusedError"
        assert (ways.outside(8081), ways.here(8081)) == ("200", refused)
        assert ways.outside(8082) == refused
        assert (ways.outside(8083), ways.here(8083, out.here), ways.here(8083)) == ("200", "200", refused)
        assert (ways.outside(8084), ways.here(8084)) == ("200", refused)
    finally:
        for port in range(8081, 8085):
            line("forward", "remove", str(port))


def test_nobody_comes_to_the_hosts_loopback_by_the_bridge(
    line: Kvist, ways: Ways, sandbox: Sandbox, sh: Callable[..., str], forwarded: None
) -> None:
    line(
        *("exec", SIBLING, "--", "sh", "-c"),
        "echo 1 >/proc/sys/net/ipv4/conf/eth0/route_localnet; ip address del 127.0.0.1/8 dev lo;"
        f"ip route del local 127.0.0.1 table local; ip route add 127.0.0.1 via {HOST}; true",
    )
    ask = ("exec", SIBLING, "--", "sh", "-c", "echo | nc -w 3 127.0.0.1 7777 2>/dev/null; true")
    with listening(sandbox, "127.0.0.1", 7777):
        until("secret", lambda: ways.here(7777, kind="tcp"))
        assert line(*ask).text == ""
        # The test would see it if it came: without the guard it does.
        sh("nft", "flush", "chain", "inet", "kvist", "guard")
        assert line(*ask).text == "secret"
        assert line.json("forward", "restore")["changed"] is True
        assert line(*ask).text == ""
    line("exec", SIBLING, "--", "sh", "-c", "ip route del 127.0.0.1; ip address add 127.0.0.1/8 dev lo")


def test_a_port_that_is_taken_is_refused_by_name(line: Kvist, ways: Ways, sandbox: Sandbox, forwarded: None) -> None:
    said = line.refused("forward", "add", "8080", f"{SIBLING}:80", code=1)
    assert f'forwarded to "{WEB}:80" already' in said and "kvist forward remove 8080/tcp" in said
    with listening(sandbox, "0.0.0.0", 7778):
        until("secret", lambda: ways.here(7778, kind="tcp"))
        said = line.refused("forward", "add", "7770-7780", f"{WEB}:70-80", code=1)
        assert "port 7778/tcp is taken on the host" in said and '"python3" (pid ' in said
        assert "port 7778/tcp is taken" in line.refused("forward", "add", "7778", f"{WEB}:80", code=1)
        line("forward", "add", "7778/udp", f"{WEB}:7")
    assert [row["port"] for row in line.json("forward", "ls")] == ["7778/udp", "8080/tcp"]


def test_what_makes_no_sense_is_refused_with_all_its_problems(line: Kvist) -> None:
    said = line.refused("forward", "add", "8000-8001", f"{WEB}:80", "--from", "10.0.0.1/8", "--on", "1.2.3", code=2)
    assert all(word in said for word in ("VM:PORT", "--from", "--on"))
    assert "no interface" in line.refused("forward", "add", "8090", f"{WEB}:80", "--on", "nix0", code=2)
    assert "there is no VM" in line.refused("forward", "add", "8090", "nobody:80", code=3)
    line("forward", "add", "9000-9001", f"{WEB}:80-81")
    assert "kvist forward remove 9000-9001/tcp" in line.refused("forward", "remove", "9001", code=1)
    line("forward", "remove", "9000-9001")
    assert line.json("forward", "ls") == []


def test_a_vm_that_the_host_does_not_reach_is_refused_with_the_reason(line: Kvist, virsh: Virsh) -> None:
    line("create", "fwdnone", "--image", "micro", "--memory", "128M", "--nic", "none", "--no-start")
    line("create", "fwduser", "--image", "micro", "--memory", "128M", "--nic", "user", "--no-start")
    try:
        assert "it has no network card" in line.refused("forward", "add", "8090", "fwdnone:80", code=1)
        assert "type user" in line.refused("forward", "add", "8090", "fwduser:80", code=1)
    finally:
        line("delete", "fwdnone", "fwduser", "--purge", "--yes")


def test_removal_and_undo_leave_nothing_and_bring_everything_back(
    line: Kvist, ways: Ways, sh: Callable[..., str]
) -> None:
    assert remains(sh) == []
    line("forward", "add", "8080", f"{WEB}:80")
    assert remains(sh) != []
    assert line.json("forward", "remove", "8080")["changed"] is True
    assert line.json("forward", "remove", "8080")["changed"] is False
    assert remains(sh) == []
    assert ways.outside(8080) == "no: ConnectionRefusedError"
    line("undo")
    assert ways.outside(8080) == "200"
    line("undo")
    assert (line.json("forward", "ls"), remains(sh)) == ([], [])


def test_where_systemd_runs_the_host_its_units_come_and_go_too_with_a_systemctl_that_only_notes(
    line: Kvist, sandbox: Sandbox, sh: Callable[..., str]
) -> None:
    stub, unit = sandbox.root / "usr/local/bin/systemctl", "/etc/systemd/system/kvist-forwards.service"
    sh("mkdir", "-p", "/run/systemd/system", "/etc/firewalld", "/usr/local/bin")
    sh("touch", "/etc/firewalld/firewalld.conf")
    stub.write_text('#!/bin/sh\necho "$@" >>/run/asked\n')
    stub.chmod(0o755)
    line("forward", "add", "8093", f"{WEB}:80")
    assert sh("systemd-analyze", "verify", unit) == ""
    assert "ExecReload=-/etc/kvist/restore" in sh("cat", "/etc/systemd/system/nftables.service.d/kvist.conf")
    line("forward", "remove", "8093")
    asked = ["daemon-reload", "enable --now kvist-forwards.service", "disable --now kvist-forwards.service"]
    assert sh("cat", "/run/asked").splitlines() == [*asked, "daemon-reload"]
    assert sh("find", "/etc/systemd/system", "-name", "*kvist*") == ""
    assert remains(sh) == []
    sh("rm", "-r", "/run/systemd", "/etc/firewalld", "/usr/local/bin/systemctl")


def test_a_deleted_vm_takes_its_forwards_with_it_and_brings_them_back(line: Kvist, sh: Callable[..., str]) -> None:
    line("create", "fwdgone", "--image", "micro", "--memory", "128M", "--no-start")
    line("forward", "add", "8091", "fwdgone:80")
    line("delete", "fwdgone")
    assert remains(sh) == []
    line("undo")
    assert [row["port"] for row in line.json("forward", "ls")] == ["8091/tcp"]
    assert "8091" in sh("nft", "list", "table", "inet", "kvist")
    line("delete", "fwdgone", "--purge")
    assert remains(sh) == []


def test_row_32_other_hosts_reach_an_exposed_network_until_it_is_exposed_no_longer(
    line: Kvist, out: Outside, virsh: Virsh, sh: Callable[..., str]
) -> None:
    address = line("ip", WEB, "-o", "name").text.split()[0]
    out("ip", "route", "add", "192.168.122.0/24", "via", out.here)

    def ask() -> str:
        return out("python3", "-c", PROBE, "http", address, "80", "2").text.strip()

    assert ask() == "no: ConnectionRefusedError"
    done = line.json("net", "expose", "default", "--from", out.uplink)
    assert f"ip route add 192.168.122.0/24 via {out.here}" in [change["after"] for change in done["changes"]]
    assert line.json("net", "expose", "default", "--from", out.uplink)["changed"] is False
    assert ask() == "200"
    replugged(sh, virsh)
    until("200", ask)
    assert line.json("net", "unexpose", "default")["changed"] is True
    assert line.json("net", "unexpose", "default")["changed"] is False
    assert (ask(), remains(sh)) == ("no: ConnectionRefusedError", [])
    line("undo")
    assert ask() == "200"
    line("undo")
    assert remains(sh) == []
    said = line.refused("net", "expose", "default", "--from", "nix0", "--from", "virbr0", code=2)
    assert '"nix0"' in said and '"virbr0"' in said
    out("ip", "route", "del", "192.168.122.0/24")


def test_row_27_the_host_passes_packets_on_now_and_after_its_next_boot(line: Kvist, sh: Callable[..., str]) -> None:
    def now() -> tuple[str, str]:
        return sh("cat", "/proc/sys/net/ipv4/ip_forward"), sh("cat", "/etc/sysctl.d/90-kvist.conf", check=False)

    before = now()
    assert line.json("host", "set", "--ip-forward", "off")["changed"] is True
    assert (now()[0], now()[1].splitlines()[-1]) == ("0", "net.ipv4.ip_forward = 0")
    assert line.json("host", "set", "--ip-forward")["changed"] is True
    assert line.json("host", "set", "--ip-forward")["changed"] is False
    assert (now()[0], now()[1].splitlines()[-1]) == ("1", "net.ipv4.ip_forward = 1")
    line("undo")
    line("undo")
    assert now() == before


def renumbered(line: Kvist, guest: str, address: str) -> None:
    """Give a guest another address from within, and let it say something."""
    words = "ip address flush dev eth0; ip address add $0/24 dev eth0; ping -c 4 -A -W 4 10.77.0.1"
    line("exec", guest, "--", "sh", "-c", words, address)


def test_a_guest_of_an_isolated_network_answers_a_forward_though_it_has_no_gateway(
    line: Kvist, ways: Ways, virsh: Virsh, sh: Callable[..., str]
) -> None:
    bridge, ip = "<bridge name='virbr7' stp='off' delay='0'/>", "<ip address='10.77.0.1' prefix='24'/>"
    virsh("net-define", "/dev/stdin", input=f"<network><name>fwdiso</name>{bridge}{ip}</network>")
    virsh("net-start", "fwdiso")
    try:
        line("nic", "set", SIBLING, "default", "--network", "fwdiso")
        renumbered(line, SIBLING, "10.77.0.5")
        line("forward", "add", "8092", f"{SIBLING}:80")
        until("200", lambda: ways.outside(8092, seconds=2))
        # And it is followed without DHCP: a static address changes inside of the guest.
        renumbered(line, SIBLING, "10.77.0.6")
        until("200", lambda: ways.outside(8092, seconds=2))
        assert line.json("forward", "ls")[0]["address"] == "10.77.0.6"
        # Nor is it forgotten when another is made while its network is off.
        virsh("net-destroy", "fwdiso")
        line("forward", "add", "8094", f"{WEB}:80")
        line("forward", "remove", "8094")
        assert "8092" in sh("nft", "list", "table", "inet", "kvist")
        virsh("net-start", "fwdiso")
        line("forward", "remove", "8092")
        assert remains(sh) == []
    finally:
        line("nic", "set", SIBLING, "fwdiso", "--network", "default")
        virsh("net-destroy", "fwdiso", check=False)
        virsh("net-undefine", "fwdiso")
