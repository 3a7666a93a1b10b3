"""Disks that are to be larger: of a running VM through its QEMU, of one that is off in its pool."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from kvist.engine.step import Step
from kvist.errors import Invalid, Problem
from kvist.resources.steps.alter import GrowDisk
from kvist.specs.disk import Disk
from kvist.specs.vm import Vm
from kvist.values import Size

if TYPE_CHECKING:
    from kvist.resources.vms.vm import Machine


def growth(vm: Machine, wish: Vm, *, running: bool) -> Iterator[Step]:
    """Work out which disks grow. Raises Invalid for one that is to be smaller, or that cannot grow while it is off."""
    wrong: list[Problem] = []
    for disk in wish.disks or ():
        if disk.size is None or disk.is_removed:
            continue
        where = f".disks[{disk.target}].size"
        place = None if running else _volume(vm, disk)
        if not running and place is None:
            wrong.append(
                Problem(
                    where,
                    f'VM "{vm.name}" is off, and its disk "{disk.target}" is no volume of a pool',
                    f"kvist start {vm.name}, and set it again",
                )
            )
            continue
        has = _capacity(vm, str(disk.target), place)
        if disk.size < has:
            wrong.append(Problem(where, f"{disk.size} is less than the {Size(has)} it has; a disk can only grow"))
        elif disk.size > has and place is None:
            yield GrowDisk(name=vm.name, target=str(disk.target), before=has, after=int(disk.size))
        elif disk.size > has and place is not None:
            from kvist.resources.steps.growing import GrowVolume

            pool, volume = place
            yield GrowVolume(
                vm=vm.name, target=str(disk.target), pool=pool, name=volume, before=has, after=int(disk.size)
            )
    if wrong:
        raise Invalid(wrong)


def _volume(vm: Machine, wish: Disk) -> tuple[str, str] | None:
    stored = Vm.read(vm.document(next_boot=True).root).disks
    disk = next((each for each in stored if each.target == wish.target), wish)
    if disk.pool and disk.volume:
        return disk.pool, disk.volume
    path = disk.file or disk.dev
    return vm.host.connection.pools.volume_of(path) if path else None


def _capacity(vm: Machine, target: str, place: tuple[str, str] | None) -> int:
    if place is None:
        return vm.host.connection.devices.capacity(vm.name, target)
    state = vm.host.connection.pools.volume(*place)
    return state.capacity if state else 0
