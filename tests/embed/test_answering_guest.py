"""What a VM changes only together with a guest that answers."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kvist.engine.execute import carry_out
from kvist.engine.operation import Bound
from kvist.engine.step import Disruption
from kvist.errors import Refused
from kvist.resources.vms.vm import Machine
from kvist.specs.disk import Disk
from kvist.specs.nic import Nic
from kvist.specs.vm import Vm
from kvist.values import Mac, Size
from kvist.xml.diff import diff
from kvist.xml.document import Document

Setting = Callable[[Machine], Bound[[Vm]]]
Both = Callable[[Machine], tuple[Document, Document]]
Lines = Callable[[Document], list[str]]

CARD = Mac("52:54:00:00:00:11")
MIB = 1 << 20

WISHES = {
    "less memory": Vm(memory=Size(160 * MIB)),
    "more memory": Vm(memory=Size(224 * MIB)),
    "a card that leaves": Vm(nics=(Nic.removed(mac=CARD),)),
    "a card that comes": Vm(nics=(Nic(mac=Mac("52:54:00:00:00:12"), bridge="br1", tap="kvisttap12"),)),
    "a card that goes and another that comes": Vm(
        nics=(Nic.removed(mac=CARD), Nic(mac=Mac("52:54:00:00:00:12"), bridge="br1", tap="kvisttap12"))
    ),
}


@pytest.mark.parametrize("wish", WISHES.values(), ids=WISHES.keys())
def test_a_guest_takes_part_in_a_live_change(
    wish: Vm, guest: Machine, setting: Setting, both: Both, lines: Lines
) -> None:
    before = both(guest)
    plan = setting(guest).plan(wish)

    done = carry_out(plan, guest.site)

    try:
        assert {change.when for change in done.changes} == {"live"}
        for document in both(guest):
            assert list(diff(Vm.read(document.root), wish)) == []
        assert setting(guest).plan(wish).steps == ()
    finally:
        for step in reversed(plan.steps):
            step.undo(guest.site)
    for wanted, document in zip(before, both(guest), strict=True):
        assert list(diff(Vm.read(document.root), Vm.read(wanted.root))) == []
    assert lines(both(guest)[1]) == lines(before[1])


def test_a_device_is_plugged_again_only_where_that_is_allowed(guest: Machine, setting: Setting, both: Both) -> None:
    wish = Vm(nics=(Nic(mac=CARD, mtu=1400, link="up"),))
    before = [document.text() for document in both(guest)]

    with pytest.raises(Refused, match="replug") as refused:
        setting(guest)(wish)
    assert refused.value.exit == 4
    assert [document.text() for document in both(guest)] == before

    done = setting(guest).allowing(Disruption.REPLUG)(wish)

    assert {(change.field, change.when) for change in done.changes} == {
        (f"nics[{CARD}].mtu", "replug"),
        (f"nics[{CARD}].link", "replug"),
    }
    for document in both(guest):
        assert list(diff(Vm.read(document.root), wish)) == []
    assert setting(guest).plan(wish).steps == ()
    setting(guest).allowing(Disruption.REPLUG)(Vm(nics=(Nic(mac=CARD, mtu=None, link=None),)))


def test_a_change_of_a_disk_that_is_in_use_is_taken_back_when_a_later_step_fails(
    guest: Machine, setting: Setting, both: Both, lines: Lines
) -> None:
    """The guest lets go of a card, then libvirt refuses a disk whose image is not there."""
    before = both(guest)
    wish = Vm(
        nics=(Nic.removed(mac=CARD),),
        disks=(Disk(target="vdb", file="/nowhere/at/all.qcow2", format="qcow2"),),
    )

    with pytest.raises(Exception, match="nowhere"):
        setting(guest)(wish)

    live, stored = both(guest)
    assert list(diff(Vm.read(live.root), Vm(nics=Vm.read(before[0].root).nics))) == []
    assert lines(stored) == lines(before[1])
