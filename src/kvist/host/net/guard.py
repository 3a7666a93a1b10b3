"""A guard on a host: it makes a change to the network there, and takes it back unless it is told that all is well.

It is a process of the host, in a session of its own, so that it outlives kvist and the ssh connection that the change
may cut. What it does is written down beside it before it begins, as lists of words.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, NamedTuple

from kvist.errors import CommandFailed, Conflict, Failed, TimedOut

if TYPE_CHECKING:
    from kvist.host.hand import Hand

Words = tuple[str, ...]
"""A command; `-` as its first word says that it may fail."""

ROOM = "/run/kvist"
POLL = 0.05
FORWARD_WITHIN = 60.0
"""Seconds that the commands of a change may take."""
BEGUN, MADE, KEPT, BACK, GONE = "begun", "made", "kept", "back", ""
HEARS_WITHIN = 2.0
"""Seconds after which it is looked whether a guard that does not move is alive."""
ALIVE = 'grep -q guard.sh "/proc/$(cat "$1/pid")/cmdline" 2>/dev/null || echo dead'
"""One that has ended and was not buried has no command line; another process of its number has another."""
ASK = 'cat "$1/state" 2>/dev/null || { test -d "$1" && echo "$2"; } || echo gone'


class Text(NamedTuple):
    """A file that the change brings or removes: what it says before and after, empty where it is not there."""

    path: str
    before: str
    after: str
    mode: int = 0o644


class Guard:
    """The guard of one interface's change."""

    def __init__(self, hand: Hand, name: str, look: Callable[[], None] = lambda: None) -> None:
        self._hand, self._look = hand, look
        self.name, self.place = name, f"{ROOM}/guard-{name}"

    @property
    def there(self) -> bool:
        """Whether a guard is at work, or has left its papers behind."""
        return bool(self._hand.names(self.place))

    def begin(
        self, forward: Iterable[Words], backward: Iterable[Words], texts: Sequence[Text] = (), *, seconds: float
    ) -> None:
        """Write down what is to be done and how it is taken back, and let the guard begin."""
        if self.there and not self._died():
            raise Conflict(f'an earlier change of "{self.name}" is still watched', hint=f"ls {self.place}")
        self._hand.write(f"{self.place}/guard.sh", (files("kvist.host.net") / "guard.sh").read_text(encoding="utf-8"))
        for number, text in enumerate(texts):
            for when, said in (("before", text.before), ("after", text.after)):
                if said:
                    self._hand.write(f"{self.place}/{when}-{number}", said, mode=0o600)
        self._hand.write(f"{self.place}/forward", listed([*self._files(texts, "after"), *forward]))
        self._hand.write(f"{self.place}/backward", listed([*self._files(texts, "before"), *backward]))
        self._hand.run(["sh", f"{self.place}/guard.sh", "start", self.place, str(max(1, round(seconds)))])

    def _files(self, texts: Sequence[Text], when: str) -> list[Words]:
        """Give the commands that bring files to what they say before or after."""
        return [
            ("install", "-D", "-m", f"{text.mode:o}", f"{self.place}/{when}-{number}", text.path)
            if getattr(text, when)
            else ("rm", "-f", text.path)
            for number, text in enumerate(texts)
        ]

    def made(self) -> None:
        """Wait until the change is made. Raises CommandFailed when a command of it failed: then all is put back."""
        if self._until((MADE, BACK, GONE), FORWARD_WITHIN) != MADE:
            complaint = self.trouble()
            self.end()
            raise CommandFailed(f"{complaint or 'the guard was stopped'}; everything was put back")

    def keep(self) -> None:
        """Say that all is well. Raises Failed when the guard has taken it back already."""
        self._tell("ok")
        if self._until((KEPT, BACK, GONE), 10) != KEPT:
            self.end()
            raise Failed(f'the guard of "{self.name}" put everything back before it heard that all is well')
        self.end()

    def back(self) -> str:
        """Have everything put back, and wait for it; gives what went wrong on the way back.

        Of one that has died only its papers are cleared away.
        """
        end = time.monotonic() + FORWARD_WITHIN
        while True:
            # One that is being killed lives a moment longer, and hears nothing any more.
            if self._died():
                return ""
            self._tell("back")
            try:
                self._until((BACK, KEPT, GONE), HEARS_WITHIN)
                break
            except TimedOut:
                if time.monotonic() > end:
                    raise
        complaint = self.trouble()
        self.end()
        return complaint

    def _died(self) -> bool:
        """Tell whether its papers are there and it is not; then they go. It may never have begun."""
        if not self.there or self._state() in (KEPT, BACK):
            return False
        # What cannot be asked is alive.
        if self._hand.run(["sh", "-c", ALIVE, "sh", self.place], check=False).text.strip() != "dead":
            return False
        self._hand.run(["rm", "-rf", self.place])
        return True

    def trouble(self) -> str:
        """Give what failed, in the words of the programs."""
        told = [self._hand.read(f"{self.place}/{name}") or "" for name in ("trouble", "tolerated")]
        return " / ".join(line for text in (told if told[0] else []) for line in text.strip().splitlines())

    def end(self) -> None:
        """Let the guard go, and see that nothing of it is left; one that has died is cleared away."""
        self._tell("seen")
        try:
            self._until((GONE,), 3)
        except TimedOut:
            self._hand.run(["rm", "-rf", self.place])

    def _tell(self, word: str) -> None:
        # Not written as a file is, which would make its directory anew where the guard has just gone.
        self._hand.run(["sh", "-c", 'cd "$1" && : >"$2"', "sh", self.place, word], check=False)

    def _until(self, states: Collection[str], seconds: float) -> str:
        end = time.monotonic() + seconds
        while (state := self._state()) not in states:
            if time.monotonic() > end:
                raise TimedOut(f'the guard of "{self.name}" did not get on within {seconds:g} s')
            self._look()
            time.sleep(POLL)
        return state

    def _state(self) -> str:
        if self._hand.here:
            said = self._hand.read(f"{self.place}/state")
            return said.strip() if said is not None else BEGUN if self.there else GONE
        # One word back each time: no word at all means that the host was not reached, and says nothing of the guard.
        asked = self._hand.run(["sh", "-c", ASK, "sh", self.place, BEGUN], check=False, timeout=15)
        word = asked.text.strip()
        return BEGUN if not word else GONE if word == "gone" else word


def listed(commands: Iterable[Words]) -> str:
    """Write commands as the guard reads them: one a line, words set apart by tabs."""
    lines = []
    for words in commands:
        for word in words:
            if not word or any(sign in word for sign in "\t\n\0"):
                raise ValueError(f"{word!r} cannot be a word of a command")
        lines.append("\t".join(words) + "\n")
    return "".join(lines)
