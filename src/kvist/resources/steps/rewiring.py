"""The step that changes the wiring of a host under a guard, with its way back."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from kvist.engine.step import Change, Command, Site, Step
from kvist.errors import CommandFailed, Conflict, Refused, TimedOut, Unsupported
from kvist.host.net.bridges import answers, neighbours
from kvist.host.net.guard import Guard, Text
from kvist.host.net.rewiring import spelled

PAUSE = 0.2
NEIGHBOURS = 3
"""As many of them are asked where there is no gateway; one that answers is enough."""


@dataclass(frozen=True, kw_only=True)
class Rewire(Step):
    """Change a bridge of the host, and what hangs on it, all at once.

    Where addresses of the host move, who answered before must answer after, or a guard on the host puts all back; so it
    does when kvist ends before it has said that all is well.
    """

    name: str
    what: str
    forward: tuple[tuple[str, ...], ...]
    backward: tuple[tuple[str, ...], ...]
    files: tuple[tuple[str, str, str, int], ...] = ()
    """Files of the host's network manager: path, what it says before, after, and its mode."""
    gateways: tuple[str, ...] = ()
    """They must answer before, and after, each in its place."""
    new_gateways: tuple[str, ...] = ()
    """They must answer after."""
    dev: str = ""
    """The interface they are asked through before; empty where no address moves."""
    new_dev: str = ""
    within: float = 30.0
    """Seconds for that; 0 asks nobody."""
    shown: tuple[tuple[str, Any, Any], ...] = ()
    when: str = "now"

    def describe(self) -> str:
        return self.what

    @property
    def _watched(self) -> bool:
        return bool(self.dev and self.new_dev and self.within)

    def apply(self, at: Site) -> None:
        hand = at.hand
        peers = self._known(at) if self._watched else []
        guard = Guard(hand, self.name, at.look)
        texts = [Text(*each) for each in self.files]
        guard.begin(self.forward, self.backward, texts, seconds=self.within or 60)
        guard.made()
        if self._watched:
            self._prove(at, guard, peers)
        guard.keep()

    def _known(self, at: Site) -> list[str]:
        """Ask who is there before anything changes; gives the neighbours that answer where there is no gateway."""
        if not at.hand.has("ping"):
            raise Unsupported(
                'the host has no program "ping", by which its way out is proven',
                hint="apt install iputils-ping on the host, or --within 0 to change it unproven",
            )
        silent = [each for each in self.gateways if not answers(at.hand, each, self.dev)]
        if silent:
            raise Conflict(
                f'gateway {", ".join(silent)} does not answer on "{self.dev}" even now, so nobody could tell whether '
                "the host keeps its way out; nothing was changed",
                hint="--within 0 changes it unproven",
            )
        if self.new_gateways:
            return []
        known = [each for each in neighbours(at.hand, self.dev)[:NEIGHBOURS] if answers(at.hand, each, self.dev)]
        if not known:
            at.report(f'nobody answers on "{self.dev}": the change cannot be proven', 1.0)
        return known

    def _prove(self, at: Site, guard: Guard, peers: list[str]) -> None:
        """Wait until each gateway answers, or one of the neighbours. Raises TimedOut once all is put back."""
        waiting = [*self.new_gateways]
        # What is left of the time is for telling the guard.
        end = time.monotonic() + self.within * 0.8
        while True:
            at.look()
            try:
                waiting = [each for each in waiting if not answers(at.hand, each, self.new_dev)]
                proven = not waiting and (not peers or any(answers(at.hand, each, self.new_dev) for each in peers))
            except (CommandFailed, TimedOut) as cut_off:
                # A host that cannot be reached has not answered; it may yet.
                at.report(f"the host does not answer: {cut_off.what}", None)
                proven = False
            if proven:
                return
            if time.monotonic() > end:
                break
            time.sleep(PAUSE)
        trouble = guard.back()
        asked = ", ".join(waiting or peers)
        raise TimedOut(
            f'{"gateway" if waiting else "neighbour"} {asked} did not answer on "{self.new_dev}" within '
            f"{self.within:g} s; everything was put back{f', but: {trouble}' if trouble else ''}"
        )

    def undo(self, at: Site) -> None:
        guard = Guard(at.hand, self.name, at.look)
        if guard.there:
            # It is still watching, or has just put back what it made.
            guard.back()
        texts = [Text(path, before, before, mode) for path, before, _, mode in self.files]
        guard.begin((), self.backward, texts, seconds=60)
        guard.made()
        if trouble := guard.back():
            raise CommandFailed(trouble)

    def inverse(self, at: Site) -> Sequence[Step]:
        from kvist.resources.bridges.users import users

        made = any(field == "bridge" and before is None for field, before, _ in self.shown)
        if made and (used := users(at.connection).get(self.name)):
            raise Refused(f'bridge "{self.name}" is in use: {", ".join(used)}', hint=f"kvist bridge show {self.name}")
        gateways, new_gateways = self.new_gateways, self.gateways
        return (
            replace(
                self,
                what=f"take back “{self.what}”",
                forward=self.backward,
                backward=self.forward,
                files=tuple((path, after, before, mode) for path, before, after, mode in self.files),
                gateways=gateways,
                new_gateways=new_gateways,
                dev=self.new_dev,
                new_dev=self.dev,
                shown=tuple((field, after, before) for field, before, after in self.shown),
            ),
        )

    def changes(self) -> tuple[Change, ...]:
        return tuple(Change(self.name, field, before, after, self.when) for field, before, after in self.shown)

    def commands(self) -> tuple[Command, ...]:
        kept = [
            Command(("tee", path), after) if after else Command(("rm", "-f", path)) for path, _, after, _ in self.files
        ]
        return (*kept, *(Command(words) for words in spelled(self.forward)))
