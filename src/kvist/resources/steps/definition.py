"""Steps on what libvirt keeps of a VM: its definition, name and autostart mark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kvist.engine.step import Change, Command, Site, Step
from kvist.errors import Failed, NotFound
from kvist.resources.steps.power import virsh


@dataclass(frozen=True, kw_only=True)
class Define(Step):
    """Store a new VM."""

    name: str
    uuid: str
    xml: str
    shown: tuple[tuple[str, str], ...] = ()
    """What the answer tells of it: fields and values."""

    def describe(self) -> str:
        return f'define VM "{self.name}"'

    def apply(self, at: Site) -> None:
        at.connection.domains.define(self.xml, name=self.name)

    def undo(self, at: Site) -> None:
        from kvist.resources.past.strays import remove_logs

        try:
            # Another VM of that name, made by someone else meanwhile, is none of ours.
            if at.connection.domains.uuid(self.name) == self.uuid:
                at.connection.domains.undefine(self.name)
                remove_logs(at.connection, self.xml)
        except NotFound:
            return

    def inverse(self, at: Site) -> Sequence[Step]:
        from kvist.resources.past.retiring import retire

        return (retire(at.connection, self.name),) if at.connection.domains.exists(self.name) else ()

    def verify(self, at: Site) -> None:
        if at.connection.domains.uuid(self.name) != self.uuid:
            raise Failed(f'VM "{self.name}" is not the one that was defined')

    def changes(self) -> tuple[Change, ...]:
        return tuple(Change(self.name, field, None, value) for field, value in self.shown)

    def commands(self) -> tuple[Command, ...]:
        return virsh("define", "/dev/stdin", document=self.xml)


@dataclass(frozen=True, kw_only=True)
class Undefine(Step):
    """Remove the definition of a VM that is off; `xml` is what brings it back."""

    outlives_undo = "it was deleted with --purge, so that nothing of it is in the trash"
    name: str
    xml: str
    autostart: bool = False

    def describe(self) -> str:
        return f'remove the definition of VM "{self.name}"'

    def apply(self, at: Site) -> None:
        from kvist.resources.past.strays import remove_logs

        if at.connection.domains.exists(self.name):
            at.connection.domains.undefine(self.name)
        remove_logs(at.connection, self.xml)

    def undo(self, at: Site) -> None:
        if not at.connection.domains.exists(self.name):
            at.connection.domains.define(self.xml, name=self.name)
            at.connection.domains.set_autostart(self.name, self.autostart)

    def verify(self, at: Site) -> None:
        if at.connection.domains.exists(self.name):
            raise Failed(f'VM "{self.name}" is still defined')

    def changes(self) -> tuple[Change, ...]:
        return (Change(self.name, "definition", "present", None),)

    def commands(self) -> tuple[Command, ...]:
        return virsh(
            "undefine", self.name, "--nvram", "--managed-save", "--snapshots-metadata", "--checkpoints-metadata"
        )


@dataclass(frozen=True, kw_only=True)
class Rename(Step):
    """Give a VM that is off another name."""

    name: str
    new: str

    def describe(self) -> str:
        return f'rename VM "{self.name}" to "{self.new}"'

    def apply(self, at: Site) -> None:
        if at.connection.domains.exists(self.name):
            at.connection.domains.rename(self.name, self.new)

    def undo(self, at: Site) -> None:
        if at.connection.domains.exists(self.new) and not at.connection.domains.exists(self.name):
            at.connection.domains.rename(self.new, self.name)

    def changes(self) -> tuple[Change, ...]:
        return (Change(self.name, "name", self.name, self.new),)

    def commands(self) -> tuple[Command, ...]:
        return virsh("domrename", self.name, self.new)


@dataclass(frozen=True, kw_only=True)
class SetAutostart(Step):
    """Start a VM with its host, or not."""

    name: str
    on: bool

    def describe(self) -> str:
        return f'{"start" if self.on else "do not start"} VM "{self.name}" with the host'

    def apply(self, at: Site) -> None:
        at.connection.domains.set_autostart(self.name, self.on)

    def undo(self, at: Site) -> None:
        try:
            # Asked first: where it could not be set, it cannot be taken back either.
            if at.connection.domains.autostart(self.name) == self.on:
                at.connection.domains.set_autostart(self.name, not self.on)
        except NotFound:
            return

    def verify(self, at: Site) -> None:
        if at.connection.domains.autostart(self.name) != self.on:
            raise Failed(f'the autostart mark of VM "{self.name}" did not hold')

    def changes(self) -> tuple[Change, ...]:
        return (Change(self.name, "autostart", not self.on, self.on),)

    def commands(self) -> tuple[Command, ...]:
        return virsh("autostart", self.name, *(() if self.on else ("--disable",)))
