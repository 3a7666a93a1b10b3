"""Steps that stay with a guest which has been started: waiting for it, and its console."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from kvist.engine.step import Site, Step


@dataclass(frozen=True, kw_only=True)
class WaitFor(Step):
    """Wait until a guest has come so far; `where` is what its host is called (Place.name), `timeout` is in seconds."""

    after_commit = True
    no_undo = "waiting changes nothing"
    name: str
    what: Literal["ip", "ssh", "agent", "cloud-init", "off"]
    where: str
    timeout: float = 300

    def describe(self) -> str:
        from kvist.resources.reaching.waiting import SENTENCES

        return f'wait for VM "{self.name}" {SENTENCES[self.what]}'

    def apply(self, at: Site) -> None:
        from kvist.resources.hosts.host import Host, locate
        from kvist.resources.reaching.waiting import wait
        from kvist.values import Duration

        host = Host(at.connection, locate(self.where), at.report)
        wait(host.vm(self.name), self.what, timeout=Duration(self.timeout))


@dataclass(frozen=True, kw_only=True)
class TakeUp(Step):
    """See that a running guest takes up a card that was plugged in, and tell what has become of it there."""

    after_commit = True
    no_undo = "what the guest does with a card ends when the card is unplugged"
    name: str
    mac: str
    agent: bool
    """Whether the guest has an agent that can be asked."""

    def describe(self) -> str:
        return f'see that VM "{self.name}" takes card "{self.mac}" up'

    def apply(self, at: Site) -> None:
        if not self.agent:
            at.report(f"the guest has no agent: see in it that card {self.mac} is up and has an address", 1.0)
            return
        from kvist.guest.agent import Agent
        from kvist.guest.newcard import take_up

        domains = at.connection.domains
        at.report(
            take_up(Agent(self.name, lambda text, timeout: domains.agent(self.name, text, timeout)), self.mac), 1.0
        )


@dataclass(frozen=True, kw_only=True)
class Attach(Step):
    """Join the user's terminal to the console of a guest; `where` is what its host is called (Place.name)."""

    after_commit = True
    no_undo = "looking changes nothing"
    name: str
    where: str

    def describe(self) -> str:
        return f'open the console of VM "{self.name}"'

    def apply(self, at: Site) -> None:
        from kvist.resources.hosts.host import Host, locate
        from kvist.resources.reaching.terminal import console

        console(Host(at.connection, locate(self.where), at.report).vm(self.name))
