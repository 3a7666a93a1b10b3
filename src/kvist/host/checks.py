"""What `kvist host check` looks at: a function for each check, with what it saw and the command that mends it.

A new check is a function that gives a Finding, marked with `@check(TOPIC)`; order in this file is order in the answer.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from kvist.host import kvm, machine


class Finding(NamedTuple):
    """What a check saw: all right, wrong, or (None) not to be told; the proof; the command that mends it."""

    check: str
    ok: bool | None
    proof: str
    fix: str = ""


Check = Callable[[], Finding]
_checks: dict[str, list[Check]] = {}


def check(topic: str) -> Callable[[Check], Check]:
    """Enter a function into the checks of a topic."""

    def enter(function: Check) -> Check:
        _checks.setdefault(topic, []).append(function)
        return function

    return enter


def findings(topic: str) -> list[Finding]:
    """Make the checks of a topic, in their order."""
    return [function() for function in _checks[topic]]


def kvm_findings() -> list[Finding]:
    """Say whether KVM runs guests here and, if it does not, what stands in its way."""
    return findings("kvm")


@check("kvm")
def processor() -> Finding:
    name = "processor"
    if machine.architecture() != "x86_64":
        return Finding(name, None, f"{machine.architecture()} has no flag that tells")
    if flag := kvm.hardware():
        return Finding(name, True, f"/proc/cpuinfo has {flag}")
    if "hypervisor" in machine.cpu_flags():
        proof = "this machine is a virtual one, and /proc/cpuinfo has neither vmx nor svm"
        if machine.is_wsl():
            return Finding(
                name, False, proof, r"add nestedVirtualization=true under [wsl2] of %UserProfile%\.wslconfig"
            )
        return Finding(
            name,
            False,
            proof,
            "on its host, allow nested virtualisation and give this machine the host's CPU (host-passthrough)",
        )
    return Finding(
        name, False, "/proc/cpuinfo has neither vmx nor svm", "switch VT-x or AMD-V on in the firmware's set-up"
    )


@check("kvm")
def module() -> Finding:
    name = "kernel module"
    fix = f"modprobe {'kvm_amd' if kvm.hardware() == 'svm' else 'kvm_intel'}"
    for loaded in ("kvm_intel", "kvm_amd", "kvm"):
        if Path("/sys/module", loaded).is_dir():
            return Finding(name, True, f"/sys/module/{loaded}")
    if kvm.DEVICE.exists():
        return Finding(name, True, f"no /sys/module/kvm, but {kvm.DEVICE}: built into the kernel")
    return Finding(name, False, "no /sys/module/kvm", fix)


@check("kvm")
def device() -> Finding:
    name = "device"
    if kvm.DEVICE.is_char_device():
        return Finding(name, True, kvm.mode())
    if kvm.DEVICE.exists():
        return Finding(
            name, False, f"{kvm.DEVICE} is not a device: {kvm.mode()}", f"rm {kvm.DEVICE} && udevadm trigger"
        )
    return Finding(name, False, f"there is no {kvm.DEVICE}", "modprobe kvm_intel || modprobe kvm_amd")


@check("kvm")
def permission() -> Finding:
    name = "permission"
    if not kvm.DEVICE.exists():
        return Finding(name, None, f"there is no {kvm.DEVICE}")
    if closed := kvm.closed_to_qemu():
        return Finding(name, False, f"{closed}: {kvm.mode()}", f"chgrp kvm {kvm.DEVICE} && chmod 0660 {kvm.DEVICE}")
    return Finding(name, True, f'user "{machine.qemu_user()}" may open it: {kvm.mode()}')


@check("kvm")
def guest() -> Finding:
    name = "guest"
    verdict = kvm.probe(own_node=True)
    seen = f"{verdict.reason} ({verdict.proof})"
    if verdict.usable:
        return Finding(name, True, seen)
    return Finding(name, False, seen, "nothing to type: guests are emulated (TCG) then, which is slower")
