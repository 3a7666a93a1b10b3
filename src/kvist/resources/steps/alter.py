"""Steps that change a VM that runs: its values and its devices."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from kvist.engine.step import Change, Command, Disruption, Site, Step
from kvist.errors import Failed, GuestFailed, KvistError, NotFound, TimedOut
from kvist.resources.changing.fieldpath import typed
from kvist.resources.changing.rewriting import Device, devices, turned
from kvist.resources.steps.plugging import alias_of, plug, unplug
from kvist.specs.vm import Vm
from kvist.values import Size
from kvist.xml.diff import diff
from kvist.xml.document import Document
from kvist.xml.lists import Many
from kvist.xml.record import recalled

if TYPE_CHECKING:
    from kvist.xml.diff import Change as Difference
    from kvist.xml.document import Element
    from kvist.xml.spec import Spec

FOLLOW_WITHIN = 15.0
"""Seconds a guest has to give memory back to the balloon, a few hundred MiB a second."""
LOOK_EVERY = 0.1
HELD_SHUT = ("is not open", "is locked")
"""What QEMU says of a drive whose guest has locked it, or does not answer the press of its button."""


@dataclass(frozen=True, kw_only=True)
class AlterStep(Step):
    """A change of one VM. `wish` is the record of what is to be true afterwards, `shown` what is told of it."""

    name: str
    wish: Mapping[str, Any]
    shown: tuple[tuple[str, Any, Any], ...]
    when: str = "live"

    @cached_property
    def wanted(self) -> Vm:
        """What is to be true afterwards."""
        return recalled(Vm, self.wish)

    def changes(self) -> tuple[Change, ...]:
        return tuple(
            Change(self.name, path, typed(path, before), typed(path, after), self.when)
            for path, before, after in self.shown
        )

    def _lacks(self, document: Document) -> list[Difference]:
        return list(diff(Vm.read(document.root), self.wanted))


@dataclass(frozen=True, kw_only=True)
class LiveStep(AlterStep):
    """A change of the VM that runs; where it has stopped meanwhile, there is nothing to take back."""

    def _running(self, at: Site) -> Document:
        return Document.parse(at.connection.domains.xml(self.name, secure=True))

    def _runs(self, at: Site) -> bool:
        try:
            return at.connection.domains.state(self.name).active
        except NotFound:
            return False

    def verify(self, at: Site) -> None:
        end = time.monotonic() + FOLLOW_WITHIN
        while lacking := self._lacks(self._running(at)):
            if time.monotonic() > end:
                raise self._unkept(lacking)
            time.sleep(LOOK_EVERY)

    def _unkept(self, lacking: list[Difference]) -> Failed | TimedOut:
        return Failed(f'libvirt did not keep {paths_of(lacking)} in the running VM "{self.name}"')

    def undo(self, at: Site) -> None:
        if self._runs(at):
            self._back(at)

    @abstractmethod
    def _back(self, at: Site) -> None:
        """Take it back on a VM that runs."""


@dataclass(frozen=True, kw_only=True)
class Tune(LiveStep):
    """Change values that libvirt has a call for. `target` is the disk, processor or namespace the call is about."""

    call: str
    target: str = ""
    before: Mapping[str, Any]
    after: Mapping[str, Any]

    def describe(self) -> str:
        about = f' of disk "{self.target}"' if self.call == "iotune" else ""
        return f'set {", ".join(path for path, _, _ in self.shown)}{about} of the running VM "{self.name}"'

    def apply(self, at: Site) -> None:
        at.connection.tuning.set(self.name, self.call, self.after, self.target)

    def _back(self, at: Site) -> None:
        at.connection.tuning.set(self.name, self.call, self.before, self.target)
        end = time.monotonic() + FOLLOW_WITHIN
        while self.call == "memory" and Vm.read(self._running(at).root).memory != self.before["memory"]:
            if time.monotonic() > end:
                raise self._unkept([])
            time.sleep(LOOK_EVERY)

    def _unkept(self, lacking: list[Difference]) -> Failed | TimedOut:
        if self.call == "memory":
            return TimedOut(
                f'the guest of VM "{self.name}" did not follow its balloon within {FOLLOW_WITHIN:g} s',
                hint=f"kvist console {self.name}, and see whether it has started and has the driver virtio_balloon",
            )
        return super()._unkept(lacking)

    def commands(self) -> tuple[Command, ...]:
        from kvist.resources.steps.tuning_commands import command

        return (command(self.name, self.call, self.target, self.after),)


@dataclass(frozen=True, kw_only=True)
class DeviceStep(LiveStep):
    """A change of one device. Documents of it are as libvirt printed them, passwords and all."""

    label: str

    def _find(self, document: Document) -> Device:
        return next(devices(document, self.wanted))

    def _fulfilled(self, document: Document) -> bool:
        return not self._lacks(document)

    def _document(self, at: Site) -> Document:
        return self._running(at)


@dataclass(frozen=True, kw_only=True)
class Update(DeviceStep):
    """Change a device while it stays plugged in."""

    before: str
    after: str

    def describe(self) -> str:
        return f'change {self.label} of the running VM "{self.name}"'

    def apply(self, at: Site) -> None:
        try:
            self._turn(at, self.before, self.after)
        except KvistError as wrong:
            if not any(said in wrong.what for said in HELD_SHUT):
                raise
            raise GuestFailed(
                f'the guest of VM "{self.name}" holds {self.label} shut',
                hint=f"unmount it in the guest, or take the whole drive out: kvist disk ls {self.name}",
            ) from wrong

    def _back(self, at: Site) -> None:
        self._turn(at, self.after, self.before)

    def _turn(self, at: Site, one: str, other: str) -> None:
        """Change what differs between two documents of the device, in the device as it is now.

        Its interface, place and ports are others after a restart, and what somebody else has set meanwhile is his.
        """
        found = self._find(self._document(at))
        if found.element is None:
            raise NotFound(f'VM "{self.name}" runs without {self.label}', hint=f"kvist device ls {self.name}")
        new = turned(found.element, *(found.field.spec.read(Document.parse(text).root) for text in (one, other)))
        at.connection.devices.update(self.name, Document(new).text())

    def commands(self) -> tuple[Command, ...]:
        return (Command(("virsh", "update-device", self.name, "/dev/stdin", "--live"), self.after),)


@dataclass(frozen=True, kw_only=True)
class Attach(DeviceStep):
    """Plug a device in. `present` are the aliases of those that the list has already."""

    xml: str
    present: tuple[str, ...]

    def describe(self) -> str:
        return f'plug {self.label} into VM "{self.name}"'

    def apply(self, at: Site) -> None:
        if not self._new(self._document(at)):
            at.connection.devices.attach(self.name, self.xml)

    def verify(self, at: Site) -> None:
        wanted, found = self._spec, self._new(self._document(at))
        lacking = [change for element in found for change in diff(type(wanted).read(element), wanted)]
        if lacking or not found:
            what = paths_of(lacking) if lacking else self.label
            raise Failed(f'libvirt did not keep {what} in the running VM "{self.name}"')

    def _back(self, at: Site) -> None:
        for element in self._new(self._document(at)):
            unplug(at, self.name, alias_of(element), self.label)

    @property
    def _spec(self) -> Spec:
        return self._find(Document.new("domain")).field.spec.read(Document.parse(self.xml).root)

    def _new(self, document: Document) -> list[Element]:
        """Find the device: by its key, or among those that came since the plan was made."""
        field, wanted = self._find(document).field, self._spec
        key = field.key if isinstance(field, Many) else ()
        return [
            element
            for element in document.root.iterfind(field.path)
            if (any(wanted.get(name) is not None for name in key) or alias_of(element) not in self.present)
            and all(field.spec.read(element).get(name) == wanted.get(name) for name in key)
        ]

    def commands(self) -> tuple[Command, ...]:
        return (Command(("virsh", "attach-device", self.name, "/dev/stdin", "--live"), self.xml),)


@dataclass(frozen=True, kw_only=True)
class Detach(DeviceStep):
    """Unplug a device; `xml` brings it back."""

    xml: str
    alias: str

    def describe(self) -> str:
        return f'unplug {self.label} from VM "{self.name}"'

    def apply(self, at: Site) -> None:
        if self._there(at):
            unplug(at, self.name, self.alias, self.label)

    def verify(self, at: Site) -> None:
        if self._there(at):
            raise Failed(f'{self.label} is still plugged into VM "{self.name}"')

    def _back(self, at: Site) -> None:
        if not self._there(at):
            plug(at, self.name, self.xml)

    def _there(self, at: Site) -> bool:
        """Find the very device: its alias may be another's by now."""
        document = self._document(at)
        field = self._find(document).field
        was = field.spec.read(Document.parse(self.xml).root)
        key = field.key if isinstance(field, Many) else ()
        return any(
            alias_of(element) == self.alias and _same(field.spec.read(element), was, key)
            for element in document.root.iterfind(field.path)
        )

    def commands(self) -> tuple[Command, ...]:
        return (Command(("virsh", "detach-device-alias", self.name, self.alias, "--live")),)


@dataclass(frozen=True, kw_only=True)
class Replug(DeviceStep):
    """Unplug a device and plug it in again, changed."""

    disruption = Disruption.REPLUG
    when: str = "replug"
    before: str
    after: str

    def describe(self) -> str:
        return f'unplug {self.label} of VM "{self.name}" and plug it in again'

    def apply(self, at: Site) -> None:
        document = self._document(at)
        if not self._fulfilled(document):
            self._swap(at, document, self.before, self.after)

    def _back(self, at: Site) -> None:
        document = self._document(at)
        if self._find(document).element is None or self._fulfilled(document):
            self._swap(at, document, self.after, self.before)

    def _swap(self, at: Site, document: Document, one: str, other: str) -> None:
        found = self._find(document)
        if found.element is None:
            plug(at, self.name, other)
            return
        new = turned(found.element, *(found.field.spec.read(Document.parse(text).root) for text in (one, other)))
        unplug(at, self.name, alias_of(found.element), self.label)
        at.connection.devices.attach(self.name, Document(new).text())

    def commands(self) -> tuple[Command, ...]:
        return (
            Command(("virsh", "detach-device-alias", self.name, alias_of(Document.parse(self.before).root), "--live")),
            Command(("virsh", "attach-device", self.name, "/dev/stdin", "--live"), self.after),
        )


@dataclass(frozen=True, kw_only=True)
class GrowDisk(Step):
    """Make a disk of a running VM larger."""

    no_undo = "a disk that is made smaller again loses what the guest has written behind its end"
    name: str
    target: str
    before: int
    after: int

    def describe(self) -> str:
        return f'grow disk "{self.target}" of VM "{self.name}"'

    def apply(self, at: Site) -> None:
        if at.connection.devices.capacity(self.name, self.target) < self.after:
            at.connection.devices.resize(self.name, self.target, self.after)

    def verify(self, at: Site) -> None:
        if at.connection.devices.capacity(self.name, self.target) < self.after:
            raise Failed(f'disk "{self.target}" of VM "{self.name}" did not grow')

    def changes(self) -> tuple[Change, ...]:
        return (Change(self.name, f"disks[{self.target}].size", Size(self.before), Size(self.after), "live"),)

    def commands(self) -> tuple[Command, ...]:
        return (Command(("virsh", "blockresize", self.name, self.target, f"{self.after}B")),)


def _same(one: Spec, other: Spec, key: tuple[str, ...]) -> bool:
    return all(one.get(name) == other.get(name) for name in key) if key else not list(diff(one, other))


def paths_of(lacking: list[Difference]) -> str:
    """Name what is lacking."""
    return ", ".join(f'"{change.path}"' for change in lacking)
