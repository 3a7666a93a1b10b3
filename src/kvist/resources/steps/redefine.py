"""The step that changes the definition of a VM, which its next boot will use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kvist.engine.step import Command, Site
from kvist.errors import Conflict, Failed
from kvist.resources.changing.rewriting import adopted, restored, rewritten
from kvist.resources.steps.alter import AlterStep, paths_of
from kvist.specs.vm import Vm
from kvist.xml.diff import diff
from kvist.xml.document import Document
from kvist.xml.kinds import Applies
from kvist.xml.lists import Many

if TYPE_CHECKING:
    from kvist.xml.diff import Change as Difference

TRIES = 20
CALLED = frozenset({"memory", "cpus", "title", "description"})
"""Settings that libvirt changes for the next boot by a call of their own."""
KEPT = frozenset({"memory", "cpus"})
"""Those of them that such a call cannot take away."""


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

    def _restored(self, at: Site, text: str) -> Document | None:
        now, before = Document.parse(text), Document.parse(self.before)
        if now == before or self._called(at, self._way_back(now, before)):
            return None
        return before if self.stored == _digest(text) else restored(now, before, self.wanted)

    def _way_back(self, now: Document, before: Document) -> list[Difference]:
        """Give what of the wish is to be as it was; nothing where that is more than plain settings."""
        if any(name not in Vm.FIELDS for name, _ in self.wanted.items()):
            return []
        old = Vm.read(before.root)
        # What is raised above its maximum has taken that along.
        named = {each for name, _ in self.wanted.items() for each in (Vm.FIELDS[name].up_to, name) if each}
        return list(diff(Vm.read(now.root), Vm(**{name: old.get(name) for name in named})))

    def _called(self, at: Site, lacking: Sequence[Difference]) -> bool:
        """Change by libvirt's own calls what has one: those cross nobody else's changes, whenever these come.

        They also leave all else in its place, where a definition has libvirt sort the devices anew.
        """
        # What is raised above its maximum takes that along, which these calls refuse.
        if not lacking or any(
            change.path not in CALLED
            or change.applies is not Applies.LIVE
            or (change.path in KEPT and not change.after)
            for change in lacking
        ):
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
            raise Failed(f'libvirt did not keep {paths_of(lacking)} in the definition of VM "{self.name}"')

    def _text(self, at: Site) -> str:
        return at.connection.domains.xml(self.name, next_boot=True, secure=True)

    def commands(self) -> tuple[Command, ...]:
        new = rewritten(Document.parse(self.before), self.wanted)
        return (Command(("virsh", "define", "/dev/stdin"), new.text()),)


def _digest(text: str) -> str:
    from hashlib import sha256

    return sha256(text.encode()).hexdigest()
