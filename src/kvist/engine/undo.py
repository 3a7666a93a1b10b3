"""Taking back what an operation did, long after it is done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from kvist.engine.step import Change, Site, Step
from kvist.errors import Refused

if TYPE_CHECKING:
    from kvist.engine.journal import Entry, Journal


@dataclass(frozen=True, kw_only=True)
class TakeBack(Step):
    """Undo one step, of which this is the record; to take that back in turn is to apply the step again."""

    of: Mapping[str, Any]

    @cached_property
    def step(self) -> Step:
        """The step that is taken back."""
        return Step.recall(self.of)

    def describe(self) -> str:
        return f"take back “{self.step.describe()}”"

    def apply(self, at: Site) -> None:
        self.step.undo(at)

    def undo(self, at: Site) -> None:
        self.step.apply(at)

    def changes(self) -> tuple[Change, ...]:
        return tuple(each._replace(before=each.after, after=each.before) for each in self.step.changes())


class Reversal:
    """What it takes to undo one operation: the inverse of its steps, newest first, and what will not come back."""

    def __init__(self, entry: Entry, at: Site) -> None:
        self.entry, self.at = entry, at
        self.steps: list[Step] = []
        self.lost: list[str] = []
        for step in reversed(entry.steps()[: entry.begun]):
            inverse = step.inverse(at)
            self.steps += inverse
            if reason := step.no_undo or step.stays or step.outlives_undo:
                self.lost.append(f"“{step.describe()}” is not taken back: {reason}")

    def permit(self, book: Journal) -> None:
        """Raise Refused, with the reason, when later changes stand on it or nothing of it can be taken back."""
        entry = self.entry
        if entry.state != "done":
            raise Refused(f"cannot undo operation {entry.number}: it is {_ended(entry)}", hint="kvist log")
        fields = {(each["object"], each["field"]) for each in entry.changes}
        # What is in the trash changes no more: it needs its name, and nothing else.
        for later in book.after(entry) if not entry.trash else ():
            touched = sorted(fields & {(each["object"], each["field"]) for each in later.changes})
            if touched:
                raise Refused(
                    f"cannot undo operation {entry.number}: operation {later.number}, `{later.line or later.title}`, "
                    f'has changed {touched[0][1]} of "{touched[0][0]}" since',
                    hint=f"kvist undo {later.number}",
                )
        for thing, identity in entry.objects.items():
            now = self.at.identify(thing)
            if now != identity:
                raise Refused(
                    f"cannot undo operation {entry.number}: {_otherwise(thing, identity, now)}", hint="kvist log"
                )
        if not self.steps:
            raise Refused(
                f"cannot undo operation {entry.number}: {'; '.join(self.lost) or 'it did nothing'}",
                hint=f"kvist log show {entry.number}",
            )


def _ended(entry: Entry) -> str:
    if entry.undone_by is not None:
        return f"undone already, by operation {entry.undone_by}"
    if entry.state == "emptied":
        return "gone from the trash"
    return entry.state


def _otherwise(thing: str, identity: str, now: str) -> str:
    kind, _, name = thing.partition(" ")
    what = f'{"VM" if kind == "vm" else kind} "{name}"'
    if not now:
        return f"{what} is not there any more"
    return f"{what} is another one than then" if identity else f"there is a new {what}"
