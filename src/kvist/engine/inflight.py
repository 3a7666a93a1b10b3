"""What is being done at this moment, so that a killed kvist leaves nothing half-made.

One empty file for each running operation, held with a lock by the process that runs it: a file whose lock is free was
left behind by a process that died. What it was doing stands in the journal under the file's name.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from kvist.engine import journal
from kvist.engine.journal import Entry, Journal
from kvist.engine.step import Step
from kvist.errors import Failed

if TYPE_CHECKING:
    from kvist.engine.plan import Plan
    from kvist.engine.step import Site

ABANDONED = 3600.0
"""Seconds after which a file that never got its name belongs to nobody."""


def directory() -> Path:
    """Where the files are, beside the journal."""
    return journal.directory() / "inflight"


class Inflight:
    """One running operation; its file is made before its first step and removed when it is whole or taken back."""

    def __init__(self, plan: Plan, steps: Sequence[Step], at: Site) -> None:
        where = directory()
        # Under a name that recovery does not look at until it is locked and written down.
        hidden = where / f".{os.getpid()}-{os.urandom(4).hex()}"
        self.path = where / hidden.name.removeprefix(".")
        self._steps, self._at = steps, at
        try:
            where.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            where.mkdir(mode=0o700, exist_ok=True)
            self._file = hidden.open("x", encoding="utf-8")
            fcntl.flock(self._file, fcntl.LOCK_EX)
            self._journal = Journal()
            self.number = self._journal.write(self.path.name, plan, steps, at)
            hidden.rename(self.path)
        except OSError as error:
            raise Failed(
                f'cannot write down what is about to be done, in "{where}": {error.strerror}',
                hint="set XDG_STATE_HOME to a directory that you can write to",
            ) from error

    def begin(self, index: int) -> None:
        """Note that a step begins."""
        self._journal.begin(self.number, index)

    def close(self, state: str, result: str = "") -> None:
        """Note how it ended: it is whole, or taken back."""
        self._journal.end(self.number, state, self._at, result=result, steps=self._steps)
        self.path.unlink(missing_ok=True)
        self.leave()

    def leave(self) -> None:
        """Leave it to the next kvist to finish it or take it back."""
        self._journal.close()
        self._file.close()


class Remains(NamedTuple):
    """An operation that a dead process left behind, and the file that says so."""

    entry: Entry
    path: Path

    def close(self, state: str, result: str, steps: Sequence[Step], at: Site) -> None:
        """Note how it ended after all."""
        with Journal() as book:
            book.end(self.entry.number, state, at, result=result, steps=steps)
        self.path.unlink(missing_ok=True)


def left_behind(uri: str) -> Iterator[Remains]:
    """Give each operation on this host whose process died, locked against other kvists while it is looked at."""
    where = directory()
    if not where.is_dir():
        return
    for path in sorted(where.iterdir()):
        if path.name.startswith("."):
            _sweep(path)
            continue
        try:
            held = path.open("r+", encoding="utf-8")
        except FileNotFoundError:
            # Its kvist has just come to its end.
            continue
        with held:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                # Its kvist lives.
                continue
            if not path.exists():
                continue
            with Journal() as book:
                entry = book.by_token(path.name)
            if entry is None or entry.state != journal.RUNNING:
                # It came to its end, and was killed before it could say so here.
                path.unlink()
            elif entry.uri == uri:
                yield Remains(entry, path)


def _sweep(hidden: Path) -> None:
    """Remove what a kvist left that was killed before its first step; one that is about to begin needs milliseconds."""
    try:
        if time.time() - hidden.stat().st_mtime > ABANDONED:
            hidden.unlink()
    except FileNotFoundError:
        # Its kvist has begun: the file has its real name by now.
        return
