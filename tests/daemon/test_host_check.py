"""What stands in the way on a host is mended by one line, which packets show, and is there again after undo."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from tests.daemon.outside import Outside, outside

from kvist.host.run import Result, run
from kvist.sandbox.sandbox import Sandbox

if TYPE_CHECKING:
    from tests.daemon.conftest import Kvist

PROGRAM = str(Path(sys.executable).with_name("kvist"))
GUEST = "fit"
WITHIN = 20.0
ON_BRIDGE = {"one": "10.77.0.1", "two": "10.77.0.2"}

There = Callable[..., Result]


@pytest.fixture(scope="module")
def there(sandbox: Sandbox) -> There:
    """Run a command on the host."""

    def ask(*argv: str, check: bool = True) -> Result:
        return run(sandbox.enter(list(argv)), check=check)

    return ask


class Mended(NamedTuple):
    """What a line with --fix says: its answer, and what is left to a person."""

    changes: dict[str, str]
    steps: list[str]
    left: str


def checked(line: Kvist) -> dict[str, dict[str, Any]]:
    done = run([PROGRAM, "host", "check", "-o", "json"], env=line.env, check=False)
    return {row["check"]: row for row in json.loads(done.text)}


def mended(line: Kvist) -> Mended:
    """Mend; the exit code says whether something is left, which on a machine without KVM the processor is."""
    done = run([PROGRAM, "host", "check", "--fix", "-o", "json"], env=line.env, check=False)
    answer = json.loads(done.text or '{"changes": [], "steps": []}')
    told = done.err.decode()
    left = json.loads(told[told.index("{") :])["what"] if "{" in told else ""
    assert done.code == int(any(row["ok"] is False for row in checked(line).values())) == int(bool(left)), told
    changes = {each["field"]: each["after"] for each in answer["changes"]}
    return Mended(changes, answer["steps"], left)


class Wire(NamedTuple):
    """Two namespaces on a bridge of guests."""

    there: There

    def passes(self) -> bool:
        ping = ("ip", "netns", "exec", "one", "ping", "-n", "-c", "1", "-W", "1", ON_BRIDGE["two"])
        return self.there(*ping, check=False).code == 0


@pytest.fixture
def bridged(there: There) -> Iterator[Wire]:
    """Give a bridge without an address: two hosts are on it, and a tap, which makes it one of guests."""
    there("ip", "link", "add", "br0", "type", "bridge")
    there("ip", "tuntap", "add", "tap7", "mode", "tap")
    there("ip", "link", "set", "tap7", "master", "br0")
    for name, address in ON_BRIDGE.items():
        there("ip", "netns", "add", name)
        there("ip", "link", "add", f"to-{name}", "type", "veth", "peer", "name", "eth0", "netns", name)
        there("ip", "link", "set", f"to-{name}", "up", "master", "br0")
        there("ip", "-n", name, "address", "add", f"{address}/24", "dev", "eth0")
        there("ip", "-n", name, "link", "set", "eth0", "up")
    there("ip", "link", "set", "br0", "up")
    there("sysctl", "-q", "-w", "net.bridge.bridge-nf-call-iptables=1")
    yield Wire(there)
    for name in ON_BRIDGE:
        there("ip", "netns", "delete", name)
    there("ip", "link", "delete", "tap7")
    there("ip", "link", "delete", "br0")


@pytest.fixture
def docker(there: There) -> Iterator[None]:
    """Do to the packet filter what Docker does when it starts."""

    def starts() -> None:
        for chain in ("DOCKER", "DOCKER-USER"):
            there("iptables", "-N", chain, check=False)
        there("iptables", "-D", "FORWARD", "-j", "DOCKER-USER", check=False)
        there("iptables", "-I", "FORWARD", "-j", "DOCKER-USER")
        there("iptables", "-P", "FORWARD", "DROP")

    starts()
    yield
    there("iptables", "-P", "FORWARD", "ACCEPT")
    there("iptables", "-D", "FORWARD", "-j", "DOCKER-USER")
    for chain in ("DOCKER", "DOCKER-USER"):
        there("iptables", "-F", chain)
        there("iptables", "-X", chain)


def rules(there: There) -> list[str]:
    return [row for row in there("iptables", "-S", "DOCKER-USER").text.splitlines() if "ACCEPT" in row]


def test_row_17_what_docker_drops_passes_after_one_line_and_until_it_is_undone(
    line: Kvist, there: There, bridged: Wire, docker: None
) -> None:
    assert bridged.passes() is False
    found = checked(line)["forwarded packets"]
    assert found["proof"] == "Docker's rules stop packets of br0: ip filter FORWARD: policy drop"
    dry = line("host", "check", "--fix", "--dry-run", "--show-virsh")
    assert "would let packets of br0 by at the head of chain DOCKER-USER" in dry.text
    assert dry.err.decode().splitlines()[:2] == found["fix"].split(" && ")
    assert (rules(there), bridged.passes()) == ([], False)
    assert mended(line).changes == {"forwarded packets": "mended"}
    assert bridged.passes() is True
    kept = ["-A DOCKER-USER -o br0 -j ACCEPT", "-A DOCKER-USER -i br0 -j ACCEPT"]
    assert rules(there) == kept
    assert mended(line)[:2] == ({}, []), "the second time there is nothing to do"
    assert rules(there) == kept
    # Docker starts anew: it puts its chain first again, and leaves what is in it. Then the host: all rules are new.
    there("iptables", "-D", "FORWARD", "-j", "DOCKER-USER")
    there("iptables", "-I", "FORWARD", "-j", "DOCKER-USER")
    assert bridged.passes() is True
    there("iptables", "-F", "DOCKER-USER")
    assert bridged.passes() is False
    line("net", "stop", "default")
    line("net", "start", "default")
    assert (rules(there), bridged.passes()) == (kept, True)
    line("undo")  # of the start, of the stop, and of the mending
    line("undo")
    line("undo")
    assert (rules(there), bridged.passes()) == ([], False)
    assert there("ls", "/etc/kvist", "/etc/libvirt/hooks", check=False).text == ""


def test_a_table_of_somebody_elses_that_drops_is_passed_and_left_as_it_was(
    line: Kvist, there: There, bridged: Wire
) -> None:
    there("nft", "add", "table", "inet", "guard")
    there("nft", "add", "chain", "inet", "guard", "gate", "{ type filter hook forward priority 5; policy drop; }")
    before = there("nft", "list", "table", "inet", "guard").text
    try:
        assert bridged.passes() is False
        assert mended(line).changes == {"forwarded packets": "mended"}
        assert bridged.passes() is True
        assert mended(line)[:2] == ({}, [])
        line("undo")
        assert (bridged.passes(), there("nft", "list", "table", "inet", "guard").text) == (False, before)
    finally:
        there("nft", "delete", "table", "inet", "guard")


@pytest.fixture
def world(sandbox: Sandbox) -> Iterator[Outside]:
    with outside(sandbox, "far") as host:
        yield host


@pytest.fixture
def guest(line: Kvist) -> Iterator[str]:
    line("create", GUEST, "--image", "micro", "--memory", "128M", "--cpus", "1", "--wait", "agent")
    yield GUEST
    line("delete", GUEST, "--force", "--purge", "--yes")


def libvirts(there: There, program: str) -> int:
    return there(f"iptables-{program}-save", check=False).text.count("-j LIBVIRT_")


def anew(there: There, line: Kvist) -> None:
    """Let libvirtd start anew, and its rules with it."""
    before = there("pidof", "libvirtd").text
    there("pkill", "-x", "libvirtd")
    end = time.monotonic() + WITHIN
    while there("pidof", "libvirtd", check=False).text in ("", before) or not libvirts(there, "legacy"):
        assert time.monotonic() < end, "libvirtd does not start"
        time.sleep(0.1)


def test_row_17_two_packet_filters_become_one_and_a_running_guest_goes_on(
    line: Kvist, there: There, world: Outside, guest: str
) -> None:
    def reaches() -> bool:
        return line("exec", guest, "--", "ping", "-c", "1", "-W", "2", world.address, code=0).code == 0

    def chosen() -> list[str]:
        told = there("update-alternatives", "--query", "iptables").text.splitlines()
        return [row for row in told if row.startswith(("Status", "Value"))]

    qemu = there("pidof", "qemu-system-x86_64").text
    before = chosen()
    for name in ("iptables", "ip6tables"):
        there("update-alternatives", "--set", name, f"/usr/sbin/{name}-legacy")
    try:
        anew(there, line)
        assert libvirts(there, "legacy") and libvirts(there, "nft")
        found = checked(line)["packet filter"]
        assert found["ok"] is False and found["proof"].startswith("rules of iptables-legacy, ip6tables-legacy beside")
        assert mended(line).changes == {"packet filter": "mended"}
        assert "nf_tables" in there("iptables", "-V").text
        assert (libvirts(there, "legacy"), libvirts(there, "nft") > 4) == (0, True)
        assert there("pidof", "qemu-system-x86_64").text == qemu, "the guest runs on"
        assert reaches()
        assert mended(line)[:2] == ({}, [])
        line("undo")
        assert chosen() == ["Status: manual", "Value: /usr/sbin/iptables-legacy"]
        assert libvirts(there, "legacy") > 4
        assert mended(line).changes == {"packet filter": "mended"}
    finally:
        for name in ("iptables", "ip6tables"):
            there("update-alternatives", "--auto", name)
    assert chosen() == before


def test_a_kvm_device_that_qemu_may_not_open_is_opened_for_its_group(line: Kvist, there: There) -> None:
    def shown() -> str:
        return there("stat", "-c", "%A %U %G", "/dev/kvm").text.strip()

    ours = there("test", "-e", "/dev/kvm", check=False).code != 0
    was = "" if ours else shown()
    if ours:
        there("mknod", "/dev/kvm", "c", "10", "232")
    there("chown", "root:root", "/dev/kvm")
    there("chmod", "0600", "/dev/kvm")
    try:
        assert checked(line)["permission"]["fix"] == "chgrp kvm /dev/kvm && chmod 0660 /dev/kvm"
        assert mended(line).changes == {"permission": "mended"}
        assert shown() == "crw-rw---- root kvm"
        assert mended(line)[:2] == ({}, [])
        line("undo")
        assert shown() == "crw------- root root"
    finally:
        if ours:
            there("rm", "/dev/kvm")
        else:
            there("chmod", "0666", "/dev/kvm")
            assert shown().split()[0] == was.split()[0]


def test_row_18_a_dnsmasq_of_the_hosts_own_leaves_networks_alone_once_it_is_told_to(line: Kvist, there: There) -> None:
    pidfile = "/run/own-dnsmasq.pid"
    start = ("dnsmasq", "--conf-file=/dev/null", "--conf-dir=/etc/dnsmasq.d", f"--pid-file={pidfile}")

    def end() -> None:
        ended = f"p=$(cat {pidfile}); kill $p; for i in $(seq 50); do kill -0 $p || break; sleep 0.1; done"
        there("sh", "-c", ended)

    there("mkdir", "-p", "/etc/dnsmasq.d")
    line("net", "stop", "default")
    there(*start)
    try:
        assert '"dnsmasq"' in line.refused("net", "start", "default", code=1)
        found = mended(line)
        assert found.changes == {} and found.steps[0].endswith('write "/etc/dnsmasq.d/libvirt.conf"')
        assert mended(line)[:2] == ({}, []), "what is left is a person's"
        assert "ports 53 and 67: dnsmasq (" in found.left
        assert there("cat", "/etc/dnsmasq.d/libvirt.conf").text == "bind-dynamic\nexcept-interface=virbr*\n"
        end()
        there(*start)
        line("net", "start", "default")
        assert checked(line)["ports 53 and 67"]["ok"] is True
    finally:
        end()
        line("net", "start", "default")
    line("undo", str(next(row["number"] for row in line.json("log") if "check --fix" in row["line"])))
    assert there("ls", "/etc/dnsmasq.d/libvirt.conf", check=False).code != 0


def test_row_30_a_sandbox_does_not_change_the_kernel_of_its_machine(line: Kvist, there: There) -> None:
    told = line.refused("host", "set", "--vhost-zerocopy", code=1)
    assert "a sandbox has the kernel of its machine" in told
    assert there("ls", "/etc/modprobe.d/kvist.conf", check=False).code != 0
    shown = {None: "", "on": "1", "off": "0"}[line.json("host", "show")["vhost_zerocopy"]]
    parameter = Path("/sys/module/vhost_net/parameters/experimental_zcopytx")
    assert shown == (parameter.read_text().strip() if parameter.exists() else "")


def test_row_3_a_host_that_is_fit_is_left_alone_and_a_user_is_let_in_once(line: Kvist, there: There) -> None:
    assert line.json("host", "setup")["changed"] is False
    there("useradd", "ann")
    before = there("id", "-nG", "ann").text
    assert {each["field"] for each in line.json("host", "setup", "--user", "ann")["changes"]} == {
        *("group kvm", "group libvirt"),
    }
    assert set(there("id", "-nG", "ann").text.split()) == {"ann", "kvm", "libvirt"}
    assert line.json("host", "setup", "--user", "ann")["changed"] is False
    line("undo")
    assert there("id", "-nG", "ann").text == before
    there("userdel", "ann")
    assert '"bob"' in line.refused("host", "setup", "--user", "bob", code=2)
