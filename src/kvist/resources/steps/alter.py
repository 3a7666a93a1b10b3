"""Steps that change a VM: values and devices of the running one, and the definition of the next boot."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from kvist.engine.step import Change, Command, Disruption, Site, Step
from kvist.errors import Conflict, Failed, GuestFailed, KvistError, NotFound, TimedOut
from kvist.resources.fieldpath import typed
from kvist.resources.rewriting import Device, adopted, devices, restored, rewritten, turned
from kvist.resources.steps.plugging import alias_of, plug, unplug
from kvist.specs.vm import Vm
from kvist.values import Size
from kvist.xml.diff import diff
from kvist.xml.document import Document
from kvist.xml.kinds import Applies
from kvist.xml.lists import Many
from kvist.xml.record import recalled

if TYPE_CHECKING:
    from kvist.xml.diff import Change as Difference
    from kvist.xml.document import Element
    from kvist.xml.spec import Spec

FOLLOW_WITHIN = 15.0
"""Seconds a guest has to give memory back to the balloon, a few hundred MiB a second."""
LOOK_EVERY = 0.1
TRIES = 20
HELD_SHUT = ("is not open", "is locked")
"""What QEMU says of a drive whose guest has locked it, or does not answer the press of its button."""
CALLED = frozenset({"memory", "cpus", "title", "description"})
"""Settings that libvirt changes for the next boot by a call of their own."""


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
        return Failed(f'libvirt did not keep {_paths(lacking)} in the running VM "{self.name}"')

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
            what = _paths(lacking) if lacking else self.label
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


@dataclass(frozen=True, kw_only=True)
class Redefine(AlterStep):
    """Write a wish into what the next boot will use, in one definition; `before` is that document as it was."""

    when: str = "next boot"
    before: str
    stored: str = ""
    """What libvirt made of it, as a digest: who finds that may put back `before` as it was, byte for byte."""

    def describe(self) -> str:
        return f'store the new definition of VM "{self.name}" for its next boot'

    def apply(self, at: Site) -> None:
        self._write(at, self._changed)
        # A step learns what it has done while it is carried out; nothing else of it changes.
        object.__setattr__(self, "stored", _digest(self._text(at)))

    def undo(self, at: Site) -> None:
        self._write(at, self._restored)

    def _lacks(self, document: Document) -> list[Difference]:
        return [change for change in super()._lacks(document) if not self._gone(change, document)]

    def _gone(self, change: Difference, document: Document) -> bool:
        """Tell whether a device without a key has gone: the one that is at its place by then is another."""
        field, item = change.field, change.before
        if (
            not isinstance(field, Many)
            or change.after is not None
            or any(part is not None for part in field.key_of(item))
        ):
            return False
        then, now = (
            [field.key_of(each) for each in Vm.read(one.root).get(field.name)].count(field.key_of(item))
            for one in (Document.parse(self.before), document)
        )
        return now < then

    def _changed(self, at: Site, text: str) -> Document | None:
        now = Document.parse(text)
        lacking = self._lacks(now)
        if not lacking or self._called(at, lacking):
            return None
        new = rewritten(now, self.wanted)
        if at.connection.domains.state(self.name).active:
            new = adopted(new, Document.parse(at.connection.domains.xml(self.name)), self.wanted)
        return new

    def _restored(self, _at: Site, text: str) -> Document | None:
        now, before = Document.parse(text), Document.parse(self.before)
        if now == before:
            return None
        return before if self.stored == _digest(text) else restored(now, before, self.wanted)

    def _called(self, at: Site, lacking: Sequence[Difference]) -> bool:
        """Change by libvirt's own calls what has one: those cross nobody else's changes, whenever these come."""
        # What is raised above its maximum takes that along, which these calls refuse.
        if any(change.path not in CALLED or change.applies is not Applies.LIVE for change in lacking):
            return False
        for change in lacking:
            at.connection.tuning.set(self.name, change.path, {change.path: change.after}, next_boot=True)
        return True

    def _write(self, at: Site, make: Callable[[Site, str], Document | None]) -> None:
        """Read, change and define; what somebody else has changed before the last moment is read again."""
        text = self._text(at)
        for _ in range(TRIES):
            new = make(at, text)
            if new is None:
                return
            written, before = new.text(), text
            text = self._text(at)
            if text == before:
                at.connection.domains.define(written, name=self.name, validate=False)
                return
        raise Conflict(
            f'the definition of VM "{self.name}" changes faster than it can be written', hint="try again in a moment"
        )

    def verify(self, at: Site) -> None:
        if lacking := self._lacks(Document.parse(self._text(at))):
            raise Failed(f'libvirt did not keep {_paths(lacking)} in the definition of VM "{self.name}"')

    def _text(self, at: Site) -> str:
        return at.connection.domains.xml(self.name, next_boot=True, secure=True)

    def commands(self) -> tuple[Command, ...]:
        new = rewritten(Document.parse(self.before), self.wanted)
        return (Command(("virsh", "define", "/dev/stdin"), new.text()),)


def _digest(text: str) -> str:
    from hashlib import sha256

    return sha256(text.encode()).hexdigest()


def _same(one: Spec, other: Spec, key: tuple[str, ...]) -> bool:
    return all(one.get(name) == other.get(name) for name in key) if key else not list(diff(one, other))


def _paths(lacking: list[Difference]) -> str:
    return ", ".join(f'"{change.path}"' for change in lacking)
