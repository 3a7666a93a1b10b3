"""What stands between a document and a wish, and when each part of it reaches the guest."""

from __future__ import annotations

import pytest

from kvist.specs.controller import Controller
from kvist.specs.disk import Disk
from kvist.specs.filesystem import Filesystem
from kvist.specs.nic import Nic
from kvist.specs.processor import CpuFeature
from kvist.specs.tpm import Tpm
from kvist.specs.vm import Vm
from kvist.values import Mac, Size
from kvist.xml.diff import diff
from kvist.xml.field import LIVE, REPLUG, RESTART
from kvist.xml.kinds import Applies
from kvist.xml.spec import Spec

ONE, TWO = Mac("52:54:00:00:00:01"), Mac("52:54:00:00:00:02")


def shown(current: Spec, desired: Spec) -> list[tuple[str, object, object, Applies]]:
    return [change[:4] for change in diff(current, desired)]


def test_what_is_there_already_is_no_change() -> None:
    current = Vm(name="web", memory=Size(1 << 30), nics=(Nic(mac=ONE, type="network", network="a"),), acpi=True)
    assert shown(current, Vm(memory=Size(1 << 30), nics=(Nic(mac=ONE, network="a"),))) == []
    assert shown(current, current) == []


def test_the_removal_of_what_is_not_there_is_no_change() -> None:
    assert shown(Vm(), Vm(title=None, pae=False, boot=(), tpm=None, nics=(Nic.removed(mac=ONE),))) == []


def test_each_field_is_a_change_with_its_path_and_its_time() -> None:
    current = Vm(title="old", machine="pc", nics=(Nic(mac=ONE, type="network", network="a", mtu=1500),))
    desired = Vm(title="new", machine="q35", nics=(Nic(mac=ONE, network="b", mtu=None),))
    assert shown(current, desired) == [
        ("title", "old", "new", LIVE),
        ("machine", "pc", "q35", RESTART),
        (f"nics[{ONE}].network", "a", "b", LIVE),
        (f"nics[{ONE}].mtu", 1500, None, REPLUG),
    ]


def test_a_list_item_that_comes_or_goes_is_one_change() -> None:
    old, new = Nic(mac=ONE, type="network", network="a"), Nic(mac=TWO, network="b")
    assert shown(Vm(nics=(old,)), Vm(nics=(Nic.removed(mac=ONE), new))) == [
        (f"nics[{ONE}]", old, None, LIVE),
        (f"nics[{TWO}]", None, new, LIVE),
    ]


def test_a_nested_spec_that_is_new_is_a_change_of_each_of_its_fields() -> None:
    assert shown(Vm(), Vm(tpm=Tpm(version="2.0"), cpu_features=(CpuFeature(name="vmx", policy="require"),))) == [
        ("tpm.version", None, "2.0", RESTART),
        ("cpu_features[vmx]", None, CpuFeature(name="vmx", policy="require"), RESTART),
    ]


@pytest.mark.parametrize(
    ("before", "wish", "changes"),
    [
        (
            Nic(type="network", network="a"),
            Nic(bridge="br0"),
            [("type", "network", "bridge", LIVE), ("bridge", None, "br0", LIVE)],
        ),
        (
            Nic(type="direct", dev="eth0"),
            Nic(network="a"),
            [("type", "direct", "network", REPLUG), ("network", None, "a", REPLUG)],
        ),
    ],
)
def test_a_turn_into_another_variant_is_a_change_and_its_fields_wait_for_it(
    before: Nic, wish: Nic, changes: list[tuple[str, object, object, Applies]]
) -> None:
    assert shown(before, wish) == changes


@pytest.mark.parametrize(("device", "applies"), [("cdrom", LIVE), ("floppy", LIVE), ("disk", REPLUG), (None, REPLUG)])
def test_a_medium_is_changed_live_and_a_disk_is_not(device: str | None, applies: Applies) -> None:
    current = Disk(type="file", device=device, file="/a")
    assert shown(current, Disk(file="/b")) == [("file", "/a", "/b", applies)]


@pytest.mark.parametrize(
    ("current", "wish", "applies"),
    [
        (Vm(cpus=1, cpus_max=4), Vm(cpus=4), LIVE),
        (Vm(cpus=1, cpus_max=4), Vm(cpus=5), RESTART),
        (Vm(cpus=2, cpus_max=4), Vm(cpus=1), RESTART),
        (Vm(memory=Size(1), memory_max=Size(2)), Vm(memory=Size(2)), LIVE),
        (Vm(memory=Size(2), memory_max=Size(2)), Vm(memory=Size(1)), LIVE),
        (Vm(memory=Size(2), memory_max=Size(2)), Vm(memory=Size(3)), RESTART),
    ],
)
def test_memory_and_processors_are_live_up_to_their_maximum(current: Vm, wish: Vm, applies: Applies) -> None:
    assert [change.applies for change in diff(current, wish)] == [applies]


@pytest.mark.parametrize(
    ("wish", "applies"),
    [
        (Vm(disks=(Disk(target="vdb", bus="virtio"),)), LIVE),
        (Vm(disks=(Disk(target="sdb", bus="sata"),)), RESTART),
        (Vm(disks=(Disk.removed(target="sda"),)), RESTART),
        (Vm(filesystems=(Filesystem(target="a", driver="virtiofs"),)), LIVE),
        (Vm(filesystems=(Filesystem(target="a"),)), RESTART),
        (Vm(controllers=(Controller(type="pci", index=9),)), RESTART),
        (Vm(controllers=(Controller(type="scsi", index=1),)), LIVE),
    ],
)
def test_a_device_comes_and_goes_live_where_its_bus_allows_it(wish: Vm, applies: Applies) -> None:
    current = Vm(disks=(Disk(target="sda", bus="sata"),))
    assert [change.applies for change in diff(current, wish)] == [applies]


def test_what_stands_in_no_document_is_no_change() -> None:
    assert shown(Disk(), Disk(size=Size(1 << 30), backing="/a")) == []


def test_times_are_ordered_by_what_they_disrupt() -> None:
    assert sorted([RESTART, LIVE, Applies.RECREATE, REPLUG]) == [LIVE, REPLUG, RESTART, Applies.RECREATE]
    assert max(Applies.LIVE, Applies.RESTART, Applies.REPLUG) is Applies.RESTART
