"""From the bridge out into the world and back: what the kernel of the host does with the guest's packets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvist.host.firewall.packets import Fate, Packet, stops, translated
from kvist.host.net.passage import FORWARD
from kvist.resources.netview.diagnosis.findings import Seen, check
from kvist.resources.netview.facts import subnet
from kvist.resources.netview.wayout import holder, way_out

if TYPE_CHECKING:
    from kvist.resources.netview.diagnosis.situation import Situation

NOT_HERE = "the host forwards nothing for it"


def _within(at: Situation) -> str:
    """Say why nothing has to be forwarded; empty when it has."""
    if at.net is None or not at.forwards:
        return NOT_HERE if at.net is None else f"{NOT_HERE}: the network's mode is {at.net.mode}"
    return f"{NOT_HERE}: {at.target} is on the network itself" if at.local else ""


@check("ip_forward")
def forwarding(at: Situation) -> Seen:
    if why := _within(at):
        return Seen(None, why)
    key = FORWARD.replace("/", ".")
    if at.forwarding == "1":
        return Seen(True, f"{key} = 1")
    return Seen(False, f"{key} = {at.forwarding or '?'}", "kvist host set --ip-forward")


@check("route")
def route(at: Situation) -> Seen:
    """Whether the host itself knows the way, and gets an answer."""
    if not at.target:
        return Seen(None, "the host has no default route, and no address is named: --to ADDRESS")
    if at.way is None:
        gateway = "ip route add default via GATEWAY" if at.asked else "ip route"
        return Seen(False, f"the host has no route to {at.target}", gateway)
    by = f"by {at.way.dev}" + (f" via {at.way.via}" if at.way.via else "")
    note = ", and it answers the host" if at.reached else ", and it answers no ping of the host's"
    return Seen(True if at.reached else None, f"{at.target} {by}{note}")


@check("nat")
def nat(at: Situation) -> Seen:
    """Whether the guest's address is changed for the host's where the network promises it."""
    if why := _within(at):
        return Seen(None, why)
    assert at.net is not None
    if at.net.mode != "nat":
        return Seen(None, f"mode {at.net.mode} leaves addresses as they are")
    if not at.target or at.way is None:
        return Seen(None, "no address to send a packet to")
    if at.unread:
        return Seen(None, f"the rules cannot be read: {at.unread}")
    told = [
        (proto, translated(at.rules, at.outgoing._replace(proto=proto, dport=None if proto == "icmp" else 443)))
        for proto in ("icmp", "tcp", "udp")
    ]
    bare = [proto for proto, fate in told if fate.action == "accept"]
    if bare:
        known = at.rules.has("LIBVIRT_PRT") or bool(at.rules.table("ip", "libvirt_network"))
        return Seen(
            False,
            f"no rule gives {', '.join(bare)} of {subnet(at.net.inet[0])} the host's address",
            at.daemon.reload if known else at.daemon.restart,
        )
    return Seen(True, told[0][1].proof)


@check("firewall")
def firewall(at: Situation) -> Seen:
    """Whether a first packet of the guest's passes what the host filters."""
    return _passes(at, at.outgoing, "on their way out", "input" if at.way and at.way.dev == "lo" else "forward")


@check("return")
def returning(at: Situation) -> Seen:
    """Whether the answer passes; and whether it came, where the guest has asked."""
    found = _passes(at, at.returning, "on their way back", "output" if at.way and at.way.dev == "lo" else "forward")
    if found.ok is False or not at.target or at.guest is None:
        return found
    heard = at.guest.answers(at.target)
    if heard:
        return Seen(True, f"{at.target} answers the guest")
    if heard is False and at.reached and at.forwards and not at.local and at.net is not None:
        if at.net.mode == "nat":
            return Seen(False, f"{at.target} answers the host, and not the guest", "kvist net rules " + at.net.name)
        source = at.way.source if at.way else "HOST"
        back = f"ip route add {subnet(at.net.inet[0])} via {source}"
        return Seen(False, f"{at.target} answers the host, and not the guest: it has no route back", f"there: {back}")
    return Seen(None, f"{at.target} answers no ping of the guest's" if heard is False else found.proof)


def _passes(at: Situation, packet: Packet, which: str, hook: str) -> Seen:
    if at.unread:
        return Seen(None, f"the rules cannot be read: {at.unread}")
    if at.isolated:
        return Seen(None, "nothing is to leave an isolated network")
    if not at.bridge or not at.target or (at.forwards and at.way is None):
        return Seen(None, "no address to send a packet to")
    if (not at.forwards or at.local) and not at.bridged and hook == "forward":
        return Seen(None, "packets between the ports of a bridge come by no rule of the host")
    found: list[Fate] = stops(at.rules, hook, packet)
    if found:
        first = found[0]
        fixes = dict.fromkeys(way_out(each, at.rules, at.bridge, at.daemon) for each in found if each.sure)
        return Seen(
            False if first.sure else None,
            f"{holder(first, at.rules)} stops packets {which}: {first.proof}",
            " && ".join(fix for fix in fixes if fix),
        )
    return Seen(True, f"no chain stops {packet.words}")
