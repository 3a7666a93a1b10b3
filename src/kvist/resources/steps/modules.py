"""Steps on modules of the host's kernel."""

from __future__ import annotations

from dataclasses import dataclass

from kvist.engine.step import Change, Command, Site, Step
from kvist.errors import Failed
from kvist.host import zerocopy


@dataclass(frozen=True, kw_only=True)
class ReloadZerocopy(Step):
    """Load vhost_net anew, so that it takes the value for zero-copy that modprobe's file says.

    There is one before the file is written, which does its work on the way back, and one behind it.
    """

    before: str
    """1 or 0; empty where the module was not loaded."""
    after: str
    back: bool = False

    def describe(self) -> str:
        if self.back:
            return f"have a way back to {zerocopy.MODULE} as it is"
        return f"load {zerocopy.MODULE} anew"

    def apply(self, at: Site) -> None:
        if not self.back:
            zerocopy.reload(at.hand)

    def undo(self, at: Site) -> None:
        if not self.back or zerocopy.look(at.hand).now == self.before:
            return
        if not self.before:
            zerocopy.unload(at.hand)
            return
        if users := zerocopy.users(at.hand):
            raise Failed(f"{zerocopy.MODULE} cannot be loaded anew: {', '.join(users)} use it")
        zerocopy.reload(at.hand)

    def verify(self, at: Site) -> None:
        if not self.back and (now := zerocopy.look(at.hand).now) != self.after:
            raise Failed(f"{zerocopy.VALUE} is {now or 'not there'}, not {self.after}")

    def changes(self) -> tuple[Change, ...]:
        if self.back:
            return ()
        before = {"": None, "0": "off"}.get(self.before, "on")
        after = "on" if self.after == "1" else "off"
        return (Change("host", "vhost zerocopy", before, after, "now, and at each load of vhost_net"),)

    def commands(self) -> tuple[Command, ...]:
        if self.back:
            return ()
        return (Command(("modprobe", "-r", zerocopy.MODULE)), Command(("modprobe", zerocopy.MODULE)))
