"""Every field that is marked live: set on a running VM, read back in both documents, and taken back without a trace."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kvist.engine.execute import carry_out
from kvist.engine.operation import Bound
from kvist.resources.vms.vm import Machine
from kvist.specs.balloon import Balloon
from kvist.specs.character import Channel, Serial
from kvist.specs.controller import Controller
from kvist.specs.disk import Disk
from kvist.specs.graphics import Graphics
from kvist.specs.input import Input
from kvist.specs.memory import MemoryModule
from kvist.specs.nic import FilterParameter, Nic
from kvist.specs.processor import CpuPin
from kvist.specs.rng import Rng
from kvist.specs.vm import Vm
from kvist.specs.watchdog import Watchdog
from kvist.values import Mac, Size
from kvist.xml.diff import diff
from kvist.xml.document import Document
from kvist.xml.kinds import Applies, One
from kvist.xml.lists import Many
from kvist.xml.spec import Spec

Setting = Callable[[Machine], Bound[[Vm]]]
Both = Callable[[Machine], tuple[Document, Document]]
Lines = Callable[[Document], list[str]]

CARD, NEW_CARD = Mac("52:54:00:00:00:01"), Mac("52:54:00:00:00:02")
MIB = 1 << 20
ROOT = "@"
"""Stands for the tier's directory in a path."""


def card(**wish: Any) -> Vm:
    return Vm(nics=(Nic(mac=CARD, **wish),))


def disk(**wish: Any) -> Vm:
    return Vm(disks=(Disk(target="vda", **wish),))


def plain_disk(**wish: Any) -> Vm:
    return Vm(disks=(Disk(target="vdb", **wish),))


def drive(**wish: Any) -> Vm:
    return Vm(disks=(Disk(target="sda", **wish),))


def screen(**wish: Any) -> Vm:
    return Vm(graphics=(Graphics(type="vnc", **wish),))


CASES: dict[tuple[type[Spec], str], tuple[Vm, ...]] = {
    (Vm, "title"): (Vm(title="another"), Vm(title=None)),
    (Vm, "description"): (Vm(description="what it is for"),),
    (Vm, "osinfo"): (Vm(osinfo="http://debian.org/debian/12"),),
    (Vm, "os"): (Vm(os="debian12"), Vm(os=None)),
    (Vm, "user"): (Vm(user="me"),),
    (Vm, "made_by"): (Vm(made_by="a test"),),
    (Vm, "made_from"): (Vm(made_from="micro"),),
    (Vm, "tags"): (Vm(tags=("one", "two")), Vm(tags=("first", "two")), Vm(tags=None)),
    (Vm, "protected"): (Vm(protected=True),),
    (Vm, "firewall"): (Vm(firewall=("default in=deny", "allow tcp/22")),),
    (Vm, "groups"): (Vm(groups=("web-tier",)),),
    (Vm, "forwards"): (Vm(forwards=("8080/tcp to 80",)),),
    (Vm, "volumes"): (Vm(volumes=("default/a",)),),
    (Vm, "cpu_shares"): (Vm(cpu_shares=512),),
    (Vm, "cpu_period"): (Vm(cpu_period=50000),),
    (Vm, "cpu_quota"): (Vm(cpu_quota=50000), Vm(cpu_quota=-1)),
    (Vm, "cpu_pins"): (Vm(cpu_pins=(CpuPin(vcpu=0, cpuset="0-1"),)),),
    (CpuPin, "vcpu"): (Vm(cpu_pins=(CpuPin(vcpu=0, cpuset="1"),)),),
    (CpuPin, "cpuset"): (Vm(cpu_pins=(CpuPin(vcpu=0, cpuset="1"),)),),
    (Vm, "emulator_cpuset"): (Vm(emulator_cpuset="1"),),
    (Vm, "memory_hard_limit"): (Vm(memory_hard_limit=Size(1 << 31)),),
    (Vm, "memory_soft_limit"): (Vm(memory_soft_limit=Size(1 << 31)),),
    (Vm, "memory_swap_limit"): (Vm(memory_hard_limit=Size(1 << 31), memory_swap_limit=Size(1 << 32)),),
    (Vm, "nics"): (
        Vm(nics=(Nic(mac=NEW_CARD, bridge="br0", tap="kvisttap2"),)),
        Vm(nics=(Nic(mac=NEW_CARD, type="user"),)),
    ),
    (Vm, "disks"): (
        Vm(disks=(Disk(target="vdc", file=f"{ROOT}/c.qcow2", format="qcow2"),)),
        Vm(disks=(Disk(target="sdb", file=f"{ROOT}/c.qcow2", format="qcow2"),)),
        Vm(disks=(Disk(target="sdc", bus="usb", file=f"{ROOT}/c.qcow2", format="qcow2"),)),
    ),
    (Vm, "channels"): (Vm(channels=(Channel(name="org.qemu.guest_agent.0"),)),),
    (Vm, "inputs"): (Vm(inputs=(Input(type="tablet", bus="usb"),)), Vm(inputs=(Input(type="keyboard", bus="virtio"),))),
    (Vm, "rngs"): (Vm(rngs=(Rng(source="/dev/urandom"),)), Vm(rngs=(Rng(backend="builtin"),))),
    (Vm, "watchdogs"): (Vm(watchdogs=(Watchdog(action="none"),)),),
    (Vm, "controllers"): (Vm(controllers=(Controller(type="scsi", index=1, model="virtio-scsi"),)),),
    (Vm, "serials"): (
        Vm(serials=(Serial(port=1, type="null", target="pci-serial"),)),
        Vm(serials=(Serial(port=1, type="null", target="usb-serial"),)),
    ),
    (Nic, "bridge"): (card(bridge="br1"),),
    (Nic, "link"): (card(link="down"),),
    (Nic, "isolated"): (card(isolated=True),),
    (Nic, "coalesce"): (card(coalesce=32),),
    (Disk, "file"): (drive(file=f"{ROOT}/b.iso"), drive(file=None)),
    (Disk, "type"): (drive(dir=f"{ROOT}/dir", format="fat"),),
    (Disk, "dir"): (drive(dir=f"{ROOT}/dir", format="fat"),),
    (Disk, "format"): (drive(file=f"{ROOT}/d.qcow2", format="qcow2"),),
    (Disk, "startup_policy"): (drive(startup_policy="optional"),),
    (Disk, "snapshot"): (disk(snapshot="no"),),
    (Disk, "total_bytes"): (disk(total_bytes=Size(2 * MIB)), plain_disk(total_bytes=Size(2 * MIB))),
    (Disk, "read_bytes"): (plain_disk(read_bytes=Size(2 * MIB)),),
    (Disk, "write_bytes"): (plain_disk(write_bytes=Size(2 * MIB)),),
    (Disk, "total_iops"): (plain_disk(total_iops=100), disk(total_iops=100)),
    (Disk, "read_iops"): (plain_disk(read_iops=100),),
    (Disk, "write_iops"): (plain_disk(write_iops=100),),
    (Disk, "total_bytes_max"): (disk(total_bytes_max=Size(4 * MIB)),),
    (Disk, "total_iops_max"): (plain_disk(total_iops=100, total_iops_max=200),),
    (Disk, "iotune_group"): (disk(iotune_group="other"), plain_disk(total_bytes=Size(MIB), iotune_group="shared")),
    (Graphics, "password"): (screen(password="new"),),
    (Graphics, "password_valid_to"): (screen(password_valid_to="2035-12-31T23:59:59"),),
    (Graphics, "connected"): (screen(password="new", connected="keep"),),
    (Balloon, "stats_period"): (Vm(balloon=Balloon(stats_period=9)), Vm(balloon=Balloon(stats_period=None))),
}
"""What is tried on a VM that runs nothing."""

ANSWERED = {(Vm, "memory"), (Vm, "cpus")}
"""What needs a guest that answers: tests/embed/test_answering_guest.py."""

APART = {(Vm, "autostart"), (Disk, "size")}
"""What stands in no document and has tests of its own: tests/embed/test_alter.py."""

DAEMON = "tests/daemon/test_live_fields.py: this driver has no networks, filters and pools"
SFQ = "nowhere on a kernel without sfq: libvirt shapes by it"
SERVER = "nowhere yet: a server of the data is needed"
NUMA = "nowhere yet: a guest with NUMA nodes and virtio-mem is needed"

ELSEWHERE: dict[tuple[type[Spec], str], str] = {
    **{(Nic, name): DAEMON for name in ("network", "filter", "filter_parameters")},
    **{(FilterParameter, name): DAEMON for name in ("name", "value")},
    **{(Disk, name): DAEMON for name in ("pool", "volume")},
    **{(Nic, name): "nowhere yet: Open vSwitch is needed, a bridge's ports have no tags" for name in ("vlan", "trunk")},
    **{(Nic, f"{way}_{what}"): SFQ for way in ("in", "out") for what in ("average", "peak", "burst")},
    **{(Nic, name): "an aside: a network keeps it, no VM" for name in ("ip", "gateway", "dns")},
    (Disk, "dev"): "nowhere yet: a block device to spare is needed",
    **{(Disk, name): SERVER for name in ("protocol", "export", "host", "port")},
    (Vm, "hostdevs"): "nowhere: a device of the host to hand over is needed",
    (Vm, "filesystems"): "nowhere yet: shared memory and virtiofsd are needed",
    (Vm, "memory_modules"): NUMA,
    (MemoryModule, "requested"): NUMA,
    (Vm, "vsock"): "nowhere on a kernel without vhost-vsock",
}
"""What cannot be tried in this tier, why, and where it is."""


def specs(root: type[Spec]) -> Iterator[type[Spec]]:
    yield root
    for field in root.DECLARED.values():
        if isinstance(field, Many | One):
            yield from specs(field.spec)


def live_fields() -> set[tuple[type[Spec], str]]:
    return {
        (spec, name)
        for spec in specs(Vm)
        for name, field in spec.DECLARED.items()
        if (field.applies is Applies.LIVE or field.live_for) and not field.told
    }


def cases() -> list[tuple[str, Vm]]:
    return [
        (f"{spec.__name__}.{name}" + (f"-{number}" if number else ""), wish)
        for (spec, name), wishes in CASES.items()
        for number, wish in enumerate(wishes)
    ]


def placed(wish: Vm, root: Path) -> Vm:
    """Put the tier's directory where the wish has only a mark for it."""

    def put(value: Any) -> Any:
        if isinstance(value, str):
            return value.replace(f"{ROOT}/", f"{root}/")
        if isinstance(value, tuple):
            return tuple(put(each) for each in value)
        if isinstance(value, Spec):
            kind = type(value).removed if value.is_removed else type(value)
            return kind(**{name: put(each) for name, each in value.items()})
        return value

    found = put(wish)
    assert isinstance(found, Vm)
    return found


def lacking(document: Document, wish: Vm) -> list[str]:
    return [change.path for change in diff(Vm.read(document.root), wish)]


def test_every_field_that_is_marked_live_is_tried_or_excused() -> None:
    tried = CASES.keys() | ANSWERED | APART | ELSEWHERE.keys()
    names = {f"{spec.__name__}.{name}" for spec, name in live_fields() - tried}
    assert names == set(), "not tried"
    assert {f"{spec.__name__}.{name}" for spec, name in tried - live_fields()} == set(), "not live"


@pytest.mark.parametrize(("name", "wish"), [pytest.param(*case, id=case[0]) for case in cases()])
def test_a_live_field_reaches_the_running_vm_and_the_next_boot(
    name: str, wish: Vm, bare: Machine, work: Path, setting: Setting, both: Both, lines: Lines
) -> None:
    wish = placed(wish, work)
    before = both(bare)
    plan = setting(bare).plan(wish)

    done = carry_out(plan, bare.site)

    try:
        assert done.changed
        assert {change.when for change in done.changes} == {"live"}
        live, stored = both(bare)
        assert lacking(live, wish) == []
        assert lacking(stored, wish) == []
        assert setting(bare).plan(wish).steps == ()
    finally:
        for step in reversed(plan.steps):
            step.undo(bare.site)
    assert [lines(document) for document in both(bare)] == [lines(document) for document in before]
