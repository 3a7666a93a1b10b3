"""What was done on which host, when, by whom, and how it ended: one database for each user.

An operation is written down whole before its first step and each step as it begins, so that the journal is also what a
killed kvist is cleaned up from (`kvist.engine.inflight`) and what `undo` works from.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from kvist.engine.step import Step
from kvist.errors import Failed

if TYPE_CHECKING:
    from sqlite3 import Connection

    from kvist.engine.plan import Plan
    from kvist.engine.step import Site

DAYS = 90
COUNT = 5000
"""How long and how many operations are kept; what is in the trash stays longer, for it can be restored."""
BUSY = 30.0
"""Seconds to wait for other writers, each of which needs less than one millisecond."""

RUNNING, DONE, FAILED, TAKEN_BACK, UNDONE, EMPTIED = "running", "done", "failed", "taken back", "undone", "emptied"

SCHEMA = """
CREATE TABLE operation (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    token TEXT NOT NULL UNIQUE,
    began REAL NOT NULL, ended REAL,
    user TEXT NOT NULL, uid INTEGER NOT NULL, origin TEXT NOT NULL, line TEXT NOT NULL,
    uri TEXT NOT NULL, host TEXT NOT NULL, title TEXT NOT NULL,
    objects TEXT NOT NULL, steps TEXT NOT NULL, changes TEXT NOT NULL,
    begun INTEGER NOT NULL DEFAULT 0,
    state TEXT NOT NULL, result TEXT NOT NULL DEFAULT '',
    undoes INTEGER, undone_by INTEGER, empties TEXT NOT NULL, trash INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX operation_by_state ON operation (uri, state);
"""


def directory() -> Path:
    """Where kvist keeps its state: $XDG_STATE_HOME/kvist (https://specifications.freedesktop.org/basedir-spec/)."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "kvist"


class Entry(NamedTuple):
    """One operation as it stands in the journal; times are seconds since 1970, `begun` counts the steps."""

    number: int
    token: str
    began: float
    ended: float | None
    user: str
    uid: int
    origin: str
    line: str
    uri: str
    host: str
    title: str
    objects: Mapping[str, str]
    """What it was about (`vm web`), each with its identity afterwards, empty for what was gone then."""
    records: Sequence[Mapping[str, Any]]
    changes: Sequence[Mapping[str, Any]]
    begun: int
    state: str
    result: str
    undoes: int | None
    undone_by: int | None
    empties: Sequence[int]
    trash: bool

    def steps(self) -> list[Step]:
        """Make its steps again. Raises what a record of another version of kvist makes Python raise."""
        return [Step.recall(record) for record in self.records]


class Journal:
    """The database. It is safe under many writers; every method is one transaction."""

    def __init__(self) -> None:
        import sqlite3

        self.path = directory() / "journal.db"
        try:
            if not self.path.exists():
                _make(self.path)
            self._base: Connection = sqlite3.connect(self.path, timeout=BUSY, isolation_level=None)
            # What is written must survive a power cut, or the steps of a host that came up again would be unknown.
            self._base.execute("PRAGMA synchronous = FULL")
        except (OSError, sqlite3.Error) as error:
            raise _unwritable(error) from error

    @staticmethod
    def exists() -> bool:
        """Tell whether anything has ever been written down."""
        return (directory() / "journal.db").exists()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._base.close()

    def write(self, token: str, plan: Plan, steps: Sequence[Step], at: Site) -> int:
        """Write an operation down before it begins and give its number."""
        user, uid, origin = _who()
        number = int(
            self._act(
                "INSERT INTO operation (token, began, user, uid, origin, line, uri, host, title, objects, steps,"
                " changes, state, undoes, empties) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
                (token, time.time(), user, uid, origin, at.asked, at.connection.uri, at.place or at.connection.uri,
                 plan.title, _json(dict.fromkeys(plan.objects, "")), _json([step.record() for step in steps]),
                 _json([change.as_dict() for change in plan.changes()]), RUNNING, plan.undoes, _json(plan.empties)),
            )
        )  # fmt: skip
        if number % 50 == 0:
            self.prune()
        return number

    def begin(self, number: int, index: int) -> None:
        """Note that a step begins."""
        self._act("UPDATE operation SET begun = ? WHERE number = ?", (index + 1, number))

    def end(self, number: int, state: str, at: Site, *, result: str = "", steps: Sequence[Step] = ()) -> None:
        """Note how an operation ended, and what that means for the one that it undid and for the trash."""
        entry = self.get(number)
        if entry is None:
            return
        now = {thing: at.identify(thing) if state == DONE else "" for thing in entry.objects}
        acts: list[tuple[str, Sequence[Any]]] = [
            (
                "UPDATE operation SET state = ?, ended = ?, result = ?, objects = ?, trash = ? WHERE number = ?",
                (state, time.time(), result, _json(now), int(any(step.trashes for step in steps)), number),
            )
        ]
        if steps:
            # Steps may have learnt something while they were applied that their undo wants to know.
            acts.append(
                ("UPDATE operation SET steps = ? WHERE number = ?", (_json([s.record() for s in steps]), number))
            )
        if state == DONE:
            if entry.undoes is not None:
                undone = "UPDATE operation SET state = ?, undone_by = ? WHERE number = ?"
                acts.append((undone, (UNDONE, number, entry.undoes)))
                # What the undone operation had undone itself holds again.
                again = "UPDATE operation SET state = ?, undone_by = NULL, objects = ? WHERE undone_by = ?"
                acts.append((again, (DONE, _json(now), entry.undoes)))
            acts += [("UPDATE operation SET state = ? WHERE number = ?", (EMPTIED, each)) for each in entry.empties]
        self._together(acts)

    def get(self, number: int) -> Entry | None:
        """Read one operation."""
        return next(self._read("WHERE number = ?", (number,)), None)

    def by_token(self, token: str) -> Entry | None:
        """Read the operation that a running kvist has written down under this token."""
        return next(self._read("WHERE token = ?", (token,)), None)

    def all(self, *, uri: str = "", thing: str = "", limit: int = -1) -> list[Entry]:
        """List operations, newest first: those on a host, those about a thing (`vm web`)."""
        return list(
            self._read(
                "WHERE (? = '' OR uri = ?) AND (? = '' OR instr(objects, ?)) ORDER BY number DESC LIMIT ?",
                (uri, uri, thing, json.dumps(thing), limit),
            )
        )

    def trash(self, uri: str) -> list[Entry]:
        """List the operations on a host whose removed things are in the trash, newest first."""
        return list(
            self._read("WHERE uri = ? AND state = ? AND trash ORDER BY number DESC", (uri, DONE)),
        )

    def after(self, entry: Entry) -> list[Entry]:
        """List what was done later on the same host and still holds, oldest first.

        What was undone since, and what undid that, cancel each other out.
        """
        later = list(
            self._read(
                "WHERE number > ? AND uri = ? AND state IN (?, ?, ?) ORDER BY number",
                (entry.number, entry.uri, DONE, RUNNING, EMPTIED),
            )
        )
        return [each for each in later if each.undoes is None or each.undoes <= entry.number]

    def prune(self, *, days: float = DAYS, count: int = COUNT) -> None:
        """Forget what ended long ago; what is in the trash is kept."""
        self._act(
            "DELETE FROM operation WHERE NOT (trash AND state = ?)"
            " AND (began < ? OR (state != ? AND number <= (SELECT max(number) FROM operation) - ?))",
            (DONE, time.time() - days * 86400, RUNNING, count),
        )

    def _read(self, rest: str, values: Sequence[Any]) -> Iterator[Entry]:
        names = ", ".join("steps" if name == "records" else name for name in Entry._fields)
        for row in self._base.execute(f"SELECT {names} FROM operation {rest}", values):  # noqa: S608 - all ours
            found = dict(zip(Entry._fields, row, strict=True))
            for name in ("objects", "records", "changes", "empties"):
                found[name] = json.loads(found[name])
            yield Entry(**{**found, "trash": bool(found["trash"])})

    def _act(self, act: str, values: Sequence[Any]) -> int:
        return self._together([(act, values)])

    def _together(self, acts: Sequence[tuple[str, Sequence[Any]]]) -> int:
        import sqlite3

        try:
            # The lock of the writer is taken at the beginning: one that reads first may be refused it later on.
            self._base.execute("BEGIN IMMEDIATE")
            try:
                last = [self._base.execute(act, values).lastrowid for act, values in acts][-1]
                self._base.execute("COMMIT")
            except BaseException:
                if self._base.in_transaction:
                    self._base.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise _unwritable(error) from error
        return last or 0


def _make(path: Path) -> None:
    """Make an empty journal. It gets its name when it is whole: whoever finds it finds all of it."""
    import sqlite3

    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_name(f".journal-{os.getpid()}-{os.urandom(4).hex()}")
    fresh.touch(mode=0o600)
    base = sqlite3.connect(fresh)
    try:
        base.executescript(SCHEMA)
        base.execute("PRAGMA journal_mode = WAL")
    finally:
        base.close()
    try:
        os.link(fresh, path)
    except FileExistsError:
        # Another kvist was faster, and its journal is as good.
        return
    finally:
        fresh.unlink()


def _unwritable(error: Exception) -> Failed:
    return Failed(
        f'cannot write down what is about to be done, in "{directory()}": {getattr(error, "strerror", None) or error}',
        hint="set XDG_STATE_HOME to a directory that you can write to",
    )


def _who() -> tuple[str, int, str]:
    """Give the user, their number, and where they came from: this machine, or the client of an ssh session."""
    import pwd

    uid = os.geteuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = str(uid)
    behind = os.environ.get("SUDO_USER", "")
    client = (os.environ.get("SSH_CONNECTION") or os.environ.get("SSH_CLIENT") or "").split()
    return f"{name} ({behind})" if behind and behind != name else name, uid, client[0] if client else ""


def _json(value: Any) -> str:
    return json.dumps(value)
