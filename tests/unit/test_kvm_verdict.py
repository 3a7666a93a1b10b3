"""What is made of what the probe sees, and what is remembered of it."""

from __future__ import annotations

import grp
import json
import os
import pwd
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from kvist.host import kvm, machine
from kvist.host.kvm import Transcript


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., list[list[str]]]:
    """Let QEMU say what a test wants, to our firmware and to a kernel; gives the command lines it was started with."""

    def prepare(firmware: bytes, kernel: bytes | None = None) -> list[list[str]]:
        asked: list[list[str]] = []

        def listen(argv: list[str], wanted: bytes, seconds: float, keep: Sequence[int] = ()) -> Transcript:
            asked.append(argv)
            text = firmware if "-bios" in argv else kernel or b""
            return Transcript(wanted in text, text)

        device = tmp_path / "kvm"
        device.touch()
        monkeypatch.setattr(kvm, "DEVICE", device)
        monkeypatch.setattr(kvm, "_ask", lambda: None)
        monkeypatch.setattr(kvm, "_listen", listen)
        monkeypatch.setattr(kvm, "which", lambda program: f"/usr/bin/{program}")
        monkeypatch.setattr(kvm, "_key", lambda: ["boot", "qemu", 1, 2])
        monkeypatch.setattr(kvm, "_memory", lambda: tmp_path / "kvist" / "kvm.json")
        monkeypatch.setattr(machine, "architecture", lambda: "x86_64")
        monkeypatch.setattr(kvm, "kernels", lambda: [] if kernel is None else [Path("/boot/vmlinuz-1")])
        return asked

    return prepare


def test_a_firmware_that_gets_through_is_believed_where_there_is_no_kernel(answers: Callable[..., object]) -> None:
    answers(b"pleuk")
    verdict = kvm.probe(own_node=True)
    assert verdict.usable
    assert "no kernel at hand" in verdict.reason


def test_an_emulation_failure_decides_and_names_the_step(answers: Callable[..., list[list[str]]]) -> None:
    asked = answers(b"plKVM internal error. Suberror: 1\n", kernel=b"Linux version 6.1")
    verdict = kvm.probe(own_node=True)
    assert not verdict.usable
    assert "does not get through an exception" in verdict.reason
    assert len(asked) == 1


def test_a_kernel_that_hangs_is_believed_more_than_the_firmware(answers: Callable[..., object]) -> None:
    answers(b"pleuk", kernel=b"Probing EDD (edd=off to disable)... ok\n")
    verdict = kvm.probe(own_node=True)
    assert not verdict.usable
    assert "/boot/vmlinuz-1" in verdict.reason


def test_a_kernel_that_starts_is_believed_more_than_a_silent_firmware(answers: Callable[..., object]) -> None:
    answers(b"", kernel=b"[    0.000000] Linux version 6.1.0-1 (builder)\n")
    verdict = kvm.probe(own_node=True)
    assert verdict.usable
    assert verdict.proof == "[    0.000000] Linux version 6.1.0-1 (builder)"


def test_a_silent_firmware_without_a_kernel_is_a_no(answers: Callable[..., object]) -> None:
    answers(b"qemu: warning: something\n")
    assert kvm.probe(own_node=True)[:3] == (
        False,
        "the processor of a guest stops: it does not get through protected mode",
        "not a byte on its serial port",
    )


def test_a_verdict_is_asked_for_once_a_boot_and_again_when_fresh(
    answers: Callable[..., list[list[str]]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = answers(b"pleuk")
    first = kvm.probe(own_node=True)
    assert kvm.probe(own_node=True) == first._replace(seconds=0.0)
    assert len(asked) == 1
    kvm.probe(own_node=True, fresh=True)
    assert len(asked) == 2
    monkeypatch.setattr(kvm, "_key", lambda: ["next boot", "qemu", 1, 2])
    kvm.probe(own_node=True)
    assert len(asked) == 3
    assert [entry.name for entry in (tmp_path / "kvist").iterdir()] == ["kvm.json"]


@pytest.mark.parametrize("rubbish", ["", "{", "[]", '{"key": 1}', '{"key": ["boot", "qemu", 1, 2], "verdict": [1]}'])
def test_a_memory_that_cannot_be_read_is_looked_up_anew(
    answers: Callable[..., object], tmp_path: Path, rubbish: str
) -> None:
    answers(b"pleuk")
    memory = tmp_path / "kvist" / "kvm.json"
    memory.parent.mkdir()
    memory.write_text(rubbish)
    assert kvm.probe(own_node=True).usable
    assert json.loads(memory.read_text())["verdict"][0] is True


def test_without_a_device_nothing_is_run(
    answers: Callable[..., list[list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = answers(b"pleuk")
    monkeypatch.setattr(kvm, "DEVICE", Path("/nonexistent/kvm"))
    assert kvm.probe().reason == "there is no /dev/kvm"
    assert asked == []


def test_a_device_that_the_user_of_qemu_may_not_open_is_no_kvm_but_for_those_with_their_own(
    answers: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers(b"pleuk")
    kvm.DEVICE.chmod(0o600)
    monkeypatch.setattr(machine, "qemu_user", lambda: "nobody")
    assert kvm.probe().reason == 'user "nobody", as whom QEMU runs, may not open /dev/kvm'
    assert kvm.probe(own_node=True).usable
    kvm.DEVICE.chmod(0o666)
    assert kvm.probe().usable


def test_group_and_owner_count_as_the_kernel_counts_them(
    answers: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers(b"")
    owner, group = kvm.DEVICE.stat()[4:6]
    member = pwd.struct_passwd(("q", "x", owner + 1, group, "", "/", ""))
    mine = pwd.struct_passwd(("q", "x", owner or 4711, group, "", "/", ""))
    monkeypatch.setattr(machine, "qemu_user", lambda: "q")
    monkeypatch.setattr(grp, "getgrall", list)
    monkeypatch.setattr(pwd, "getpwnam", lambda name: member)
    kvm.DEVICE.chmod(0o660)
    assert kvm.closed_to_qemu() == ""
    kvm.DEVICE.chmod(0o606)
    assert "may not open" in kvm.closed_to_qemu()
    if os.geteuid():
        monkeypatch.setattr(pwd, "getpwnam", lambda name: mine)
        kvm.DEVICE.chmod(0o066)
        assert "may not open" in kvm.closed_to_qemu()


def test_the_user_of_qemu_is_the_one_in_its_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    configuration = tmp_path / "qemu.conf"
    monkeypatch.setattr(machine, "QEMU_CONF", configuration)
    configuration.write_text('#user = "not-me"\nuser = "+1000"\n')
    assert machine.qemu_user() == "1000"
    configuration.write_text("# nothing set\n")
    monkeypatch.setattr(pwd, "getpwall", list)
    assert machine.qemu_user() == "root"
