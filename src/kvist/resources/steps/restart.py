"""The shutdown of a restart: unlike any other it is taken back, by starting the VM again.

Who asks for a restart by name has allowed it, so it disrupts no more than `kvist stop` does.
"""

from __future__ import annotations

from dataclasses import dataclass

from kvist.engine.step import Site
from kvist.resources.steps.power import Shutdown


@dataclass(frozen=True, kw_only=True)
class ShutdownToRestart(Shutdown):
    """Shut a VM down so that it starts with other settings; taken back, it runs again with those it had."""

    stays = ""

    def describe(self) -> str:
        return f'shut down VM "{self.name}" to restart it'

    def undo(self, at: Site) -> None:
        if at.connection.domains.exists(self.name) and not at.connection.domains.state(self.name).active:
            at.connection.domains.start(self.name)
