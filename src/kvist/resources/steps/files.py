"""A step on a file of the host."""

from __future__ import annotations

from dataclasses import dataclass

from kvist.engine.step import Change, Command, Site, Step
from kvist.errors import Failed


@dataclass(frozen=True, kw_only=True)
class WriteFile(Step):
    """Make a file of the host say what is wanted; it is put back unless somebody has changed it since."""

    path: str
    before: str | None
    """None where there was no such file."""
    after: str
    why: str
    shown: tuple[tuple[str, str | None, str], ...] = ()
    """What the answer tells: settings, what each was and what it is."""
    when: str = "now"
    """When that is so."""

    def describe(self) -> str:
        return f'{self.why}: write "{self.path}"'

    def apply(self, at: Site) -> None:
        if at.hand.read(self.path) != self.after:
            at.hand.write(self.path, self.after)

    def undo(self, at: Site) -> None:
        if at.hand.read(self.path) != self.after:
            return
        if self.before is None:
            at.hand.remove(self.path)
        else:
            at.hand.write(self.path, self.before)

    def verify(self, at: Site) -> None:
        if at.hand.read(self.path) != self.after:
            raise Failed(f'file "{self.path}" is not as it was written')

    def changes(self) -> tuple[Change, ...]:
        return tuple(Change("host", key, before, after, self.when) for key, before, after in self.shown)

    def commands(self) -> tuple[Command, ...]:
        return (Command(("tee", self.path), self.after),)
