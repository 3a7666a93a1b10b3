"""What an operation did on a host is told, taken back to the byte, and refused where later changes stand on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.driver.test_vm_lifecycle import documents, write_host

import kvist
from kvist.cli.main import main
from kvist.engine.execute import recover
from kvist.engine.inflight import Inflight, directory
from kvist.engine.plan import Plan
from kvist.errors import Conflict, NotFound, Refused
from kvist.resources.vms.vm import Machine
from kvist.specs.disk import Disk
from kvist.specs.vm import Vm
from kvist.values import Size
from kvist.xml.document import Document

Act = Callable[[kvist.Host], Any]


def furnished(path: Path) -> str:
    """Write a host with two VMs, a network and a pool."""
    write_host(path, 2)
    node = Document.parse(path.read_text())
    for furniture in (
        "<network><name>default</name><bridge name='virbr0'/></network>",
        "<pool type='dir'><name>default-pool</name><target><path>/default-pool</path></target></pool>",
    ):
        node.root.append(Document.parse(furniture).root)
    path.write_text(node.text())
    return f"test://{path}"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[kvist.Host]:
    opened = kvist.connect(furnished(tmp_path / "host.xml"), asked="kvist test")
    opened.vm("vm000").stop(force=True)
    yield opened
    opened.close()


def vm(host: kvist.Host) -> Machine:
    return host.vm("vm000")


def settings(**values: Any) -> Vm:
    return Vm(**values)


ACTS: dict[str, Act] = {
    "set by a call": lambda host: vm(host).set(settings(title="the shop", description="sells")),
    "set by a definition": lambda host: vm(host).set(settings(on_crash="restart", title="the shop")),
    "memory": lambda host: vm(host).set(settings(memory=Size.parse("256M"))),
    "rename": lambda host: vm(host).rename("www"),
    "autostart": lambda host: vm(host).autostart(),
    "delete": lambda host: vm(host).delete(),
    "delete of one that starts with the host": lambda host: (vm(host).autostart(), vm(host).delete()),
}


def everything(host: kvist.Host) -> object:
    domains, pools = host.connection.domains, host.connection.pools
    states = {name: domains.state(name) for name in domains.names()}
    return documents(host), states, [volume for pool in pools.all() for volume in pools.volumes(pool.name)]


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
def test_what_is_undone_leaves_identical_documents_and_can_be_done_again(host: kvist.Host, act: Act) -> None:
    if act is ACTS["delete of one that starts with the host"]:
        vm(host).autostart()
    before = everything(host)
    act(host)
    after = everything(host)
    assert after != before
    assert host.history.undo().changed
    assert everything(host) == before
    assert host.history.undo(host.history.log()[0].number).changed
    assert everything(host) == after
    assert host.history.undo().changed
    assert everything(host) == before


def test_undo_takes_back_one_operation_after_the_other(host: kvist.Host) -> None:
    before = everything(host)
    vm(host).autostart()
    vm(host).rename("www")
    host.vm("www").set(settings(title="the shop"))
    for _ in range(3):
        host.history.undo()
    assert everything(host) == before
    # What is left is that it was stopped, and that is not taken back.
    with pytest.raises(Refused, match="what a guest had in memory is gone"):
        host.history.undo()


def test_a_vm_that_was_made_goes_to_the_trash_with_its_disks_and_comes_back(host: kvist.Host) -> None:
    host.vms.create(
        "new", settings(memory=Size.parse("64M")), disk=(Disk(size=Size.parse("1G")),), pxe=True, start=False
    )
    made = everything(host)
    host.history.undo()
    assert "new" not in host.connection.domains.names()
    assert [row.volumes for row in host.trash.ls()] == [("default-pool/new.qcow2",)]
    plan = host.vms.create.plan(
        "new", settings(memory=Size.parse("64M")), disk=(Disk(size=Size.parse("1G")),), pxe=True
    )
    assert plan.steps[0].describe() == 'create volume "default-pool/new.2.qcow2"'
    host.trash.restore("new")
    assert everything(host) == made


def test_a_plan_to_undo_changes_nothing(host: kvist.Host) -> None:
    vm(host).autostart()
    before, rows = everything(host), host.history.log()
    plan = host.history.undo.plan()
    assert [step.describe() for step in plan] == ['take back “start VM "vm000" with the host”']
    assert [(each.before, each.after) for each in plan.changes()] == [(True, False)]
    assert (everything(host), host.history.log()) == (before, rows)


def test_what_virsh_has_changed_since_stays_when_another_field_is_undone(host: kvist.Host) -> None:
    vm(host).set(settings(on_crash="restart"))
    changed = host.connection.domains.xml("vm000", next_boot=True).replace(
        "<on_reboot>restart</on_reboot>", "<on_reboot>destroy</on_reboot>"
    )
    host.connection.domains.define(changed, name="vm000")
    host.history.undo()
    found = Vm.read(vm(host).document(next_boot=True).root)
    assert (found.on_crash, found.on_reboot) == ("destroy", "destroy")


def test_a_change_of_the_same_field_since_refuses_and_names_the_way(host: kvist.Host) -> None:
    vm(host).set(settings(title="one"))
    number = host.history.log()[0].number
    vm(host).set(settings(title="two"))
    before = everything(host)
    with pytest.raises(Refused, match="has changed title") as refused:
        host.history.undo(number)
    assert refused.value.hint == f"kvist undo {number + 1}"
    assert everything(host) == before


def test_a_vm_of_the_same_name_that_is_another_is_left_alone(host: kvist.Host) -> None:
    vm(host).set(settings(title="one"))
    number = host.history.log()[0].number
    xml = host.connection.domains.xml("vm001", next_boot=True)
    host.vm("vm001").delete(force=True, purge=True)
    vm(host).delete()
    uuid = xml.partition("<uuid>")[2].partition("</uuid>")[0]
    host.connection.domains.define(xml.replace("vm001", "vm000"), name="vm000")
    assert host.connection.domains.uuid("vm000") == uuid
    before = everything(host)
    for operation in (number, None):
        with pytest.raises(Refused, match=r"another one than then|there is a new VM"):
            host.history.undo(operation)
    assert everything(host) == before


def test_what_was_purged_is_not_brought_back(host: kvist.Host) -> None:
    vm(host).delete(purge=True)
    with pytest.raises(Refused, match="deleted with --purge"):
        host.history.undo()
    assert host.trash.ls() == []


def test_to_undo_a_start_is_to_pull_the_plug_and_wants_to_be_allowed(host: kvist.Host) -> None:
    from kvist.engine.step import Disruption

    vm(host).start()
    with pytest.raises(Refused) as refused:
        host.history.undo()
    assert refused.value.hint == "add --allow restart"
    assert vm(host).state.active
    assert host.history.undo.allowing(Disruption.RESTART)().changed
    assert not vm(host).state.active


def test_a_new_vm_takes_the_name_of_one_in_the_trash_and_that_comes_back_once_it_is_free(host: kvist.Host) -> None:
    uuid = host.connection.domains.uuid("vm000")
    vm(host).delete()
    host.vm("vm001").stop(force=True)
    host.vm("vm001").rename("vm000")
    with pytest.raises(Refused, match="there is a new VM"):
        host.trash.restore("vm000")
    host.vm("vm000").rename("vm001")
    assert host.trash.restore("vm000").changed
    assert host.connection.domains.uuid("vm000") == uuid
    with pytest.raises(NotFound):
        host.trash.restore("vm000")


def test_the_trash_is_listed_and_emptied_by_name_and_by_age(host: kvist.Host) -> None:
    from kvist.values import Duration

    vm(host).delete()
    host.vm("vm001").delete(force=True)
    first, second = host.trash.ls()
    assert (first.name, second.name) == ("vm001", "vm000")
    assert not host.trash.empty(older=Duration(60)).changed
    assert host.trash.empty(("vm000",)).changed
    assert [row.name for row in host.trash.ls()] == ["vm001"]
    assert host.trash.empty().changed
    assert not host.trash.empty().changed
    with pytest.raises(Refused, match="gone from the trash"):
        host.history.undo(first.number)


def test_an_operation_that_is_not_there_is_not_found(host: kvist.Host) -> None:
    with pytest.raises(NotFound):
        host.history.undo(4711)
    with pytest.raises(NotFound):
        host.history.show(4711)


def test_where_nothing_was_done_there_is_nothing_to_undo(tmp_path: Path) -> None:
    fresh = kvist.connect(write_host(tmp_path / "fresh.xml", 1))
    assert fresh.history.log() == [] and fresh.trash.ls() == []
    with pytest.raises(Conflict):
        fresh.history.undo()
    fresh.close()


KILLED: dict[str, Callable[[kvist.Host], Plan]] = {
    "create": lambda host: host.vms.create.plan(
        "new",
        settings(memory=Size.parse("64M")),
        disk=(Disk(size=Size.parse("1G")), Disk(size=Size.parse("1G"))),
        pxe=True,
    ),
    "set": lambda host: vm(host).set.plan(settings(on_crash="restart", title="the shop", autostart=True)),
    "set of a running one": lambda host: host.vm("vm001").set.plan(
        settings(memory=Size.parse("256M"), title="the shop", on_crash="restart")
    ),
    "rename": lambda host: vm(host).rename.plan("www"),
    "delete": lambda host: vm(host).delete.plan(),
    "delete for good": lambda host: vm(host).delete.plan(purge=True),
    "autostart": lambda host: vm(host).autostart.plan(),
}


@pytest.mark.parametrize("applied", [False, True], ids=["as a step begins", "as a step is done"])
@pytest.mark.parametrize("what", KILLED)
def test_killed_at_any_step_the_next_command_takes_it_back_and_nothing_is_left(
    tmp_path: Path, what: str, applied: bool
) -> None:
    steps = 1
    number = 0
    while number < steps:
        place = tmp_path / str(number)
        place.mkdir()
        host = kvist.connect(furnished(place / "host.xml"))
        vm(host).stop(force=True)
        before = everything(host)
        plan = KILLED[what](host)
        steps = len(plan.steps)
        note = Inflight(plan, plan.steps, host.site)
        for index, step in enumerate(plan.steps[: number + 1]):
            note.begin(index)
            if index < number or applied:
                step.apply(host.site)
        note.leave()
        assert len(list(directory().iterdir())) == 1
        told = recover(host.site)
        assert len(told) == 1 and "could not" not in told[0], told
        assert list(directory().iterdir()) == []
        assert everything(host) == before
        assert KILLED[what](host).steps, "it can be done again"
        host.close()
        number += 1
    assert number >= 1


def test_the_command_line_shows_the_log_and_undoes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # The test driver's host lives as long as its process, and this is one process.
    where = write_host(tmp_path / "host.xml", 1)
    kept = kvist.connect(where)
    line = ["--host", where, "suspend", "vm000"]
    assert main(line) == 0
    capsys.readouterr()
    assert main(["--host", where, "log", "vm000"]) == 0
    printed = capsys.readouterr().out
    assert "suspend vm000" in printed and "done" in printed
    assert main(["--host", where, "log", "show", "1"]) == 0
    printed = capsys.readouterr().out
    assert 'suspend VM "vm000"' in printed and "running" in printed and "paused" in printed
    assert main(["--host", where, "log", "show", "2"]) == 3
    assert "there is no operation 2" in capsys.readouterr().err
    kept.close()
