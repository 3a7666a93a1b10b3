"""Images that VMs are made of. They live in a libvirt pool, so that a remote host has them too.

An image is a volume and a note beside it (`debian-12.json`) that says what it is. The volume's name carries a part of
its recipe's hash: a newer build of the same image is another volume, and VMs on top of the old one keep theirs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from kvist.engine.ask import Ask
from kvist.engine.operation import operation
from kvist.engine.step import Change, Command, Site, Step
from kvist.errors import Conflict, Corrupt, Invalid, NotFound, Problem
from kvist.resources.hosts.holding import Holding
from kvist.resources.steps.power import virsh
from kvist.resources.steps.storage import DeleteVolume, FillVolume, MakePool, NewVolume, StartPool
from kvist.values import Name, Size
from kvist.virt.words import Missing

if TYPE_CHECKING:
    from kvist.host.bake.baked import Baked
    from kvist.virt.storage import VolumeState

POOL = "kvist-images"
SYSTEM_PATH = "/var/lib/libvirt/kvist-images"
SESSION_PATH = "~/.local/share/libvirt/kvist-images"

ARCH = {"x86_64": "amd64", "aarch64": "arm64"}
"""libvirt's words for architectures and Debian's."""


class Image(NamedTuple):
    """One image. `size` is what a guest sees, `stored` what it takes on the host."""

    name: str
    os: str
    arch: str
    size: Size
    stored: Size
    user: str
    cloud_init: bool
    agent: bool
    firmware: tuple[str, ...]
    min_memory: Size | None
    source: str
    sha256: str
    pool: str
    volume: str
    path: str

    @property
    def grows(self) -> bool:
        """Whether its file system takes all of a larger disk at the first boot."""
        return self.cloud_init


class ImageRow(NamedTuple):
    """One image in a list."""

    name: str
    os: str
    arch: str
    size: Size
    stored: Size
    user: str
    source: str


class Offered(NamedTuple):
    """One image of the catalogue."""

    name: str
    arch: str
    os: str
    url: str


@dataclass(frozen=True, kw_only=True)
class BringImage(NewVolume):
    """Bake or fetch an image on this machine, bring it into the host's pool, and note what it is."""

    outlives_undo = "VMs may lie on top of it by now; kvist image remove takes it away"
    image: str
    arch: str
    how: Literal["bake", "fetch"]
    recipe: str = ""
    """What is baked, where the image has another name."""
    source: str = ""
    sha256: str = ""
    checksums: str = ""
    note_before: str = ""
    """The note that this one takes the place of, to be put back by undo."""
    stored: bool = False
    """The volume is there and whole already; only its note is missing."""

    def describe(self) -> str:
        return f'{"build" if self.how == "bake" else "add"} image "{self.image}"'

    def make(self, at: Site) -> None:
        note, path = self._baked(at) if self.how == "bake" else self._fetched(at)
        pools = at.connection.pools
        if not self.stored:
            # What is there under this name was left by one that was cut off: nobody noted it, and no VM lies on it.
            pools.delete(self.pool, self.name, Missing.IS_FINE)
            FillVolume(pool=self.pool, name=self.name, format="qcow2", path=str(path)).make(at)
        if self.how == "fetch":
            # It is in the pool now, and nobody would ever look for it here again.
            path.unlink(missing_ok=True)
        self._note(at, json.dumps({**note, "volume": self.name}))

    def _baked(self, at: Site) -> tuple[dict[str, Any], Path]:
        from kvist.host.bake.cache import cached

        baked: Baked = cached(self.recipe or self.image, ARCH.get(self.arch, self.arch), at.report)
        return {**baked.as_dict(), "source": "built from Debian packages"}, baked.path

    def _fetched(self, at: Site) -> tuple[dict[str, Any], Path]:
        from kvist.host.fetch import fetch
        from kvist.resources.images.store import described, download_path

        found = fetch(
            self.source,
            download_path(self.name),
            sha256=self.sha256 or None,
            checksums=self.checksums or None,
            on_progress=at.report,
        )
        return described(self.source, self.arch, found), found.path

    def undo(self, at: Site) -> None:
        if not self.stored:
            super().undo(at)
        if self.note_before:
            self._note(at, self.note_before)
        else:
            at.connection.pools.delete(self.pool, note_name(self.image), Missing.IS_FINE)

    def _note(self, at: Site, text: str) -> None:
        pools = at.connection.pools
        pools.delete(self.pool, note_name(self.image), Missing.IS_FINE)
        FillVolume(pool=self.pool, name=note_name(self.image), format="raw", content=text.encode()).make(at)

    def changes(self) -> tuple[Change, ...]:
        before = json.loads(self.note_before)["volume"] if self.note_before else None
        return (Change(self.image, "image", before, self.name),)

    def commands(self) -> tuple[Command, ...]:
        return (
            *virsh("vol-create-as", self.pool, self.name, "0", "--format", "raw"),
            *virsh("vol-upload", "--pool", self.pool, self.name, f"{self.image}.qcow2"),
        )


@dataclass(frozen=True, kw_only=True)
class ForgetDownload(Step):
    """Remove what a download has left on this machine."""

    no_undo = "it can be downloaded again"
    path: str

    def describe(self) -> str:
        return f'remove "{self.path}"'

    def apply(self, at: Site) -> None:
        Path(self.path).unlink(missing_ok=True)

    def changes(self) -> tuple[Change, ...]:
        return (Change(Path(self.path).name, "download", self.path, None),)

    def commands(self) -> tuple[Command, ...]:
        return (Command(("rm", self.path)),)


def note_name(image: str) -> str:
    """Give the name of the volume that says what an image is."""
    return f"{image}.json"


class Images(Holding):
    """The images of a host."""

    kind = "image"

    def all(self) -> list[Image]:
        """Read all images."""
        if not self._ready():
            return []
        volumes = {volume.name: volume for volume in self.host.connection.pools.volumes(POOL)}
        found: list[Image] = []
        for name in sorted(each.removesuffix(".json") for each in volumes if each.endswith(".json")):
            note = self._note(name)
            volume = volumes.get(note["volume"])
            if volume is not None:
                found.append(_image(name, note, volume.path, volume.allocation))
        return found

    def ls(self) -> list[ImageRow]:
        """List the images of the host.

        Example: kvist image ls
        """
        return [ImageRow(*(getattr(image, field) for field in ImageRow._fields)) for image in self.all()]

    def show(self, name: Annotated[str, Ask("name of the image", metavar="NAME", complete="image")]) -> Image:
        """Show all that is known about an image.

        Example: kvist image show debian-12
        """
        return self.find(name)

    def find(self, name: str) -> Image:
        """Give the image of this name. Raises NotFound with the way to get it."""
        if self._ready() and self.host.connection.pools.volume(POOL, note_name(name)) is not None:
            note = self._note(name)
            volume = self.host.connection.pools.volume(POOL, note["volume"])
            if volume is not None:
                return _image(name, note, volume.path, volume.allocation)
        raise NotFound(f'there is no image "{name}" on this host', hint=self._way_to(name))

    def _way_to(self, name: str) -> str:
        from kvist.host.bake.cache import NAMES
        from kvist.host.catalogue import entries

        if name in NAMES:
            return f"kvist image build {name}"
        base, _, arch = name.rpartition("-")
        if base in NAMES and arch in ARCH:
            return f"kvist image build {base} --arch {arch}"
        return (
            f"kvist image add {name}"
            if any(entry.name == name for entry in entries())
            else "kvist image ls, kvist image catalogue"
        )

    @operation
    def build(
        self,
        name: Annotated[str, Ask("what to build: debian-12, debian-13 or micro", metavar="NAME", complete="recipe")],
        *,
        arch: Annotated[Literal["x86_64", "aarch64"] | None, Ask("architecture, this host's when not given")] = None,
    ) -> Iterator[Step]:
        """Build an image from packages of this machine's own Debian mirror: kernel, systemd, cloud-init, ssh, agent.

        It boots by BIOS and by UEFI. What was built is kept on this machine, and not built again until a package of it
        changes. `micro` is a Linux of a few megabytes that is up within seconds even when it is emulated: for trials.
        An image of another architecture than the host's has that in its name: `micro-aarch64`.

        Example: kvist image build debian-12
        """
        from kvist.host.bake.cache import NAMES, recipe

        if name not in NAMES:
            raise Invalid(f'there is no recipe for "{name}"; there is {", ".join(NAMES)}', path="NAME")
        own = self.host.connection.capabilities.arch
        wanted = arch or own
        called = name if wanted == own else f"{name}-{wanted}"
        volume = f"{called}-{recipe(name, ARCH.get(wanted, wanted))[:12]}.qcow2"
        step = BringImage(pool=POOL, name=volume, image=called, recipe=name, arch=wanted, how="bake")
        yield from self._bring(called, volume, step)

    @operation
    def add(
        self,
        source: Annotated[str, Ask("a file, a URL, or a name of the catalogue", metavar="SOURCE", complete="file")],
        *,
        name: Annotated[str | None, Ask("what to call it; the file's name when not given", metavar="NAME")] = None,
        sha256: Annotated[str | None, Ask("SHA-256 that it must have", metavar="HEX")] = None,
        checksums: Annotated[str | None, Ask("URL or file of the publisher's checksums", metavar="URL")] = None,
        arch: Annotated[Literal["x86_64", "aarch64"] | None, Ask("architecture, this host's when not given")] = None,
    ) -> Iterator[Step]:
        """Add an image from a file, a URL or the catalogue: qcow2, raw, vmdk, vhdx or vdi, also compressed.

        A download is resumed where it was cut off, and verified before it is used.

        Example: kvist image add debian-12
        """
        from kvist.resources.images.store import resolve, volume_name

        wanted = arch or self.host.connection.capabilities.arch
        found = resolve(source, wanted, sha256=sha256, checksums=checksums)
        called = name or found.name
        try:
            Name.parse(called)
        except ValueError as wrong:
            raise Invalid([Problem("--name", str(wrong))]) from wrong
        volume = volume_name(called, found)
        step = BringImage(
            pool=POOL, name=volume, image=called, arch=wanted, how="fetch",
            source=found.source, sha256=found.sha256, checksums=found.checksums,
        )  # fmt: skip
        yield from self._bring(called, volume, step)

    def catalogue(self) -> list[Offered]:
        """List the images that can be added by name, with where they come from.

        Example: kvist image catalogue
        """
        from kvist.host.catalogue import entries

        return [Offered(entry.name, entry.arch, entry.os, entry.url) for entry in entries()]

    @operation
    def remove(
        self, names: Annotated[tuple[str, ...], Ask("names of images", metavar="NAME", complete="image")]
    ) -> Iterator[Step]:
        """Remove images. One that a VM lies on top of stays, and the VM is named.

        Example: kvist image remove debian-12
        """
        from kvist.resources.images.store import users, users_in_trash

        for name in names:
            if not self._ready() or self.host.connection.pools.volume(POOL, note_name(name)) is None:
                continue
            image = self.find(name)
            if by := users(self.host, image.path):
                raise Conflict(
                    f'cannot remove image "{name}": VM "{by[0]}" lies on top of it', hint=f"kvist delete {by[0]}"
                )
            if by := users_in_trash(self.host, image.path):
                raise Conflict(
                    f'cannot remove image "{name}": VM "{by[0]}" in the trash lies on top of it',
                    hint=f"kvist trash empty {by[0]}",
                )
            yield DeleteVolume(pool=POOL, name=note_name(name), owner=name)
            yield DeleteVolume(pool=POOL, name=image.volume, owner=name)

    @operation
    def prune(self) -> Iterator[Step]:
        """Remove what no image and no VM needs any more: older builds, and what downloads have left behind.

        Example: kvist image prune
        """
        from kvist.resources.images.store import left_downloads, users, users_in_trash

        for path in left_downloads():
            yield ForgetDownload(path=str(path))
        if not self._ready():
            return
        volumes = self.host.connection.pools.volumes(POOL)
        notes = [volume.name.removesuffix(".json") for volume in volumes if volume.name.endswith(".json")]
        kept = {self._note(name)["volume"] for name in notes}
        for volume in volumes:
            if volume.name.endswith(".json") or volume.name in kept:
                continue
            if users(self.host, volume.path) or users_in_trash(self.host, volume.path):
                continue
            yield DeleteVolume(pool=POOL, name=volume.name)

    def _bring(self, name: str, volume: str, step: BringImage) -> Iterator[Step]:
        pools = {pool.name: pool for pool in self.host.connection.pools.all()}
        if POOL not in pools:
            yield MakePool(name=POOL, path=self._path())
        elif not pools[POOL].active:
            yield StartPool(name=POOL)
        else:
            pooled = self.host.connection.pools
            state = pooled.volume(POOL, volume)
            before = self._note(name) if pooled.volume(POOL, note_name(name)) is not None else None
            if before and before["volume"] == volume and state is not None:
                return
            step = replace(step, note_before=json.dumps(before) if before else "", stored=self._whole(volume, state))
        yield step

    def _whole(self, volume: str, state: VolumeState | None) -> bool:
        """Tell whether a volume that is not noted under this name is whole: another note or a VM lies on it."""
        from kvist.resources.images.store import users

        return state is not None and (
            any(image.volume == volume for image in self.all()) or bool(users(self.host, state.path))
        )

    def _path(self) -> str:
        if self.host.place.session:
            return str(Path(SESSION_PATH).expanduser())
        return SYSTEM_PATH

    def _ready(self) -> bool:
        return any(pool.name == POOL and pool.active for pool in self.host.connection.pools.all())

    def _note(self, name: str) -> dict[str, Any]:
        raw = self.host.connection.pools.download(POOL, note_name(name))
        try:
            note: dict[str, Any] = json.loads(raw)
            note["volume"]
        except (ValueError, KeyError, TypeError) as wrong:
            raise Corrupt(f'the note of image "{name}" cannot be read', hint=f"kvist image remove {name}") from wrong
        return note


def _image(name: str, note: Mapping[str, Any], path: str, stored: int) -> Image:
    least = note.get("min_memory")
    return Image(
        name=name,
        os=str(note.get("os", "")),
        arch={"amd64": "x86_64", "arm64": "aarch64"}.get(str(note.get("arch")), str(note.get("arch", "x86_64"))),
        size=Size(note.get("virtual_size", 0)),
        stored=Size(stored),
        user=str(note.get("user", "root")),
        cloud_init=bool(note.get("cloud_init")),
        agent=bool(note.get("agent")),
        firmware=tuple(note.get("firmware", ("bios",))),
        min_memory=Size(least) if least else None,
        source=str(note.get("source", "")),
        sha256=str(note.get("sha256", "")),
        pool=POOL,
        volume=str(note["volume"]),
        path=path,
    )
