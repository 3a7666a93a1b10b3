"""Networks that VMs are plugged into."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from kvist.engine.ask import Ask
from kvist.engine.elsewhere import Elsewhere
from kvist.engine.operation import operation
from kvist.engine.step import Change, Command, Site, Step
from kvist.errors import NotFound
from kvist.resources.steps.power import virsh

if TYPE_CHECKING:
    from kvist.resources.host import Host
    from kvist.resources.netmap import map as _map
    from kvist.resources.netrules import rules as _rules
    from kvist.virt.networks import NetworkState


@dataclass(frozen=True, kw_only=True)
class StartNetwork(Step):
    """Start a network, now and with the host."""

    name: str
    stays = "a network that runs disturbs nobody, and guests may be plugged into it by now"

    def describe(self) -> str:
        return f'start network "{self.name}"'

    def apply(self, at: Site) -> None:
        networks = at.connection.networks
        if not any(net.name == self.name and net.active for net in networks.all()):
            networks.start(self.name)
        networks.set_autostart(self.name, True)

    def changes(self) -> tuple[Change, ...]:
        return (Change(self.name, "network", "inactive", "active"),)

    def commands(self) -> tuple[Command, ...]:
        return (*virsh("net-start", self.name), *virsh("net-autostart", self.name))


class Networks:
    """The networks of a host."""

    kind = "network"

    def __init__(self, host: Host) -> None:
        self.host = host

    @property
    def site(self) -> Site:
        return self.host.site

    def ls(self) -> list[NetworkState]:
        """List the networks.

        Example: kvist net ls
        """
        return self.host.connection.networks.all()

    @operation
    def start(self, name: Annotated[str, Ask("name of the network", complete="network")]) -> Iterator[Step]:
        """Start a network, now and with the host.

        Example: kvist net start default
        """
        known = {net.name: net for net in self.ls()}
        if name not in known:
            raise NotFound(f'there is no network "{name}"', hint="kvist net ls")
        if not (known[name].active and known[name].autostart):
            yield StartNetwork(name=name)

    if TYPE_CHECKING:
        map = _map
        rules = _rules
    else:
        map = Elsewhere("kvist.resources.netmap:map")
        rules = Elsewhere("kvist.resources.netrules:rules")
