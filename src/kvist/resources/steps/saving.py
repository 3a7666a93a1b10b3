"""Steps that put a VM's memory on disk and bring it back."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from kvist.engine.step import Change, Command, Site, Step
from kvist.errors import Failed
from kvist.resources.steps.power import virsh

INSIDE = "/var/lib/libvirt/qemu/dump"
"""Where a sandbox's libvirt writes what is then brought out of the sandbox."""


@dataclass(frozen=True, kw_only=True)
class Save(Step):
    """Write the memory of a VM to disk and switch it off; its next start goes on from there."""

    name: str
    before: str = "running"

    def describe(self) -> str:
        return f'save VM "{self.name}"'

    def apply(self, at: Site) -> None:
        if at.connection.domains.state(self.name).active:
            at.connection.saved.save(self.name)

    def undo(self, at: Site) -> None:
        domains = at.connection.domains
        if domains.has_managed_save(self.name) and not domains.state(self.name).active:
            domains.start(self.name)

    def verify(self, at: Site) -> None:
        if not at.connection.domains.has_managed_save(self.name):
            raise Failed(f'VM "{self.name}" is off, but its memory was not kept')

    def changes(self) -> tuple[Change, ...]:
        return (Change(self.name, "state", self.before, "saved"),)

    def commands(self) -> tuple[Command, ...]:
        return virsh("managedsave", self.name)


@dataclass(frozen=True, kw_only=True)
class Restore(Step):
    """Let a saved VM go on where it was."""

    name: str

    def describe(self) -> str:
        return f'restore VM "{self.name}"'

    def apply(self, at: Site) -> None:
        if not at.connection.domains.state(self.name).active:
            at.connection.domains.start(self.name)

    def undo(self, at: Site) -> None:
        domains = at.connection.domains
        if domains.state(self.name).active and not domains.has_managed_save(self.name):
            at.connection.saved.save(self.name)

    def changes(self) -> tuple[Change, ...]:
        return (Change(self.name, "state", "saved", "running"),)

    def commands(self) -> tuple[Command, ...]:
        return virsh("start", self.name)


@dataclass(frozen=True, kw_only=True)
class DiscardSaved(Step):
    """Remove the saved memory of a VM, so that its next start is a boot."""

    no_undo = "memory that was thrown away is gone"
    name: str

    def describe(self) -> str:
        return f'throw away the saved memory of VM "{self.name}"'

    def apply(self, at: Site) -> None:
        if at.connection.domains.has_managed_save(self.name):
            at.connection.saved.discard(self.name)

    def changes(self) -> tuple[Change, ...]:
        return (Change(self.name, "state", "saved", "off"),)

    def commands(self) -> tuple[Command, ...]:
        return virsh("managedsave-remove", self.name)


@dataclass(frozen=True, kw_only=True)
class Dump(Step):
    """Write the memory of a VM to a file of this machine; in a sandbox (`root`) it is written there and brought out."""

    outlives_undo = "it is a file of one's own by now"
    name: str
    file: str
    format: str
    root: str = ""

    def describe(self) -> str:
        return f'dump the memory of VM "{self.name}" to "{self.file}"'

    def apply(self, at: Site) -> None:
        if not self.root:
            at.connection.saved.dump(self.name, self._half, self.format)
            Path(self._half).replace(self.file)
            return
        there = f"{INSIDE}/{self.name}.kvist"
        outside = Path(self.root + there)
        try:
            at.connection.saved.dump(self.name, there, self.format)
            shutil.copyfile(outside, self._half)
            Path(self._half).replace(self.file)
        finally:
            outside.unlink(missing_ok=True)

    @property
    def _half(self) -> str:
        return f"{self.file}.part"

    def undo(self, at: Site) -> None:
        for path in (self._half, self.file):
            Path(path).unlink(missing_ok=True)

    def verify(self, at: Site) -> None:
        if not Path(self.file).stat().st_size:
            raise Failed(f'file "{self.file}" is empty')
        if os.geteuid() == 0:
            # It holds every secret of the guest.
            Path(self.file).chmod(0o600)

    def changes(self) -> tuple[Change, ...]:
        return (Change(self.name, "dump", None, self.file),)

    def commands(self) -> tuple[Command, ...]:
        return virsh("dump", self.name, self.file, "--memory-only", "--format", self.format)
