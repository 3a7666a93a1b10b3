"""The step that makes a disk larger while its VM is off."""

from __future__ import annotations

from dataclasses import dataclass

from kvist.engine.step import Change, Command, Site
from kvist.errors import Failed
from kvist.resources.steps.power import virsh
from kvist.resources.steps.storage import VolumeStep
from kvist.values import Size


@dataclass(frozen=True, kw_only=True)
class GrowVolume(VolumeStep):
    """Make the volume of a disk larger, while no guest uses it."""

    no_undo = "a disk that is made smaller again loses what a guest has written behind its end"
    vm: str
    target: str
    before: int
    after: int

    def describe(self) -> str:
        return f'grow disk "{self.target}" of VM "{self.vm}"'

    def _capacity(self, at: Site) -> int:
        state = at.connection.pools.volume(self.pool, self.name)
        return state.capacity if state else 0

    def apply(self, at: Site) -> None:
        if self._capacity(at) < self.after:
            at.connection.pools.resize(self.pool, self.name, self.after)

    def verify(self, at: Site) -> None:
        if self._capacity(at) < self.after:
            raise Failed(f'disk "{self.target}" of VM "{self.vm}" did not grow')

    def changes(self) -> tuple[Change, ...]:
        return (Change(self.vm, f"disks[{self.target}].size", Size(self.before), Size(self.after), "now"),)

    def commands(self) -> tuple[Command, ...]:
        return virsh("vol-resize", "--pool", self.pool, self.name, f"{self.after}B")
