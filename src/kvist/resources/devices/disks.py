"""Disks of a VM that exists: listed, added, changed, removed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import Annotated, NamedTuple

from kvist.engine.ask import Ask
from kvist.engine.operation import operation
from kvist.engine.step import Step
from kvist.errors import Conflict, Invalid, NotFound, Problem
from kvist.resources.changing.restarting import RESTART_NOW
from kvist.resources.devices.disk import DEFAULT_POOL, Disks, chain, in_use, used_by_others
from kvist.resources.devices.naming import Found, Part, as_typed, listed, matching, pick
from kvist.specs.disk import Disk
from kvist.specs.vm import Vm
from kvist.values import Size
from kvist.virt.storage import VolumeState
from kvist.xml.diff import diff
from kvist.xml.options import parse_options

COMMON = (
    "size",
    "pool",
    "format",
    "target",
    "bus",
    "cache",
    "readonly",
    "serial",
    "alias",
    "read_bytes",
    "write_bytes",
)
MADE_WITH = ("backing", "backing_format")
WHICH = Ask("which disk: its target, alias, serial, file, volume or number", metavar="DISK", complete="disk")


class Row(NamedTuple):
    """One disk of one VM; sizes in bytes."""

    target: str
    device: str
    bus: str | None
    format: str | None
    size: Size | None
    used: Size | None
    source: str | None
    backing: tuple[str, ...]
    serial: str | None
    state: str


class DiskList(Part):
    """The disks of one VM. A disk is called by its target, alias, serial, file, volume or number."""

    def ls(self) -> list[Row]:
        """List the disks of a VM: format, size, what it takes on the host, and the images it lies on.

        A disk is found in the guest by its serial: /dev/disk/by-id, /sys/block/*/serial.

        Example: kvist disk ls web
        """
        return [self._row(found) for found in listed(self.vm, ("disk",))]

    @operation
    def add(
        self,
        what: Annotated[
            str, Ask("20G for a new one, POOL/VOLUME, or a file; more: 20G,format=raw", metavar="DISK")
        ] = "",
        settings: Annotated[
            Disk, Ask("the disk's settings", group="Settings", common=COMMON, without=MADE_WITH)
        ] = Disk(),  # noqa: B008 - immutable
        *,
        restart_now: Annotated[bool, RESTART_NOW] = False,
    ) -> Iterator[Step]:
        """Plug a disk into a VM, into the running one and for its next boot: a new one, a volume, or a file.

        It takes the next free target; --target or --alias identifies it, so that the same line adds it only once. So
        does a file or volume.

        Example: kvist disk add web 10G --target vdb
        """
        typed = parse_options(Disk, self._placed(what), path="DISK") if what else Disk()
        yield from add_disk(self, typed.replace(**dict(settings.items())), restart=restart_now)

    @operation
    def set(
        self,
        disk: Annotated[str, WHICH],
        settings: Annotated[
            Disk,
            Ask("what is to be otherwise", group="Settings", common=COMMON, without=("target", "path", *MADE_WITH)),
        ] = Disk(),  # noqa: B008 - immutable
        *,
        restart_now: Annotated[bool, RESTART_NOW] = False,
    ) -> Iterator[Step]:
        """Change a disk: size, limits and media live, the rest by plugging it in again.

        A disk can only grow. In the guest, its partition and file system are yours to grow.

        Example: kvist disk set web vda --size 40G
        """
        found = pick(self.vm, disk, ("disk",), "disk")
        if not dict(settings.items()):
            raise Invalid("say what is to be otherwise", hint=f"kvist disk set {self.name} {found.label} --size 40G")
        wish = found.wish(settings)
        yield from as_typed(self.alter(wish, restart=restart_now), "--")

    @operation
    def remove(
        self,
        disk: Annotated[str, WHICH],
        *,
        delete: Annotated[bool, Ask("also put its volume into the trash")] = False,
        restart_now: Annotated[bool, RESTART_NOW] = False,
    ) -> Iterator[Step]:
        """Unplug a disk and wait until the guest has let it go; its data stays, unless --delete says otherwise.

        One that is not there is no mistake. A disk that stays is no longer removed with its VM.

        Example: kvist disk remove web vdb
        """
        if matching(listed(self.vm, ("disk",)), disk, ("disk",)):
            yield from remove_disk(self, pick(self.vm, disk, ("disk",), "disk"), delete=delete, restart=restart_now)

    def _placed(self, what: str) -> str:
        """Read the first word, `my-pool/data` or `data.qcow2`, as the volume or the file of this directory it is."""
        word, comma, rest = what.partition(",")
        found = source_of(self, word)
        return (
            ",".join(f"{key}={value.replace(',', ',,')}" for key, value in found.items()) + comma + rest
            if found
            else what
        )

    def _row(self, found: Found) -> Row:
        disk = found.running if isinstance(found.running, Disk) else found.item
        assert isinstance(disk, Disk), "the list of disks holds disks"
        volume = volume_of(self, disk)
        path = volume.path if volume else disk.file or disk.dev
        capacity = volume.capacity if volume else None
        if capacity is None and found.running is not None and path:
            capacity = self.vm.host.connection.devices.capacity(self.name, str(disk.target))
        return Row(
            target=str(disk.target),
            device=disk.device or "disk",
            bus=disk.bus,
            format=disk.format,
            size=None if capacity is None else Size(capacity),
            used=Size(volume.allocation) if volume else None,
            source=path or disk.export or disk.dir,
            backing=tuple(chain(self.vm.host, path)) if path else (),
            serial=disk.serial,
            state=found.state,
        )


def source_of(part: Part, word: str) -> dict[str, str]:
    """Tell what a word means as the source of a disk: a volume, where it begins with a pool, or else a file."""
    pool, slash, volume = word.partition("/")
    if pool and slash and any(known.name == pool for known in part.vm.host.connection.pools.all()):
        return {"pool": pool, "volume": volume}
    if "=" in word or word.startswith("/"):
        return {}
    path = Path(word).expanduser().absolute()
    return {"path": str(path)} if slash or path.exists() else {}


def volume_of(disks: Part, disk: Disk) -> VolumeState | None:
    """Give the volume that a disk lies on, or None when that is in no pool."""
    pools = disks.vm.host.connection.pools
    path = disk.file or disk.dev
    place = (disk.pool, disk.volume) if disk.pool and disk.volume else pools.volume_of(path) if path else None
    return pools.volume(*place) if place else None


def planner(part: Part, there: list[Found], problems: list[Problem]) -> Disks:
    """Give what plans further disks of a VM: on the bus that its guest knows, beside the targets it has."""
    buses = [str(each.item.get("bus")) for each in there if each.item.get("device") in (None, "disk")]
    drives = [str(each.item.get("bus")) for each in there if each.item.get("device") == "cdrom"]
    scsi = any(each.item.get("type") == "scsi" for each in listed(part.vm, ("controller",)))
    fast = next((bus for bus in ("virtio", "scsi") if bus in buses), None)
    return Disks(
        part.vm.host,
        part.name,
        bus=fast or next(iter(buses), "virtio"),
        cdrom_bus="scsi" if scsi else next(iter(drives), "sata"),
        problems=problems,
        targets=sorted({str(each.item.get("target")) for each in there}),
        more=True,
    )


def add_disk(disks: DiskList, wish: Disk, *, restart: bool) -> Iterator[Step]:
    """Work out what adds a disk: nothing when an identified one is there. Raises Conflict when that is another."""
    vm = disks.vm
    there = listed(vm, ("disk",))
    known = next((each for each in there if _is(disks, each, wish)), None)
    if known is not None:
        _compare(disks, known, wish)
        return
    problems: list[Problem] = []
    planned = planner(disks, there, problems)
    planned.add(wish, "DISK")
    for path, why in in_use(vm.host, _written(planned)).items():
        problems.append(
            Problem("DISK", f'"{path}" {why}'.replace("“", '"').replace("”", '"'), f"kvist disk ls {vm.name}")
        )
    if problems:
        raise Invalid(problems, hint="kvist disk add --help")
    yield from planned.steps()
    change = Vm(disks=planned.devices())
    if planned.volumes():
        change = change.replace(volumes=(*owned(disks), *planned.volumes()))
    yield from disks.alter(change, restart=restart)


def _written(planned: Disks) -> set[str]:
    return {str(disk.file or disk.dev) for disk in planned.devices() if not disk.readonly and not disk.shareable}


def owned(part: Part) -> tuple[str, ...]:
    """Give the volumes that were made for a VM and go with it, as POOL/VOLUME."""
    persistent = part.vm.host.connection.domains.persistent(part.name)
    return Vm.read(part.vm.document(next_boot=persistent).root).volumes or ()


def _is(disks: DiskList, found: Found, wish: Disk) -> bool:
    if wish.target is not None or wish.alias is not None:
        return (wish.target or found.item.get("target")) == found.item.get("target") and (
            wish.alias or found.alias
        ) == found.alias
    source = _source(disks, wish)
    have = found.item
    assert isinstance(have, Disk), "the list of disks holds disks"
    return source is not None and source == _source(disks, have)


def _source(disks: DiskList, disk: Disk) -> str | None:
    if disk.volume:
        state = disks.vm.host.connection.pools.volume(disk.pool or DEFAULT_POOL, disk.volume)
        return state.path if state else None
    path = disk.path or disk.file or disk.dev
    return None if path is None else str(PurePath(path))


def _compare(disks: DiskList, known: Found, wish: Disk) -> None:
    have = known.item
    assert isinstance(have, Disk), "the list of disks holds disks"
    plain = {key: value for key, value in wish.items() if value is not None}
    said: list[str] = []
    if (source := _source(disks, wish)) is not None and source != _source(disks, have):
        said.append(f"it is {_source(disks, have)}, not {source}")
    volume = volume_of(disks, have)
    if wish.size is not None and volume is not None and volume.capacity != wish.size:
        said.append(f"it has {Size(volume.capacity).short}, not {wish.size.short}")
    for key in ("path", "size", "pool", "volume", "file", "dev", "type"):
        plain.pop(key, None)
    said += [f"{change.path} is {change.before}, not {change.after}" for change in diff(have, Disk(**plain))]
    if said:
        raise Conflict(
            f'VM "{disks.name}" has a disk "{known.label}" already: {"; ".join(said)}',
            hint=f"kvist disk set {disks.name} {known.label} --size {wish.size.short if wish.size else '40G'}",
        )


def remove_disk(disks: DiskList, found: Found, *, delete: bool, restart: bool) -> Iterator[Step]:
    """Work out what unplugs a disk, and what becomes of its volume."""
    vm, disk = disks.vm, found.item
    assert isinstance(disk, Disk), "the list of disks holds disks"
    volume = volume_of(disks, disk)
    if delete and volume is None:
        raise NotFound(
            f'disk "{found.label}" of VM "{vm.name}" is no volume of a pool, so there is nothing that could be deleted',
            hint=f"kvist disk remove {vm.name} {found.label}",
        )
    wish = found.wish(Disk.removed())
    before = owned(disks)
    kept = tuple(each for each in before if volume is None or each != f"{volume.pool}/{volume.name}")
    if kept != before:
        wish = wish.replace(volumes=kept or None)
    steps = list(disks.alter(wish, restart=restart))
    if delete and volume is not None:
        from kvist.resources.past.retiring import retire_volumes
        from kvist.resources.steps.alter import Detach
        from kvist.resources.steps.restart import ShutdownToRestart

        if found.running is not None and not any(isinstance(step, Detach | ShutdownToRestart) for step in steps):
            raise Conflict(
                f'cannot delete disk "{found.label}" of VM "{vm.name}": it stays plugged in until the VM stops',
                hint="add --allow restart, or leave out --delete",
            )
        if volume.path in used_by_others(vm.host, vm.name):
            raise Conflict(
                f'cannot delete disk "{found.label}" of VM "{vm.name}": another VM uses it too',
                hint=f"kvist disk remove {vm.name} {found.label}",
            )
        steps += retire_volumes([(volume.pool, volume.name)], vm.name)
    yield from steps
