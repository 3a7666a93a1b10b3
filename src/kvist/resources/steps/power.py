"""Steps that switch VMs on and off."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from kvist.engine.step import Change, Command, Disruption, Site, Step
from kvist.errors import Conflict, GuestFailed, NotFound, TimedOut, Unsupported
from kvist.virt.words import State

POLL = 0.1
"""Seconds between two looks at a state; a look costs 0.2 ms."""


def virsh(*words: str, document: str = "") -> tuple[Command, ...]:
    """Give one virsh command, as `Step.commands` wants it."""
    return (Command(("virsh", *words), document),)


@dataclass(frozen=True, kw_only=True)
class PowerStep(Step):
    """A step on the power of one VM."""

    name: str

    def _wait(self, at: Site, done: frozenset[State], timeout: float) -> bool:
        end = time.monotonic() + timeout
        while True:
            try:
                if at.connection.domains.state(self.name) in done:
                    return True
            except NotFound:
                # A transient VM is gone once it is off.
                return State.OFF in done
            if time.monotonic() > end:
                return False
            at.look()
            time.sleep(POLL)


OFF = frozenset({State.OFF, State.CRASHED})


@dataclass(frozen=True, kw_only=True)
class Start(PowerStep):
    """Boot a VM."""

    def describe(self) -> str:
        return f'start VM "{self.name}"'

    def apply(self, at: Site) -> None:
        if not at.connection.domains.state(self.name).active:
            at.connection.domains.start(self.name)

    def undo(self, at: Site) -> None:
        try:
            if at.connection.domains.state(self.name).active:
                at.connection.domains.destroy(self.name)
        except (NotFound, Conflict):
            return

    def inverse(self, at: Site) -> Sequence[Step]:
        """Pull the plug, which is more than one may do to a guest unasked once it is in use."""
        active = at.connection.domains.exists(self.name) and at.connection.domains.state(self.name).active
        return (PullPlug(name=self.name),) if active else ()

    def changes(self) -> tuple[Change, ...]:
        return (Change(self.name, "state", "off", "running"),)

    def commands(self) -> tuple[Command, ...]:
        return virsh("start", self.name)


@dataclass(frozen=True, kw_only=True)
class Shutdown(PowerStep):
    """Ask the guest to shut down, by agent and then by the power button, and wait until it is off."""

    stays = "a guest that has shut down is started again, not un-stopped"
    timeout: float = 60
    agent: bool = False
    force: bool = False

    def describe(self) -> str:
        return f'shut down VM "{self.name}"'

    def apply(self, at: Site) -> None:
        domains = at.connection.domains
        if not domains.state(self.name).active:
            return
        end = time.monotonic() + self.timeout
        asked_agent = self.agent and self._ask_agent(at)
        pressed = 0.0
        while (left := end - time.monotonic()) > 0:
            now = time.monotonic()
            # A guest that is still starting loses the press of a button: press again, gently.
            if now - pressed > (15 if asked_agent or pressed else 5) or (not asked_agent and not pressed):
                if pressed or not asked_agent:
                    self._press(at)
                pressed = now
            if self._wait(at, OFF, min(1.0, left)):
                return
        if not self.force:
            raise TimedOut(
                f'VM "{self.name}" did not shut down within {self.timeout:g} s', hint=f"kvist stop {self.name} --force"
            )
        domains.destroy(self.name)

    def _ask_agent(self, at: Site) -> bool:
        try:
            at.connection.domains.shutdown(self.name, agent=True)
        except (GuestFailed, Unsupported, Conflict):
            # No agent in there (any more): the power button is next.
            return False
        return True

    def _press(self, at: Site) -> None:
        try:
            at.connection.domains.shutdown(self.name)
        except (Conflict, NotFound):
            # It went off between the look and the press.
            if at.connection.domains.exists(self.name) and at.connection.domains.state(self.name).active:
                raise

    def changes(self) -> tuple[Change, ...]:
        return (Change(self.name, "state", "running", "off"),)

    def commands(self) -> tuple[Command, ...]:
        return virsh("shutdown", self.name, "--mode", "agent,acpi" if self.agent else "acpi")


@dataclass(frozen=True, kw_only=True)
class ForceOff(PowerStep):
    """Pull the plug."""

    stays = "what a guest had in memory is gone when its power is"
    before: str = "running"

    def describe(self) -> str:
        return f'force VM "{self.name}" off'

    def apply(self, at: Site) -> None:
        try:
            if at.connection.domains.state(self.name).active:
                at.connection.domains.destroy(self.name)
        except NotFound:
            return

    def changes(self) -> tuple[Change, ...]:
        return (Change(self.name, "state", self.before, "off"),)

    def commands(self) -> tuple[Command, ...]:
        return virsh("destroy", self.name)


@dataclass(frozen=True, kw_only=True)
class PullPlug(ForceOff):
    """Pull the plug of a guest that nobody has said may be forced off."""

    disruption = Disruption.RESTART


@dataclass(frozen=True, kw_only=True)
class Reboot(PowerStep):
    """Ask the guest to reboot, or press reset."""

    stays = "a reboot cannot be un-done"
    disruption = Disruption.NONE
    how: Literal["agent", "acpi", "reset"] = "acpi"

    def describe(self) -> str:
        return f'{"reset" if self.how == "reset" else "reboot"} VM "{self.name}"'

    def apply(self, at: Site) -> None:
        domains = at.connection.domains
        if self.how == "reset":
            domains.reset(self.name)
            return
        if self.how == "agent":
            try:
                domains.reboot(self.name, agent=True)
                return
            except (GuestFailed, Unsupported, Conflict):
                at.report("no agent answers; pressing the power button", None)
        domains.reboot(self.name)

    def changes(self) -> tuple[Change, ...]:
        return (Change(self.name, "state", "running", "reset" if self.how == "reset" else "rebooting"),)

    def commands(self) -> tuple[Command, ...]:
        return virsh("reset", self.name) if self.how == "reset" else virsh("reboot", self.name, "--mode", self.how)


@dataclass(frozen=True, kw_only=True)
class Suspend(PowerStep):
    """Stop the processors of a VM."""

    def describe(self) -> str:
        return f'suspend VM "{self.name}"'

    def apply(self, at: Site) -> None:
        if at.connection.domains.state(self.name) is State.RUNNING:
            at.connection.domains.suspend(self.name)

    def undo(self, at: Site) -> None:
        if at.connection.domains.state(self.name) is State.PAUSED:
            at.connection.domains.resume(self.name)

    def changes(self) -> tuple[Change, ...]:
        return (Change(self.name, "state", "running", "paused"),)

    def commands(self) -> tuple[Command, ...]:
        return virsh("suspend", self.name)


@dataclass(frozen=True, kw_only=True)
class Resume(PowerStep):
    """Let the processors of a VM go on."""

    def describe(self) -> str:
        return f'resume VM "{self.name}"'

    def apply(self, at: Site) -> None:
        if at.connection.domains.state(self.name) is State.PAUSED:
            at.connection.domains.resume(self.name)

    def undo(self, at: Site) -> None:
        if at.connection.domains.state(self.name) is State.RUNNING:
            at.connection.domains.suspend(self.name)

    def changes(self) -> tuple[Change, ...]:
        return (Change(self.name, "state", "paused", "running"),)

    def commands(self) -> tuple[Command, ...]:
        return virsh("resume", self.name)
