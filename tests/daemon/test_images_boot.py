"""Images on a real host, and that guests made of them boot, on either firmware."""

from __future__ import annotations

import hashlib
import lzma
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kvist.host.run import run
from kvist.resources.hosts.host import Host
from kvist.sandbox.sandbox import Sandbox

if TYPE_CHECKING:
    from tests.daemon.conftest import Kvist, Traces

LOGIN = ("--send", r"\n", "--expect", "login: ", "--timeout", "90s")
MICRO = ("--image", "micro", "--memory", "128M", "--cpus", "1")


def test_an_image_is_built_once(line: Kvist) -> None:
    again = line.json("image", "build", "micro")
    assert (again["changed"], again["steps"]) == (False, [])
    shown = line.json("image", "show", "micro")
    assert (shown["arch"], shown["user"], shown["firmware"]) == ("x86_64", "root", ["bios", "uefi"])


def test_an_image_under_vms_is_neither_removed_nor_pruned(line: Kvist, host: Host, clean: Callable[[], Traces]) -> None:
    before = clean()
    line("create", "above", *MICRO, "--no-start")
    assert 'VM "above" lies on top of it' in line.refused("image", "remove", "micro", code=1)
    assert [step for step in line.json("image", "prune")["steps"] if "micro" in step] == []
    line("delete", "above", "--purge")
    assert clean() == before


@pytest.fixture
def packed(line: Kvist) -> Iterator[tuple[Path, str]]:
    """A raw disk of one MiB, compressed, and its SHA-256."""
    path = line.home / "small.raw.xz"
    path.write_bytes(lzma.compress(b"\xaa" * (1 << 20)))
    yield path, hashlib.sha256(path.read_bytes()).hexdigest()
    path.unlink()


def test_a_packed_image_is_added_only_when_its_checksum_is_right_and_only_once(
    line: Kvist, packed: tuple[Path, str], clean: Callable[[], Traces]
) -> None:
    before = clean()
    path, digest = packed
    wrong = line.refused("image", "add", str(path), "--sha256", "0" * 64, code=1)
    assert digest in wrong or "SHA-256" in wrong
    assert clean() == before
    assert "--sha256" in line.refused("image", "add", str(path), "--sha256", "abc", code=2)
    assert line.json("image", "add", str(path), "--sha256", digest)["changed"] is True
    assert line.json("image", "add", str(path), "--sha256", digest)["changed"] is False
    shown = line.json("image", "show", "small")
    assert (shown["size"], shown["sha256"]) == (1 << 20, digest)
    line("create", "tiny", "--image", "small", "--memory", "64M", "--no-start")
    assert "lies on" in line.refused("image", "remove", "small", code=1)
    line("delete", "tiny", "--purge")
    assert line.json("image", "remove", "small")["changed"] is True
    assert line.json("image", "remove", "small")["changed"] is False


@pytest.mark.parametrize("content", [b"", lzma.compress(b"\xaa" * (1 << 20))[:-40]], ids=["empty", "cut off"])
def test_a_file_that_is_no_image_is_refused_and_nothing_is_half_written(
    line: Kvist, clean: Callable[[], Traces], content: bytes
) -> None:
    path = line.home / "broken.raw.xz"
    path.write_bytes(content)
    told = line.refused("image", "add", str(path), code=1)
    assert "error: " in told and "broken" in told and "stumbled" not in told
    assert "broken" not in line("image", "ls", "-o", "name").text.split()
    path.unlink()


@pytest.fixture
def small_pool(sandbox: Sandbox, virsh: Callable[..., str]) -> Iterator[str]:
    """A pool with room for 16 MiB."""
    run(sandbox.enter(["mkdir", "/srv/small"]))
    run(sandbox.enter(["mount", "-t", "tmpfs", "-o", "size=16m", "none", "/srv/small"]))
    virsh("pool-define-as", "small", "dir", "--target", "/srv/small")
    virsh("pool-start", "small")
    yield "small"
    virsh("pool-destroy", "small")
    virsh("pool-undefine", "small")
    run(sandbox.enter(["umount", "/srv/small"]))
    run(sandbox.enter(["rmdir", "/srv/small"]))


def test_a_full_pool_is_told_and_nothing_is_half_written(
    line: Kvist, sandbox: Sandbox, small_pool: str, clean: Callable[[], Traces]
) -> None:
    before = clean()
    large = line.home / "large.raw"
    large.write_bytes(b"\xaa" * (24 << 20))
    for words in ((*MICRO, "--full", "--disk", f"60M,pool={small_pool}"),
                  ("--disk", f"{large},pool={small_pool}", "--memory", "64M")):  # fmt: skip
        told = line("create", "full", *words, "-o", "json", code=1).err.decode()
        assert '"exhausted"' in told and "space" in told
        assert clean() == before
        assert list((sandbox.root / "srv/small").iterdir()) == []
    large.unlink()


def boots(line: Kvist, name: str, *words: str, memory: str = "128M") -> None:
    line("create", name, "--image", "micro", "--memory", memory, "--cpus", "1", *words)
    try:
        line("console", name, *LOGIN)
    finally:
        line("delete", name, "--force", "--purge")


def test_a_full_copy_boots_by_bios_and_has_its_other_disks(line: Kvist, clean: Callable[[], Traces]) -> None:
    words = ("--full", "--disk", "100M", "--disk", "1G", "--disk", "2G,bus=scsi")
    line("create", "copied", *MICRO, *words)
    line("wait", "copied", "agent")
    told = line(
        "exec",
        "copied",
        "--no-stdin",
        "--",
        "sh",
        "-c",
        "cat /sys/block/vd?/size; for i in a b; do echo $(cat /sys/block/vd$i/serial); done",
    ).text
    assert told.split() == [str((100 << 20) // 512), str((1 << 30) // 512), "copied-vda", "copied-vdb"]
    shown = line.json("show", "copied")
    assert [disk["backing"] for disk in shown["disks"] if disk["device"] == "disk"] == [None, None, None]
    line("delete", "copied", "--force", "--purge")


def test_it_boots_by_uefi_with_a_tpm(line: Kvist, sandbox: Sandbox, clean: Callable[[], Traces]) -> None:
    line("create", "modern", "--image", "micro", "--memory", "192M", "--cpus", "1", "--firmware", "efi", "--tpm", "2.0")
    line("console", "modern", *LOGIN)
    assert list((sandbox.root / "var/lib/libvirt/qemu/nvram").glob("modern*"))
    line("wait", "modern", "agent")
    told = line("exec", "modern", "--no-stdin", "--", "sh", "-c", "ls -d /sys/firmware/efi").text
    assert told.strip() == "/sys/firmware/efi"
    line("delete", "modern", "--force", "--purge")


def test_secure_boot_starts_nothing_that_is_not_signed(line: Kvist, clean: Callable[[], Traces]) -> None:
    line(
        "create",
        "signed",
        "--image",
        "micro",
        "--memory",
        "256M",
        "--cpus",
        "1",
        "--secure-boot",
        "on",
        "--graphics",
        "none",
    )
    told = line("console", "signed", "--expect", "Access Denied|Security Violation", "--timeout", "90s").text
    assert "login: " not in told
    line("delete", "signed", "--force", "--purge")


def test_an_old_board_boots_with_disk_and_seed_on_ide(line: Kvist, clean: Callable[[], Traces]) -> None:
    boots(line, "old", "--machine", "pc")
