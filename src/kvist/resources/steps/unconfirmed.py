"""Steps about a change of policies that is taken back unless somebody confirms it in time."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from subprocess import DEVNULL

from kvist.engine.step import Change, Command, Site, Step
from kvist.host.firewall import unconfirmed
from kvist.host.run import spawn


@dataclass(frozen=True, kw_only=True)
class Watch(Step):
    """Let a process of its own take the change back that follows, unless it is confirmed in time.

    It is there before the change is made, in a session of its own: it outlives this kvist and its terminal.
    """

    token: str
    seconds: float
    before: tuple[tuple[str, tuple[str, ...]], ...]
    filters: tuple[tuple[str, ...], ...] = ()

    def describe(self) -> str:
        return f"watch the change: it is taken back in {self.seconds:g} s unless it is confirmed"

    def apply(self, at: Site) -> None:
        due = time.time() + self.seconds
        unconfirmed.write(at.hand, unconfirmed.Unconfirmed(self.token, due, self.before, self.filters))
        spawn(self._argv(at.place), stdout=DEVNULL, stderr=DEVNULL, detach=True)

    def undo(self, at: Site) -> None:
        waiting = unconfirmed.read(at.hand)
        if waiting is not None and waiting.token == self.token:
            unconfirmed.forget(at.hand)

    def changes(self) -> tuple[Change, ...]:
        return (Change("firewall", "confirmed", None, f"within {self.seconds:g} s: kvist fw confirm"),)

    def commands(self) -> tuple[Command, ...]:
        return (Command(tuple(self._argv("HOST"))),)

    def _argv(self, place: str) -> list[str]:
        start = (sys.executable, "-c", "from kvist.cli.main import run; run()")
        return [*start, "--host", place, "fw", "revert", "--when-due", self.token]


@dataclass(frozen=True, kw_only=True)
class Settle(Step):
    """Let a change wait no more to be confirmed."""

    stays = "what was settled, by somebody or by the end of the time, waits no more"
    note: str
    kept: bool

    def describe(self) -> str:
        return f"{'keep' if self.kept else 'take back'} the change that waits to be confirmed"

    def apply(self, at: Site) -> None:
        waiting = unconfirmed.read(at.hand)
        if waiting is not None and waiting.text == self.note:
            unconfirmed.forget(at.hand)

    def changes(self) -> tuple[Change, ...]:
        return (Change("firewall", "confirmed", None, "kept" if self.kept else "taken back"),)

    def commands(self) -> tuple[Command, ...]:
        return (Command(("rm", unconfirmed.NOTE)),)
