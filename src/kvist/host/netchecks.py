"""What `kvist host check` looks at of a host's networks: packet filters, Docker, firewalld, ports, subnets.

A new check is a function of what was seen that gives a Finding, and a line in CHECKS; each is all right where it has
nothing to say against.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import ip_interface, ip_network
from typing import TYPE_CHECKING, NamedTuple

from kvist.errors import CommandFailed, Denied, Unsupported
from kvist.host.checks import Finding
from kvist.host.firewall.packets import Packet, fate
from kvist.host.firewall.ruleset import EMPTY, Ruleset, ruleset
from kvist.host.net.links import Link, Route, links, routes
from kvist.host.net.listeners import Listener, listeners
from kvist.host.net.passage import BRIDGED, asked, switches

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kvist.host.hand import Hand

ANYBODY = "192.0.2.1"
"""Stands for a host outside. Source: RFC 5737."""
CONFIG = "/etc/firewalld/firewalld.conf"
ZONES = ("/usr/lib/firewalld/zones", "/etc/firewalld/zones")


class Networks(NamedTuple):
    """What was seen of a host's networks."""

    rules: Ruleset = EMPTY
    unread: str = ""
    """Why the rules could not be read; empty when they were."""
    legacy: tuple[str, ...] = ()
    """Tables of the old packet filter that are loaded beside nftables."""
    variant: str = ""
    """What `iptables -V` says: legacy or nf_tables; empty where there is none."""
    firewalld: str = ""
    """Its back-end where it runs: nftables or iptables."""
    zone: bool = False
    """Whether firewalld has libvirt's zone."""
    links: tuple[Link, ...] = ()
    routes: tuple[Route, ...] = ()
    listeners: tuple[Listener, ...] = ()
    switches: Mapping[str, str] = {}

    @property
    def bridges(self) -> list[Link]:
        """Bridges that guests are on, or will be: those with a tap, and libvirt's own."""
        with_tap = {each.master for each in self.links if each.kind == "tun"}
        return [
            each
            for each in self.links
            if each.kind == "bridge" and (each.name in with_tap or each.name.startswith("virbr"))
        ]


def look(hand: Hand) -> Networks:
    """Look at everything once."""
    rules, unread = EMPTY, ""
    try:
        rules = ruleset(hand)
    except (CommandFailed, Denied, Unsupported) as wrong:
        unread = wrong.what
    kind = re.search(r"\((legacy|nf_tables)\)", asked(hand, "iptables", "-V") or "")
    active = asked(hand, "pidof", "-x", "firewalld") is not None
    backend = re.search(r"^\s*FirewallBackend\s*=\s*(\w+)", hand.read(CONFIG) or "", re.MULTILINE) if active else None
    return Networks(
        rules=rules,
        unread=unread,
        legacy=tuple((hand.read("/proc/net/ip_tables_names") or "").split()),
        variant=kind[1] if kind else "",
        firewalld=(backend[1] if backend else "nftables") if active else "",
        zone=any("libvirt.xml" in hand.names(zones) for zones in ZONES) if active else False,
        links=tuple(links(hand)) if hand.has("ip") else (),
        routes=tuple(routes(hand)) if hand.has("ip") else (),
        listeners=tuple(listeners(hand)) if hand.has("ss") else (),
        switches=switches(hand),
    )


def findings(seen: Networks) -> list[Finding]:
    """Make all checks."""
    return [each(seen) for each in CHECKS]


def packet_filter(seen: Networks) -> Finding:
    """Whether one packet filter decides: rules of iptables-legacy and of nftables do not see each other."""
    name = "packet filter"
    new = sorted({f"{chain.family} {chain.table}" for chain in seen.rules.chains.values()})
    switch = (
        "update-alternatives --set iptables /usr/sbin/iptables-nft && "
        "update-alternatives --set ip6tables /usr/sbin/ip6tables-nft"
    )
    if seen.unread:
        return Finding(name, None, f"the rules cannot be read: {seen.unread}")
    if seen.legacy and new:
        proof = f"tables {', '.join(seen.legacy)} of iptables-legacy beside {', '.join(new)} of nftables"
        return Finding(name, False, proof, f"{switch}, and start what made the old rules anew (libvirtd, Docker)")
    if seen.variant == "legacy" and new:
        return Finding(name, False, f"iptables is the legacy one, and {', '.join(new)} are of nftables", switch)
    return Finding(
        name, True, f"iptables by {seen.variant}" if seen.variant else "nftables alone: there is no iptables"
    )


def firewalld(seen: Networks) -> Finding:
    """Whether firewalld, where it runs, works as libvirt needs it."""
    name = "firewalld"
    if not seen.firewalld:
        return Finding(name, True, "it does not run")
    if seen.firewalld == "iptables" and seen.variant == "nf_tables":
        fix = f"sed -i s/^FirewallBackend=.*/FirewallBackend=nftables/ {CONFIG} && systemctl restart firewalld libvirtd"
        return Finding(name, False, "its back-end is iptables, which flushes the rules of others at a reload", fix)
    if not seen.zone:
        return Finding(
            name, False, "it has no zone libvirt, so that guests get no address", "apt install libvirt-daemon-system"
        )
    return Finding(name, True, f"back-end {seen.firewalld}, and it has the zone libvirt")


def forwarding(seen: Networks) -> Finding:
    """Whether somebody drops what bridges of guests forward: Docker does, by the policy of FORWARD."""
    name = "forwarded packets"
    if seen.unread:
        return Finding(name, None, f"the rules cannot be read: {seen.unread}")
    for bridge in seen.bridges:
        found = fate(seen.rules, "forward", _leaving(bridge, seen))
        if not (found.stopped and found.sure) or (found.rule and found.rule.chain.startswith("LIBVIRT_")):
            continue
        if bridge.addresses == () and seen.switches.get(BRIDGED) != "1":
            continue
        docker = seen.rules.has("DOCKER")
        chain = "DOCKER-USER" if seen.rules.has("DOCKER-USER") else "FORWARD"
        fix = f"iptables -I {chain} -i {bridge.name} -j ACCEPT && iptables -I {chain} -o {bridge.name} -j ACCEPT"
        where = found.rule or found.chain
        if where is not None and (where.family, where.table) != ("ip", "filter"):
            at = f"{where.family} {where.table} {found.chain.name if found.chain else ''}"
            fix = " && ".join(f"nft insert rule {at} {way}ifname {bridge.name} accept" for way in "io")
        if where is not None and where.table == "firewalld":
            fix = f"firewall-cmd --zone=libvirt --change-interface={bridge.name}"
        whose = "Docker's rules stop" if docker else "somebody stops"
        return Finding(name, False, f"{whose} packets of {bridge.name}: {found.proof}", fix)
    names = ", ".join(each.name for each in seen.bridges)
    return Finding(name, True, f"nobody stops those of {names}" if names else "there is no bridge of guests yet")


def _leaving(bridge: Link, seen: Networks) -> Packet:
    """Give a packet that a guest on a bridge sends out: routed by the host, or past it where it has no address."""
    own = next((each for each in bridge.addresses if ":" not in each.address), None)
    out = next((each.dev for each in seen.routes if each.to == "default"), "uplink")
    if own is None:
        return Packet(ANYBODY, ANYBODY, bridge.name, bridge.name, "tcp", 40000, 443)
    host = ip_interface(str(own))
    guest = next(each for each in host.network.hosts() if each != host.ip)
    return Packet(str(guest), ANYBODY, bridge.name, out, "tcp", 40000, 443)


def ports(seen: Networks) -> Finding:
    """Whether somebody holds the ports of DNS or DHCP everywhere, so that no network's dnsmasq can have them."""
    name = "ports 53 and 67"
    for each in seen.listeners:
        if each.port not in (53, 67) or each.address != "*" or each.interface:
            continue
        if each.port == 67 and each.protocol == "tcp":
            continue
        who = f"{each.process} ({each.pid})" if each.process else "somebody"
        proof = f"{who} holds {each.protocol.upper()} port {each.port} of every address"
        return Finding(name, False, f"{proof}: networks cannot start (address already in use)", _apart(each))
    return Finding(name, True, "no server holds them for all addresses")


def _apart(each: Listener) -> str:
    """Give what lets a server of names leave the addresses of libvirt's networks alone."""
    match each.process:
        case "dnsmasq":
            lines = r"bind-dynamic\nexcept-interface=virbr*\n"
            return f"printf '{lines}' > /etc/dnsmasq.d/libvirt.conf && systemctl restart dnsmasq"
        case "named":
            return "in options of /etc/bind/named.conf.options: listen-on { 127.0.0.1; }; then systemctl restart named"
        case "":
            return f"ss -lnp 'sport = :{each.port}'"
        case _:
            return f"systemctl stop {each.process}"


def subnets(seen: Networks) -> Finding:
    """Whether two networks of the host overlap: then packets for one of them go the wrong way."""
    name = "subnets"
    placed = [
        (each.name, ip_interface(str(own)).network)
        for each in seen.links
        for own in each.addresses
        if ":" not in own.address and each.name != "lo" and own.prefix < 32
    ]
    routed = [
        (route.dev, ip_network(route.to, strict=False))
        for route in seen.routes
        if route.to != "default" and ":" not in route.to and route.via
    ]
    for at, (dev, net) in enumerate(placed):
        for other, beside in [*placed[at + 1 :], *routed]:
            if dev != other and net.overlaps(beside):
                proof = f"{net} of {dev} and {beside} of {other} overlap"
                return Finding(name, False, proof, "give one of both another subnet, and start its network again")
    return Finding(name, True, "those of the host do not overlap")


CHECKS: tuple[Callable[[Networks], Finding], ...] = (packet_filter, firewalld, forwarding, ports, subnets)
