"""The life of a VM on the test driver: each verb does its work once, has nothing to do twice, and can be undone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import libvirt
import pytest

import kvist
from kvist.engine.execute import Answer, carry_out, recover
from kvist.engine.plan import Plan
from kvist.engine.step import Site, Step
from kvist.errors import Conflict, Failed, Invalid, NotFound, Refused
from kvist.resources.vms.vm import Machine
from kvist.specs.disk import Disk
from kvist.specs.nic import Nic
from kvist.specs.vm import Vm
from kvist.values import Mac, Size
from kvist.virt.words import State
from kvist.xml.document import Document

MANY = 300


def document_of(number: int) -> Document:
    """Describe a VM as kvist does, by the table of its fields."""
    document = Document.new("domain")
    Vm(
        virt="test",
        name=f"vm{number:03}",
        memory=Size.parse("512M"),
        cpus=1 + number % 4,
        nics=(Nic(type="network", network="default", mac=Mac(f"52:54:00:00:{number // 256:02x}:{number % 256:02x}")),),
        disks=(Disk(file=f"/var/lib/vm{number:03}.qcow2", target="vda", bus="virtio"),),
    ).write(document.root)
    type_of = document.root.makeelement("type", {"arch": "x86_64"})
    type_of.text = "hvm"
    os = document.root.makeelement("os", {})
    os.append(type_of)
    document.root.append(os)
    return document


def write_host(path: Path, count: int) -> str:
    """Write a host for the test driver (https://libvirt.org/drvtest.html), on which every VM runs."""
    node = Document.new("node")
    for number in range(count):
        node.root.append(document_of(number).root)
    path.write_text(node.text())
    return f"test://{path}"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[kvist.Host]:
    opened = kvist.connect(write_host(tmp_path / "host.xml", 2))
    yield opened
    opened.close()


@pytest.fixture
def vm(host: kvist.Host) -> Machine:
    return host.vm("vm000")


def documents(host: kvist.Host) -> dict[str, tuple[str, str, bool]]:
    """All that libvirt keeps of its VMs."""
    domains = host.connection.domains
    return {
        name: (domains.xml(name, next_boot=True), domains.uuid(name), domains.autostart(name))
        for name in domains.names()
    }


class Stumble(Step):
    """A last step that fails, so that all before it is taken back."""

    stays = "it does nothing"

    def describe(self) -> str:
        return "stumble"

    def apply(self, at: Site) -> None:
        raise Failed("on purpose")


Act = Callable[[Machine], Any]
ACTS: dict[str, tuple[Sequence[Act], Act]] = {
    "start": ([lambda vm: vm.stop(force=True)], lambda vm: vm.start),
    "suspend": ([], lambda vm: vm.suspend),
    "resume": ([lambda vm: vm.suspend()], lambda vm: vm.resume),
    "start of a suspended one": ([lambda vm: vm.suspend()], lambda vm: vm.start),
}


@pytest.mark.parametrize(("before", "act"), ACTS.values(), ids=ACTS)
def test_a_verb_does_its_work_once_and_has_nothing_to_do_twice(vm: Machine, before: Sequence[Act], act: Act) -> None:
    for prepare in before:
        prepare(vm)
    first: Answer = act(vm)()
    assert first.changed and first.changes
    state = vm.state
    assert not act(vm)().changed
    assert vm.state is state


@pytest.mark.parametrize(("before", "act"), ACTS.values(), ids=ACTS)
def test_a_verb_that_is_taken_back_leaves_state_and_documents_as_they_were(
    host: kvist.Host, vm: Machine, before: Sequence[Act], act: Act
) -> None:
    for prepare in before:
        prepare(vm)
    state, kept = vm.state, documents(host)
    plan: Plan = act(vm).plan()
    with pytest.raises(Failed, match="on purpose"):
        carry_out(Plan([*plan, Stumble()]), host.site)
    # Nothing un-starts a VM half-way: one that was suspended and went on is suspended again.
    assert (vm.state, documents(host)) == (state, kept)


def test_a_guest_is_asked_to_stop_and_has_stopped_when_the_call_returns(vm: Machine) -> None:
    assert vm.state.active
    assert [change.after for change in vm.stop().changes] == ["off"]
    assert vm.state is State.OFF
    assert not vm.stop().changed and not vm.stop(force=True).changed


def test_a_plan_changes_nothing(host: kvist.Host, vm: Machine) -> None:
    kept = documents(host)
    plan = vm.stop.plan()
    assert [step.describe() for step in plan] == ['shut down VM "vm000"']
    assert [command.argv[:2] for command in plan.commands()] == [("virsh", "shutdown")]
    vm.delete.plan(force=True)
    assert vm.state is State.RUNNING and documents(host) == kept


def test_a_suspended_guest_cannot_be_asked_to_shut_down(vm: Machine) -> None:
    vm.suspend()
    with pytest.raises(Conflict) as refused:
        vm.stop()
    assert refused.value.hint == "kvist resume vm000"
    assert vm.state is State.PAUSED


@pytest.mark.parametrize("verb", ["suspend", "resume", "reboot", "reset"])
def test_what_needs_a_running_vm_says_how_to_get_one(vm: Machine, verb: str) -> None:
    vm.stop(force=True)
    with pytest.raises(Conflict) as refused:
        getattr(vm, verb)()
    assert refused.value.hint == "kvist start vm000"


def test_a_vm_is_renamed_once_and_twice_is_nothing_to_do(host: kvist.Host, vm: Machine) -> None:
    vm.stop(force=True)
    uuid = host.connection.domains.uuid("vm000")
    assert vm.rename("www").changed
    assert not vm.rename("www").changed
    assert host.connection.domains.names() == ["vm001", "www"]
    assert host.connection.domains.uuid("www") == uuid


def test_a_rename_that_is_taken_back_leaves_identical_documents(host: kvist.Host, vm: Machine) -> None:
    vm.stop(force=True)
    kept = documents(host)
    with pytest.raises(Failed, match="on purpose"):
        carry_out(Plan([*vm.rename.plan("www"), Stumble()]), host.site)
    assert documents(host) == kept


@pytest.mark.parametrize(
    ("new", "error", "words"),
    [("vm001", Conflict, "there is a VM"), ("a/b", Invalid, "is not a name"), ("www", Conflict, "it is running")],
)
def test_a_name_that_cannot_be_given_changes_nothing(
    host: kvist.Host, vm: Machine, new: str, error: type[Exception], words: str
) -> None:
    kept = documents(host)
    with pytest.raises(error, match=words):
        vm.rename(new)
    assert documents(host) == kept


def test_autostart_is_switched_on_and_off_and_taken_back(host: kvist.Host, vm: Machine) -> None:
    kept = documents(host)
    with pytest.raises(Failed, match="on purpose"):
        carry_out(Plan([*vm.autostart.plan(), Stumble()]), host.site)
    assert documents(host) == kept
    assert vm.autostart().changed and not vm.autostart().changed
    assert host.connection.domains.autostart("vm000")
    assert vm.autostart(False).changed and not vm.autostart(False).changed
    assert documents(host) == kept


def test_a_transient_vm_is_not_marked_for_autostart_and_the_refusal_leaves_nothing_to_take_back(
    host: kvist.Host,
) -> None:
    transient = document_of(77)
    host.connection.handle.createXML(transient.text(), 0)
    with pytest.raises(Conflict, match="transient"):
        host.vm("vm077").autostart()
    assert recover(host.site) == []


def test_a_running_vm_is_deleted_only_by_force_and_only_once(host: kvist.Host, vm: Machine) -> None:
    with pytest.raises(Refused) as refused:
        vm.delete()
    assert refused.value.hint == "kvist delete vm000 --force"
    assert vm.delete(force=True).changed
    assert host.connection.domains.names() == ["vm001"]
    assert not vm.delete(force=True).changed


def test_a_delete_that_is_taken_back_leaves_identical_documents(host: kvist.Host, vm: Machine) -> None:
    vm.autostart()
    vm.stop(force=True)
    kept = documents(host)
    with pytest.raises(Failed, match="on purpose"):
        carry_out(Plan([*vm.delete.plan(), Stumble()]), host.site)
    assert documents(host) == kept


def test_a_vm_that_is_not_there_is_told_with_the_nearest_name(host: kvist.Host) -> None:
    for act in (host.vm("vm00").start, host.vm("vm00").stop, host.vm("vm00").suspend):
        with pytest.raises(NotFound) as missing:
            act()
        assert missing.value.hint.startswith("did you mean vm00")
    assert not host.vm("vm00").delete().changed, "what is not there need not be removed"


class Counting:
    """A connection's handle that counts what is asked of it."""

    def __init__(self, handle: libvirt.virConnect) -> None:
        self._handle = handle
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        self.calls.append(name)
        return getattr(self._handle, name)


def test_listing_hundreds_of_vms_is_one_look_at_the_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = kvist.connect(write_host(tmp_path / "host.xml", MANY))
    try:
        counting = Counting(host.connection.handle)
        monkeypatch.setattr(host.connection.domains, "_handle", counting)
        rows = host.vms.ls()
        assert [row.name for row in rows] == [f"vm{number:03}" for number in range(MANY)]
        assert {row.state for row in rows} == {"running"}
        assert {row.cpus for row in rows} == {1, 2, 3, 4}
        assert {row.memory for row in rows} == {Size.parse("512M")}
        assert counting.calls.count("getAllDomainStats") <= 2, (
            "the test driver refuses the first, which asks for figures"
        )
        assert len(counting.calls) <= 3, counting.calls
    finally:
        host.close()
