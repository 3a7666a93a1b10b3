"""What the host check says of the processor and of the way to it, and what mends that."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from kvist.host import kvm
from kvist.host.checks.finding import Finding, Typed, Written
from kvist.host.checks.seen import Seen, findings
from kvist.host.checks.virtualisation import Device, Processor, look
from kvist.host.hand import Hand
from kvist.host.kvm import Verdict
from kvist.host.run import Result

RUNS = Verdict(True, "a Linux kernel starts under KVM", "Linux version 6")
FINE = Processor(
    flags=frozenset({"vmx"}),
    modules=("kvm", "kvm_intel"),
    device=Device("crw-rw----", "root", "kvm"),
    user="libvirt-qemu",
    groups=("kvm", "libvirt-qemu"),
    verdict=RUNS,
)


def of(seen: Processor) -> dict[str, Finding]:
    return {each.check: each for each in findings(Seen(seen))[:5]}


def test_a_healthy_machine_has_nothing_to_mend() -> None:
    assert [(each.ok, str(each.fix)) for each in of(FINE).values()] == [(True, "")] * 5


def test_each_finding_of_a_broken_machine_says_how_to_mend_it() -> None:
    found = of(Processor(verdict=Verdict(False, "there is no /dev/kvm", "flags")))
    assert list(found) == ["processor", "kernel module", "device", "permission", "guest"]
    assert {name for name, each in found.items() if each.ok is False} == {
        *("processor", "kernel module", "device", "guest"),
    }
    assert all(str(each.fix) and not each.fix.acts for each in found.values() if each.ok is False)
    assert all(each.proof for each in found.values())


def test_a_module_is_loaded_where_the_processor_can_do_it_only() -> None:
    found = of(FINE._replace(modules=(), device=None, flags=frozenset({"svm"})))
    load = Typed(("modprobe", "kvm_amd"), ("modprobe", "-r", "kvm_amd"))
    assert found["kernel module"].fix.acts == found["device"].fix.acts == (load,)
    virtual = of(FINE._replace(modules=(), flags=frozenset({"hypervisor"})))
    assert "host-passthrough" in virtual["processor"].fix.words
    assert virtual["kernel module"].ok is True, "the device is there: it is built in"


def test_a_sandbox_is_not_told_to_mend_its_machine() -> None:
    found = of(FINE._replace(sandbox=True, device=None, modules=()))
    assert (found["device"].ok, found["permission"].ok) == (None, None)
    assert found["kernel module"].fix.acts == () and "qemu:///system" in found["kernel module"].fix.words


@pytest.mark.parametrize(
    ("device", "back"),
    [
        (Device("crw-------", "root", "root"), [("chgrp", "root", "/dev/kvm"), ("chmod", "0600", "/dev/kvm")]),
        (Device("crw-r-----", "root", "kvm"), [("chmod", "0640", "/dev/kvm")]),
        (Device("crw-rw----", "root", "root"), [("chgrp", "root", "/dev/kvm")]),
        (Device("crw-rw---x", "root", "root"), [("chgrp", "root", "/dev/kvm"), ("chmod", "0661", "/dev/kvm")]),
    ],
)
def test_a_device_that_qemu_may_not_open_is_opened_for_its_group_and_can_be_closed_again(
    device: Device, back: list[tuple[str, ...]]
) -> None:
    found = of(FINE._replace(device=device))["permission"]
    assert found.ok is False and device.words in found.proof
    assert [act.back for act in found.fix.acts if isinstance(act, Typed)] == back


@pytest.mark.parametrize(
    "seen",
    [
        FINE._replace(device=Device("crw-------", "root", "root"), user="root", groups=("root",)),
        FINE._replace(device=Device("crw-rw----+", "root", "root")),
        FINE._replace(device=Device("crw-rw-rw-", "root", "root")),
        FINE._replace(device=Device("crw-------", "libvirt-qemu", "root")),
    ],
)
def test_root_owner_others_and_access_lists_may_open_it_too(seen: Processor) -> None:
    assert of(seen)["permission"].ok is True


def test_where_the_group_is_missing_or_not_qemus_a_person_has_to_say_so() -> None:
    closed = FINE._replace(device=Device("crw-------", "root", "root"))
    assert "usermod -aG kvm libvirt-qemu" in of(closed._replace(groups=("qemu",)))["permission"].fix.words
    assert "does not exist" in of(closed._replace(groups=()))["permission"].proof


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, "[boot]\n{}\n"),
        ("[network]\nhostname = w\n", "[network]\nhostname = w\n[boot]\n{}\n"),
        ("[boot]\nsystemd = true\n[user]\n", "[boot]\n{}\nsystemd = true\n[user]\n"),
    ],
)
def test_row_2_wsl_opens_the_device_at_each_start_and_windows_has_a_line_of_its_own(
    before: str | None, after: str
) -> None:
    wsl = FINE._replace(wsl=True, wsl_conf=before, device=Device("crw-------", "root", "root"))
    (written,) = [act for act in of(wsl)["permission"].fix.acts if isinstance(act, Written)]
    command = "command = /bin/sh -c 'chgrp kvm /dev/kvm && chmod 0660 /dev/kvm'"
    assert (written.path, written.before, written.after) == ("/etc/wsl.conf", before, after.format(command))
    bare = of(wsl._replace(flags=frozenset({"hypervisor"})))["processor"]
    assert "on Windows, add nestedVirtualization=true under [wsl2]" in str(bare.fix)


def test_a_command_that_wsl_runs_already_is_not_replaced() -> None:
    busy = "[boot]\ncommand = service docker start\n"
    wsl = FINE._replace(wsl=True, wsl_conf=busy, device=Device("crw-------", "root", "root"))
    assert not any(isinstance(act, Written) for act in of(wsl)["permission"].fix.acts)


class Said(Hand):
    """A hand on a host that is made up: programs say what a test wants, files are below a directory."""

    def __init__(self, root: Path, **said: str) -> None:
        super().__init__(root=str(root))
        self.said = said

    def run(
        self, argv: Sequence[str], *, input: bytes | None = None, timeout: float = 60, check: bool = True
    ) -> Result:
        told = self.said.get(argv[0])
        return Result(tuple(argv), 1 if told is None else 0, (told or "").encode(), b"")

    def read(self, path: str) -> str | None:
        return self.said.get(path) if path.startswith("/proc") else super().read(path)


def test_it_is_the_host_that_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kvm, "probe", lambda **_: RUNS)
    (tmp_path / "sys/module/kvm_amd").mkdir(parents=True)
    (tmp_path / "etc/libvirt").mkdir(parents=True)
    (tmp_path / "etc/libvirt/qemu.conf").write_text('user = "+guests"\n')
    (tmp_path / "etc/wsl.conf").write_text("[boot]\n")
    hand = Said(
        tmp_path,
        uname="5.15.1-microsoft-standard-WSL2 x86_64\n",
        ls="crw-rw----+ 1 root kvm 10, 232 Nov 24 21:36 /dev/kvm\n",
        id="guests kvm\n",
        **{"/proc/cpuinfo": "flags\t\t: fpu svm\n"},
    )
    assert look(hand) == Processor(
        *("x86_64", frozenset({"fpu", "svm"}), True, "[boot]\n", False, ("kvm_amd",)),
        *(Device("crw-rw----+", "root", "kvm"), "guests", ("guests", "kvm"), False, RUNS),
    )
