"""The step that moves a card of a running guest to another VLAN of Open vSwitch."""

from __future__ import annotations

from dataclasses import dataclass

from kvist.engine.step import Change, Command, Site, Step
from kvist.errors import Failed
from kvist.host.net.openvswitch import Tags, port_of, tagged, tags


@dataclass(frozen=True, kw_only=True)
class Retag(Step):
    """Give a card's port in Open vSwitch other VLANs; libvirt's own update of a device refuses that."""

    name: str
    mac: str
    port: str
    """What the port is called now; it is another one after the guest's next boot."""
    tag_before: int | None
    trunks_before: tuple[int, ...]
    tag: int | None
    trunks: tuple[int, ...]

    def describe(self) -> str:
        return f'move network card "{self.mac}" of VM "{self.name}" to VLAN {self._after.told or "none"}'

    @property
    def _before(self) -> Tags:
        return Tags(self.tag_before, self.trunks_before)

    @property
    def _after(self) -> Tags:
        return Tags(self.tag, self.trunks)

    def apply(self, at: Site) -> None:
        self._set(at, self._after)

    def undo(self, at: Site) -> None:
        self._set(at, self._before)

    def _set(self, at: Site, wanted: Tags) -> None:
        # A guest that is off has no port; its next boot makes one as its document says.
        if port := port_of(at.hand, self.mac):
            at.hand.run(tagged(port, wanted))

    def verify(self, at: Site) -> None:
        port = port_of(at.hand, self.mac)
        if port and tags(at.hand, port) != self._after:
            raise Failed(f'port "{port}" of VM "{self.name}" did not take its VLAN')

    def changes(self) -> tuple[Change, ...]:
        return (Change(self.name, f"nics[{self.mac}].vlan", self._before.told, self._after.told, "live"),)

    def commands(self) -> tuple[Command, ...]:
        return (Command(tagged(self.port, self._after)),)
