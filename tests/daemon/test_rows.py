"""Rows of the notebook, each line typed twice; and every operation undone to the letter."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from kvist.engine.plan import Plan
from kvist.errors import KvistError
from kvist.resources.hosts.host import Host
from kvist.sandbox.sandbox import Sandbox
from kvist.specs.disk import Disk
from kvist.specs.vm import Vm
from kvist.values import Size

if TYPE_CHECKING:
    from tests.daemon.conftest import Kvist, Traces

MICRO = ("--image", "micro", "--memory", "128M", "--cpus", "1")
GUEST = "rows"
LOGIN = ("--send", r"\n", "--expect", "login: ")


@pytest.fixture(scope="module")
def guest(line: Kvist) -> Iterator[str]:
    """A guest that is up."""
    line("create", GUEST, *MICRO, "--wait", "agent")
    yield GUEST
    line("delete", GUEST, "--force", "--purge")


def nothing(line: Kvist, *words: str) -> None:
    """The line has been typed before: it answers that there is nothing to do, as data and as words."""
    again = line.json(*words)
    assert (again["changed"], again["changes"], again["steps"]) == (False, [], [])
    assert line(*words).text == "nothing to do\n"


def test_row_1_what_the_check_says_of_kvm_is_what_a_new_vm_runs_on(line: Kvist, host: Host, guest: str) -> None:
    from json import loads

    from kvist.host.run import run

    told = run([str(Path(sys.executable).with_name("kvist")), "host", "check", "-o", "json"], env=line.env, check=False)
    rows = {row["check"]: row for row in loads(told.text)}
    assert {"processor", "kernel module", "device", "permission", "guest"} <= rows.keys()
    assert all(row["proof"] for row in rows.values())
    inside = Path(f"/proc/{host.place.sandbox.pid}/root/dev/kvm").exists() if host.place.sandbox else False
    assert host.vm(guest).spec.virt == ("kvm" if rows["guest"]["ok"] and inside else "qemu")


def test_row_5_a_file_that_qemu_may_not_come_to_is_opened_by_an_access_list_and_closed_again(
    line: Kvist, host: Host, sandbox: Sandbox, clean: Callable[[], Traces]
) -> None:
    closed = sandbox.root / "srv/closed"
    deep = closed / "deep"
    deep.mkdir(parents=True)
    for each in (closed, deep):
        each.chmod(0o700)
    image = next((sandbox.root / "var/lib/libvirt/kvist-images").glob("micro-*.qcow2"))
    (deep / "own.qcow2").write_bytes(image.read_bytes())
    create = ("create", "row5", "--disk", "/srv/closed/deep/own.qcow2", "--memory", "128M", "--cpus", "1")
    try:
        told = line("create", *create[1:], "--dry-run").text
        assert "let QEMU's user" in told and "/srv/closed, /srv/closed/deep" in told and "/proc/" not in told
        assert lists(closed, deep) == [False, False]
        first = line.json(*create)
        assert {change["object"] for change in first["changes"] if change["field"] == "access list"} == {
            "/srv/closed",
            "/srv/closed/deep",
        }
        assert lists(closed, deep) == [True, True]
        line("console", "row5", *LOGIN)
        nothing(line, *create)
        line("delete", "row5", "--force", "--purge")
        assert (deep / "own.qcow2").exists()
        for each in (closed, deep):
            os.removexattr(each, "system.posix_acl_access")
            each.chmod(0o700)
        plan = host.vms.create.plan("row5", Vm(memory=Size(128 << 20)), disk=(Disk(path=create[3]),), start=False)
        done_and_undone(plan, host)
        assert lists(closed, deep) == [False, False]
        assert [each.stat().st_mode & 0o777 for each in (closed, deep)] == [0o700, 0o700]
    finally:
        (deep / "own.qcow2").unlink()
        deep.rmdir()
        closed.rmdir()


def lists(*directories: Path) -> list[bool]:
    return ["system.posix_acl_access" in os.listxattr(each) for each in directories]


def done_and_undone(plan: Plan, host: Host) -> None:
    for step in plan:
        step.apply(host.site)
    for step in reversed(plan.steps):
        if step.reversible:
            step.undo(host.site)


def test_row_8_a_medium_and_a_screen(line: Kvist, clean: Callable[[], Traces], sandbox: Sandbox) -> None:
    from kvist.guest.iso import pack
    from kvist.guest.picture import png_size

    iso = sandbox.root / "srv/medium.iso"
    iso.write_bytes(pack("MEDIUM", {"readme.txt": b"nothing to boot\n"}))
    words = ("create", "row8", "--cdrom", "/srv/medium.iso", "--graphics", "vnc", "--memory", "64M", "--disk", "1G")
    try:
        assert line.json(*words)["changed"] is True
        nothing(line, *words)
        shown = line.json("show", "row8")
        assert shown["graphics"][0].startswith("vnc://127.0.0.1:59")
        assert [disk["source"] for disk in shown["disks"] if disk["device"] == "cdrom"] == ["/srv/medium.iso"]
        line("screenshot", "row8", "row8.png")
        width, height = png_size((line.home / "row8.png").read_bytes())
        assert width >= 640 and height >= 400
        assert line.json("delete", "row8", "--force", "--purge")["changed"] is True
        assert iso.exists()
    finally:
        iso.unlink()


def test_row_9_a_list_tells_state_address_processors_memory_disk_and_uptime(line: Kvist, guest: str) -> None:
    line("wait", guest, "ip")
    row = next(row for row in line.json("ls") if row["name"] == guest)
    assert (row["state"], row["cpus"], row["memory"]) == ("running", 1, 128 << 20)
    assert row["address"].startswith("192.168.122.") and row["disk"] > 0 and row["uptime"] > 0
    assert guest in line("ls").text


def test_row_10_a_running_vm_is_not_deleted_unless_told_so_and_never_with_a_disk_of_others(
    line: Kvist, host: Host, sandbox: Sandbox, clean: Callable[[], Traces]
) -> None:
    line("create", "row10", *MICRO, "--firmware", "efi", "--memory", "192M", "--tpm", "2.0", "--disk", "60M")
    before = clean()
    assert "--force" in line.refused("delete", "row10", code=4)
    assert clean() == before
    line("create", "onto", "--memory", "128M", "--disk", "/var/lib/libvirt/images/row10.qcow2", "--no-start", code=2)
    assert line.json("delete", "row10", "--force", "--purge")["changed"] is True
    nothing(line, "delete", "row10", "--force", "--purge")


def test_row_11_the_console_answers_twice(line: Kvist, guest: str) -> None:
    for _ in range(2):
        assert "login: " in line("console", guest, *LOGIN).text


def test_row_15_a_guest_without_a_card_has_none(line: Kvist, host: Host, clean: Callable[[], Traces]) -> None:
    words = ("create", "row15", *MICRO, "--nic", "none")
    assert line.json(*words)["changed"] is True
    nothing(line, *words)
    assert host.vm("row15").spec.nics == ()
    line("wait", "row15", "agent")
    assert line("exec", "row15", "--no-stdin", "ls", "/sys/class/net").text.split() == ["lo"]
    line("delete", "row15", "--force", "--purge")


def test_row_20_power_twice_each(line: Kvist, guest: str) -> None:
    for verb in (("suspend",), ("resume",), ("autostart", "on"), ("autostart", "off")):
        words = (verb[0], guest, *verb[1:])
        assert line.json(*words)["changed"] is True
        nothing(line, *words)
    assert line.json("reboot", guest)["changed"] is True
    line("console", guest, "--expect", "login: ", "--timeout", "60s")
    assert line.json("reset", guest)["changed"] is True
    line("console", guest, "--expect", "login: ", "--timeout", "60s")
    assert line.json("stop", guest)["changed"] is True
    nothing(line, "stop", guest)
    assert "kvist start" in line.refused("reboot", guest, code=1)
    assert "kvist start" in line.refused("suspend", guest, code=1)
    assert "kvist start" in line.refused("resume", guest, code=1)
    assert line.json("start", guest)["changed"] is True
    nothing(line, "start", guest)
    assert line.json("suspend", guest)["changed"] is True
    assert "kvist resume" in line.refused("stop", guest, code=1)
    assert line.json("start", guest)["changed"] is True
    assert line.json("stop", guest, "--force")["changed"] is True
    nothing(line, "stop", guest, "--force")
    line("start", guest)


def test_row_20_a_guest_that_does_not_listen_is_forced_off_in_the_time_that_is_given(
    line: Kvist, clean: Callable[[], Traces]
) -> None:
    line("create", "deaf", "--pxe", "--nic", "default,boot_order=1", "--memory", "64M")
    line("stop", "deaf", "--timeout", "2s")
    assert line.json("show", "deaf")["state"] == "off"
    line("delete", "deaf", "--purge")


def test_row_21_a_disk_in_place_and_a_disk_on_an_image(
    line: Kvist, host: Host, sandbox: Sandbox, clean: Callable[[], Traces]
) -> None:
    own = sandbox.root / "srv/base.qcow2"
    own.write_bytes(next((sandbox.root / "var/lib/libvirt/kvist-images").glob("micro-*.qcow2")).read_bytes())
    words = ("create", "row21", "--disk", "/srv/base.qcow2", "--memory", "128M", "--cpus", "1")
    try:
        assert line.json(*words)["changed"] is True
        nothing(line, *words)
        assert [disk.file for disk in host.vm("row21").spec.disks] == ["/srv/base.qcow2"]
        line("console", "row21", *LOGIN)
        told = line.refused("create", "second", *words[2:], code=2)
        assert '"/srv/base.qcow2" is in use by VM "row21"' in told
        line("delete", "row21", "--force", "--purge")
        assert own.exists()
    finally:
        own.unlink()


def test_an_image_that_vms_lie_on_is_never_written_to(line: Kvist, guest: str, clean: Callable[[], Traces]) -> None:
    path = line.json("image", "show", "micro")["path"]
    assert "lies on" in line.refused("create", "bad", "--disk", path, "--memory", "128M", code=2)


def test_row_50_no_line_shows_xml_unless_asked(line: Kvist, clean: Callable[[], Traces]) -> None:
    plain = line("create", "row50", *MICRO, "--no-start")
    assert "<" not in plain.text + plain.err.decode()
    asked = line("delete", "row50", "--dry-run", "--show-virsh", "--purge").err.decode()
    assert "virsh undefine row50 --nvram" in asked and "virsh vol-delete" in asked
    line("delete", "row50", "--purge")


class Case(NamedTuple):
    """An operation, and the state of VM "same" that it needs."""

    operation: str
    state: str
    words: tuple[object, ...] = ()
    there: str = "same"


CASES = (
    Case("start", "off"),
    Case("start", "paused"),
    Case("suspend", "running"),
    Case("resume", "paused"),
    Case("autostart", "off", (True,)),
    Case("autostart", "running", (True,)),
    Case("rename", "off", ("other",)),
    Case("delete", "off"),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.operation} when {case.state}")
def test_an_operation_is_done_once_and_undone_to_the_letter(
    host: Host, virsh: Callable[..., str], clean: Callable[[], Traces], case: Case
) -> None:
    host.vms.create("same", Vm(memory=Size(64 << 20), cpus=1), pxe=True, start=False)
    if case.state != "off":
        host.vm("same").start()
    if case.state == "paused":
        host.vm("same").suspend()
    before = picture(virsh)
    operation = getattr(host.vm("same"), case.operation)
    plan: Plan = operation.plan(*case.words)
    assert plan.steps
    for step in plan:
        step.apply(host.site)
        step.verify(host.site)
    assert picture(virsh) != before
    assert not operation.plan(*case.words)
    for step in plan:
        step.apply(host.site)
    assert not operation.plan(*case.words)
    for _ in range(2):
        for step in reversed(plan.steps):
            step.undo(host.site)
        assert picture(virsh) == before
    host.vm("same").delete(force=True)


def picture(virsh: Callable[..., str]) -> list[str]:
    names = virsh("list", "--all", "--name").split()
    return [
        virsh("list", "--all", "--autostart", "--name"),
        *(f"{name} {virsh('domstate', name)}" for name in names),
    ] + [virsh("dumpxml", "--inactive", name) for name in names]


def test_a_create_that_fails_at_its_last_step_leaves_nothing(
    host: Host, sandbox: Sandbox, clean: Callable[[], Traces]
) -> None:
    before = clean()
    with pytest.raises(KvistError, match=r'cannot start VM "fails": .*no-such-option'):
        host.vms.create(
            "fails",
            Vm(memory=Size(64 << 20), cpus=1, qemu_args=("-no-such-option",)),
            disk=(Disk(size=Size(1 << 20)), Disk(size=Size(1 << 20))),
            pxe=True,
            run=("true",),
        )
    assert clean() == before
