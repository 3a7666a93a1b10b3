"""Networks that VMs are plugged into."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, NamedTuple

from kvist.engine.ask import Ask
from kvist.engine.elsewhere import Elsewhere
from kvist.engine.operation import operation
from kvist.engine.step import Step
from kvist.errors import Conflict, Invalid, NotFound, Refused
from kvist.resources.hosts.holding import Holding
from kvist.resources.networks.words import NAME
from kvist.resources.steps.network import (
    AutostartNetwork,
    CutNetwork,
    DefineNetwork,
    StartNetwork,
    StopNetwork,
    UndefineNetwork,
)
from kvist.specs.network import Network
from kvist.values import Name
from kvist.xml.document import Document

if TYPE_CHECKING:
    from kvist.resources.netview.map import map as _map
    from kvist.resources.netview.rules import rules as _rules
    from kvist.resources.networks.making import Maker
    from kvist.resources.networks.names import Namer
    from kvist.resources.networks.setting import Setter
    from kvist.resources.networks.show import show as _show
    from kvist.virt.networks import NetworkState
else:

    class Maker:
        """What `create` is a method of."""

        create = Elsewhere("kvist.resources.networks.making:create")

    class Setter:
        """What `set` and `unset` are methods of."""

        set = Elsewhere("kvist.resources.networks.setting:set")
        unset = Elsewhere("kvist.resources.networks.setting:unset")

    class Namer:
        """What the verbs on addresses and names are methods of."""

        leases = Elsewhere("kvist.resources.networks.names:leases")
        reserve = Elsewhere("kvist.resources.networks.names:reserve")
        unreserve = Elsewhere("kvist.resources.networks.names:unreserve")
        add_host = Elsewhere("kvist.resources.networks.names:add_host")
        remove_host = Elsewhere("kvist.resources.networks.names:remove_host")


class Row(NamedTuple):
    """One network in a list."""

    name: str
    active: bool
    autostart: bool
    mode: str
    bridge: str | None
    subnet: str | None
    dhcp: str | None


class Networks(Maker, Setter, Namer, Holding):
    """The networks of a host."""

    kind = "network"

    def ls(self) -> list[Row]:
        """List the networks: whether they run, their kind, bridge, subnets and what DHCP gives out.

        Example: kvist net ls
        """
        from kvist.resources.networks.wish import dhcp_of, mode_of, subnets

        found = []
        for state in self.host.connection.networks.all():
            net = Network.read(Document.parse(state.xml).root)
            found.append(
                Row(
                    name=state.name,
                    active=state.active,
                    autostart=state.autostart,
                    mode=mode_of(net),
                    bridge=net.bridge or None,
                    subnet=",".join(map(str, subnets(net))) or None,
                    dhcp=",".join(map(str, dhcp_of(net))) or None,
                )
            )
        return found

    def state(self, name: str) -> NetworkState:
        """Look at one network. Raises NotFound, with the nearest name."""
        try:
            return self.host.connection.networks.get(name)
        except NotFound:
            from difflib import get_close_matches

            there = [net.name for net in self.host.connection.networks.all()]
            near = get_close_matches(name, there, 1)
            raise NotFound(
                f'there is no network "{name}" on {self.host.place.name}',
                hint=f"did you mean {near[0]}?" if near else "kvist net ls",
            ) from None

    @operation
    def start(self, name: Annotated[str, NAME]) -> Iterator[Step]:
        """Start a network, now and with the host.

        Example: kvist net start default
        """
        state = self.state(name)
        if not state.active:
            yield StartNetwork(name=name)
        if state.persistent and not state.autostart:
            yield AutostartNetwork(name=name, on=True)

    @operation
    def stop(self, name: Annotated[str, NAME]) -> Iterator[Step]:
        """Stop a network; while guests are plugged into it only with --allow replug.

        It starts again with the host, if it did before.

        Example: kvist net stop lab
        """
        from kvist.resources.networks.guests import plugs

        state = self.state(name)
        if not state.active:
            return
        xml = "" if state.persistent else state.xml
        if cut := [plug.vm for plug in plugs(self.host.connection, name) if plug.running]:
            yield CutNetwork(name=name, xml=xml, cut=tuple(dict.fromkeys(cut)))
        else:
            yield StopNetwork(name=name, xml=xml)

    @operation
    def autostart(self, name: Annotated[str, NAME], on: Annotated[bool, Ask("on or off")] = True) -> Iterator[Step]:
        """Start a network with its host, or not.

        Example: kvist net autostart lab off
        """
        state = self.state(name)
        if not state.persistent:
            raise Conflict(
                f'cannot start network "{name}" with the host: it is transient, and gone once it is stopped',
                hint=f"virsh net-dumpxml {name} | virsh net-define /dev/stdin",
            )
        if state.autostart != on:
            yield AutostartNetwork(name=name, on=on)

    @operation
    def delete(self, name: Annotated[str, NAME]) -> Iterator[Step]:
        """Stop and remove a network that no VM uses; `kvist undo` brings it back.

        Example: kvist net delete lab
        """
        from kvist.resources.networks.guests import names, plugs

        if not self.host.connection.networks.exists(name):
            return
        state = self.state(name)
        if users := plugs(self.host.connection, name):
            raise Refused(
                f'cannot delete network "{name}": it is used by VM {names(users)}',
                hint=f"kvist nic remove {users[0].vm} {users[0].mac}, or kvist nic set {users[0].vm} {users[0].mac} "
                "--network default",
            )
        from kvist.resources.networks.exposing import hidden
        from kvist.resources.networks.proxying import silent

        # First, so that it is the last to be taken back: then the network is there again.
        yield from hidden(self.site, name)
        yield from self._gone(state)
        yield from silent(self.site, name, Network.read(Document.parse(state.xml).root))

    def _gone(self, state: NetworkState) -> Iterator[Step]:
        name = state.name
        if state.autostart:
            yield AutostartNetwork(name=name, on=False)
        if state.active:
            yield StopNetwork(name=name, xml="" if state.persistent else state.xml)
        if state.persistent:
            xml = self.host.connection.networks.xml(name, stored=True)
            yield UndefineNetwork(name=name, uuid=state.uuid, xml=xml)

    @operation
    def rename(
        self, name: Annotated[str, NAME], new: Annotated[str, Ask("the name it is to have", metavar="NEW")]
    ) -> Iterator[Step]:
        """Give a network another name; VMs that are off follow it, running ones must not be plugged in.

        Example: kvist net rename lab office
        """
        from kvist.resources.networks.guests import names, plugs

        try:
            Name.parse(new)
        except ValueError as wrong:
            raise Invalid(str(wrong), path="NEW") from wrong
        networks = self.host.connection.networks
        if name == new or (not networks.exists(name) and networks.exists(new)):
            return
        state = self.state(name)
        if networks.exists(new):
            raise Conflict(f'cannot rename network "{name}": there is a network "{new}" already', hint="kvist net ls")
        if not state.persistent:
            raise Conflict(f'cannot rename network "{name}": it is transient', hint=f"kvist net stop {name}")
        users = plugs(self.host.connection, name)
        if running := [plug for plug in users if plug.running]:
            raise Refused(
                f'cannot rename network "{name}": running VM {names(running)} is plugged into it',
                hint=f"kvist stop {running[0].vm}",
            )
        document = Document.parse(networks.xml(name, stored=True))
        Network(name=new).write(document.root)
        yield from self._gone(state)
        shown = (("renamed_from", name),)
        yield DefineNetwork(name=new, uuid=state.uuid, xml=document.text(), shown=shown, followed=True)
        if state.active:
            yield StartNetwork(name=new)
        if state.autostart:
            yield AutostartNetwork(name=new, on=True)
        yield from self._follow(dict.fromkeys(plug.vm for plug in users), name, new)

    def _follow(self, vms: dict[str, None], name: str, new: str) -> Iterator[Step]:
        from kvist.resources.changing.alteration import plan
        from kvist.specs.nic import Nic
        from kvist.specs.vm import Vm

        for vm in vms:
            stored = Document.parse(self.host.connection.domains.xml(vm, next_boot=True, secure=True))
            cards = [nic for nic in Vm.read(stored.root).nics if nic.network == name]
            yield from plan(vm, None, stored, Vm(nics=tuple(Nic(mac=nic.mac, network=new) for nic in cards)))

    if TYPE_CHECKING:
        show = _show
        map = _map
        rules = _rules
    else:
        show = Elsewhere("kvist.resources.networks.show:show")
        map = Elsewhere("kvist.resources.netview.map:map")
        rules = Elsewhere("kvist.resources.netview.rules:rules")
