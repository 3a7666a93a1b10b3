"""What is asked of a bridge, and all that is wrong with it at once."""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import ip_address, ip_interface
from typing import TYPE_CHECKING, NamedTuple

from kvist.errors import Invalid, Problem
from kvist.host.net.bridges import GUESTS, Wiring
from kvist.host.net.openvswitch import runs
from kvist.values import Cidr

if TYPE_CHECKING:
    from kvist.host.net.guard import Words
    from kvist.host.net.netconf.manager import Manager
    from kvist.resources.hosts.host import Host

DHCP = "dhcp"
LONGEST_NAME = 15
"""Source: IFNAMSIZ of linux/if.h, with the byte that ends it."""
FORM = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
TAKEN = ("all", "default", "lo")
"""Names that mean something else in /proc/sys/net."""
SMALLEST, LARGEST = 68, 65535


class Wish(NamedTuple):
    """What a bridge is to be like; what is empty or None is not asked for."""

    name: str
    ports: tuple[str, ...] = ()
    address: str = ""
    gateway: str = ""
    dns: tuple[str, ...] = ()
    mtu: int | None = None
    stp: bool | None = None
    vlan_aware: bool | None = None
    ovs: bool = False
    datapath: str = ""


class Look:
    """Looks at a wish and the host, and complains of everything at once."""

    def __init__(self, host: Host, wiring: Wiring, wish: Wish) -> None:
        self.host, self.wiring, self.wish = host, wiring, wish
        self._problems: list[Problem] = []

    def new(self, manager: Manager | None) -> None:
        """Raise Invalid with all that stands in the way of a new bridge."""
        wish = self.wish
        self._name()
        self._open_vswitch()
        holders = self._ports(wish.name)
        if len(holders) > 1:
            self._wrong("--port", f"{' and '.join(holders)} have addresses, and only one of them can hand its own over")
        self._addresses(holders[:1])
        if wish.address == DHCP and manager is None and not any(self.client()):
            self._wrong("--address", "the host has no DHCP client", "apt install isc-dhcp-client on the host")
        if wish.dns and manager is None:
            self._wrong("--dns", "nobody keeps the network of this host: write name servers into its /etc/resolv.conf")
        self._done()

    def changed(self) -> None:
        """Raise Invalid with all that is wrong with a change."""
        if self.wish.address == DHCP:
            self._wrong("--address", "a bridge comes by DHCP when it is made", f"kvist bridge delete {self.wish.name}")
        else:
            self._addresses([self.wish.name])
        self._done()

    def ports(self, bridge: str) -> None:
        """Raise Invalid with all that keeps interfaces from being ports of a bridge."""
        holders = self._ports(bridge)
        have = self.wiring.addresses(bridge)
        if holders and (have or len(holders) > 1):
            whose = f'bridge "{bridge}" has an address itself' if have else "only one can hand its own over"
            self._wrong("INTERFACE", f"{' and '.join(holders)} has an address, and {whose}")
        self._done()

    def client(self) -> tuple[list[Words], list[Words]]:
        """Give the commands by which a DHCP client of the host asks for a lease, and gives up."""
        name, hand = self.wish.name, self.host.hand
        note = f"/run/kvist/dhcp-{name}.pid"
        if hand.has("dhclient"):
            return [("dhclient", "-1", "-pf", note, name)], [
                ("-", "dhclient", "-x", "-pf", note, name),
                ("rm", "-f", note),
            ]
        if hand.has("udhcpc"):
            return [("udhcpc", "-n", "-i", name, "-p", note)], [("-", "pkill", "-F", note), ("rm", "-f", note)]
        return [], []

    def _name(self) -> None:
        name = self.wish.name
        if len(name.encode()) > LONGEST_NAME:
            self._wrong("NAME", f'"{name}" is too long for an interface: {len(name.encode())} bytes of {LONGEST_NAME}')
        if not FORM.fullmatch(name) or name in TAKEN:
            self._wrong("NAME", f'"{name}" is no name for an interface: letters, digits and . _ -, such as br0')
        elif name in self.wiring:
            kind = self.wiring.kind(name) or "card"
            self._wrong("NAME", f'there is an interface "{name}" already, and it is no bridge: {kind}')

    def _open_vswitch(self) -> None:
        wish = self.wish
        if wish.ovs and not runs(self.host.hand):
            self._wrong("--ovs", "Open vSwitch does not run on the host", "apt install openvswitch-switch on the host")
        if wish.datapath and not wish.ovs:
            self._wrong("--datapath", "only a bridge of Open vSwitch has one", f"kvist bridge create {wish.name} --ovs")

    def _ports(self, bridge: str) -> list[str]:
        """Look at the ports; gives those that have addresses."""
        fit = []
        for port in dict.fromkeys(self.wish.ports):
            if what := self._unfit(port, bridge):
                self._wrong("--port", *what)
            else:
                fit.append(port)
        return [port for port in fit if self.wiring.addresses(port)]

    def _unfit(self, port: str, bridge: str) -> Iterable[str]:
        wiring = self.wiring
        if port == bridge:
            return (f'bridge "{bridge}" cannot be a port of itself',)
        if port not in wiring:
            there = ", ".join(name for name in wiring.names() if not wiring.loopback(name)) or "none"
            return f'there is no interface "{port}"; there is {there}', "ip -brief link"
        if wiring.loopback(port):
            return (f'"{port}" is the loopback, which leads nowhere',)
        if wiring.wireless(port):
            return (
                f'"{port}" is wireless: an access point takes no packets of guests from it, so it cannot be bridged',
                f"what works: kvist net create NAME --mode route --proxy-arp {port} --subnet PART-OF-ITS-NETWORK",
            )
        if port in wiring.bridges:
            return f'"{port}" is a bridge itself; bridges that are ports of each other form a loop', "kvist bridge ls"
        if bridge in self._below(port):
            return (f'"{port}" lies on bridge "{bridge}": that would be a loop',)
        if wiring.kind(port) in GUESTS:
            return f'"{port}" belongs to a guest, and libvirt plugs it in', "kvist nic ls VM"
        master = wiring.master(port)
        if master and master != bridge:
            return f'"{port}" is a port of "{master}" already', f"kvist bridge remove-port {master} {port}"
        return ()

    def _below(self, port: str) -> list[str]:
        found: list[str] = []
        while (lower := self.wiring.below(port)) and lower not in found and lower in self.wiring:
            found.append(lower)
            port = lower
        return found

    def _addresses(self, own: list[str]) -> None:
        """Look at address, gateway, name servers and packet size; `own` are the interfaces whose addresses leave."""
        wish = self.wish
        nets = [one.cidr for name in own for one in self.wiring.addresses(name)]
        if wish.address and wish.address != DHCP:
            nets = [wish.address] if self._address(own) else []
        if wish.gateway and self._is_address("--gateway", wish.gateway):
            if wish.address == DHCP:
                self._wrong("--gateway", "a DHCP server names the gateway itself")
            elif not any(ip_address(wish.gateway) in ip_interface(net).network for net in nets):
                on = f"on {', '.join(nets)}" if nets else "on any network of the bridge: give it an --address"
                self._wrong("--gateway", f"{wish.gateway} is not {on}")
            elif any(ip_address(wish.gateway) == ip_interface(net).ip for net in nets):
                self._wrong("--gateway", f"{wish.gateway} is the host itself")
        for server in wish.dns:
            self._is_address("--dns", server)
        if wish.mtu is not None and not SMALLEST <= wish.mtu <= LARGEST:
            self._wrong("--mtu", f"{wish.mtu} is not a size of {SMALLEST} to {LARGEST} bytes")

    def _address(self, own: list[str]) -> bool:
        try:
            Cidr.parse(self.wish.address)
        except ValueError as wrong:
            self._wrong("--address", f"{wrong}, or dhcp")
            return False
        typed = ip_interface(self.wish.address)
        network = typed.network
        ends = {network.network_address} | ({network.broadcast_address} if typed.version == 4 else set())
        if network.prefixlen < network.max_prefixlen - 1 and typed.ip in ends:
            self._wrong("--address", f"{typed.ip} is no host of {network}: it stands for the whole of it")
        elif typed.is_multicast or typed.is_loopback or typed.is_unspecified:
            self._wrong("--address", f"{typed.ip} cannot be the address of a host")
        for name in self.wiring.names():
            taken = [] if name in own else self.wiring.addresses(name)
            for one in taken:
                other = ip_interface(one.cidr)
                if other.version == typed.version and not other.is_loopback and network.overlaps(other.network):
                    self._wrong("--address", f'{self.wish.address} overlaps with {one.cidr} on "{name}"')
        return True

    def _is_address(self, where: str, text: str) -> bool:
        try:
            ip_address(text)
        except ValueError:
            self._wrong(where, f'"{text}" is not an address such as 192.168.1.1')
            return False
        return True

    def _wrong(self, path: str, what: str, hint: str = "") -> None:
        self._problems.append(Problem(path, what, hint))

    def _done(self) -> None:
        if self._problems:
            raise Invalid(self._problems)
