"""Steps that let QEMU's user come to a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kvist.engine.step import Change, Command, Site, Step
from kvist.host.access import grant, revoke


@dataclass(frozen=True, kw_only=True)
class GrantPassage(Step):
    """Let QEMU's user pass through the directories above a file."""

    directories: tuple[str, ...]
    user: str
    file: str
    plain: tuple[str, ...] = ()
    """Those of them that had no access list before."""
    root: str = "/"
    """Where the file system of the host is seen from here."""

    def describe(self) -> str:
        return f'let QEMU\'s user "{self.user}" pass through {", ".join(self.directories)} to "{self.file}"'

    def apply(self, at: Site) -> None:
        grant(self._seen(self.directories), self.user)

    def undo(self, at: Site) -> None:
        revoke(self._seen(self.directories), self.user, plain=self._seen(self.plain))

    def _seen(self, directories: tuple[str, ...]) -> list[Path]:
        return [Path(self.root) / each.lstrip("/") for each in directories]

    def changes(self) -> tuple[Change, ...]:
        return tuple(Change(each, "access list", None, f"user:{self.user}:--x") for each in self.directories)

    def commands(self) -> tuple[Command, ...]:
        return (Command(("setfacl", "-m", f"u:{self.user}:x", *self.directories)),)
