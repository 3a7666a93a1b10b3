"""Verbs of every day on a guest that runs: saved and restored, dumped, protected, watched."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kvist.sandbox.sandbox import Sandbox

if TYPE_CHECKING:
    from tests.daemon.conftest import Kvist

VM = "everyday"


@pytest.fixture(scope="module")
def guest(line: Kvist) -> Iterator[str]:
    line("create", VM, "--image", "micro", "--memory", "128M", "--cpus", "1")
    line("wait", VM, "agent", "--timeout", "90s")
    yield VM
    line("unprotect", VM)
    line("delete", VM, "--force", "--purge")


def inside(line: Kvist, script: str) -> str:
    return line("exec", VM, "--no-stdin", "--", "sh", "-c", script).text.strip()


def test_a_saved_guest_goes_on_where_it_was(line: Kvist, guest: str) -> None:
    inside(line, "echo kept > /run/kept")
    booted = inside(line, "cat /proc/sys/kernel/random/boot_id")
    assert line.json("save", guest)["changed"] is True
    assert line.json("save", guest)["changed"] is False
    shown = line.json("show", guest)
    assert (shown["state"], shown["saved"]) == ("saved", True)
    assert [row["state"] for row in line.json("ls") if row["name"] == guest] == ["saved"]
    told = line.json("start", guest)
    assert [(each["before"], each["after"]) for each in told["changes"]] == [("saved", "running")]
    line("wait", guest, "agent")
    assert inside(line, "cat /run/kept; cat /proc/sys/kernel/random/boot_id").split() == ["kept", booted]
    line("save", guest)
    assert line.json("restore", guest)["changed"] is True
    assert line.json("restore", guest)["changed"] is False
    line("wait", guest, "agent")
    assert inside(line, "cat /proc/sys/kernel/random/boot_id") == booted


def test_its_memory_is_dumped_into_a_file_of_this_machine(line: Kvist, guest: str, sandbox: Sandbox) -> None:
    file = line.home / "guest.core"
    line("dump", guest, str(file))
    with file.open("rb") as core:
        head = core.read(64)
    assert head[:4] == b"\x7fELF" and struct.unpack_from("<H", head, 16)[0] == 4, "an ELF core file"
    assert file.stat().st_size >= 128 << 20
    assert file.stat().st_mode & 0o077 == 0, "nobody else reads a guest's secrets"
    assert "there already" in line.refused("dump", guest, str(file), code=1)
    assert list((sandbox.root / "var/lib/libvirt/qemu/dump").iterdir()) == []
    assert line.json("show", guest)["state"] == "running"
    file.unlink()


def test_a_protected_guest_is_not_deleted(line: Kvist, guest: str) -> None:
    assert line.json("protect", guest)["changed"] is True
    assert line.json("protect", guest)["changed"] is False
    assert f"kvist unprotect {guest}" in line.refused("delete", guest, "--force", code=4)
    assert line.json("show", guest)["state"] == "running"
    assert line.json("unprotect", guest)["changed"] is True
    assert line.json("unprotect", guest)["changed"] is False


def test_what_it_wrote_on_its_serial_port_can_be_read_later(line: Kvist, guest: str) -> None:
    inside(line, "echo written-while-nobody-looked > /dev/ttyS0")
    end = time.monotonic() + 10
    while "written-while-nobody-looked" not in (told := line("console", guest, "--log").text):
        assert time.monotonic() < end, told
        time.sleep(0.2)
    assert "micro: up at" in told, "from its boot on"


def test_its_load_its_events_and_its_screen_are_told(line: Kvist, guest: str, tmp_path: Path) -> None:
    heard = tmp_path / "events"
    program = [str(Path(sys.executable).with_name("kvist")), "events", guest, "--for", "6s", "-o", "json"]
    with heard.open("wb") as out, subprocess.Popen(program, stdout=out, env=line.env) as listening:
        time.sleep(1.5)
        line("suspend", guest)
        line("resume", guest)
        (load,) = (row for row in line.json("top", "--once", "--interval", "1s") if row["name"] == guest)
        assert listening.wait(30) == 0
    told = [json.loads(row) for row in heard.read_text().splitlines()]
    assert [(each["name"], each["what"]) for each in told if each["kind"] == "lifecycle"] == [
        (guest, "suspended"),
        (guest, "resumed"),
    ]
    assert load["memory"] == 128 << 20 and load["cpus"] == 1
    assert 0 < load["used"] < 128 << 20 < load["resident"]
    screen = line("vnc", guest)
    assert screen.text.startswith("vnc://127.0.0.1:59") and "nsenter" in screen.err.decode()
