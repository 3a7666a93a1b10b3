"""What was done on a host, and taking it back."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

from kvist.engine.ask import Ask
from kvist.engine.journal import DONE, RUNNING, Entry, Journal
from kvist.engine.operation import operation
from kvist.engine.plan import Plan
from kvist.engine.step import Change
from kvist.engine.undo import Reversal
from kvist.errors import Conflict, NotFound
from kvist.resources.hosts.holding import Holding


class LogRow(NamedTuple):
    """One operation in a list."""

    number: int
    when: str
    user: str
    about: str
    line: str
    state: str


class History(Holding):
    """What was done on a host by this user, newest first."""

    kind = "operation"

    def log(
        self,
        name: Annotated[str, Ask("only what was about this VM", metavar="VM", complete="vm")] = "",
        *,
        limit: Annotated[int, Ask("how many operations", metavar="N")] = 20,
    ) -> list[LogRow]:
        """List what was done on the host: number, time, user, VM, command line, and how it ended.

        Example: kvist log web --limit 5
        """
        if not Journal.exists():
            return []
        with Journal() as book:
            entries = book.all(uri=self.site.connection.uri, thing=f"vm {name}" if name else "", limit=limit)
        return [
            LogRow(
                number=each.number,
                when=_clock(each.began),
                user=_user(each),
                about=_about(each),
                line=each.line or each.title,
                state=_state(each),
            )
            for each in entries
        ]

    def show(
        self, number: Annotated[int, Ask("number of the operation", metavar="N", complete="operation")]
    ) -> dict[str, Any]:
        """Show one operation: who, when, what was changed from what to what, and by which steps.

        Example: kvist log show 12
        """
        entry = self.entry(number)
        return {
            "number": entry.number,
            "state": _state(entry),
            "line": entry.line or entry.title,
            "user": _user(entry),
            "from": entry.origin or "this machine",
            "host": entry.host,
            "began": _clock(entry.began),
            "took": f"{entry.ended - entry.began:.1f}s" if entry.ended else None,
            "result": entry.result or None,
            "undoes": entry.undoes,
            "undone_by": entry.undone_by,
            "changes": [_told(change) for step in entry.steps() for change in step.changes()],
            "steps": [step.describe() for step in entry.steps()],
        }

    @operation
    def undo(
        self,
        number: Annotated[
            int | None, Ask("number of the operation in `kvist log`; the last one", metavar="N", complete="operation")
        ] = None,
    ) -> Plan:
        """Take back what an operation did, the last one when no number is given.

        It is an operation of its own, which can be undone too. It is refused when later changes stand on it.

        Example: kvist undo 12
        """
        entry = self._chosen(number)
        reversal = Reversal(entry, self.site)
        with Journal() as book:
            reversal.permit(book)
        for sentence in reversal.lost:
            self.site.report(sentence, None)
        return Plan(reversal.steps, "undo", objects=entry.objects, undoes=entry.number)

    def touched(self, given: Mapping[str, Any]) -> tuple[str, ...]:
        """Name the objects that an operation on the journal is about."""
        return tuple(self._chosen(given.get("number")).objects)

    def entry(self, number: int) -> Entry:
        """Find an operation on this host. Raises NotFound."""
        if Journal.exists():
            with Journal() as book:
                found = book.get(number)
            if found is not None and found.uri == self.site.connection.uri:
                return found
        raise NotFound(f"there is no operation {number} on {self.host.place.name}", hint="kvist log")

    def _chosen(self, number: int | None) -> Entry:
        if number is not None:
            return self.entry(number)
        if Journal.exists():
            with Journal() as book:
                for each in book.all(uri=self.site.connection.uri):
                    if each.state == DONE and each.undoes is None and not each.empties:
                        return each
        raise Conflict(f"there is nothing to undo on {self.host.place.name}", hint="kvist log")


def _told(change: Change) -> dict[str, Any]:
    return {"object": change.subject, **{name: getattr(change, name) for name in ("field", "before", "after", "when")}}


def _clock(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def _user(entry: Entry) -> str:
    return f"{entry.user}@{entry.origin}" if entry.origin else entry.user


def _about(entry: Entry) -> str:
    return ", ".join(thing.partition(" ")[2] for thing in entry.objects)


def _state(entry: Entry) -> str:
    from kvist.engine.inflight import directory

    if entry.state == RUNNING and not (directory() / entry.token).exists():
        return "given up"
    return f"undone by {entry.undone_by}" if entry.undone_by is not None else entry.state
