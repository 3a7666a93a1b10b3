"""Disks of VMs: what is typed becomes a device, and the steps that make its volume."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import count
from pathlib import Path, PurePath
from shlex import quote
from typing import TYPE_CHECKING, NamedTuple

from kvist.engine.step import Step
from kvist.errors import Conflict, Corrupt, KvistError, NotFound, Problem
from kvist.resources.past.retiring import in_trash
from kvist.resources.steps.access import GrantPassage
from kvist.resources.steps.storage import CopyVolume, FillVolume, MakePool, MakeVolume, StartPool
from kvist.specs.disk import Disk
from kvist.specs.vm import Vm
from kvist.specs.volume import Volume
from kvist.values import Size
from kvist.xml.document import Document

if TYPE_CHECKING:
    from kvist.resources.hosts.host import Host
    from kvist.resources.images.image import Image
    from kvist.resources.vms.vm import Machine

DEFAULT_POOL = "default"
DEFAULT_PATH = "/var/lib/libvirt/images"
"""The pool and its directory that libvirt's own tools use when they are told nothing."""
SESSION_PATH = "~/.local/share/libvirt/images"
"""The same for an ordinary user's libvirt."""

DEFAULT_SIZE = Size(10 << 30)
"""A disk that is only filled as the guest writes costs nothing until then; 10 GiB is what cloud images grow into."""


class Planned(NamedTuple):
    """A disk as the VM will have it, the steps that bring its volume about, and that volume when it is a new one."""

    disk: Disk
    steps: tuple[Step, ...]
    volume: str = ""


def host_root(host: Host) -> Path:
    """Give the directory under which the files of a local host or a sandbox are seen from here."""
    return host.place.sandbox.root if host.place.sandbox else Path("/")


def lies_on_host(host: Host, path: str) -> bool:
    """Tell whether a path is one of the host's: there a disk is used in place, elsewhere it is brought to the host."""
    if host.place.local or host.place.sandbox:
        return (host_root(host) / str(Path(path).expanduser().absolute()).lstrip("/")).exists()
    return host.connection.pools.volume_of(path) is not None


def sources(vm: Vm) -> Iterator[str]:
    """Give what each disk of a VM lies on: a path, or POOL/VOLUME."""
    for disk in vm.disks:
        source = disk.file or disk.dev or (f"{disk.pool}/{disk.volume}" if disk.pool and disk.volume else None)
        if source:
            yield source


class Disks:
    """Plans the disks of one VM. What is wrong is gathered in `problems`, all of it, not only the first.

    `targets` are taken already; with `more`, the VM has disks, and a volume's name that is taken is passed over.
    """

    def __init__(
        self,
        host: Host,
        name: str,
        *,
        bus: str,
        cdrom_bus: str,
        problems: list[Problem],
        targets: Sequence[str] = (),
        more: bool = False,
    ) -> None:
        self.host, self.name, self.bus, self.cdrom_bus, self.problems = host, name, bus, cdrom_bus, problems
        self.planned: list[Planned] = []
        self._pools = {pool.name: pool for pool in host.connection.pools.all()}
        self._prepared: set[str] = set()
        self._named: set[str] = set()
        self._more = more
        self._taken = set(targets)
        for target in sorted({each for each in targets if targets.count(each) > 1}):
            self._wrong("--disk", f"two disks are to be “{target}”")

    def image(self, image: Image, wish: Disk | None, *, full: bool) -> None:
        """Add the disk that is made from an image: on top of it, or (with `full`) as a copy of it."""
        wish = wish or Disk()
        size = max(wish.size or (DEFAULT_SIZE if image.grows else image.size), image.size)
        if wish.size is not None and wish.size < image.size:
            self._wrong("--disk", f"{wish.size} is smaller than image “{image.name}”, which has {image.size}")
        if wish.format not in (None, "qcow2"):
            self._wrong("--disk", f"a disk made from an image is qcow2, not {wish.format}")
        pool, steps = self._pool(wish)
        wish = self._aimed(wish)
        name = self._volume_name(pool, wish)
        made: MakeVolume | CopyVolume
        if full:
            made = CopyVolume(
                pool=pool, name=name, source_pool=image.pool, source=image.volume, capacity=size, format="qcow2",
                owner=self.name,
            )  # fmt: skip
        else:
            made = MakeVolume(
                pool=pool, name=name, capacity=size, format="qcow2", backing=image.path, backing_format="qcow2",
                owner=self.name,
            )  # fmt: skip
        self._add(wish.replace(format="qcow2"), pool, name, (*steps, made))

    def add(self, wish: Disk, where: str = "--disk") -> None:
        """Add a disk that is typed: an existing file, device or volume, or a new one of some size."""
        path = wish.path or wish.file or wish.dev
        if path:
            self._existing(wish, path, where)
        elif wish.volume:
            pool = wish.pool or DEFAULT_POOL
            known = self._pools.get(pool)
            state = self.host.connection.pools.volume(pool, wish.volume) if known and known.active else None
            if state is None:
                self._wrong(where, f"there is no volume “{pool}/{wish.volume}”")
            else:
                self._existing(wish.replace(pool=None, volume=None), state.path, where)
        elif wish.size is not None:
            pool, steps = self._pool(wish)
            size, form = wish.size, wish.format or "qcow2"
            wish = self._aimed(wish)
            name = self._volume_name(pool, wish, form)
            made = MakeVolume(pool=pool, name=name, capacity=size, format=form, owner=self.name)
            self._add(wish.replace(format=form), pool, name, (*steps, made))
        else:
            self._wrong(where, "say how large it is to be (20G), or which file or volume it is")

    def medium(self, path: str, where: str = "--cdrom") -> None:
        """Add a CD-ROM with an ISO file in it."""
        self._existing(Disk(device="cdrom", bus=self.cdrom_bus, readonly=True), path, where)

    def seed(self, content: bytes) -> None:
        """Add the read-only disk that cloud-init reads at first boot."""
        pool, steps = self._pool(Disk())
        name = self._free(pool, f"{self.name}-seed", "iso")
        filled = FillVolume(pool=pool, name=name, format="raw", content=content, owner=self.name)
        disk = Disk(device="cdrom", bus=self.cdrom_bus, readonly=True, format="raw")
        self._add(disk, pool, name, (*steps, filled))

    def upload(self, path: Path, suffix: str) -> str:
        """Bring a file of this machine to the host as a volume of the VM's, and give its path there."""
        pool, steps = self._pool(Disk())
        name = self._free(pool, f"{self.name}-{PurePath(suffix).stem}", PurePath(suffix).suffix.removeprefix("."))
        filled = FillVolume(pool=pool, name=name, format="raw", path=str(path), owner=self.name)
        self.planned.append(Planned(Disk(), (*steps, filled), f"{pool}/{name}"))
        return f"{self._directory(pool)}/{name}"

    def steps(self) -> Iterator[Step]:
        """Give all steps, in order."""
        for each in self.planned:
            yield from each.steps

    def devices(self) -> tuple[Disk, ...]:
        """Give the devices of the VM."""
        return tuple(each.disk for each in self.planned if each.disk.target)

    def volumes(self) -> tuple[str, ...]:
        """Give the volumes that are made for the VM and go with it."""
        return tuple(each.volume for each in self.planned if each.volume)

    def _add(self, disk: Disk, pool: str, volume: str, steps: Sequence[Step]) -> None:
        known = self._pools.get(pool)
        if known and known.active and self.host.connection.pools.volume(pool, volume):
            self._wrong(
                "--disk",
                f"volume “{pool}/{volume}” exists already and belongs to no VM of this name",
                hint=f"use it: --disk {self._directory(pool)}/{volume}, or delete it: virsh vol-delete {volume} {pool}",
            )
        device = self._device(disk).replace(pool=None, file=f"{self._directory(pool)}/{volume}")
        self.planned.append(Planned(_bare(device), tuple(steps), f"{pool}/{volume}"))

    def _existing(self, disk: Disk, path: str, where: str) -> None:
        host = self.host
        if not (host.place.local or host.place.sandbox):
            self._remote(disk, path, where)
            return
        local = Path(path).expanduser().absolute()
        if lies_on_host(host, path):
            self._in_place(disk, local, where)
        elif local.exists():
            self._import(disk, local, where)
        else:
            self._wrong(where, f"there is no file “{path}”")

    def _remote(self, disk: Disk, path: str, where: str) -> None:
        if self.host.connection.pools.volume_of(path) is not None:
            form = disk.format or ("raw" if disk.device == "cdrom" else "qcow2")
            self.planned.append(Planned(_bare(self._device(disk).replace(file=path, format=form)), ()))
        elif Path(path).expanduser().exists():
            self._import(disk, Path(path).expanduser().absolute(), where)
        else:
            self._wrong(where, f"“{path}” is neither a volume of the host nor a file here")

    def _in_place(self, disk: Disk, path: Path, where: str) -> None:
        from kvist.host.access import blocked, listed
        from kvist.host.machine import qemu_user

        root = host_root(self.host)
        there = root / str(path).lstrip("/")
        form = self._format(disk, there, where)
        user = qemu_user()
        # A link leads elsewhere, and QEMU has to come to that place; in a sandbox it would lead out of here.
        closed = blocked(there.resolve() if root == Path("/") else there, user, root)
        steps: tuple[Step, ...] = ()
        if closed:
            names = tuple(f"/{each.relative_to(root)}" for each in closed)
            plain = tuple(name for name, each in zip(names, closed, strict=True) if not listed(each))
            steps = (GrantPassage(directories=names, plain=plain, root=str(root), user=user, file=str(path)),)
        placed = self._device(disk).replace(format=form)
        placed = placed.replace(dev=str(path)) if there.is_block_device() else placed.replace(file=str(path))
        self.planned.append(Planned(_bare(placed), steps))

    def _import(self, disk: Disk, path: Path, where: str) -> None:
        form = self._format(disk, path, where)
        pool, steps = self._pool(disk)
        disk = self._aimed(disk)
        volume = (
            self._volume_name(pool, disk, form)
            if disk.device != "cdrom"
            else self._free(pool, f"{self.name}-{path.stem}", path.suffix.removeprefix("."))
        )
        filled = FillVolume(pool=pool, name=volume, format=form, path=str(path), owner=self.name)
        self._add(disk.replace(format=form), pool, volume, (*steps, filled))

    def _format(self, disk: Disk, path: Path, where: str) -> str:
        """Look what a file is; one that is no disk is a problem."""
        from kvist.host.disk_image import examine

        try:
            return examine(path, host_root(self.host), form=disk.format, medium=disk.device == "cdrom")
        except Corrupt as wrong:
            self._wrong(where, wrong.what, hint=wrong.hint)
            return disk.format or "raw"

    def _aimed(self, disk: Disk) -> Disk:
        """Give a disk its bus and target."""
        bus = disk.bus or (self.cdrom_bus if disk.device == "cdrom" else self.bus)
        target = disk.target or self._next_target(bus)
        self._taken.add(target)
        return disk.replace(bus=bus, target=target)

    def _device(self, disk: Disk) -> Disk:
        disk = self._aimed(disk)
        target = disk.target
        given = {"serial": f"{self.name}-{target}"[:20]} if disk.device in (None, "disk") and not disk.serial else {}
        extra = {"discard": "unmap"} if disk.device in (None, "disk") and not disk.discard else {}
        return disk.replace(device=disk.device or "disk", driver="qemu", **given, **extra)

    def _next_target(self, bus: str) -> str:
        prefix = {"virtio": "vd", "ide": "hd", "fdc": "fd"}.get(bus, "sd")
        return next(name for name in (prefix + _letters(number) for number in count()) if name not in self._taken)

    def _pool(self, wish: Disk) -> tuple[str, list[Step]]:
        pool = wish.pool or self._default_pool
        if pool in self._prepared:
            return pool, []
        self._prepared.add(pool)
        if pool in self._pools:
            return pool, [] if self._pools[pool].active else [StartPool(name=pool)]
        if pool != DEFAULT_POOL:
            self._wrong("--disk", f"there is no pool “{pool}”; there is {', '.join(self._pools) or 'none'}")
            return pool, []
        return pool, [MakePool(name=pool, path=self._default_path)]

    @property
    def _default_pool(self) -> str:
        if self.host.connection.scheme == "test":
            # The test driver has a pool of another name, and makes no directories.
            return next(iter(self._pools), DEFAULT_POOL)
        return DEFAULT_POOL

    def _volume_name(self, pool: str, disk: Disk, form: str = "qcow2") -> str:
        """Name a volume after its VM, the second and later ones after their targets too: no other VM is called so."""
        first = pool not in self._named and not self._more
        self._named.add(pool)
        return self._free(pool, f"{self.name}{'' if first else f'-{disk.target}'}", {"raw": "img"}.get(form, form))

    def _free(self, pool: str, stem: str, suffix: str) -> str:
        """Give a volume's name, with a number when the plain one is that of a volume in the trash."""
        known, pools = self._pools.get(pool), self.host.connection.pools
        dot = "." if suffix else ""
        plain = f"{stem}{dot}{suffix}"
        if not (known and known.active and pools.volume(pool, plain)):
            return plain
        if not self._more and (pool, plain) not in in_trash(self.host.connection.uri):
            return plain
        numbered = (f"{stem}.{number}{dot}{suffix}" for number in count(2))
        return next(name for name in numbered if pools.volume(pool, name) is None)

    def _directory(self, pool: str) -> str:
        if pool not in self._pools:
            return self._default_path
        found = Document.parse(self.host.connection.pools.xml(pool)).root.findtext("target/path")
        return found or self._default_path

    @property
    def _default_path(self) -> str:
        return str(Path(SESSION_PATH).expanduser()) if self.host.place.session else DEFAULT_PATH

    def _wrong(self, where: str, what: str, *, hint: str = "") -> None:
        self.problems.append(Problem(where, what.replace("“", '"').replace("”", '"'), hint))


def _bare(disk: Disk) -> Disk:
    """Leave out what is typed but stands in no document."""
    kept = {key: value for key, value in disk.items() if key not in ("path", "size", "backing", "backing_format")}
    return Disk(**{key: value for key, value in kept.items() if value is not None})


def _letters(number: int) -> str:
    text = ""
    number += 1
    while number:
        number, rest = divmod(number - 1, 26)
        text = chr(ord("a") + rest) + text
    return text


def belongings(vm: Machine, *, named: Sequence[str] = ()) -> list[tuple[str, str]]:
    """List the volumes that go when a VM is deleted: those made for it and those named, less what another VM uses.

    Raises NotFound for a named disk that it does not have.
    """
    host = vm.host
    spec = Vm.read(vm.document(next_boot=vm.host.connection.domains.persistent(vm.name)).root)
    targets = {disk.target: disk for disk in spec.disks}
    if unknown := [target for target in named if target not in targets]:
        raise NotFound(
            f'VM "{vm.name}" has no disk "{unknown[0]}"',
            hint=f"it has {', '.join(str(each) for each in targets) or 'none'}",
        )
    going = dict.fromkeys(spec.volumes or ())
    for target in named:
        path = targets[target].file or targets[target].dev or ""
        place = host.connection.pools.volume_of(path) if path else None
        if place is None:
            raise NotFound(f'disk "{target}" of VM "{vm.name}" is no volume of a pool', hint=f"rm {quote(path)}")
        going["/".join(place)] = None
    if not going:
        return []
    used = used_by_others(host, vm.name)
    found: list[tuple[str, str]] = []
    for label in going:
        pool, _, volume = label.partition("/")
        state = _look(host, pool, volume)
        if state is not None and state not in used:
            found.append((pool, volume))
    return found


def _look(host: Host, pool: str, volume: str) -> str | None:
    try:
        state = host.connection.pools.volume(pool, volume)
    except NotFound:
        return None
    except Conflict as off:
        raise Conflict(
            f'cannot look for volume "{pool}/{volume}": pool "{pool}" is not active',
            hint=f"virsh pool-start {pool}, or --keep-disks",
        ) from off
    return state.path if state else None


def used_by_others(host: Host, name: str) -> set[str]:
    """Paths that other VMs have as disks, and the backing images below those."""
    used: set[str] = set()
    for other, xml in host.connection.domains.documents():
        if other != name:
            root = Document.parse(xml).root
            for element in root.iterfind("devices/disk/source"):
                used |= {str(value) for key in ("file", "dev") if (value := element.get(key))}
            used |= {str(element.text) for element in root.iterfind("os/kernel")} | {
                str(element.text) for element in root.iterfind("os/initrd")
            }
    for path in list(used):
        used |= set(chain(host, path))
    return used


def chain(host: Host, path: str) -> Iterator[str]:
    """Follow the backing images of a volume downwards; 200 is what QEMU itself would never open."""
    for _ in range(200):
        try:
            place = host.connection.pools.volume_of(path)
            if place is None:
                return
            backing = Volume.read(Document.parse(host.connection.pools.volume_xml(*place)).root).backing
        except KvistError:
            # A volume that vanished while we looked has no backing image to protect.
            return
        if not backing:
            return
        yield backing
        path = backing


def in_use(host: Host, paths: Collection[str]) -> dict[str, str]:
    """Tell which of these paths must not be written to, and why: a running VM has it open, or a disk lies on it."""
    found: dict[str, str] = {}
    running = dict(host.connection.domains.documents(active=True))
    for other, xml in host.connection.domains.documents():
        for disk in Vm.read(Document.parse(xml).root).disks:
            path = disk.file or disk.dev
            if not path:
                continue
            if path in paths and other in running and not disk.readonly and not disk.shareable:
                found[path] = f"is in use by VM “{other}”"
            for below in set(paths).intersection(chain(host, path)):
                found[below] = f"is what disk {disk.target} of VM “{other}” lies on"
    return found
