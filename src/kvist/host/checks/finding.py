"""What a check of a host saw, and what mends it: as data, so that it can be printed as well as carried out."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, NamedTuple

from kvist.host.net.passage import Daemon

if TYPE_CHECKING:
    from kvist.host.firewall.passes import Pass


class Typed(NamedTuple):
    """A command; `back` is the one that takes it back."""

    argv: tuple[str, ...]
    back: tuple[str, ...]
    input: str = ""
    """What it reads from standard input."""
    back_input: str = ""
    shown: str = ""
    """How a person would type it, where that is not `argv`."""

    def __str__(self) -> str:
        return self.shown or shlex.join(self.argv)


class Written(NamedTuple):
    """A file that has to say something else; `before` is None where there is none."""

    path: str
    before: str | None
    after: str
    shown: str = ""
    """How a person would type it, where the whole file is too much to show."""

    def __str__(self) -> str:
        return self.shown or f"printf %s {shlex.quote(self.after)} > {shlex.quote(self.path)}"


class LetBy(NamedTuple):
    """A rule at the head of a chain, which lets by what comes from a bridge and what goes to it."""

    through: Pass

    def __str__(self) -> str:
        return " && ".join(shlex.join(self.through.rule(way, "insert")) for way in "io")


class Anew(NamedTuple):
    """A service that has to be started anew, behind what was changed for it and behind taking that back."""

    service: str
    systemd: bool = True
    argv: tuple[str, ...] = ()
    """What lets it be read anew, where it is no service: a profile, a label."""

    def __str__(self) -> str:
        if self.argv:
            return shlex.join(self.argv)
        return Daemon(self.service, self.systemd).restart


Act = Typed | Written | LetBy | Anew


class Remedy(NamedTuple):
    """What mends a finding: acts that kvist can carry out, then words about what is left to a person."""

    acts: tuple[Act, ...] = ()
    words: str = ""

    def __str__(self) -> str:
        typed = " && ".join(map(str, self.acts))
        return f"{typed}, then {self.words}" if typed and self.words else typed or self.words


NOTHING = Remedy()


def by_hand(words: str) -> Remedy:
    """Give a remedy that is a person's: a switch in the firmware, a choice between two of his own things."""
    return Remedy((), words)


class Finding(NamedTuple):
    """What a check saw: all right, wrong, or (None) not to be told; the proof; what mends it."""

    check: str
    ok: bool | None
    proof: str
    fix: Remedy = NOTHING
