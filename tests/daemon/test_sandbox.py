"""A sandbox is a whole libvirt host, and when it goes it goes completely."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kvist.errors import Conflict, Denied, Failed, Invalid, NotFound
from kvist.host import namespaces
from kvist.host.run import run, spawn
from kvist.sandbox import reservation
from kvist.sandbox import sandbox as sandboxes
from kvist.sandbox.sandbox import Sandbox

Virsh = Callable[..., str]

GUEST = b"""
<domain type='qemu'>
  <name>twin</name>
  <memory unit='MiB'>16</memory>
  <os><type>hvm</type></os>
  <devices><interface type='network'><source network='default'/></interface><serial type='pty'/></devices>
</domain>
"""


@pytest.fixture
def second() -> Iterator[Sandbox]:
    name = f"second-{os.getpid()}"
    yield sandboxes.up(name, tether=True)
    sandboxes.down(name)


def start_guest(box: Sandbox) -> None:
    run(box.enter(["virsh", "create", "/dev/stdin"]), input=GUEST)


def pid_of(box: Sandbox, program: str) -> int:
    """Give the number of a program's process inside the sandbox."""
    return int(run(box.enter(["pidof", "-s", program])).text)


def eventually(true: Callable[[], bool], seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if true():
            return True
        time.sleep(0.02)
    return False


def test_a_new_sandbox_has_an_active_autostarted_network_and_pool(virsh: Virsh) -> None:
    assert "default" in virsh("net-list", "--name", "--autostart").split()
    # Other tests of the run may have added pools of their own by now.
    assert "default" in virsh("pool-list", "--name", "--autostart").split()
    assert virsh("pool-dumpxml", "default").count("<path>/var/lib/libvirt/images</path>") == 1


def test_up_again_finds_the_sandbox_that_is_up(sandbox: Sandbox) -> None:
    assert sandboxes.up(sandbox.name) == sandbox == sandboxes.find(sandbox.name)
    assert sandboxes.ls().count(sandbox) == 1


def test_of_two_that_start_the_same_sandbox_at_once_one_wins_and_both_get_it() -> None:
    name = f"race-{os.getpid()}"
    try:
        with ThreadPoolExecutor(4) as pool:
            found = set(pool.map(lambda _: sandboxes.up(name, tether=True), range(4)))
        assert len(found) == 1
    finally:
        assert sandboxes.down(name)


def test_two_sandboxes_have_the_same_subnet_and_vm_name_and_do_not_see_each_other(
    sandbox: Sandbox, second: Sandbox, virsh: Virsh
) -> None:
    start_guest(second)
    assert "twin" not in virsh("list", "--all", "--name")
    start_guest(sandbox)
    try:
        uuids = {run(box.enter(["virsh", "-q", "domuuid", "twin"])).text for box in (sandbox, second)}
        assert len(uuids) == 2
        hosts = {
            run(box.enter(["virsh", "-q", "capabilities"])).text.partition("<uuid>")[2][:36]
            for box in (sandbox, second)
        }
        assert len(hosts) == 2
        bridges = {
            run(box.enter(["ip", "-br", "-4", "addr", "show", "virbr0"])).text.split()[2] for box in (sandbox, second)
        }
        assert bridges == {"192.168.122.1/24"}
        assert namespaces.identities(sandbox.pid).isdisjoint(namespaces.identities(second.pid))
    finally:
        virsh("destroy", "twin")


def test_a_sandbox_tells_its_age_memory_and_guests(second: Sandbox) -> None:
    assert 0 <= time.time() - second.since < 60
    idle = second.memory
    assert 10 << 20 < idle < 400 << 20
    assert second.guests == 0
    start_guest(second)
    assert second.guests == 1
    assert second.memory > idle


@pytest.mark.parametrize("victim", ["none", "libvirtd", "virtlogd", "qemu", "dnsmasq", "first", "unshare"])
def test_nothing_is_left_on_the_machine(victim: str) -> None:
    script = Path(__file__).with_name("quiet_machine.py")
    fence = ["unshare", "-m", "-u", "-i", "-n", "-p", "--fork", "--kill-child", "--mount-proc"]
    told = json.loads(run([*fence, sys.executable, str(script), victim]).out)
    before, during, after = told["before"], told["during"], told["after"]
    # The comparison sees what there is to see: a running sandbox differs.
    assert {what for what in before if before[what] != during[what]} >= {"processes", "namespaces", "names"}
    assert any("qemu-system" in process for process in during["processes"])
    assert told["shown"] == [], "the machine's own libvirt shows in the sandbox"
    assert told["was_up"] is (victim not in ("first", "unshare"))
    for what in before:
        assert after[what] == before[what], f"{what} left behind"


def test_after_the_death_of_libvirtd_it_answers_again_and_guests_have_not_noticed(second: Sandbox) -> None:
    start_guest(second)
    qemu = pid_of(second, "qemu-system-x86_64")
    libvirtd = pid_of(second, "libvirtd")
    run(second.enter(["kill", "-9", str(libvirtd)]))
    ask = second.enter(["virsh", "-q", "domstate", "twin"])
    assert eventually(lambda: run(ask, check=False).text.strip() == "running", 5)
    assert pid_of(second, "libvirtd") != libvirtd
    assert pid_of(second, "qemu-system-x86_64") == qemu
    assert run(second.enter(["virsh", "-q", "pool-list", "--name"])).text.strip() == "default"
    assert run(second.enter(["virsh", "-q", "net-list", "--name"])).text.strip() == "default"


def test_virtlogd_comes_back_and_guests_can_be_started(second: Sandbox) -> None:
    virtlogd = pid_of(second, "virtlogd")
    run(second.enter(["kill", "-9", str(virtlogd)]))
    assert eventually(
        lambda: run(second.enter(["pidof", "virtlogd"]), check=False).text.strip() not in ("", str(virtlogd))
    )
    assert eventually(lambda: run(second.enter(["virsh", "create", "/dev/stdin"]), input=GUEST, check=False).code == 0)


def test_orphans_are_reaped(second: Sandbox) -> None:
    run(second.enter(["sh", "-c", "(sleep 0.1 & ) ; exit 0"]))
    states = ["ps", "-eo", "stat="]
    assert eventually(lambda: "Z" not in run(second.enter(states)).text, 3)


def test_a_command_inside_gives_its_own_exit_code(sandbox: Sandbox) -> None:
    assert sandboxes.execute(sandbox.name, ["sh", "-c", "exit 7"]) == 7
    assert sandboxes.execute(sandbox.name, ["sh", "-c", "kill -9 $$"]) == 128 + 9
    assert sandboxes.execute(sandbox.name, ["true"]) == 0


def test_a_command_inside_starts_in_the_root_directory_of_a_host_of_that_name(sandbox: Sandbox) -> None:
    assert run(sandbox.enter(["sh", "-c", "hostname; pwd"])).text.split() == [sandbox.name, "/"]


def test_what_belongs_to_the_whole_machine_cannot_be_written_inside(sandbox: Sandbox) -> None:
    for knob in ("/proc/sys/vm/swappiness", "/sys/kernel/mm/ksm/run"):
        written = run(sandbox.enter(["sh", "-c", 'v=$(cat "$1") && echo "$v" > "$1"', "sh", knob]), check=False)
        assert "Read-only file system" in written.complaint
    own = "/proc/sys/net/ipv4/ip_forward"
    assert run(sandbox.enter(["sh", "-c", 'v=$(cat "$1") && echo "$v" > "$1"', "sh", own])).code == 0


def test_files_written_inside_do_not_reach_the_machine(sandbox: Sandbox) -> None:
    run(sandbox.enter(["sh", "-c", "echo inside > /etc/kvist-sandbox-test"]))
    assert (sandbox.root / "etc/kvist-sandbox-test").read_text() == "inside\n"
    assert not Path("/etc/kvist-sandbox-test").exists()


def test_the_image_cache_is_seen_inside_as_it_changes_and_cannot_be_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(Path("/var/tmp") / tmp_path.name))
    cache = Path("/var/tmp") / tmp_path.name / "kvist"
    name = f"cache-{os.getpid()}"
    try:
        box = sandboxes.up(name, tether=True)
        (cache / "late").write_text("image")
        as_qemu = ["setpriv", "--reuid=65534", "--clear-groups"]
        assert run(box.enter([*as_qemu, "cat", str(cache / "late")])).text == "image"
        assert run(box.enter(["touch", str(cache / "x")]), check=False).code != 0
    finally:
        sandboxes.down(name)
        (cache / "late").unlink(missing_ok=True)
        cache.rmdir()
        cache.parent.rmdir()


def test_a_socket_can_be_made_in_the_network_of_a_sandbox(sandbox: Sandbox) -> None:
    with sandbox.connect("192.168.122.1", 53) as wire:
        assert wire.getpeername() == ("192.168.122.1", 53)
        inode = os.fstat(wire.fileno()).st_ino
        table = Path(f"/proc/{sandbox.pid}/net/tcp").read_text()
        assert str(inode) in table
        assert str(inode) not in Path("/proc/self/net/tcp").read_text()
    with pytest.raises(ConnectionRefusedError):
        sandbox.connect("127.0.0.1", 9)
    with pytest.raises(NotFound):
        namespaces.socket_in(2**22 + 1)


def test_making_a_socket_elsewhere_leaves_this_process_where_it_is(sandbox: Sandbox) -> None:
    before = namespaces.identities()
    with namespaces.socket_in(sandbox.pid, socket.AF_INET, socket.SOCK_DGRAM) as wire:
        assert wire.type == socket.SOCK_DGRAM
    assert namespaces.identities() == before


def test_a_tethered_sandbox_ends_with_the_process_that_started_it() -> None:
    name = f"tethered-{os.getpid()}"
    code = (
        f"from kvist.sandbox import sandbox as s; import time; s.up({name!r}, tether=True); print('up'); time.sleep(60)"
    )
    import subprocess

    with spawn([sys.executable, "-u", "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        inside = namespaces.identities(sandboxes.find(name).pid) - namespaces.identities()
        process.kill()
    assert eventually(lambda: not namespaces.inhabitants(inside), 5)
    assert name not in reservation.names()


def test_a_sandbox_outlives_the_process_that_started_it_without_tether() -> None:
    name = f"lasting-{os.getpid()}"
    try:
        run([sys.executable, "-c", f"from kvist.sandbox import sandbox as s; s.up({name!r})"])
        assert sandboxes.find(name).name == name
    finally:
        assert sandboxes.down(name)


def test_term_switches_a_sandbox_off() -> None:
    name = f"term-{os.getpid()}"
    box = sandboxes.up(name, tether=True)
    inside = namespaces.identities(box.pid) - namespaces.identities()
    os.kill(box.pid, signal.SIGTERM)
    assert eventually(lambda: not namespaces.inhabitants(inside), 5)
    assert not sandboxes.down(name)


def test_somebody_who_stays_in_the_network_of_a_sandbox_is_ended_by_down() -> None:
    name = f"guest-{os.getpid()}"
    box = sandboxes.up(name, tether=True)
    with spawn([*box.network_prefix, "sleep", "60"]) as visitor:
        inside = namespaces.identities(box.pid) - namespaces.identities()
        assert eventually(lambda: visitor.pid in namespaces.inhabitants(inside))
        assert sandboxes.down(name)
        assert visitor.wait(5) == -signal.SIGKILL
    assert namespaces.inhabitants(inside) == []


def test_a_sandbox_that_is_not_up_is_not_found_and_the_error_says_how_to_start_it() -> None:
    with pytest.raises(NotFound) as missing:
        sandboxes.find("nowhere")
    assert missing.value.hint == "kvist sandbox up nowhere"
    assert sandboxes.down("nowhere") is False


def test_a_name_that_another_user_took_is_a_conflict_for_who_wants_it_and_nobody_else(sandbox: Sandbox) -> None:
    import subprocess

    name = f"squatted-{os.getpid()}"
    code = (
        "import socket, time\n"
        "taken = socket.socket(socket.AF_UNIX)\n"
        f"taken.bind(chr(0) + 'kvist-sandbox/{name}')\n"
        "taken.listen()\n"
        "print('taken', flush=True)\n"
        "time.sleep(60)"
    )
    python = str(Path(sys.executable).resolve())
    with spawn(
        ["setpriv", "--reuid=65534", "--clear-groups", python, "-I", "-c", code], stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"taken\n"
        with pytest.raises(Conflict, match="user 65534"):
            sandboxes.up(name)
        assert sandbox in sandboxes.ls()
        other.kill()


def test_a_start_that_fails_says_why_and_leaves_the_name_free(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"broken-{os.getpid()}"
    monkeypatch.setattr(sys, "executable", "/bin/ls")
    with pytest.raises(Failed, match=r'cannot start sandbox "broken-\d+": .*ls'):
        sandboxes.up(name, tether=True)
    assert name not in reservation.names()


def test_a_set_up_that_fails_inside_is_reported_as_one_error() -> None:
    name = f"broken-{os.getpid()}"
    everything = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, everything[1]))
    try:
        with pytest.raises(Failed, match=r'cannot start sandbox "broken-\d+": .*File too large'):
            sandboxes.up(name, tether=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, everything)
    assert name not in reservation.names()


def test_a_start_that_is_interrupted_leaves_nothing() -> None:
    name = f"interrupted-{os.getpid()}"

    def interrupt(step: str) -> None:
        raise KeyboardInterrupt(step)

    with pytest.raises(KeyboardInterrupt):
        sandboxes.up(name, on_progress=interrupt, tether=True)
    assert name not in reservation.names()
    assert not eventually(lambda: name in reservation.names(), 1)


@pytest.mark.parametrize("after", [0.02, 0.08, 0.15])
def test_the_next_up_works_when_the_one_before_was_killed_half_way(after: float) -> None:
    name = f"killed-{os.getpid()}"
    code = f"import sys; from kvist.sandbox import sandbox as s; print('go', flush=True); s.up({name!r})"
    import subprocess

    try:
        with spawn([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"go\n"
            time.sleep(after)
            process.kill()
        box = sandboxes.up(name)
        assert run(box.enter(["virsh", "-q", "net-list", "--name"])).text.strip() == "default"
    finally:
        sandboxes.down(name)
    assert name not in reservation.names()


def test_a_wrong_name_and_another_user_than_root_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Invalid, match="not a name"):
        sandboxes.up("../etc")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(Denied, match="root"):
        sandboxes.up("mine")


def test_it_is_up_in_under_three_seconds() -> None:
    name = f"quick-{os.getpid()}"
    began = time.monotonic()
    try:
        sandboxes.up(name, tether=True)
        assert time.monotonic() - began < 3
    finally:
        sandboxes.down(name)
