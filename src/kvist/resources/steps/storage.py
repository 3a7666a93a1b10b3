"""Steps on pools and volumes."""

from __future__ import annotations

import io
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import BinaryIO

from kvist.engine.step import Change, Command, Site, Step, payload
from kvist.errors import Conflict, Failed
from kvist.resources.steps.power import virsh
from kvist.specs.pool import Pool
from kvist.specs.volume import Volume
from kvist.values import Size
from kvist.virt.words import Missing
from kvist.xml.document import Document

UPLOAD = "base64 -d | gunzip | virsh vol-upload --file /dev/stdin"


@dataclass(frozen=True, kw_only=True)
class MakePool(Step):
    """Make a pool of a directory, start it now and with the host."""

    outlives_undo = "a pool disturbs nobody, and volumes may lie in it by now"
    name: str
    path: str

    def describe(self) -> str:
        return f'create pool "{self.name}"'

    def _xml(self) -> str:
        document = Document.new("pool")
        Pool(type="dir", name=self.name, path=self.path).write(document.root)
        return document.text()

    def apply(self, at: Site) -> None:
        if not at.connection.pools.exists(self.name):
            at.connection.pools.define(self._xml(), name=self.name)

    def undo(self, at: Site) -> None:
        if at.connection.pools.exists(self.name):
            at.connection.pools.undefine(self.name)

    def changes(self) -> tuple[Change, ...]:
        return (Change(self.name, "pool", None, self.path),)

    def commands(self) -> tuple[Command, ...]:
        return (
            *virsh("pool-define-as", self.name, "dir", "--target", self.path),
            *virsh("pool-build", self.name),
            *virsh("pool-start", self.name),
            *virsh("pool-autostart", self.name),
        )


@dataclass(frozen=True, kw_only=True)
class StartPool(Step):
    """Start a pool that is not active."""

    name: str
    stays = "a pool that runs disturbs nobody"

    def describe(self) -> str:
        return f'start pool "{self.name}"'

    def apply(self, at: Site) -> None:
        if not any(pool.name == self.name and pool.active for pool in at.connection.pools.all()):
            at.connection.pools.start(self.name)

    def commands(self) -> tuple[Command, ...]:
        return virsh("pool-start", self.name)


@dataclass(frozen=True, kw_only=True)
class VolumeStep(Step):
    """A step on one volume of one pool."""

    pool: str
    name: str

    @property
    def label(self) -> str:
        return f"{self.pool}/{self.name}"


@dataclass(frozen=True, kw_only=True)
class NewVolume(VolumeStep):
    """A step that brings a volume into being; taken back by deleting it."""

    owner: str = ""
    """VM that it is made for, to whose account the answer puts it."""
    foreign: bool = False

    @abstractmethod
    def make(self, at: Site) -> None:
        """Make the volume."""

    def apply(self, at: Site) -> None:
        try:
            self.make(at)
        except Conflict:
            # Somebody was faster since the plan was made: that volume is theirs, and undo must leave it alone.
            object.__setattr__(self, "foreign", True)
            raise

    def undo(self, at: Site) -> None:
        if not self.foreign:
            at.connection.pools.delete(self.pool, self.name, Missing.IS_FINE)

    def inverse(self, at: Site) -> Sequence[Step]:
        """Put it into the trash: a guest has written to it by now."""
        from kvist.resources.steps.trash import RetireVolume

        if self.outlives_undo:
            return ()
        there = at.connection.pools.volume(self.pool, self.name) is not None
        return (RetireVolume(pool=self.pool, name=self.name, owner=self.owner),) if there else ()

    def verify(self, at: Site) -> None:
        if at.connection.pools.volume(self.pool, self.name) is None:
            raise Failed(f'volume "{self.label}" is not there')


@dataclass(frozen=True, kw_only=True)
class MakeVolume(NewVolume):
    """Make an empty volume, or one on top of a backing image of which only changes are stored."""

    capacity: int
    format: str
    backing: str = ""
    backing_format: str = ""

    def describe(self) -> str:
        return f'create volume "{self.label}"'

    def _xml(self) -> str:
        document = Document.new("volume")
        wish = Volume(name=self.name, capacity=Size(self.capacity), allocation=Size(0), format=self.format)
        if self.backing:
            wish = wish.replace(backing=self.backing, backing_format=self.backing_format)
        wish.write(document.root)
        return document.text()

    def make(self, at: Site) -> None:
        at.connection.pools.create(self.pool, self._xml(), name=self.name)

    def changes(self) -> tuple[Change, ...]:
        on = f" on {Path(self.backing).name}" if self.backing else ""
        return (Change(self.owner or self.label, "disk", None, f"{self.label} ({Size(self.capacity)}{on})"),)

    def commands(self) -> tuple[Command, ...]:
        base = ("--backing-vol", self.backing, "--backing-vol-format", self.backing_format) if self.backing else ()
        return virsh(
            "vol-create-as",
            self.pool,
            self.name,
            str(int(self.capacity)),
            "--format",
            self.format,
            "--allocation",
            "0",
            *base,
        )


@dataclass(frozen=True, kw_only=True)
class CopyVolume(NewVolume):
    """Make a volume as a full copy of another, grown to `capacity` where that is larger."""

    source_pool: str
    source: str
    capacity: int
    format: str

    def describe(self) -> str:
        return f'copy volume "{self.source_pool}/{self.source}" to "{self.label}"'

    def _xml(self) -> str:
        document = Document.new("volume")
        Volume(name=self.name, capacity=Size(self.capacity), format=self.format).write(document.root)
        return document.text()

    def make(self, at: Site) -> None:
        pools = at.connection.pools
        pools.clone(self.pool, self._xml(), name=self.name, source_pool=self.source_pool, source=self.source)
        made = pools.volume(self.pool, self.name)
        if made is not None and made.capacity < self.capacity:
            pools.resize(self.pool, self.name, self.capacity)

    def changes(self) -> tuple[Change, ...]:
        what = f"{self.label} ({Size(self.capacity)}, a copy of {self.source})"
        return (Change(self.owner or self.label, "disk", None, what),)

    def commands(self) -> tuple[Command, ...]:
        return (
            *virsh(
                *("vol-create-from", self.pool, "/dev/stdin", self.source, "--inputpool", self.source_pool),
                document=self._xml(),
            ),
            *virsh("vol-resize", "--pool", self.pool, self.name, str(int(self.capacity))),
        )


@dataclass(frozen=True, kw_only=True)
class FillVolume(NewVolume):
    """Make a volume of what a file of this machine, or a few bytes, contain."""

    format: str
    path: str = ""
    content: bytes = payload()
    capacity: int = 0

    def describe(self) -> str:
        return f'bring "{Path(self.path).name if self.path else self.name}" into pool "{self.pool}"'

    def make(self, at: Site) -> None:
        if self.path:
            with Path(self.path).open("rb") as file:
                self._fill(at, file, Path(self.path).stat().st_size)
        else:
            self._fill(at, io.BytesIO(self.content), len(self.content))

    def _fill(self, at: Site, source: BinaryIO, length: int) -> None:
        document = Document.new("volume")
        # A raw volume of the file's own length takes the bytes as they are; its format is found in them afterwards.
        Volume(name=self.name, capacity=Size(length), format="raw").write(document.root)
        at.connection.pools.create(self.pool, document.text(), name=self.name)
        if length:
            at.connection.pools.upload(self.pool, self.name, source, length, self._teller(at, length))
        if self.format != "raw":
            at.connection.pools.refresh(self.pool)

    def _teller(self, at: Site, length: int) -> Callable[[int], None]:
        words = self.describe()
        return lambda sent: at.report(words, sent / length)

    def changes(self) -> tuple[Change, ...]:
        return (Change(self.owner or self.label, "volume", None, self.label),)

    def commands(self) -> tuple[Command, ...]:
        made = virsh("vol-create-as", self.pool, self.name, str(self._length), "--format", "raw")
        if self.path:
            return (*made, *virsh("vol-upload", "--pool", self.pool, self.name, self.path))
        return (*made, Command(("sh", "-c", f"{UPLOAD} --pool {quote(self.pool)} {quote(self.name)}"), self._text))

    @property
    def _length(self) -> int:
        return Path(self.path).stat().st_size if self.path else len(self.content)

    @property
    def _text(self) -> str:
        """The content as text that a person can paste."""
        from base64 import encodebytes
        from gzip import compress

        return encodebytes(compress(self.content, mtime=0)).decode()


@dataclass(frozen=True, kw_only=True)
class DeleteVolume(VolumeStep):
    """Delete a volume and what is in it."""

    no_undo = "what was in a deleted volume is gone"
    owner: str = ""

    def describe(self) -> str:
        return f'delete volume "{self.label}"'

    def apply(self, at: Site) -> None:
        at.connection.pools.delete(self.pool, self.name, Missing.IS_FINE)

    def verify(self, at: Site) -> None:
        if at.connection.pools.volume(self.pool, self.name) is not None:
            raise Failed(f'volume "{self.label}" is still there')

    def changes(self) -> tuple[Change, ...]:
        return (Change(self.owner or self.label, "volume", self.label, None),)

    def commands(self) -> tuple[Command, ...]:
        return virsh("vol-delete", "--pool", self.pool, self.name)
