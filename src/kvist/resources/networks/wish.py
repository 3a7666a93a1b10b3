"""From what is typed about a network to what stands in its document; no libvirt, no host, only the rules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_interface, ip_network
from typing import Any, Final, NamedTuple

from kvist.errors import Problem
from kvist.specs.network import DhcpRange, Ip, Network
from kvist.values import AddressRange, Cidr

Subnet = IPv4Network | IPv6Network

ROUTED: Final = ("nat", "route", "isolated", "open")
"""The modes in which libvirt makes the bridge, and gives out addresses on it."""
WITH_DEV: Final = ("nat", "route", "macvtap")
WITH_BRIDGE: Final = (*ROUTED, "bridge", "ovs")
TAGGED: Final = ("ovs", "hostdev")
OF_ROUTED: Final = frozenset(
    {
        *("subnet", "subnet6", "dhcp", "domain", "domain_local", "dns", "plain_names", "stp", "delay", "mac", "zone"),
        *("mac_table", "guests_ipv6", "forwarders", "dns_txts", "dns_srvs", "dns_hosts", "routes", "ips"),
        "dnsmasq_options",
    }
)
"""What only a network has whose bridge libvirt makes."""
OF_NAT: Final = frozenset({"nat_ipv6", "nat_start", "nat_end", "nat_port_start", "nat_port_end"})
ASIDES: Final = ("mode", "subnet", "subnet6", "dhcp")
LONGEST: Final = 15
"""Letters in the name of an interface. Source: IFNAMSIZ of linux/if.h, with the zero at its end."""
NUMBERS: Final = range(10, 250)


class Surroundings(NamedTuple):
    """What a new network has to get along with: subnets that are taken, each with whose it is, and interfaces."""

    subnets: Sequence[tuple[Subnet, str]] = ()
    bridges: Mapping[str, str] = {}
    """The bridges of networks, and of which."""
    links: Mapping[str, str] | None = None
    """The interfaces of the host, and what kind each is; None where nobody can look."""
    switches: Sequence[str] | None = None
    """The bridges of Open vSwitch; None where there is no Open vSwitch, or nobody can look."""
    zones: Sequence[str] | None = None
    """The zones of firewalld; None where it does not run, or nobody can look."""


def mode_of(net: Network) -> str:
    """Give kvist's word for what a network's document says."""
    if net.forward is None:
        # An empty <forward/> is nat, but libvirt never prints one.
        return "isolated"
    if net.forward in ("nat", "route", "open", "hostdev"):
        return net.forward
    if net.forward == "bridge" and net.bridge:
        return "ovs" if net.virtualport == "openvswitch" else "bridge"
    return "macvtap"


def network_of(ip: Ip) -> Subnet | None:
    """Give the subnet of an address of the host."""
    if ip.address is None:
        return None
    if ip.netmask is not None:
        return ip_interface(f"{ip.address}/{ip.netmask}").network
    if ip.prefix is None:
        # libvirt takes the address's class then, and 64 bits for IPv6.
        first = int(ip.address.partition(".")[0]) if "." in ip.address else 0
        length = 64 if ":" in ip.address else 8 if first < 128 else 16 if first < 192 else 24
        return ip_interface(f"{ip.address}/{length}").network
    return ip_interface(f"{ip.address}/{ip.prefix}").network


def subnets(net: Network) -> list[Subnet]:
    """List the subnets of a network."""
    return [found for ip in net.ips if (found := network_of(ip)) is not None]


def dhcp_of(net: Network) -> tuple[AddressRange, ...]:
    """List the ranges that a network's DHCP server gives out."""
    return tuple(AddressRange(str(one.start), str(one.end)) for ip in net.ips for one in ip.ranges)


def free_subnet(taken: Iterable[Subnet]) -> Cidr | None:
    """Choose a subnet that overlaps none of those that are taken; None where there is none left."""
    there = list(taken)
    for number in NUMBERS:
        for found in (ip_network(f"10.{number}.0.0/24"), ip_network(f"192.168.{number}.0/24")):
            if not any(found.version == each.version and found.overlaps(each) for each in there):
                return Cidr(str(found.network_address), found.prefixlen)
    return None


class Shaping:
    """A wish about a network in the making: what is typed becomes fields of the document. Gathers what is wrong."""

    def __init__(self, wish: Network, around: Surroundings, have: Network | None = None) -> None:
        self.wish, self.around, self.have = wish, around, have
        self.problems: list[Problem] = []
        self.mode = wish.mode or (mode_of(have) if have is not None else "nat")

    def shaped(self) -> Network:
        """Give the wish as fields of the document; `problems` tells what is wrong with it."""
        values: dict[str, Any] = {key: value for key, value in self.wish.items() if key not in ASIDES}
        self._check_mode()
        self._check_names()
        if self.wish.mode is not None or self.have is None:
            values |= self._forward()
        elif self.wish.dev is not None:
            values["interfaces"] = (self.wish.dev,)
        if "dev" in self.wish and self.wish.dev is None:
            values["interfaces"] = None
        if self.wish.vlan is not None and len(self.wish.vlan) > 1 and "trunk" not in self.wish:
            values["trunk"] = True
        values["portgroups"] = tuple(
            group.replace(trunk=True) if group.vlan and len(group.vlan) > 1 and "trunk" not in group else group
            for group in self.wish.portgroups or ()
        )
        if self.mode in ROUTED:
            values["ips"] = (*(self.wish.ips or ()), *self._ips())
        return Network(**{key: value for key, value in values.items() if value != () or key in ("vlan",)})

    def _wrong(self, field: str, what: str, hint: str = "") -> None:
        self.problems.append(Problem(f"--{field.replace('_', '-')}", what, hint))

    def _check_mode(self) -> None:
        mode = self.mode
        given = {key for key, value in self.wish.items() if value not in (None, ())}
        if mode not in ROUTED:
            for field in sorted(given & OF_ROUTED):
                self._wrong(field, f"a network of mode {mode} has none: it has no bridge of its own")
        for field in sorted(given & OF_NAT) if mode != "nat" else ():
            self._wrong(field, f"a network of mode {mode} translates no addresses")
        if "dev" in given and mode not in WITH_DEV:
            self._wrong("dev", f"a network of mode {mode} is bound to no interface")
        if "pf" in given and mode != "hostdev":
            self._wrong("pf", f"a network of mode {mode} hands no cards to guests", "--mode hostdev")
        if "bridge" in given and mode not in WITH_BRIDGE:
            self._wrong("bridge", f"a network of mode {mode} has no bridge")
        if given & {"vlan", "trunk"} and mode not in TAGGED:
            self._wrong("vlan", f"a network of mode {mode} has no VLAN tags", "--mode ovs, or --mode hostdev")
        if self.wish.isolated_ports and mode not in (*ROUTED, "bridge"):
            self._wrong("isolated_ports", f"a network of mode {mode} cannot isolate its ports")
        if self.have is not None and self.wish.mode is not None:
            now = mode_of(self.have)
            if now != mode and not {now, mode} <= set(ROUTED):
                self._wrong("mode", f"it is {now}, and does not become {mode}", "make another network")
        if self.have is None:
            for needed, of in (("bridge", ("bridge", "ovs")), ("dev", ("macvtap",)), ("pf", ("hostdev",))):
                if mode in of and needed not in given and not self.wish.functions:
                    self._wrong(needed, f"a network of mode {mode} needs it", f"--{needed} NAME")

    def _check_names(self) -> None:
        for field in ("bridge", "dev", "pf"):
            name = self.wish.get(field)
            if name is None:
                continue
            if len(name) > LONGEST or not name or "/" in name or " " in name:
                self._wrong(field, f'"{name}" is no name of an interface: {LONGEST} letters at most, no / and no space')
            elif field == "bridge" and self.mode in ROUTED:
                self._check_new(name)
            elif field == "bridge" and self.mode == "ovs":
                self._check_switch(name)
            elif self.around.links is not None and name not in self.around.links:
                self._wrong(field, f'there is no interface "{name}" on the host', _there(self.around.links, field))
            elif field == "bridge" and self.around.links is not None and self.around.links[name] != "bridge":
                self._wrong(field, f'"{name}" is no bridge', _there(self.around.links, field))

        if self.wish.zone and self.around.zones is not None and self.wish.zone not in self.around.zones:
            hint = f"firewall-cmd --permanent --new-zone={self.wish.zone} && firewall-cmd --reload"
            self._wrong(
                "zone", f'firewalld has no zone "{self.wish.zone}"; it has {", ".join(self.around.zones)}', hint
            )

    def _check_new(self, name: str) -> None:
        if self.have is not None and self.have.bridge == name:
            return
        if name in self.around.bridges:
            self._wrong("bridge", f'"{name}" is the bridge of network "{self.around.bridges[name]}"')
        elif self.around.links is not None and name in self.around.links:
            self._wrong("bridge", f'the host has an interface "{name}" already', f"--mode bridge --bridge {name}")

    def _check_switch(self, name: str) -> None:
        if self.around.switches is not None and name not in self.around.switches:
            there = ", ".join(self.around.switches) or "none"
            self._wrong("bridge", f'Open vSwitch has no bridge "{name}"; it has {there}', f"ovs-vsctl add-br {name}")

    def _forward(self) -> dict[str, Any]:
        mode, wish = self.mode, self.wish
        found: dict[str, Any] = {}
        if mode == "isolated":
            return {"forward": None, "dev": None, "interfaces": None} if self.have is not None else {}
        found["forward"] = {"macvtap": wish.forward or "bridge", "ovs": "bridge"}.get(mode, mode)
        if mode == "ovs":
            found["virtualport"] = wish.virtualport or "openvswitch"
        if mode == "hostdev" and wish.managed is None:
            found["managed"] = True
        if wish.dev is not None:
            found["interfaces"] = (wish.dev,)
        if self.have is not None and mode == "open":
            found |= {"dev": None, "interfaces": None}
        return found

    def _ips(self) -> Iterator[Ip]:
        """Work out the subnets: those that are typed, a free one for a new network, and what DHCP gives out in each."""
        ranges = self.wish.dhcp
        for field, version in (("subnet", 4), ("subnet6", 6)):
            wanted: Cidr | None = self.wish.get(field)
            old = self._old(version)
            if field in self.wish and wanted is None:
                if old is not None:
                    yield Ip.removed(address=old.address)
                continue
            if wanted is None and version == 4 and self.have is None and not self.wish.ips:
                wanted = free_subnet(subnet for subnet, _ in self.around.subnets)
                if wanted is None:
                    self._wrong(field, "no subnet is free; give one")
                    continue
            mine = None if ranges is None else [one for one in ranges if (":" in one.first) == (version == 6)]
            if wanted is not None:
                yield from self._subnet(field, wanted, old, mine)
            elif old is not None and "dhcp" in self.wish:
                yield from self._ranges(old, mine or [])
            elif mine:
                self._wrong("dhcp", f"{mine[0]} needs an IPv{version} subnet", f"--{field} ADDRESS/PREFIX")

    def _old(self, version: int) -> Ip | None:
        if self.have is None:
            return None
        return next((ip for ip in self.have.ips if (found := network_of(ip)) and found.version == version), None)

    def _subnet(self, field: str, wanted: Cidr, old: Ip | None, ranges: list[AddressRange] | None) -> Iterator[Ip]:
        version = 6 if field == "subnet6" else 4
        interface = ip_interface(str(wanted))
        subnet: Subnet = interface.network
        if interface.version != version:
            self._wrong(field, f"{wanted} is an IPv{interface.version} subnet")
            return
        if subnet.num_addresses < 4:
            self._wrong(field, f"{subnet} has no room for a guest")
            return
        for taken, whose in self.around.subnets:
            if taken.version == subnet.version and taken.overlaps(subnet):
                self._wrong(field, f"{subnet} overlaps {taken} of {whose}")
                break
        typed = interface.ip != subnet.network_address
        kept = old is not None and network_of(old) == subnet and not typed
        gateway = old.address if kept and old is not None else str(interface.ip if typed else subnet[1])
        if ranges is None and "dhcp" not in self.wish:
            # A subnet that had no DHCP, and one of IPv6, whose guests help themselves, gets none unasked.
            without = version == 6 or (old is not None and not old.ranges)
            ranges = None if kept else [] if without else self._all_of(subnet, str(gateway))
        self._check_ranges(subnet, ranges or [])
        if old is not None and old.address != gateway:
            outside = [host.ip for host in old.hosts if host.ip and ip_address(host.ip) not in subnet]
            if outside:
                self._wrong(field, f"reservation {', '.join(outside)} is not in {subnet}", "kvist net unreserve first")
            yield Ip.removed(address=old.address)
        hosts = old.hosts if old is not None and old.address != gateway else ()
        made: dict[str, Any] = {
            "address": gateway,
            "prefix": None if kept and old is not None and old.netmask is not None else subnet.prefixlen,
            "family": "ipv6" if version == 6 else None,
            "ranges": None if ranges is None else self._exactly(old if kept else None, ranges),
            "hosts": hosts or None,
        }
        yield Ip(**{key: value for key, value in made.items() if value is not None})

    def _ranges(self, old: Ip, ranges: list[AddressRange]) -> Iterator[Ip]:
        subnet = network_of(old)
        assert subnet is not None, "it was found by its subnet"
        self._check_ranges(subnet, ranges)
        yield Ip(address=old.address, ranges=self._exactly(old, ranges))

    def _exactly(self, old: Ip | None, ranges: list[AddressRange]) -> tuple[DhcpRange, ...]:
        """Give the ranges as a wish that also takes away those which are not wanted any more."""
        there = old.ranges if old is not None else ()
        wanted = {(one.first, one.last) for one in ranges}
        gone = [DhcpRange.removed(start=one.start, end=one.end) for one in there if (one.start, one.end) not in wanted]
        return (*gone, *(DhcpRange(start=one.first, end=one.last) for one in ranges))

    def _check_ranges(self, subnet: Subnet, ranges: list[AddressRange]) -> None:
        for one in ranges:
            if ip_address(one.first) not in subnet or ip_address(one.last) not in subnet:
                self._wrong("dhcp", f"{one} is not in {subnet}")

    @staticmethod
    def _all_of(subnet: Subnet, gateway: str) -> list[AddressRange]:
        """Give all addresses of a subnet but the host's, which is first or last as a rule."""
        first, last = int(subnet.network_address) + 1, int(subnet.broadcast_address) - 1
        host = int(ip_address(gateway))
        if host - first >= last - host:
            last = host - 1
        else:
            first = host + 1
        kind = type(subnet.network_address)
        return [AddressRange(str(kind(first)), str(kind(last)))]


def _there(links: Mapping[str, str], field: str) -> str:
    names = [name for name, kind in links.items() if name != "lo" and (kind == "bridge") == (field == "bridge")]
    return f"there is {', '.join(names)}" if names else "ip link"
