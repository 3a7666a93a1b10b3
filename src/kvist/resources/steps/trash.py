"""Steps that put a VM into the trash, bring it back, and empty the trash."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from kvist.engine.step import Change, Command, Site, Step
from kvist.errors import Conflict, Failed, NotFound
from kvist.resources.steps.power import virsh
from kvist.resources.steps.storage import VolumeStep

if TYPE_CHECKING:
    from kvist.virt.connection import Connection


@dataclass(frozen=True, kw_only=True)
class Retire(Step):
    """Remove the definition of a VM that is off, and keep all that brings it back.

    The name of the VM is free afterwards, and so is that of its NVRAM, which is kept under another. libvirt keeps TPM
    state under the UUID, so that it can stay where it is.
    """

    trashes = True
    name: str
    uuid: str
    xml: str
    autostart: bool = False
    snapshots: tuple[tuple[str, bool], ...] = ()
    """Documents of its snapshots, each after the one it grew on, and whether it is the current one."""
    checkpoints: tuple[str, ...] = ()
    nvram: tuple[str, ...] = ()
    """Where its NVRAM is, or may be."""
    tpm: bool = False
    saved: bool = False

    @property
    def kept(self) -> tuple[str, ...]:
        """Where its NVRAM is kept."""
        places = (PurePosixPath(place) for place in self.nvram)
        return tuple(str(place.with_name(f"{self.uuid}{place.suffix}.kept")) for place in places)

    def describe(self) -> str:
        return f'put VM "{self.name}" into the trash'

    def apply(self, at: Site) -> None:
        if not _is(at.connection, self.name, self.uuid):
            return
        if at.connection.domains.xml(self.name, next_boot=True, secure=True) != self.xml:
            raise Conflict(
                f'VM "{self.name}" was changed by somebody else in this moment', hint=f"kvist delete {self.name}"
            )
        _copy(at.connection, self.nvram, self.kept)
        at.connection.domains.undefine(self.name, keep_tpm=True)

    def undo(self, at: Site) -> None:
        connection = at.connection
        if not connection.domains.exists(self.name):
            self._must_be_free(connection)
            _copy(connection, self.kept, self.nvram)
            connection.domains.define(self.xml, name=self.name, validate=False)
        if not _is(connection, self.name, self.uuid):
            return
        self._marks(connection)
        connection.domains.set_autostart(self.name, self.autostart)
        _remove(connection, self.kept)

    def _must_be_free(self, connection: Connection) -> None:
        from kvist.xml.document import Document

        for name, xml in connection.domains.documents():
            used = Document.parse(xml).root.findtext("os/nvram")
            if used in self.nvram:
                raise Conflict(
                    f'cannot bring VM "{self.name}" back: VM "{name}" uses its NVRAM "{used}" by now',
                    hint=f"kvist show {name}",
                )

    def _marks(self, connection: Connection) -> None:
        from kvist.virt.snapshots import Mark

        marks = connection.snapshots
        if len(marks.snapshots(self.name)) != len(self.snapshots):
            for xml, current in self.snapshots:
                marks.tell_snapshot(self.name, Mark(xml, current))
        if len(marks.checkpoints(self.name)) != len(self.checkpoints):
            for xml in self.checkpoints:
                marks.tell_checkpoint(self.name, Mark(xml, False))

    def verify(self, at: Site) -> None:
        if at.connection.domains.exists(self.name):
            raise Failed(f'VM "{self.name}" is still defined')

    def changes(self) -> tuple[Change, ...]:
        saved = (Change(self.name, "saved state", "present", None),) if self.saved else ()
        return (Change(self.name, "definition", "present", "in the trash"), *saved)

    def commands(self) -> tuple[Command, ...]:
        tpm = ("--keep-tpm",) if self.tpm else ()
        return virsh("undefine", self.name, "--keep-nvram", *tpm, "--snapshots-metadata", "--checkpoints-metadata")


@dataclass(frozen=True, kw_only=True)
class RetireVolume(VolumeStep):
    """Leave a volume where it is, in the trash: libvirt has no call that gives a volume another name."""

    trashes = True
    owner: str = ""

    def describe(self) -> str:
        return f'put volume "{self.label}" into the trash'

    def apply(self, at: Site) -> None:
        self.verify(at)

    def undo(self, at: Site) -> None:
        self.verify(at)

    def verify(self, at: Site) -> None:
        if at.connection.pools.volume(self.pool, self.name) is None:
            raise Failed(f'volume "{self.label}" is not there')

    def changes(self) -> tuple[Change, ...]:
        return (Change(self.owner or self.label, "disk", self.label, "in the trash"),)


@dataclass(frozen=True, kw_only=True)
class Discard(Step):
    """Remove for good what the trash keeps of a VM besides its disks: NVRAM, TPM state, logs of serial ports."""

    no_undo = "what was in the trash is gone"
    name: str
    uuid: str
    xml: str
    kept: tuple[str, ...] = ()
    tpm: bool = False

    def describe(self) -> str:
        return f'remove VM "{self.name}" from the trash'

    def apply(self, at: Site) -> None:
        from kvist.resources.past.strays import remove_logs

        _remove(at.connection, self.kept)
        remove_logs(at.connection, self.xml)
        if self.tpm:
            # libvirt removes the state of a TPM together with a definition, and in no other way.
            at.connection.domains.define(self._shell(), name=self.uuid, validate=False)
            at.connection.domains.undefine(self.uuid)

    def _shell(self) -> str:
        from kvist.xml.document import Document

        document = Document.parse(self.xml)
        root = document.root
        for path in ("os/nvram", "os/loader", "metadata"):
            for element in root.findall(path):
                parent = element.getparent()
                assert parent is not None, "it was found below one"
                parent.remove(element)
        devices = root.find("devices")
        for device in list(devices) if devices is not None else ():
            if device.tag not in ("emulator", "tpm"):
                devices.remove(device)  # type: ignore[union-attr]
        name = root.find("name")
        assert name is not None, "every VM has a name"
        name.text = self.uuid
        return document.text()

    def changes(self) -> tuple[Change, ...]:
        return (Change(self.name, "definition", "in the trash", None),)


def _copy(connection: Connection, sources: tuple[str, ...], targets: tuple[str, ...]) -> None:
    from kvist.resources.past.strays import copy

    for source, target in zip(sources, targets, strict=True):
        copy(connection, source, PurePosixPath(target).name)


def _remove(connection: Connection, places: tuple[str, ...]) -> None:
    from kvist.resources.past.strays import remove

    for place in places:
        remove(connection, place)


def _is(connection: Connection, name: str, uuid: str) -> bool:
    try:
        return connection.domains.uuid(name) == uuid
    except NotFound:
        return False
