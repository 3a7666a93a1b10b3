"""Saving, restoring and dumping VMs, and protecting them, on libvirt's test driver."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.driver.test_vm_lifecycle import Stumble, documents, write_host

import kvist
from kvist.engine.execute import carry_out
from kvist.engine.plan import Plan
from kvist.errors import Conflict, Failed, Refused
from kvist.resources.vms.vm import Machine


@pytest.fixture
def host(tmp_path: Path) -> Iterator[kvist.Host]:
    opened = kvist.connect(write_host(tmp_path / "host.xml", 2))
    yield opened
    opened.close()


@pytest.fixture
def vm(host: kvist.Host) -> Machine:
    return host.vm("vm000")


def saved(vm: Machine) -> bool:
    return vm.host.connection.domains.has_managed_save(vm.name)


def test_a_vm_is_saved_once_and_goes_on_by_restore_once(vm: Machine) -> None:
    assert [(each.before, each.after) for each in vm.save().changes] == [("running", "saved")]
    assert not vm.state.active and saved(vm)
    assert not vm.save().changed
    assert [(each.before, each.after) for each in vm.restore().changes] == [("saved", "running")]
    assert vm.state.active and not saved(vm)
    assert not vm.restore().changed


def test_start_restores_a_saved_vm_by_itself(vm: Machine) -> None:
    vm.save()
    assert [(each.before, each.after) for each in vm.start().changes] == [("saved", "running")]
    assert vm.state.active and not saved(vm)


@pytest.mark.parametrize("verb", ["save", "restore"])
def test_a_save_and_a_restore_that_are_taken_back_leave_all_as_it_was(host: kvist.Host, vm: Machine, verb: str) -> None:
    if verb == "restore":
        vm.save()
    before = vm.state, saved(vm), documents(host)
    plan: Plan = getattr(vm, verb).plan()
    with pytest.raises(Failed, match="on purpose"):
        carry_out(Plan([*plan, Stumble()]), host.site)
    assert (vm.state, saved(vm), documents(host)) == before


def test_a_saved_vm_is_listed_and_shown_as_saved_until_it_goes_on(host: kvist.Host, vm: Machine) -> None:
    def listed() -> dict[str, str]:
        return {row.name: row.state for row in host.vms.ls()}

    assert listed() == {"vm000": "running", "vm001": "running"}
    vm.save()
    host.vm("vm001").stop(force=True)
    assert listed() == {"vm000": "saved", "vm001": "off"}
    assert (vm.show()["state"], vm.show()["saved"]) == ("saved", True)
    vm.restore()
    assert listed() == {"vm000": "running", "vm001": "off"}
    assert vm.show()["state"] == "running"


def test_saved_memory_is_thrown_away_only_when_that_is_asked_and_once(vm: Machine) -> None:
    assert not vm.save(discard=True).changed, "one that runs has nothing saved"
    assert vm.state.active
    vm.save()
    assert vm.save(discard=True).changed and not saved(vm)
    assert not vm.save(discard=True).changed
    assert [(each.before, each.after) for each in vm.start().changes] == [("off", "running")]


@pytest.mark.parametrize("verb", ["save", "restore"])
def test_what_is_off_and_was_not_saved_has_no_memory_to_save_or_restore(vm: Machine, verb: str) -> None:
    vm.stop(force=True)
    with pytest.raises(Conflict) as refused:
        getattr(vm, verb)()
    assert refused.value.hint == "kvist start vm000"


def test_memory_is_dumped_into_a_new_file_and_never_over_another(vm: Machine, tmp_path: Path) -> None:
    file = tmp_path / "vm.core"
    assert vm.dump(file).changed
    assert file.read_bytes().startswith(b"Test"), "what the test driver writes"
    assert [path.name for path in tmp_path.iterdir() if "core" in path.name] == ["vm.core"]
    with pytest.raises(Conflict, match="there already"):
        vm.dump(file)
    vm.stop(force=True)
    with pytest.raises(Conflict) as refused:
        vm.dump(tmp_path / "other")
    assert refused.value.hint == "kvist start vm000"


def test_a_dump_that_is_taken_back_leaves_no_file(host: kvist.Host, vm: Machine, tmp_path: Path) -> None:
    file = tmp_path / "vm.core"
    with pytest.raises(Failed, match="on purpose"):
        carry_out(Plan([*vm.dump.plan(file), Stumble()]), host.site)
    assert not file.exists()


def test_the_commands_are_those_a_person_would_type(vm: Machine, tmp_path: Path) -> None:
    assert [command.argv for command in vm.save.plan().commands()] == [("virsh", "managedsave", "vm000")]
    words = ("virsh", "dump", "vm000", str(tmp_path / "x"), "--memory-only", "--format", "kdump-zlib")
    assert [command.argv for command in vm.dump.plan(tmp_path / "x", format="kdump-zlib").commands()] == [words]


def test_a_protected_vm_is_deleted_by_nobody_until_it_is_unprotected(host: kvist.Host, vm: Machine) -> None:
    before = documents(host)
    assert vm.protect().changed
    assert not host.vm("vm000").protect().changed
    for force in (False, True):
        with pytest.raises(Refused) as refused:
            host.vm("vm000").delete(force=force)
        assert (refused.value.exit, refused.value.hint) == (4, "kvist unprotect vm000")
    assert "vm000" in host.connection.domains.names()
    assert host.vm("vm000").unprotect().changed
    assert not host.vm("vm000").unprotect().changed
    assert documents(host) == before, "no trace of the mark is left"
    host.vm("vm000").delete(force=True, purge=True)
    assert host.connection.domains.names() == ["vm001"]
