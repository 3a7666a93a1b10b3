"""The probe's firmware is what its assembly says, gets through where a processor is whole, and never stays behind."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from kvist.host import kvm, kvm_firmware
from kvist.host.run import need, run


def test_the_bytes_of_the_firmware_are_what_its_assembly_gives(tmp_path: Path) -> None:
    source, linked, plain = (tmp_path / name for name in ("probe.S", "probe.o", "probe.bin"))
    source.write_text(kvm_firmware.source())
    run(["as", "--64", "-o", str(linked), str(source)])
    run(["objcopy", "-O", "binary", "-j", ".text", str(linked), str(plain)])
    assert plain.read_bytes() == kvm_firmware.image()


def test_a_whole_processor_gets_through_all_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    qemu = need("qemu-system-x86_64", "qemu-system-x86")
    frame = kvm._frame
    monkeypatch.setattr(kvm, "_frame", lambda kind, mib: ["-accel", "tcg", "-cpu", "max", *frame(kind, mib)[4:]])
    tried = kvm._try_firmware(qemu)
    assert tried.reached, tried.text
    assert tried.text.endswith(kvm_firmware.SAYS)


def test_the_firmware_tells_which_step_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor without long mode stands for every one that stops half-way."""
    qemu = need("qemu-system-x86_64", "qemu-system-x86")
    frame = kvm._frame
    monkeypatch.setattr(kvm, "_frame", lambda kind, mib: ["-accel", "tcg", "-cpu", "max,lm=off", *frame(kind, mib)[4:]])
    monkeypatch.setattr(kvm, "_FIRMWARE_SECONDS", 2.0)
    tried = kvm._try_firmware(qemu)
    assert not tried.reached
    assert kvm._how_far(tried.text) == "it does not get through long mode with paging"


@pytest.mark.parametrize("script", ["echo wanted; sleep 60", "sleep 60", "echo 'KVM internal error'; sleep 60"])
def test_what_is_listened_to_never_outlives_the_question(script: str) -> None:
    began = time.monotonic()
    mark = f"7{time.monotonic_ns()}"
    kvm._listen(["sh", "-c", f"{script} # {mark}"], b"wanted", 0.5)
    assert time.monotonic() - began < 5
    assert run(["pgrep", "-f", mark], check=False).code == 1


def test_a_verdict_comes_within_its_time_and_agrees_with_a_second_look() -> None:
    began = time.monotonic()
    first = kvm.probe(fresh=True, own_node=True)
    assert time.monotonic() - began < 20
    second = kvm.probe(fresh=True, own_node=True)
    assert (first.usable, first.reason) == (second.usable, second.reason)
    assert first.reason and first.proof


def test_probing_leaves_no_qemu_behind() -> None:
    kvm.probe(fresh=True, own_node=True)
    assert run(["pgrep", "-P", str(os.getpid()), "-f", "qemu-system"], check=False).code == 1
