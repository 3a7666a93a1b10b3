"""What a person sees while long work goes on: on stderr, a bar on a terminal, a line for each new act elsewhere."""

from __future__ import annotations

import os
import sys
from typing import Any


class Progress:
    """Shows reports: a sentence, and the share that is done where it is known."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        # A dumb terminal cannot take a line back.
        self._terminal = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._dim, self._plain = ("", "") if "NO_COLOR" in os.environ else ("\x1b[2m", "\x1b[0m")
        self._last = ""
        self._bar: Any = None
        self._task: Any = None
        self._line = False
        self.fleeting = False
        """Whether an answer follows that says all that was done: then acts are shown only while they go on."""

    def report(self, what: str, share: float | None) -> None:
        """Take one report."""
        if self._quiet:
            return
        if self._terminal and share is not None and share < 1:
            self._draw(what, share)
            return
        if what != self._last:
            self.end()
            if not self._terminal:
                sys.stderr.write(f"{what}\n")
            elif self.fleeting and share is None:
                sys.stderr.write(f"{self._dim}{what[: _columns() - 1]}{self._plain}")
                self._line = True
            else:
                sys.stderr.write(f"{self._dim}{what}{self._plain}\n")
            sys.stderr.flush()
            self._last = what

    def end(self) -> None:
        """Take the bar, or the line of an act that went on, away."""
        if self._line:
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()
            self._line = False
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _draw(self, what: str, share: float) -> None:
        if self._line:
            self.end()
        if self._bar is None:
            from rich.console import Console
            from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
            from rich.progress import Progress as Bar

            columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
            self._bar = Bar(*columns, console=Console(stderr=True), transient=True)
            self._task = self._bar.add_task(what, total=1.0)
            self._bar.start()
        self._bar.update(self._task, completed=share, description=what)
        self._last = what


def _columns() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except OSError:
        return 80
