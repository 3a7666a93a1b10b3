"""What networks of a host claim for themselves, and others may have: ports of DNS and DHCP, subnets."""

from __future__ import annotations

from ipaddress import ip_interface, ip_network
from typing import TYPE_CHECKING

from kvist.host.checks.finding import Anew, Finding, Remedy, Written, by_hand
from kvist.host.checks.networks import APART

if TYPE_CHECKING:
    from kvist.host.checks.networks import Networks
    from kvist.host.checks.seen import Seen
    from kvist.host.net.listeners import Listener

DNS, DHCP = 53, 67
LEAVES_US_ALONE = "bind-dynamic\nexcept-interface=virbr*\n"
"""Source: dnsmasq(8), --bind-dynamic: it takes the ports of its own interfaces alone, also of those that come later."""


def ports(seen: Seen) -> Finding:
    """Whether somebody holds the ports of DNS or DHCP everywhere, so that no network's dnsmasq can have them."""
    name, at = "ports 53 and 67", seen.networks
    held = [each for each in at.listeners if each.port in (DNS, DHCP) and each.address == "*" and not each.interface]
    held = [each for each in held if (each.port, each.protocol) != (DHCP, "tcp")]
    if not held:
        return Finding(name, True, "no server holds them for all addresses")
    # A server has several sockets for the same: one each is enough to tell.
    first = {(each.pid, each.port): each for each in reversed(held)}
    proof = ", and ".join(_told(each) for each in reversed(first.values()))
    return Finding(name, False, f"{proof}: networks cannot start (address already in use)", _apart(at, held[0]))


def _told(each: Listener) -> str:
    who = f"{each.process} ({each.pid})" if each.process else "somebody"
    return f"{who} holds {each.protocol.upper()} port {each.port} of every address"


def _apart(at: Networks, each: Listener) -> Remedy:
    """Let a server of names leave the addresses of libvirt's networks alone."""
    match each.process:
        case "dnsmasq":
            told = at.dnsmasq == LEAVES_US_ALONE
            write = () if told else (Written(APART, at.dnsmasq, LEAVES_US_ALONE),)
            if at.systemd:
                return Remedy((*write, Anew("dnsmasq")))
            return Remedy(write, f"start dnsmasq ({each.pid}) anew")
        case "named":
            where = "/etc/bind/named.conf.options"
            return by_hand(f"in options of {where}: listen-on {{ 127.0.0.1; }}; then systemctl restart named")
        case "":
            return by_hand(f"ss -lnp 'sport = :{each.port}'")
        case _:
            # Whoever needs that server has to say so.
            return by_hand(f"systemctl stop {each.process}")


def subnets(seen: Seen) -> Finding:
    """Whether two networks of the host overlap: then packets for one of them go the wrong way."""
    name, at = "subnets", seen.networks
    placed = [
        (each.name, ip_interface(str(own)).network)
        for each in at.links
        for own in each.addresses
        if ":" not in own.address and each.name != "lo" and own.prefix < 32
    ]
    routed = [
        (route.dev, ip_network(route.to, strict=False))
        for route in at.routes
        if route.to != "default" and ":" not in route.to and route.via
    ]
    for number, (dev, net) in enumerate(placed):
        for other, beside in [*placed[number + 1 :], *routed]:
            if dev != other and net.overlaps(beside):
                proof = f"{net} of {dev} and {beside} of {other} overlap"
                way = by_hand("give one of both another subnet, and start its network again")
                return Finding(name, False, proof, way)
    return Finding(name, True, "those of the host do not overlap")
