"""From the guest's card to the bridge: what the host alone can see."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvist.host.firewall.packets import Fate, Packet, through
from kvist.resources.netview.diagnosis.findings import Seen, check

if TYPE_CHECKING:
    from kvist.resources.netview.diagnosis.situation import Situation

LAYER2 = ("libvirt-I-{}", "libvirt-O-{}")
LAYER3 = ("FI-{}", "FO-{}", "HI-{}")
"""Chains that libvirt's nwfilter driver makes for a tap: of ebtables; of iptables from the guest, to it, to the host.

Source: libvirt, src/nwfilter/nwfilter_ebiptables_driver.c.
"""


@check("power")
def power(at: Situation) -> Seen:
    if at.state == "running":
        return Seen(True, f'VM "{at.vm}" runs')
    act = "resume" if at.state in ("paused", "suspended") else "start"
    return Seen(False, f'VM "{at.vm}" is {at.state}', f"kvist {act} {at.vm}")


@check("card")
def card(at: Situation) -> Seen:
    if at.card is None:
        return Seen(False, "it has no network card", f"kvist nic add {at.vm} default")
    what = f"{at.card.mac} on {at.card.type} {at.card.source}".strip()
    if at.card.network and at.net is None:
        return Seen(False, f'{what}: there is no network "{at.card.network}"', "kvist net ls")
    if at.net is not None and not at.net.active:
        return Seen(False, f"{what}: the network is not active", f"kvist net start {at.net.name}")
    return Seen(True, what + (f" ({at.net.mode})" if at.net else ""))


@check("link")
def link(at: Situation) -> Seen:
    if at.card is None:
        return Seen(None, "no card")
    if at.card.link:
        return Seen(True, "the cable is plugged in: link state up")
    return Seen(False, "the cable is pulled: link state down", f"kvist nic set {at.vm} {at.card.mac} --link up")


@check("port")
def port(at: Situation) -> Seen:
    """The tap on its bridge, both up, and a way out of a bridge that is nobody's but the host's."""
    if at.card is None or not at.card.running:
        return Seen(None, "no tap while the VM is off")
    if not at.bridge or not at.card.tap:
        return Seen(None, f"a card of type {at.card.type} is no port of a bridge")
    tap, bridge = at.link(at.card.tap), at.link(at.bridge)
    if at.net is not None and at.net.switch:
        return Seen(None, f"{at.card.tap} is a port of {at.net.switch} {at.bridge}")
    if bridge is None:
        mend = f"kvist net start {at.net.name}" if at.net else f"ip link add {at.bridge} type bridge"
        return Seen(False, f"there is no bridge {at.bridge}", mend)
    if tap is None:
        return Seen(False, f"there is no interface {at.card.tap}", f"kvist reboot {at.vm}")
    if tap.master != at.bridge:
        where = f"a port of {tap.master}" if tap.master else "no port of any bridge"
        return Seen(False, f"{tap.name} is {where}", f"ip link set {tap.name} master {at.bridge}")
    for each in (tap, bridge):
        if not each.up:
            return Seen(False, f"{each.name} is down", f"ip link set {each.name} up")
    return Seen(True, f"{tap.name} is a port of {bridge.name}, both are up")


@check("filter")
def nwfilter(at: Situation) -> Seen:
    """What the card's own filter would do with the packets that every guest needs."""
    if at.card is None or not at.card.running or not at.card.tap:
        return Seen(None, "no tap, no filter")
    if at.unread:
        return Seen(None, f"the rules cannot be read: {at.unread}")
    named = f'filter "{at.card.filter}"' if at.card.filter else "no filter"
    for what, found in _stopped(at):
        whose = f"{named} on {at.card.tap}" if at.card.filter else f"a rule of {at.card.tap}'s"
        return Seen(
            False,
            f"{whose} stops {what}: {found.proof}",
            f"kvist nic set {at.vm} {at.card.mac} --filter none" if at.card.filter else at.daemon.reload,
        )
    return Seen(True, f"{named} on {at.card.tap}" + (" lets ARP, DHCP, DNS and pings pass" if at.card.filter else ""))


def _stopped(at: Situation) -> list[tuple[str, Fate]]:
    """Walk packets that every guest sends and gets through the chains of the tap."""
    assert at.card is not None
    chains = LAYER2 + (LAYER3 if at.bridged else ())
    names = {form.format(at.card.tap): form for form in chains}
    found = []
    for chain in at.rules.chains.values():
        if chain.name not in names:
            continue
        towards = names[chain.name] in ("libvirt-O-{}", "FO-{}")
        for what, packet in _probes(at, towards=towards).items():
            if chain.family in ("ip", "ip6") and packet.ether == "arp":
                continue
            verdict = through(at.rules, chain, packet)
            if verdict.stopped and verdict.sure:
                found.append((f"{what} {'to' if towards else 'from'} the guest", verdict))
    return found


def _probes(at: Situation, *, towards: bool) -> dict[str, Packet]:
    own, host = at.address, next((each.address for each in at.net.inet), "") if at.net else ""
    peer = at.target or host
    if towards:
        return {
            "ARP": Packet(ether="arp"),
            "DHCP": Packet(host, own, proto="udp", sport=67, dport=68, state="established"),
            "DNS": Packet(host, own, proto="udp", sport=53, dport=40000, state="established"),
            "pings": Packet(peer, own, proto="icmp", state="established"),
        }
    sent = Packet(own, peer, mac=at.card.mac if at.card else "", proto="icmp")
    return {
        "ARP": Packet(ether="arp", mac=sent.mac),
        # Source: RFC 2131, 4.1: who has no address yet asks everybody, from nowhere.
        "DHCP": sent._replace(source="0.0.0.0", destination="255.255.255.255", proto="udp", sport=68, dport=67),  # noqa: S104
        "DNS": sent._replace(destination=host, proto="udp", sport=40000, dport=53),
        "pings": sent,
    }
