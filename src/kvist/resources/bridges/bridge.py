"""Bridges of the host: listed, made of its interfaces, changed, removed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal, NamedTuple

from kvist.engine.ask import Ask
from kvist.engine.operation import operation
from kvist.engine.step import Step
from kvist.errors import NotFound
from kvist.host.net.bridges import Wiring, paths
from kvist.host.net.netconf.manager import keeper
from kvist.resources.bridges.bridging import Bridging
from kvist.resources.bridges.users import users
from kvist.resources.bridges.wish import Wish
from kvist.resources.hosts.holding import Holding
from kvist.values import Duration

NEW = Ask("name of the bridge", metavar="NAME")
NAME = Ask("name of the bridge", metavar="NAME", complete="bridge")
PORT = Ask(
    "interface of the host that becomes its port; its address moves to the bridge", metavar="INTERFACE", complete="link"
)
PORTS = Ask("interfaces of the host", metavar="INTERFACE", complete="link")
PLUGGED = PORTS._replace(complete="port")
ADDRESS = Ask("address of the host on it: 192.168.1.2/24, or dhcp", metavar="ADDRESS")
GATEWAY = Ask("gateway of the host", metavar="ADDRESS")
DNS = Ask("name server of the host", metavar="ADDRESS")
MTU = Ask("bytes of the largest packet", metavar="BYTES")
STP = Ask("the spanning tree protocol, where bridges might form a loop")
VLAN_AWARE = Ask("keep VLANs apart by their tags")
WITHIN = Ask("put all back unless the gateway answers by then; 0 does not ask it", metavar="TIME")
GUARD = Duration(30)


class Row(NamedTuple):
    """One bridge in a list."""

    name: str
    kind: str
    ports: tuple[str, ...]
    addresses: tuple[str, ...]
    used_by: tuple[str, ...]
    """Networks and VMs: `network lan`, `vm web`."""
    kept_by: str
    """Who makes it again at the next boot, as far as kvist sees to it."""


class Shown(NamedTuple):
    """All that is known about a bridge."""

    name: str
    kind: str
    state: str
    mac: str
    mtu: int
    stp: bool
    vlan_aware: bool
    ports: tuple[str, ...]
    guests: tuple[str, ...]
    """Interfaces that guests hang on."""
    addresses: tuple[str, ...]
    routes: tuple[str, ...]
    used_by: tuple[str, ...]
    kept_by: str
    files: tuple[str, ...]


class Bridges(Holding):
    """The bridges of a host, the kernel's and Open vSwitch's."""

    kind = "bridge"

    def ls(self) -> list[Row]:
        """List the bridges, with their ports, addresses, and who uses them.

        Example: kvist bridge ls
        """
        wiring = Wiring(self.host.hand)
        used = users(self.host.connection)
        return [
            Row(
                each.name,
                each.kind,
                wiring.ports(each.name),
                each.addresses,
                tuple(used.get(each.name, ())),
                self._kept(each.name)[0],
            )
            for each in wiring.bridges.values()
        ]

    def show(self, name: Annotated[str, NAME]) -> Shown:
        """Show all that is known about a bridge.

        Example: kvist bridge show br0
        """
        wiring = Wiring(self.host.hand)
        bridge = wiring.bridges.get(name)
        if bridge is None:
            raise NotFound(f'there is no bridge "{name}"', hint="kvist bridge ls")
        by, files = self._kept(name)
        return Shown(
            name=name,
            kind=bridge.kind,
            state="up" if bridge.up else "down",
            mac=bridge.mac,
            mtu=bridge.mtu,
            stp=bridge.stp,
            vlan_aware=bridge.vlan_aware,
            ports=wiring.ports(name),
            guests=wiring.taps(name),
            addresses=bridge.addresses,
            routes=tuple(f"{path.to} via {path.via}" if path.via else path.to for path in paths(self.host.hand, name)),
            used_by=tuple(users(self.host.connection).get(name, ())),
            kept_by=by,
            files=files,
        )

    @operation
    def create(
        self,
        name: Annotated[str, NEW],
        *,
        port: Annotated[tuple[str, ...], PORT] = (),
        address: Annotated[str, ADDRESS] = "",
        gateway: Annotated[str, GATEWAY] = "",
        dns: Annotated[tuple[str, ...], DNS] = (),
        mtu: Annotated[int | None, MTU] = None,
        stp: Annotated[Literal["on", "off"] | None, STP] = None,
        vlan_aware: Annotated[bool | None, VLAN_AWARE] = None,
        ovs: Annotated[bool, Ask("a bridge of Open vSwitch")] = False,
        datapath: Annotated[
            Literal["system", "netdev"] | None,
            Ask("where Open vSwitch moves packets: in the kernel, in its own process"),
        ] = None,
        within: Annotated[Duration, WITHIN] = GUARD,
    ) -> Iterator[Step]:
        """Make a bridge, of an interface of the host if one is named, and keep it over the host's next boot.

        The address, routes and MAC address of the interface move to the bridge, also when it is the host's only way
        out: unless the gateway answers soon after, all is put back, even where kvist is killed or its connection ends.

        Example: kvist bridge create br0 --port eth0
        """
        switch = None if stp is None else stp == "on"
        wish = Wish(name, tuple(port), address, gateway, tuple(dns), mtu, switch, vlan_aware, ovs, datapath or "")
        yield from Bridging(self.host, wish, within).create()

    @operation
    def set(
        self,
        name: Annotated[str, NAME],
        *,
        address: Annotated[str, Ask("address of the host on it: 192.168.1.2/24", metavar="ADDRESS")] = "",
        gateway: Annotated[str, GATEWAY] = "",
        dns: Annotated[tuple[str, ...], DNS] = (),
        mtu: Annotated[int | None, MTU] = None,
        stp: Annotated[Literal["on", "off"] | None, STP] = None,
        vlan_aware: Annotated[bool | None, VLAN_AWARE] = None,
        within: Annotated[Duration, WITHIN] = GUARD,
    ) -> Iterator[Step]:
        """Change a bridge, now and for the host's next boot. A new address takes the place of those it has.

        Example: kvist bridge set br0 --stp on
        """
        switch = None if stp is None else stp == "on"
        wish = Wish(name, (), address, gateway, tuple(dns), mtu, switch, vlan_aware)
        yield from Bridging(self.host, wish, within).set()

    @operation
    def add_port(
        self,
        name: Annotated[str, NAME],
        ports: Annotated[tuple[str, ...], PORTS],
        *,
        within: Annotated[Duration, WITHIN] = GUARD,
    ) -> Iterator[Step]:
        """Plug interfaces of the host into a bridge; the address of one moves to a bridge that has none.

        Example: kvist bridge add-port br0 eth1
        """
        yield from Bridging(self.host, Wish(name, tuple(ports)), within).add_ports()

    @operation
    def remove_port(self, name: Annotated[str, NAME], ports: Annotated[tuple[str, ...], PLUGGED]) -> Iterator[Step]:
        """Unplug interfaces of the host from a bridge. One that is no port of it is no mistake.

        Example: kvist bridge remove-port br0 eth1
        """
        yield from Bridging(self.host, Wish(name, tuple(ports)), GUARD).remove_ports()

    @operation
    def delete(
        self,
        name: Annotated[str, NAME],
        *,
        within: Annotated[Duration, WITHIN] = GUARD,
    ) -> Iterator[Step]:
        """Remove a bridge that nobody uses; its addresses and routes go back to its port.

        Example: kvist bridge delete br0
        """
        yield from Bridging(self.host, Wish(name), within).delete()

    def _kept(self, name: str) -> tuple[str, tuple[str, ...]]:
        manager = keeper(self.host.hand, name)
        return (manager.name, tuple(manager.files(self.host.hand, name))) if manager else ("", ())
