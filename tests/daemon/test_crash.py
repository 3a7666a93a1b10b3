"""Everything that can die in the middle of things does; the next command finds a host in order."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kvist.host.run import Result, run
from kvist.sandbox.sandbox import Sandbox

if TYPE_CHECKING:
    from tests.daemon.conftest import Kvist, Traces

SCRIPT = str(Path(__file__).with_name("killed_kvist.py"))
CREATE = ("create", "crash", "--image", "micro", "--memory", "128M", "--cpus", "1", "--disk", "1G", "--autostart", "on")
STEPS = 5
"""Volume, seed, definition, start, autostart."""
MOMENTS = [*(str(step) for step in range(STEPS)), *(f"-{step}" for step in range(1, STEPS)), "upload", "end"]


def hit(line: Kvist, when: str, what: str, *words: str, pid: int = 0) -> Result:
    """Run a kvist that is hit."""
    return run(
        [sys.executable, SCRIPT, when, what, *([str(pid)] if pid else []), "--", *words],
        env=line.env,
        cwd=line.home,
        check=False,
        timeout=60,
    )


def names(line: Kvist) -> list[str]:
    return line("ls", "-o", "name").text.split()


def process(sandbox: Sandbox, word: bytes) -> int:
    """Find a process of the sandbox by a word of its command line, and give its number out here."""
    inside = os.readlink(f"/proc/{sandbox.pid}/ns/pid")
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                ours = os.readlink(entry / "ns/pid") == inside
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:  # it has just ended
                continue
            if ours and any(each.endswith(word) or each.startswith(word + b",") for each in words):
                return int(entry.name)
    raise AssertionError(f"no process {word!r} in the sandbox")


def test_the_plan_has_the_steps_that_are_killed_here(line: Kvist) -> None:
    assert len(line.json(*CREATE, "--dry-run")["would"]) == STEPS


@pytest.mark.parametrize("when", MOMENTS)
def test_a_create_that_is_killed_is_taken_back_by_the_next_command_and_can_be_repeated(
    line: Kvist, clean: Callable[[], Traces], when: str
) -> None:
    before = clean()
    assert hit(line, when, "SIGKILL", *CREATE).code == -signal.SIGKILL
    assert len(line.notes()) == 1
    assert "crash" not in names(line)
    assert clean() == before
    assert line.notes() == []
    assert line.json(*CREATE, "--no-start")["changed"] is True
    line("delete", "crash", "--purge")


@pytest.mark.parametrize("when", ["0", "1", "-1", "2", "-2", "3", "-3", "end"])
def test_a_delete_that_is_killed_is_finished_or_never_begun(
    line: Kvist, clean: Callable[[], Traces], when: str
) -> None:
    before = clean()
    line(*CREATE, "--firmware", "efi", "--memory", "192M")
    whole = clean().files
    steps = len(line.json("delete", "crash", "--force", "--dry-run", "--purge")["would"])
    assert steps == 4
    assert hit(line, when, "SIGKILL", "delete", "crash", "--force", "--purge").code == -signal.SIGKILL
    if "crash" in names(line):
        assert clean().files == whole
        line("delete", "crash", "--force", "--purge")
    else:
        assert clean() == before
    assert line.notes() == []


@pytest.mark.parametrize(("what", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
@pytest.mark.parametrize("when", ["0", "upload", "3", "4"])
def test_a_create_that_is_stopped_takes_back_what_it_began(
    line: Kvist, clean: Callable[[], Traces], when: str, what: str, code: int
) -> None:
    before = clean()
    done = hit(line, when, what, *CREATE)
    assert done.code == code
    assert b"stopped; what was begun has been taken back" in done.err
    assert clean() == before
    assert line.notes() == []


@pytest.mark.parametrize("when", ["0", "upload", "2", "3", "4"])
def test_a_libvirtd_that_is_killed_during_create_leaves_no_half_of_a_vm(
    line: Kvist, sandbox: Sandbox, clean: Callable[[], Traces], when: str
) -> None:
    before = clean()
    done = hit(line, when, "libvirtd", *CREATE, pid=process(sandbox, b"libvirtd"))
    told = done.err.decode()
    assert done.code == 1, told
    assert "error: " in told and "stumbled" not in told and "Traceback" not in told
    answering(line)
    assert "crash" not in names(line)
    assert clean() == before
    assert line.notes() == []
    assert line.json(*CREATE, "--no-start")["changed"] is True
    line("delete", "crash", "--purge")


def answering(line: Kvist, seconds: float = 15) -> None:
    """Wait until the new libvirtd answers: the sandbox lets one that dies often wait longer."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if run([str(Path(sys.executable).with_name("kvist")), "ls"], env=line.env, check=False).code == 0:
            return
        time.sleep(0.1)
    raise AssertionError("libvirtd did not come back")


def test_a_host_that_is_down_is_told_at_once_and_keeps_its_note(
    line: Kvist, sandbox: Sandbox, clean: Callable[[], Traces]
) -> None:
    daemon = process(sandbox, b"libvirtd")
    os.kill(daemon, signal.SIGSTOP)
    try:
        began = time.monotonic()
        told = line.refused("ls", code=1)
        assert time.monotonic() - began < 12
    finally:
        os.kill(daemon, signal.SIGCONT)
    assert "error: " in told and "hint: " in told
    answering(line)


def test_a_guest_whose_qemu_is_killed_is_off_and_starts_again(
    line: Kvist, sandbox: Sandbox, clean: Callable[[], Traces]
) -> None:
    line(*CREATE)
    os.kill(process(sandbox, b"guest=crash"), signal.SIGKILL)
    state(line, "off")
    assert line.json("stop", "crash")["changed"] is False
    assert line.json("start", "crash")["changed"] is True
    assert line.json("start", "crash")["changed"] is False
    os.kill(process(sandbox, b"guest=crash"), signal.SIGKILL)
    line("delete", "crash", "--force", "--purge")
    assert "crash" not in names(line)


def state(line: Kvist, wanted: str, seconds: float = 5) -> None:
    end = time.monotonic() + seconds
    while (now := line.json("show", "crash")["state"]) != wanted:
        assert time.monotonic() < end, now
        time.sleep(0.05)


def test_an_image_that_was_cut_off_while_it_was_brought_is_brought_anew(
    line: Kvist, sandbox: Sandbox, clean: Callable[[], Traces]
) -> None:
    before = clean()
    raw = line.home / "cut-off.raw"
    raw.write_bytes(os.urandom(1 << 20))
    assert hit(line, "upload", "SIGKILL", "image", "add", str(raw)).code == -signal.SIGKILL
    # As if the note were on another client's disk: what is left must not be taken for an image.
    for note in line.notes():
        note.unlink()
    assert clean() != before
    assert "cut-off" not in line("image", "ls", "-o", "name").text.split()
    line("image", "add", str(raw))
    run(sandbox.enter(["qemu-img", "check", "-q", line.json("image", "show", "cut-off")["path"]]))
    line("image", "remove", "cut-off")
    assert clean() == before
    assert hit(line, "upload", "SIGKILL", "image", "add", str(raw)).code == -signal.SIGKILL
    line("ls")
    assert clean() == before
