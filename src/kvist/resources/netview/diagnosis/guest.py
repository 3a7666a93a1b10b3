"""The guest's own side: its card, its address, its gateway, its name server, and the host's service for each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvist.host.firewall.packets import Packet, stops
from kvist.resources.netview.diagnosis.findings import Seen, check
from kvist.resources.netview.facts import inside, subnet
from kvist.resources.netview.wayout import holder, way_out

if TYPE_CHECKING:
    from kvist.resources.netview.diagnosis.situation import Situation

RENEW = {
    "networkctl": ("networkctl", "reconfigure", "{}"),
    "nmcli": ("nmcli", "device", "reapply", "{}"),
    "dhclient": ("sh", "-c", "dhclient -r {0}; dhclient {0}"),
    "dhcpcd": ("dhcpcd", "-n", "{}"),
    "udhcpc": ("sh", "-c", "killall -USR2 udhcpc; sleep 1; killall -USR1 udhcpc || udhcpc -i {0} -n -q"),
}
"""How each client asks for an address anew."""


def renew(at: Situation) -> str:
    """Give the line that lets the guest ask for its address and its servers anew."""
    client = at.guest.client if at.guest else ""
    if client not in RENEW:
        return f"in the guest: dhclient {at.device}"
    return at.exec(*(word.format(at.device) for word in RENEW[client]))


@check("guest card")
def up(at: Situation) -> Seen:
    """Whether the guest has set the card up: its own word, else whether anything ever came out of it."""
    if at.card is None or at.state != "running":
        return Seen(None, "no card of a running guest")
    if at.guest is None:
        return Seen(None, f"only the guest knows: {at.silent}")
    if at.guest.interface(at.card.mac) is None:
        return Seen(False, f"the guest has no card {at.card.mac}: its driver is missing", f"kvist reboot {at.vm}")
    link = at.guest.link(at.card.mac)
    if link is None:
        return Seen(True, f"the guest has it as {at.device}")
    if not link.up:
        note = f" ({', '.join(at.guest.onboot)})" if at.guest.onboot else ""
        return Seen(False, f"{link.name} is down in the guest{note}", at.exec("ip", "link", "set", link.name, "up"))
    carrier = "" if link.carrier else ", without a carrier"
    return Seen(link.carrier or None, f"{link.name} is up in the guest{carrier}")


@check("dhcp")
def dhcp(at: Situation) -> Seen:
    """Whether the network's DHCP server is there and hears the guest."""
    if at.net is None or not at.net.dhcp:
        return Seen(None, "libvirt gives out no addresses on it")
    own = [
        each
        for each in at.listeners
        if each.protocol == "udp" and each.port == 67 and each.interface in ("", at.bridge)
    ]
    if not own:
        return Seen(False, f"nobody listens on UDP port 67 of {at.bridge}: dnsmasq is dead", at.daemon.reload)
    asking = Packet("0.0.0.0", "255.255.255.255", at.bridge, "", "udp", 68, 67)  # noqa: S104 - so DHCP asks
    if stopped := stops(at.rules, "input", asking):
        first = stopped[0]
        return Seen(
            False if first.sure else None,
            f"{holder(first, at.rules)} stops what the guest asks the host: {first.proof}",
            way_out(first, at.rules, at.bridge, at.daemon, input=True),
        )
    return Seen(True, f"{own[0].process or 'somebody'} ({own[0].pid}) listens on UDP port 67 of {at.bridge}")


@check("address")
def address(at: Situation) -> Seen:
    if at.card is None or at.state != "running":
        return Seen(None, "no card of a running guest")
    if not at.addresses:
        if at.guest is None and not (at.net and at.net.dhcp):
            return Seen(None, f"only the guest knows: {at.silent}")
        past = [lease for lease in at.leases if lease.mac.lower() == at.card.mac and lease.expiry <= at.now]
        seen = f"the lease of {past[0].address} has run out" if past else "no lease, no neighbour of the host's"
        note = f"; {', '.join(at.guest.onboot)}" if at.guest and at.guest.onboot else ""
        told = f"{at.device} has no IPv4 address in the guest{note}" if at.guest else f"{seen}; {at.silent}"
        return Seen(False, told, renew(at))
    if at.net is not None and at.net.inet and not any(inside(each, at.net.inet) for each in at.addresses):
        nets = ", ".join(subnet(each) for each in at.net.inet)
        return Seen(False, f"{', '.join(at.addresses)} is outside of {nets}", renew(at))
    said = "the guest says so" if at.guest else "its lease, or the host's neighbour table"
    return Seen(True, f"{', '.join(at.addresses)} ({said})")


@check("gateway")
def gateway(at: Situation) -> Seen:
    """Whether the guest sends what is not for its own network to the host, and the host answers."""
    if at.isolated or at.local:
        return Seen(None, "none is needed: the network is isolated" if at.isolated else "none is needed: same network")
    right = next((each.address for each in at.net.inet), "") if at.net and at.forwards else ""
    if at.guest is None or not at.guest.ran:
        if right and any(where == at.address for _, where in at.neighbours):
            return Seen(None, f"the host has heard of {at.address}; the guest's routes are not known")
        return Seen(None, f"the guest's routes are not known: {at.silent or 'its agent runs no programs'}")
    default = [each for each in at.guest.routes if each.to == "default"]
    if not default:
        fix = at.exec("ip", "route", "replace", "default", "via", right) if right else renew(at)
        return Seen(False, "the guest has no default route", fix)
    via = default[0].via
    if right and at.net and via not in {each.address for each in at.net.inet}:
        return Seen(
            False,
            f"the guest's gateway is {via}, and the host is {right}",
            at.exec("ip", "route", "replace", "default", "via", right, "dev", at.device),
        )
    answers = at.guest.answers(via)
    if answers is False and right:
        asking = Packet(at.address, via, at.bridge, "", "icmp")
        stopped = stops(at.rules, "input", asking)
        return Seen(
            None,
            f"{via} does not answer the guest's pings" + (f": {stopped[0].proof}" if stopped else ""),
        )
    return Seen(True, f"default via {via}" + (", which answers the guest" if answers else ""))


@check("dns")
def dns(at: Situation) -> Seen:
    """Whether the guest has a name server, and that one answers."""
    host = next((each.address for each in at.net.inet), "") if at.net and at.net.dns else ""
    ours = host and (at.guest is None or not at.guest.ran or host in at.guest.resolvers)
    if ours:
        own = [
            each for each in at.listeners if each.port == 53 and each.protocol == "udp" and each.hears(host, at.bridge)
        ]
        if not own:
            return Seen(False, f"nobody listens on UDP port 53 of {host}: dnsmasq is dead", at.daemon.reload)
        if stopped := stops(at.rules, "input", Packet(at.address, host, at.bridge, "", "udp", 40000, 53)):
            return Seen(
                False if stopped[0].sure else None,
                f"{holder(stopped[0], at.rules)} stops what the guest asks {host}: {stopped[0].proof}",
                way_out(stopped[0], at.rules, at.bridge, at.daemon, input=True),
            )
    if at.guest is None or not at.guest.ran:
        return Seen(None, f"the guest's name servers are not known: {at.silent or 'its agent runs no programs'}")
    if not at.guest.resolvers:
        return Seen(False, "the guest knows no name server", _named(at, host) if host else renew(at))
    told = dict(at.guest.names)
    known = ", ".join(at.guest.resolvers)
    if told and not any(told.values()):
        return Seen(False, f"{known} gives the guest no answer", _named(at, host) if host else renew(at))
    return Seen(True if told else None, f"{known}" + (" answers the guest" if told else "; nobody asked it"))


def _named(at: Situation, host: str) -> str:
    """Give the line that makes the host the guest's name server: by its DHCP client where that minds the file."""
    if at.guest and at.guest.client in ("networkctl", "nmcli"):
        return renew(at)
    return at.exec("sh", "-c", f"echo nameserver {host} > /etc/resolv.conf")
