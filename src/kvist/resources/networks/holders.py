"""Who is in the way of a network that does not start: a program on its ports, an interface, another network."""

from __future__ import annotations

from ipaddress import ip_interface, ip_network
from typing import TYPE_CHECKING

from kvist.errors import Conflict, KvistError, Unsupported
from kvist.host.net.links import links, routes
from kvist.host.net.listeners import listeners
from kvist.resources.networks.wish import subnets
from kvist.specs.network import Network
from kvist.xml.document import Document

if TYPE_CHECKING:
    from kvist.engine.step import Site

PORTS = (53, 67)
"""What a network's dnsmasq listens on: DNS and DHCP."""
SIGNS = ("in use", "already exists", "File exists", "listening socket", "exit status 2")
"""What libvirt and dnsmasq say when somebody is in the way."""


def explained(at: Site, name: str, wrong: KvistError) -> KvistError:
    """Give the error with the name of what is in the way, where that can be found."""
    if "vlan_filtering" in wrong.what:
        return Unsupported(
            f'cannot start network "{name}": its table of addresses is to be kept by libvirt, and this kernel filters '
            "no VLANs on bridges",
            hint=f"kvist net set {name} --mac-table kernel",
        )
    if not any(sign in wrong.what for sign in SIGNS):
        return wrong
    net = Network.read(Document.parse(at.connection.networks.xml(name, stored=True)).root)
    cause = _cause(at, name, net)
    if cause is None:
        return wrong
    what, hint = cause
    return Conflict(f'cannot start network "{name}": {what}', hint=hint)


def _cause(at: Site, name: str, net: Network) -> tuple[str, str] | None:
    mine = subnets(net)
    for other in at.connection.networks.all():
        if other.name == name or not other.active:
            continue
        read = Network.read(Document.parse(other.xml).root)
        if net.bridge and read.bridge == net.bridge:
            return (
                f'its bridge "{net.bridge}" is that of network "{other.name}"',
                f"kvist net set {name} --bridge another name; or kvist net stop {other.name}",
            )
        for ours in mine:
            for its in subnets(read):
                if ours.version == its.version and ours.overlaps(its):
                    return (
                        f'its subnet {ours} overlaps {its} of network "{other.name}"',
                        f"kvist net set {name} --subnet another one; or kvist net stop {other.name}",
                    )
    try:
        hand = at.hand
        for each in links(hand):
            for cidr in each.addresses:
                on = ip_interface(str(cidr)).network
                for ours in mine:
                    if ours.version == on.version and ours.overlaps(on):
                        return (
                            f'its subnet {ours} overlaps {on} of interface "{each.name}" of the host',
                            f"kvist net set {name} --subnet another one",
                        )
            if net.bridge and each.name == net.bridge:
                return (
                    f'the host has an interface "{net.bridge}" already',
                    f"kvist net set {name} --bridge another name; or ip link delete {net.bridge}",
                )
        for route in routes(hand):
            if "/" in route.to and any(_overlap(route.to, str(ours)) for ours in mine):
                return (
                    f'its subnet overlaps the route to {route.to} by "{route.dev}" of the host',
                    f"kvist net set {name} --subnet another one",
                )
        gateways = [str(ip.address) for ip in net.ips if ip.address]
        for one in listeners(hand):
            if one.port in PORTS and any(one.hears(gateway) for gateway in gateways):
                return (
                    f"port {one.port} of {one.address} is held by {one.words}, and its own dnsmasq needs it",
                    f"kvist net set {name} --dns off, or stop process {one.pid}",
                )
    except Unsupported:
        # The programs of that host are out of reach: libvirt's own words have to do.
        return None
    return None


def _overlap(one: str, other: str) -> bool:
    mine, its = ip_network(one, strict=False), ip_network(other, strict=False)
    return mine.version == its.version and mine.overlaps(its)
