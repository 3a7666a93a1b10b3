"""On a real libvirt: what was deleted comes back whole and boots, and nobody's change is lost."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.daemon.test_crash import hit

from kvist.host.run import spawn
from kvist.sandbox.sandbox import Sandbox
from kvist.xml.document import Document

if TYPE_CHECKING:
    from tests.daemon.conftest import Kvist, Traces, Virsh

GUEST = ("create", "kept", "--image", "micro", "--memory", "192M", "--cpus", "1", "--firmware", "efi", "--tpm", "2.0")
PRECIOUS = "mkdir -p /mnt && mount /dev/vda15 /mnt && {} && umount /mnt"
PLACES = ("var/lib/libvirt/images", "var/lib/libvirt/swtpm", "var/lib/libvirt/qemu/nvram")
ROUNDS = 50


def contents(sandbox: Sandbox) -> dict[str, str]:
    """Every byte that a VM has on its host."""
    return {
        str(path.relative_to(sandbox.root)): sha256(path.read_bytes()).hexdigest()
        for top in PLACES
        for path in sorted((sandbox.root / top).rglob("*"))
        if path.is_file()
    }


def definition(virsh: Virsh) -> str:
    return virsh("dumpxml", "--inactive", "--security-info", "kept")


@pytest.fixture
def empty(line: Kvist) -> Iterator[None]:
    yield
    line("trash", "empty", "--yes")


def test_a_deleted_guest_comes_back_to_the_byte_and_boots_with_the_file_that_was_written_in_it(
    line: Kvist, sandbox: Sandbox, virsh: Virsh, clean: Callable[[], Traces], empty: None
) -> None:
    line(*GUEST, "--disk", "60M", "--wait", "agent")
    line("exec", "kept", "--", "sh", "-c", PRECIOUS.format("echo precious > /mnt/file && sync"))
    line("stop", "kept", "--force")
    line("autostart", "kept", "on")
    bytes_before, xml = contents(sandbox), definition(virsh)
    assert any("nvram" in path for path in bytes_before) and any("permall" in path for path in bytes_before)

    line("delete", "kept")
    assert "kept" not in virsh("list", "--all", "--name").split()
    assert not (sandbox.root / "var/lib/libvirt/qemu/nvram/kept_VARS.fd").exists(), "its name is free"
    assert [row["name"] for row in line.json("trash", "ls")] == ["kept"]

    # A new VM may have the name meanwhile, and gets volumes of its own.
    line(*GUEST, "--no-start")
    assert "there is a new VM" in line.refused("trash", "restore", "kept", code=4)
    line("delete", "kept", "--purge")

    line("trash", "restore", "kept")
    assert (contents(sandbox), definition(virsh)) == (bytes_before, xml)
    assert "enable" in virsh("dominfo", "kept").partition("Autostart:")[2].split("\n")[0]
    line("start", "kept")
    line("wait", "kept", "agent")
    shown = line("exec", "kept", "--", "sh", "-c", PRECIOUS.format("cat /mnt/file"))
    assert shown.text.strip() == "precious"
    line("delete", "kept", "--force")
    line("undo")
    line("delete", "kept", "--purge")


def test_snapshots_are_known_again_with_the_one_that_is_current(
    line: Kvist, sandbox: Sandbox, virsh: Virsh, clean: Callable[[], Traces], empty: None
) -> None:
    line("create", "kept", "--image", "micro", "--memory", "128M", "--cpus", "1", "--no-start")
    for name in ("one", "two", "three"):
        virsh("snapshot-create-as", "kept", name)
    virsh("snapshot-revert", "kept", "two")
    tree, current = virsh("snapshot-list", "kept", "--tree"), virsh("snapshot-current", "kept", "--name")
    documents = [virsh("snapshot-dumpxml", "kept", name) for name in ("one", "two", "three")]
    before = contents(sandbox)
    line("delete", "kept")
    line("undo")
    assert (virsh("snapshot-list", "kept", "--tree"), virsh("snapshot-current", "kept", "--name")) == (tree, current)
    assert [virsh("snapshot-dumpxml", "kept", name) for name in ("one", "two", "three")] == documents
    assert contents(sandbox) == before
    virsh("snapshot-revert", "kept", "one")
    line("delete", "kept", "--purge")


def test_the_trash_that_is_emptied_leaves_nothing_and_no_other_vm_is_touched(
    line: Kvist, clean: Callable[[], Traces], empty: None
) -> None:
    before = clean()
    line(*GUEST)
    line("delete", "kept", "--force")
    assert clean().files != before.files
    line(*GUEST, "--no-start")
    beside = clean()
    line("trash", "empty", "--yes")
    assert len(beside.files) > len(clean().files) > len(before.files)
    assert line.json("start", "kept")["changed"] is True, "the new one has all that it needs"
    line("delete", "kept", "--force", "--purge")
    assert clean() == before
    assert "it was deleted with --purge" in line.refused("undo", code=4)


def test_what_a_guest_wrote_on_its_serial_port_goes_with_it_and_not_before(
    line: Kvist, sandbox: Sandbox, virsh: Virsh, clean: Callable[[], Traces], empty: None
) -> None:
    def logs() -> set[str]:
        return {path.name for path in (sandbox.root / "var/log/libvirt/qemu").glob("kept-*-serial0.log*")}

    before = logs()
    line.refused("create", "kept", "--image", "micro", "--nic", "default,model=spapr-vlan", code=1)
    assert logs() == before, "a create that is taken back leaves none"
    line("create", "kept", "--image", "micro", "--memory", "128M", "--cpus", "1")
    mine = next(iter(logs() - before))
    (sandbox.root / "var/log/libvirt/qemu" / f"{mine}.0").write_text("turned")
    line("delete", "kept", "--force")
    assert {mine, f"{mine}.0"} <= logs(), "it comes back with the VM"
    line("trash", "empty", "--yes")
    assert logs() == before
    line("create", "kept", "--image", "micro", "--memory", "128M", "--cpus", "1")
    line("delete", "kept", "--force", "--purge")
    assert logs() == before
    assert not any(name.startswith("kvist-strays") for name in virsh("pool-list", "--all", "--name").split())


@pytest.mark.parametrize("when", ["0", "-1", "1", "-2", "2", "-3", "3", "end"])
def test_a_delete_into_the_trash_that_is_killed_has_not_happened(
    line: Kvist, sandbox: Sandbox, virsh: Virsh, clean: Callable[[], Traces], empty: None, when: str
) -> None:
    line(*GUEST)
    xml = definition(virsh)
    line("stop", "kept", "--force")
    before = contents(sandbox)
    line("start", "kept")
    assert hit(line, when, "SIGKILL", "delete", "kept", "--force").code == -signal.SIGKILL
    assert "kept" in line("ls", "-o", "name").text.split()
    assert line.notes() == [] and line.json("trash", "ls") == []
    assert definition(virsh) == xml
    assert contents(sandbox).keys() == before.keys()
    line("delete", "kept", "--force", "--purge")


@pytest.mark.parametrize("when", ["0", "-1", "1", "-2", "2", "end"])
def test_an_undo_of_a_delete_that_is_killed_can_be_repeated(
    line: Kvist, sandbox: Sandbox, virsh: Virsh, clean: Callable[[], Traces], empty: None, when: str
) -> None:
    line(*GUEST)
    line("stop", "kept", "--force")
    before, xml = contents(sandbox), definition(virsh)
    line("delete", "kept")
    assert hit(line, when, "SIGKILL", "undo").code == -signal.SIGKILL
    assert "kept" not in line("ls", "-o", "name").text.split()
    assert line.notes() == []
    line("undo")
    assert (contents(sandbox), definition(virsh)) == (before, xml)
    line("delete", "kept", "--purge")


def test_two_kvists_and_virsh_change_one_vm_at_once_and_nothing_is_lost(
    line: Kvist, sandbox: Sandbox, virsh: Virsh, clean: Callable[[], Traces], empty: None
) -> None:
    line("create", "kept", "--memory", "64M", "--cpus", "1", "--pxe", "--no-start")
    program = str(Path(sys.executable).with_name("kvist"))
    for number in range(ROUNDS):
        title, description, memory = f"title {number}", f"words {number}", 32 + number % 16
        three = [
            [program, "set", "kept", "--title", title],
            [program, "set", "kept", "--memory", f"{memory}M"],
            sandbox.enter(["virsh", "-q", "desc", "kept", "--config", "--new-desc", description]),
        ]
        running = []
        for position, words in enumerate(three):
            # virsh is a tenth of a second faster: it is to come at any moment of the others' work.
            if position == 2:
                time.sleep(0.003 * number)
            running.append(spawn(words, env=line.env, stdout=subprocess.DEVNULL))
        codes = []
        for each in running:
            with each:
                codes.append(each.wait(60))
        assert codes == [0, 0, 0]
        xml = definition(virsh)
        found = (f"<title>{title}</title>" in xml, f"<description>{description}</description>" in xml,
                 f"<currentMemory unit='KiB'>{memory << 10}</currentMemory>" in xml)  # fmt: skip
        assert found == (True, True, True), f"round {number}: {xml}"
    line("delete", "kept", "--purge")


def test_two_kvists_on_one_vm_queue_and_say_so_and_one_can_be_told_not_to_wait(
    line: Kvist, sandbox: Sandbox, clean: Callable[[], Traces], empty: None
) -> None:
    line("create", "kept", "--image", "micro", "--memory", "128M", "--cpus", "1")
    line("create", "other", "--memory", "64M", "--cpus", "1", "--pxe", "--no-start")
    program = str(Path(sys.executable).with_name("kvist"))
    # A guest that has not booted yet does not hear that it is to shut down.
    with spawn([program, "stop", "kept", "--timeout", "6s"], env=line.env, stdout=subprocess.DEVNULL) as first:
        time.sleep(1)
        began = time.monotonic()
        assert "is busy with VM" in line.refused("autostart", "kept", "on", "--lock-timeout", "0.2s", code=5)
        assert line.json("autostart", "other", "on")["changed"] is True
        assert time.monotonic() - began < 3
        waited = line("autostart", "kept", "on")
        assert 'which is busy with VM "kept"' in waited.err.decode()
        assert first.wait(30) == 0
    line("delete", "kept", "other", "--force", "--purge")


def test_a_kvist_that_is_killed_with_a_lock_keeps_nobody_out(
    line: Kvist, sandbox: Sandbox, clean: Callable[[], Traces], empty: None
) -> None:
    line("create", "kept", "--memory", "64M", "--cpus", "1", "--pxe", "--no-start")
    assert hit(line, "0", "SIGKILL", "autostart", "kept", "on").code == -signal.SIGKILL
    assert line.json("autostart", "kept", "on", "--lock-timeout", "0s")["changed"] is True
    left = [path.name for path in Path("/run/kvist/locks").iterdir() if f"proc%2F{sandbox.pid}%2F" in path.name]
    assert left == []
    line("delete", "kept", "--purge")


def test_undo_of_a_set_gives_back_identical_documents_of_a_running_guest(
    line: Kvist, virsh: Virsh, clean: Callable[[], Traces], empty: None
) -> None:
    line("create", "kept", "--image", "micro", "--memory", "128M", "--cpus", "1", "--wait", "agent")
    stored, live = definition(virsh), virsh("dumpxml", "--security-info", "kept")
    line("set", "kept", "--title", "the shop", "--description", "sells", "--memory", "100M", "--on-crash", "restart")
    assert definition(virsh) != stored and virsh("dumpxml", "--security-info", "kept") != live
    line("undo")
    assert (definition(virsh), virsh("dumpxml", "--security-info", "kept")) == (stored, live)
    # libvirt declares the namespace of metadata that is set while a VM runs on each of its elements.
    line("set", "kept", "--tags", "prod")
    line("undo")
    assert definition(virsh) == stored
    assert Document.parse(virsh("dumpxml", "--security-info", "kept")) == Document.parse(live)
    assert line("log", "kept", "--limit", "4").text.count("kvist set kept") == 2
    line("delete", "kept", "--force", "--purge")


def test_nothing_that_something_in_the_trash_lies_on_is_removed_and_nothing_there_that_is_in_use_again(
    line: Kvist, virsh: Virsh, clean: Callable[[], Traces], empty: None
) -> None:
    line("create", "kept", "--image", "micro", "--memory", "64M", "--cpus", "1", "--no-start")
    line("delete", "kept")
    assert 'VM "kept" in the trash lies on top of it' in line.refused("image", "remove", "micro", code=1)
    assert [step for step in line.json("image", "prune")["steps"] if "micro" in step] == []
    disk = "/var/lib/libvirt/images/kept.qcow2"
    line("create", "heir", "--disk", disk, "--memory", "64M", "--cpus", "1", "--no-start")
    told = line("trash", "empty").err.decode()
    assert 'volume "default/kept.qcow2" stays' in told
    assert disk in virsh("vol-list", "default")
    line("delete", "heir", "--disk", "vda", "--purge")
