"""Steps on network filters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kvist.engine.step import Change, Command, Site, Step
from kvist.errors import Conflict, Failed, NotFound, Refused


@dataclass(frozen=True, kw_only=True)
class DefineFilter(Step):
    """Store a filter: a new one, or another in the place of the one that is there."""

    name: str
    uuid: str
    before: str
    """The document that is there; empty for a new filter."""
    xml: str
    shown: tuple[tuple[str, str | None, str | None], ...]
    """What the answer tells: field, before, after."""
    reaches: int = 0
    """How many running cards it is in force on at once."""

    def describe(self) -> str:
        return f'{"change" if self.before else "define"} filter "{self.name}"'

    def apply(self, at: Site) -> None:
        filters = at.connection.nwfilters
        now = filters.stored(self.name)
        if now and _same(now, self.xml):
            return
        if now != self.before:
            raise Conflict(
                f'cannot change filter "{self.name}": somebody else has changed it meanwhile',
                hint=f"kvist filter show {self.name}",
            )
        self._try(at)
        filters.define(self.xml, name=self.name)

    def _try(self, at: Site) -> None:
        """Let libvirt store it under a name that no card has: what it forgets is not to be in force for a moment."""
        from uuid import uuid4

        from kvist.specs.nwfilter import Filter
        from kvist.xml.document import Document

        filters, trial = at.connection.nwfilters, Document.parse(self.xml)
        Filter(name=self._trial, uuid=str(uuid4())).write(trial.root)
        self._end_trial(at)
        try:
            filters.define(trial.text(), name=self.name)
            _keeps(self.name, self.xml, filters.xml(self._trial))
        finally:
            self._end_trial(at)

    @property
    def _trial(self) -> str:
        return f"kvist-trial-{self.uuid}"

    def _end_trial(self, at: Site) -> None:
        if at.connection.nwfilters.stored(self._trial):
            at.connection.nwfilters.undefine(self._trial)

    def verify(self, at: Site) -> None:
        stored = at.connection.nwfilters.stored(self.name)
        if not stored:
            raise Failed(f'filter "{self.name}" is not there after it was defined')
        _keeps(self.name, self.xml, stored)

    def undo(self, at: Site) -> None:
        filters = at.connection.nwfilters
        self._end_trial(at)
        now = filters.stored(self.name)
        if now == self.before or (now and filters.uuid(self.name) != self.uuid):
            # Nothing has happened, or another filter of that name was made by someone else meanwhile.
            return
        if self.before:
            filters.define(self.before, name=self.name)
        else:
            filters.undefine(self.name)

    def inverse(self, at: Site) -> Sequence[Step]:
        now = at.connection.nwfilters.stored(self.name)
        if now and not _same(now, self.xml):
            raise Refused(
                f'cannot take back the change of filter "{self.name}": it has been changed since',
                hint=f"kvist filter show {self.name}",
            )
        return super().inverse(at)

    def changes(self) -> tuple[Change, ...]:
        cards = f"live on {self.reaches} running card{'' if self.reaches == 1 else 's'}" if self.reaches else "now"
        return tuple(Change(self.name, field, before, after, cards) for field, before, after in self.shown)

    def commands(self) -> tuple[Command, ...]:
        return (_defined(self.xml),)


@dataclass(frozen=True, kw_only=True)
class UndefineFilter(Step):
    """Remove a filter that nobody uses; `xml` is what brings it back."""

    name: str
    xml: str

    def describe(self) -> str:
        return f'remove filter "{self.name}"'

    def apply(self, at: Site) -> None:
        try:
            at.connection.nwfilters.undefine(self.name)
        except NotFound:
            return

    def undo(self, at: Site) -> None:
        if not at.connection.nwfilters.stored(self.name):
            at.connection.nwfilters.define(self.xml, name=self.name)

    def verify(self, at: Site) -> None:
        if at.connection.nwfilters.stored(self.name):
            raise Failed(f'filter "{self.name}" is still there')

    def changes(self) -> tuple[Change, ...]:
        return (Change(self.name, "filter", "present", None),)

    def commands(self) -> tuple[Command, ...]:
        return (Command(("virsh", "nwfilter-undefine", self.name)),)


@dataclass(frozen=True, kw_only=True)
class RenameFilter(Step):
    """Give a filter that nobody uses another name; its identity stays."""

    name: str
    new: str
    before: str
    after: str

    def describe(self) -> str:
        return f'rename filter "{self.name}" to "{self.new}"'

    def apply(self, at: Site) -> None:
        _replace(at, self.name, self.new, self.after)

    def undo(self, at: Site) -> None:
        _replace(at, self.new, self.name, self.before)

    def verify(self, at: Site) -> None:
        _keeps(self.new, self.after, at.connection.nwfilters.xml(self.new))

    def changes(self) -> tuple[Change, ...]:
        return (Change(self.name, "name", self.name, self.new),)

    def commands(self) -> tuple[Command, ...]:
        # libvirt knows a filter by its UUID, and gives one to no second name.
        return Command(("virsh", "nwfilter-undefine", self.name)), _defined(self.after)


SET = "leave --ipset-flags out: libvirt 9.0 drops sets with flags from all rules but those of all, and takes src"
SIGN = "libvirt negates --dport and --code only as it negates --sport and --type: say it with two rules"


def _defined(xml: str) -> Command:
    return Command(("virsh", "nwfilter-define", "/dev/stdin"), xml)


def _replace(at: Site, old: str, new: str, xml: str) -> None:
    filters = at.connection.nwfilters
    if filters.stored(old):
        filters.undefine(old)
    if not filters.stored(new):
        filters.define(xml, name=new)


def _same(one: str, other: str) -> bool:
    from kvist.specs.nwfilter import same_filter
    from kvist.xml.document import Document

    return same_filter(Document.parse(one).root) == same_filter(Document.parse(other).root)


def _keeps(name: str, wanted: str, stored: str) -> None:
    """Raise Failed when libvirt has forgotten a part of a filter; it does so without a word."""
    from kvist.resources.filters.words import differences
    from kvist.xml.document import Document

    lost = differences(Document.parse(wanted).root, Document.parse(stored).root, "asked for", "kept")
    if lost:
        said = "; ".join(lost)
        raise Failed(
            f'libvirt does not keep what filter "{name}" is to say: {said}',
            hint=SET if "--ipset" in said else SIGN if "!" in said else "",
        )
