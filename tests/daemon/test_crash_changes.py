"""A change of a running guest that is killed between any two of its steps is whole or undone after the next command."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from tests.daemon.test_crash import hit

from kvist.sandbox.sandbox import Sandbox
from kvist.xml.document import Document

if TYPE_CHECKING:
    from tests.daemon.conftest import Kvist, Virsh

GUEST = "struck"
CARD = "52:54:00:1a:b3:4b"

ADD_DISK = ("disk", "add", GUEST, "20M", "--target", "vdb")
REMOVE_DISK = ("disk", "remove", GUEST, "vdb", "--delete")
ADD_CARD = ("nic", "add", GUEST, "default", "--mac", CARD, "--no-up")
REMOVE_CARD = ("nic", "remove", GUEST, CARD)
SET = ("set", GUEST, "--title", "struck", "--memory", "120M", "--on-crash", "restart", "--autostart", "on")
UNSET = ("set", GUEST, "--title", "whole", "--memory", "128M", "--on-crash", "destroy", "--autostart", "off")
REPLUG = ("nic", "set", GUEST, CARD, "--vhost", "off", "--allow", "replug")

ROUNDS = {"set": (SET, UNSET), "a disk": (ADD_DISK, REMOVE_DISK), "a card": (ADD_CARD, REMOVE_CARD)}


@pytest.fixture(scope="module")
def guest(line: Kvist) -> Iterator[str]:
    line("create", GUEST, "--image", "micro", "--memory", "128M", "--cpus", "1", "--title", "whole", "--wait", "agent")
    yield GUEST
    line("delete", GUEST, "--force", "--purge")


def state(line: Kvist, virsh: Virsh, sandbox: Sandbox) -> dict[str, Any]:
    """Give all that a change may leave half-made: both documents, files, the mark of autostart."""
    stored = virsh("dumpxml", "--inactive", "--security-info", GUEST)
    live = Document.parse(virsh("dumpxml", "--security-info", GUEST)).root
    return {
        # A device that was plugged in has the place of the running VM, which may be another the next time.
        "stored": re.sub(r"<address type='pci'[^>]*/>", "", stored),
        "cards": sorted(str(each.get("address")) for each in live.iterfind("devices/interface/mac")),
        "disks": sorted(str(each.get("dev")) for each in live.iterfind("devices/disk/target")),
        "title": live.findtext("title"),
        "files": sorted(path.name for path in (sandbox.root / "var/lib/libvirt/images").glob(f"{GUEST}*")),
        "autostart": [row for row in virsh("dominfo", GUEST).splitlines() if row.startswith("Autostart")],
    }


def memory(virsh: Virsh, *which: str) -> str | None:
    return Document.parse(virsh("dumpxml", *which, GUEST)).root.findtext("currentMemory")


def settle(virsh: Virsh, seconds: float = 15) -> None:
    """Wait until the guest has given or taken the memory that its definition says: a balloon takes its time."""
    end = time.monotonic() + seconds
    while len({memory(virsh), memory(virsh, "--inactive")}) > 1:
        assert time.monotonic() < end, virsh("dommemstat", GUEST)
        time.sleep(0.1)


def strike(line: Kvist, virsh: Virsh, sandbox: Sandbox, words: tuple[str, ...]) -> None:
    """Kill a line at each of its moments, each time from the same state; then let it be done."""
    before = state(line, virsh, sandbox)
    steps = len(line.json(*words, "--dry-run")["would"])
    assert steps >= 2
    for when in [*(str(step) for step in range(steps)), *(f"-{step}" for step in range(1, steps))]:
        assert hit(line, when, "SIGKILL", *words).code == -signal.SIGKILL
        assert line.json("show", GUEST)["state"] == "running"
        assert line.notes() == [], when
        settle(virsh)
        found = state(line, virsh, sandbox)
        assert found == before or line.json(*words, "--dry-run")["would"] == [], f"half of it is done: {when}"
        if found != before:
            # What has no way back was finished; the next moment begins from there.
            return
    assert line.json(*words)["changed"] is True
    assert line.json(*words)["changed"] is False


@pytest.mark.parametrize("there_and_back", ROUNDS.values(), ids=ROUNDS)
def test_a_change_that_is_killed_at_any_step_is_whole_or_has_not_happened(
    there_and_back: tuple[tuple[str, ...], tuple[str, ...]], line: Kvist, virsh: Virsh, sandbox: Sandbox, guest: str
) -> None:
    before = state(line, virsh, sandbox)
    for words in there_and_back:
        strike(line, virsh, sandbox, words)
    line("trash", "empty", "--yes")
    assert state(line, virsh, sandbox) == before


def test_a_card_that_was_unplugged_to_be_changed_is_never_lost(
    line: Kvist, virsh: Virsh, sandbox: Sandbox, guest: str
) -> None:
    line(*ADD_CARD)
    strike(line, virsh, sandbox, REPLUG)
    assert CARD in state(line, virsh, sandbox)["cards"]
    line(*REMOVE_CARD)


def test_a_rename_that_is_killed_is_taken_back(line: Kvist, guest: str) -> None:
    line("stop", GUEST, "--timeout", "30s")
    for when in ("0", "end"):
        assert hit(line, when, "SIGKILL", "rename", GUEST, "moved").code == -signal.SIGKILL
        assert GUEST in line("ls", "-o", "name").text.split()
        assert line.notes() == []
    line("rename", GUEST, "moved")
    line("undo")
    assert GUEST in line("ls", "-o", "name").text.split()
