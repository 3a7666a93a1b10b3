"""All that is known about one network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from kvist.errors import Unsupported
from kvist.resources.networks.wish import dhcp_of, mode_of, subnets
from kvist.resources.networks.words import NAME
from kvist.specs.network import Network
from kvist.xml.document import Document
from kvist.xml.schema import as_data

if TYPE_CHECKING:
    from kvist.host.hand import Hand
    from kvist.resources.networks.network import Networks

RAW = ("name", "uuid", "made_by", "forward", "interfaces", "bridge", "dev")
"""What is shown by another word, or stands at the head."""


def show(self: Networks, name: Annotated[str, NAME]) -> dict[str, Any]:
    """Show all that is known about a network: kind, bridge, subnets, DHCP, names, leases, guests.

    For a network of mode route or open it tells the line by which other hosts find the way to its guests.

    Example: kvist net show lab -o json
    """
    from kvist.resources.networks.guests import plugs
    from kvist.resources.networks.names import leased

    state = self.state(name)
    net = Network.read(Document.parse(state.xml).root)
    mode = mode_of(net)
    leases = leased(self.host.connection, [name])
    address = {lease.mac.lower(): lease.address for lease in leases}
    reserved = {str(host.mac): host.ip for ip in net.ips for host in ip.hosts if host.mac}
    there = subnets(net)
    record: dict[str, Any] = {
        "name": name,
        "mode": mode,
        "active": state.active,
        "autostart": state.autostart,
        "persistent": state.persistent,
        "uuid": state.uuid,
        "made_by": net.made_by,
        "bridge": net.bridge or None,
        "dev": net.dev or ", ".join(net.interfaces or ()) or None,
        "subnet": ", ".join(map(str, there)) or None,
        "gateway": ", ".join(str(ip.address) for ip in net.ips) or None,
        "dhcp": ", ".join(map(str, dhcp_of(net))) or None,
    }
    plain = as_data(Network(**{key: value for key, value in net.items() if key in net.FIELDS and key not in RAW}))
    record |= {key: value for key, value in plain.items() if key not in record}
    record["portgroups"] = [as_data(group) for group in net.portgroups]
    record["dns_hosts"] = [{"address": host.ip, "names": list(host.names or ())} for host in net.dns_hosts]
    record["reservations"] = [
        {"address": host.ip, "mac": host.mac, "name": host.name} for ip in net.ips for host in ip.hosts
    ]
    record["leases"] = len(leases)
    record["guests"] = [
        {
            "vm": plug.vm,
            "mac": plug.mac,
            "address": address.get(plug.mac) or reserved.get(plug.mac),
            "state": "plugged in" if plug.running else "off",
        }
        for plug in plugs(self.host.connection, name)
    ]
    record["route"] = _route(self, [str(one) for one in there], net.bridge) if mode in ("route", "open") else None
    return record


def _route(networks: Networks, subnets: list[str], bridge: str | None) -> list[str]:
    """Give the lines that other hosts need to find the guests."""
    try:
        host = _own_address(networks.host.hand, bridge)
    except Unsupported:
        host = {}
    lines = []
    for subnet in subnets:
        family = 6 if ":" in subnet else 4
        command = "ip -6 route add" if family == 6 else "ip route add"
        lines.append(f"{command} {subnet} via {host.get(family, 'ADDRESS-OF-THIS-HOST')}")
    return lines


def _own_address(hand: Hand, bridge: str | None) -> dict[int, str]:
    """Find the addresses by which others reach the host: on its default route, else on its first other interface."""
    from kvist.host.net.links import links, routes

    out = [route.dev for route in routes(hand) if route.to == "default"]
    there = [link for link in links(hand) if link.name not in ("lo", bridge) and link.up]
    ranked = sorted(there, key=lambda link: (link.name not in out, link.kind in ("bridge", "tun")))
    found: dict[int, str] = {}
    for link in ranked:
        for cidr in link.addresses:
            if not cidr.address.startswith("fe80:"):
                found.setdefault(6 if ":" in cidr.address else 4, cidr.address)
    return found
