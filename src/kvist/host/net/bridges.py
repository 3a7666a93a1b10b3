"""The bridges of a host, the kernel's and Open vSwitch's, and what of an interface moves when it becomes a port."""

from __future__ import annotations

import json
from functools import cached_property
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any, NamedTuple

from kvist.host.net.openvswitch import Switch, switches

if TYPE_CHECKING:
    from kvist.host.hand import Hand
    from kvist.host.net.guard import Words

LINUX, OVS = "linux", "ovs"
GUESTS = ("tun", "macvtap")
"""Kinds of the interfaces that guests hang on; libvirt plugs them in and out."""
PROBE = 1
"""Seconds in which a neighbour answers or does not."""


class Bridge(NamedTuple):
    """One bridge of a host."""

    name: str
    kind: str
    """`linux` or `ovs`."""
    ports: tuple[str, ...]
    addresses: tuple[str, ...]
    mac: str
    mtu: int
    stp: bool
    vlan_aware: bool
    up: bool


class Address(NamedTuple):
    """An address of an interface, and the words that give it to another."""

    cidr: str
    words: Words


class Path(NamedTuple):
    """A route through an interface, and the words that lay it through another, whose name they leave out."""

    family: str
    to: str
    via: str
    before: Words
    """What stands before the name of the interface."""
    after: Words

    @property
    def without_source(self) -> Path:
        """The same for an interface with another address, which the kernel then takes."""
        if "src" not in self.after:
            return self
        at = self.after.index("src")
        return self._replace(after=(*self.after[:at], *self.after[at + 2 :]))


class Wiring:
    """The interfaces and bridges of a host at one moment."""

    def __init__(self, hand: Hand) -> None:
        self._hand = hand
        told = json.loads(hand.run(["ip", "-json", "-details", "address", "show"]).text or "[]")
        self._links: dict[str, dict[str, Any]] = {str(one["ifname"]): one for one in told if one}

    def __contains__(self, name: str) -> bool:
        return name in self._links

    def names(self) -> list[str]:
        """List the interfaces."""
        return sorted(self._links)

    def mac(self, name: str) -> str:
        return str(self._links[name].get("address", ""))

    def mtu(self, name: str) -> int:
        return int(self._links[name].get("mtu", 0))

    def kind(self, name: str) -> str:
        """Say what an interface is to the kernel: bridge, tun, veth, vlan; empty for a card."""
        return str(self._links[name].get("linkinfo", {}).get("info_kind", ""))

    def up(self, name: str) -> bool:
        return "UP" in self._links[name].get("flags", [])

    def loopback(self, name: str) -> bool:
        return "LOOPBACK" in self._links[name].get("flags", [])

    def below(self, name: str) -> str:
        """Name the interface that this one lies on, for a VLAN or macvtap; empty for others."""
        return str(self._links[name].get("link") or "") if self.kind(name) in ("vlan", "macvlan", "macvtap") else ""

    def master(self, name: str) -> str:
        """Name the bridge or bond that an interface is a port of."""
        found = str(self._links[name].get("master", ""))
        if found and found != "ovs-system":
            return found
        return next((bridge for bridge, switch in self.switches.items() if name in switch.ports), "")

    def wireless(self, name: str) -> bool:
        """Tell whether an interface is wireless: an access point takes no frames of other senders from it."""
        return bool({"wireless", "phy80211"} & set(self._hand.names(f"/sys/class/net/{name}")))

    @cached_property
    def switches(self) -> dict[str, Switch]:
        """The bridges of Open vSwitch; none where it does not run."""
        return switches(self._hand)

    @cached_property
    def bridges(self) -> dict[str, Bridge]:
        """All bridges, by name."""
        found = {name: self._bridge(name) for name in self._links if self.kind(name) == "bridge"}
        found |= {name: self._switch(name, switch) for name, switch in self.switches.items() if name in self._links}
        return dict(sorted(found.items()))

    def ports(self, bridge: str) -> tuple[str, ...]:
        """Name the ports of a bridge that are no guests'."""
        return tuple(port for port in self.bridges[bridge].ports if port in self and self.kind(port) not in GUESTS)

    def taps(self, bridge: str) -> tuple[str, ...]:
        """Name the ports of a bridge that guests hang on."""
        return tuple(port for port in self.bridges[bridge].ports if port in self and self.kind(port) in GUESTS)

    def addresses(self, name: str) -> list[Address]:
        """List the addresses that move with an interface's role: all but those that every interface makes itself."""
        return [
            _address(one)
            for one in self._links[name].get("addr_info", [])
            if one.get("local") and not one.get("temporary") and (one["family"], one.get("scope")) != ("inet6", "link")
        ]

    def dynamic(self, name: str) -> bool:
        """Tell whether its IPv4 address was given for a time, by a DHCP server."""
        return any(one.get("dynamic") and one["family"] == "inet" for one in self._links[name].get("addr_info", []))

    def _bridge(self, name: str) -> Bridge:
        data = self._links[name].get("linkinfo", {}).get("info_data", {})
        return Bridge(
            name=name,
            kind=LINUX,
            ports=tuple(sorted(port for port, told in self._links.items() if told.get("master") == name)),
            addresses=tuple(one.cidr for one in self.addresses(name)),
            mac=self.mac(name),
            mtu=self.mtu(name),
            stp=bool(data.get("stp_state")),
            vlan_aware=bool(data.get("vlan_filtering")),
            up=self.up(name),
        )

    def _switch(self, name: str, switch: Switch) -> Bridge:
        return Bridge(
            name=name,
            kind=OVS,
            ports=tuple(sorted(set(switch.ports) - {name})),
            addresses=tuple(one.cidr for one in self.addresses(name)),
            mac=self.mac(name),
            mtu=self.mtu(name),
            stp=switch.stp,
            vlan_aware=True,
            up=self.up(name),
        )


def paths(hand: Hand, dev: str) -> list[Path]:
    """List the routes through an interface in all tables, those first that others stand on.

    Routes that a router announced are left out: the kernel asks for them again on the interface that has the address.
    """
    found = []
    for family in ("-4", "-6"):
        told = json.loads(hand.run(["ip", "-json", family, "route", "show", "table", "all", "dev", dev]).text or "[]")
        found += [_path(family, one) for one in told if one and _moves(one)]
    return sorted(found, key=lambda path: bool(path.via))


def gateways(through: list[Path]) -> tuple[str, ...]:
    """Name the gateways that default routes among these lead to."""
    return tuple(dict.fromkeys(path.via for path in through if path.to == "default" and path.via))


def near(addresses: list[Address], peer: str) -> bool:
    """Tell whether a peer is on the network of one of the addresses, so that it is asked without a gateway."""
    return any(ip_address(peer) in ip_network(one.cidr, strict=False) for one in addresses)


def answers(hand: Hand, address: str, dev: str) -> bool:
    """Ask a neighbour whether it is there: by ping, or for its MAC address, which no firewall of its keeps back."""
    scoped = f"{address}%{dev}" if address.startswith("fe80:") else address
    for again in (False, True):
        if again:
            # What the kernel remembers of it says nothing, and it would wait for seconds before it asks anew.
            hand.run(["ip", "neigh", "flush", "to", address, "dev", dev], check=False)
        if hand.run(["ping", "-n", "-c", "1", "-W", str(PROBE), scoped], check=False, timeout=10).code == 0:
            return True
        told = hand.run(["ip", "-json", "neigh", "show", "to", address, "dev", dev], check=False).text
        if any("REACHABLE" in one.get("state", ()) for one in json.loads(told or "[]") if one):
            return True
    return False


def neighbours(hand: Hand, dev: str) -> list[str]:
    """List the neighbours that have answered on an interface within the last half minute or so."""
    told = hand.run(["ip", "-json", "neigh", "show", "dev", dev, "nud", "reachable"]).text
    return [str(one["dst"]) for one in json.loads(told or "[]") if one.get("dst")]


def _address(told: dict[str, Any]) -> Address:
    cidr = f"{told['local']}/{told['prefixlen']}"
    # The other end of a point-to-point link stands where the address stands otherwise.
    words = ["peer", f"{told['address']}/{told['prefixlen']}"] if told.get("address") else []
    whole = [told["local"], *words] if words else [cidr]
    for key, word in (("broadcast", "broadcast"), ("scope", "scope"), ("metric", "metric")):
        if told.get(key):
            whole += [word, str(told[key])]
    if told.get("noprefixroute"):
        whole.append("noprefixroute")
    return Address(cidr, tuple(whole))


def _moves(told: dict[str, Any]) -> bool:
    to = str(told["dst"])
    if told.get("table") == "local" or told.get("type", "unicast") != "unicast" or told.get("nexthops"):
        return False
    return not (to.startswith(("fe80:", "ff00:")) or told.get("protocol") == "ra")


def _path(family: str, told: dict[str, Any]) -> Path:
    other = told.get("via", {})
    via = str(told.get("gateway") or other.get("host", ""))
    before = [family, "route", "replace", str(told["dst"])]
    if told.get("gateway"):
        before += ["via", via]
    elif other:
        before += ["via", str(other["family"]), via]
    after: list[str] = []
    for key, word in (
        ("protocol", "proto"),
        ("scope", "scope"),
        ("prefsrc", "src"),
        ("metric", "metric"),
        ("table", "table"),
    ):
        if told.get(key):
            after += [word, str(told[key])]
    if "onlink" in told.get("flags", []):
        after.append("onlink")
    return Path(family, str(told["dst"]), via, tuple(before), tuple(after))
