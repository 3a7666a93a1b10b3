"""The step that boots an installer."""

from __future__ import annotations

from dataclasses import dataclass

from kvist.engine.step import Change, Command, Site
from kvist.resources.steps.power import Start, virsh


@dataclass(frozen=True, kw_only=True)
class StartInstaller(Start):
    """Boot a VM once with the document of its installation; the stored definition is what it is afterwards."""

    xml: str

    def describe(self) -> str:
        return f'start the installer in VM "{self.name}"'

    def apply(self, at: Site) -> None:
        if not at.connection.domains.state(self.name).active:
            at.connection.domains.create(self.xml, name=self.name)

    def changes(self) -> tuple[Change, ...]:
        return (Change(self.name, "state", "off", "installing"),)

    def commands(self) -> tuple[Command, ...]:
        return virsh("create", "/dev/stdin", document=self.xml)
