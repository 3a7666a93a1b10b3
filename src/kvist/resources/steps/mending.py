"""Steps that mend what a check of the host found, and that see whether it helped."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass

from kvist.engine.step import Change, Command, Site, Step
from kvist.errors import Failed
from kvist.host.checks.finding import Finding
from kvist.host.checks.seen import findings, look
from kvist.host.firewall import passes
from kvist.host.firewall.passes import Pass
from kvist.host.net.passage import asked

WITHIN = 15.0
"""Seconds until what was mended has to be seen: a daemon of libvirt's needs one or two to make its rules anew."""
REVIVED_WITHIN = 3.0
"""Seconds in which whoever looks after a daemon starts it again; kvist's sandbox needs a twentieth of one."""


@dataclass(frozen=True, kw_only=True)
class Mend(Step):
    """Run a command that mends something, or the one that takes that back."""

    argv: tuple[str, ...]
    back: tuple[str, ...]
    input: str = ""
    back_input: str = ""

    def describe(self) -> str:
        return f"run “{shlex.join(self.argv)}”"

    def apply(self, at: Site) -> None:
        at.hand.run(self.argv, input=self.input.encode())

    def undo(self, at: Site) -> None:
        at.hand.run(self.back, input=self.back_input.encode())

    def commands(self) -> tuple[Command, ...]:
        return (Command(self.argv, self.input),)


@dataclass(frozen=True, kw_only=True)
class LetThrough(Step):
    """Let the packets of a bridge by at the head of somebody's chain, now and from now on."""

    tool: str
    bridge: str
    chain: str
    table: str

    @property
    def through(self) -> Pass:
        return Pass(self.tool, self.bridge, self.chain, self.table)

    def describe(self) -> str:
        return f"let packets of {self.bridge} by at the head of chain {self.chain} ({self.table})"

    def apply(self, at: Site) -> None:
        passes.put(at.hand, self.through)

    def undo(self, at: Site) -> None:
        passes.drop(at.hand, self.through)

    def verify(self, at: Site) -> None:
        if lacking := passes.lacking(at.hand, self.through):
            raise Failed(f"what was put in force did not hold: {lacking}")

    def commands(self) -> tuple[Command, ...]:
        return tuple(Command(self.through.rule(way, "insert")) for way in "io")


@dataclass(frozen=True, kw_only=True)
class Restart(Step):
    """Start a service anew, so that it reads what was changed.

    There is one before the changes, which does its work on the way back, and one behind them.
    """

    service: str
    systemd: bool
    argv: tuple[str, ...] = ()
    """What lets it be read anew, where it is no service."""
    back: bool = False

    def describe(self) -> str:
        if self.back:
            return f"have a way back to {self.service} as it is"
        return f"run “{shlex.join(self.argv)}”" if self.argv else f"start {self.service} anew"

    def apply(self, at: Site) -> None:
        if not self.back:
            self._anew(at)

    def undo(self, at: Site) -> None:
        if self.back:
            self._anew(at)

    def _anew(self, at: Site) -> None:
        if self.argv or self.systemd:
            at.hand.run(self.argv or ["systemctl", "restart", self.service])
            return
        before = asked(at.hand, "pidof", self.service)
        at.hand.run(["pkill", "-x", self.service], check=False)
        end = time.monotonic() + REVIVED_WITHIN
        while (now := asked(at.hand, "pidof", self.service)) in (None, before):
            if time.monotonic() < end:
                at.look()
                time.sleep(0.1)
            elif now is None:
                at.hand.run([self.service, "-d"])
                return
            else:
                raise Failed(f"{self.service} does not end")

    def commands(self) -> tuple[Command, ...]:
        if self.back:
            return ()
        if self.argv or self.systemd:
            return (Command(self.argv or ("systemctl", "restart", self.service)),)
        return (Command(("pkill", "-x", self.service)), Command((self.service, "-d")))


@dataclass(frozen=True, kw_only=True)
class SeeMended(Step):
    """Make the checks again, and see that nothing stands in the way any more of what was mended."""

    mended: tuple[tuple[str, str], ...]
    """Checks, and what they saw."""
    sandbox: bool

    def describe(self) -> str:
        return f"make the check again: {', '.join(name for name, _ in self.mended)}"

    def apply(self, at: Site) -> None:
        """Look when all is done."""

    def undo(self, at: Site) -> None:
        """It only looked."""

    def verify(self, at: Site) -> None:
        names = {name for name, _ in self.mended}
        if wrong := lasting(at, lambda each: each.check in names, sandbox=self.sandbox):
            raise Failed(f"it did not help: {told(wrong)}")

    def changes(self) -> tuple[Change, ...]:
        return tuple(Change("host", name, proof, "mended") for name, proof in self.mended)


@dataclass(frozen=True, kw_only=True)
class TellWhatIsLeft(Step):
    """Say what is still in the way: what only a person can mend."""

    stays = "it only looks"
    after_commit = True
    checks: tuple[str, ...]
    sandbox: bool

    def describe(self) -> str:
        return f"leave to a person: {', '.join(self.checks)}"

    def apply(self, at: Site) -> None:
        wrong = lasting(at, lambda each: each.check not in self.checks, sandbox=self.sandbox)
        wrong = wrong or in_the_way(at, sandbox=self.sandbox)
        if wrong:
            raise Failed(f"still in the way: {told(wrong)}", hint="; ".join(str(each.fix) for each in wrong))


def lasting(at: Site, meant: Callable[[Finding], bool], *, sandbox: bool) -> list[Finding]:
    """List what is meant and wrong even when daemons and hooks, which make their rules anew, have had their time."""
    end = time.monotonic() + WITHIN
    while (wrong := [each for each in in_the_way(at, sandbox=sandbox) if meant(each)]) and time.monotonic() < end:
        at.look()
        time.sleep(0.3)
    return wrong


def in_the_way(at: Site, *, sandbox: bool) -> list[Finding]:
    """List what is wrong with the host at this moment."""
    return [each for each in findings(look(at.hand, sandbox=sandbox)) if each.ok is False]


def told(wrong: list[Finding]) -> str:
    """Say what is wrong, with the proofs."""
    return "; ".join(f"{each.check}: {each.proof}" for each in wrong)
