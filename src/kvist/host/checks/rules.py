"""Whether the packet filters of a host let networks work: two at once, firewalld, what Docker and others drop."""

from __future__ import annotations

import re
from ipaddress import ip_interface
from typing import TYPE_CHECKING

from kvist.host.checks.finding import Act, Anew, Finding, LetBy, Remedy, Typed, Written, by_hand
from kvist.host.checks.networks import CONFIG, Networks
from kvist.host.firewall.iptables import parse as saved
from kvist.host.firewall.owners import LIBVIRT, OURS, owner
from kvist.host.firewall.packets import Fate, Packet, stops
from kvist.host.firewall.passes import Pass, ways
from kvist.host.net.passage import BRIDGED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kvist.host.checks.seen import Seen
    from kvist.host.net.links import Link

ANYBODY = "192.0.2.1"
"""Stands for a host outside. Source: RFC 5737."""
LIBVIRTS = "LIBVIRT_"


def packet_filter(seen: Seen) -> Finding:
    """Whether one packet filter decides: rules of iptables-legacy and of nftables do not see each other."""
    name, at = "packet filter", seen.networks
    if at.unread:
        return Finding(name, None, f"the rules cannot be read: {at.unread}")
    # kvist's own tables are made for living beside either of them.
    new = sorted(
        {f"{chain.family} {chain.table}" for chain in at.rules.chains.values() if not chain.table.startswith("kvist")}
    )
    if at.legacy and new:
        held = ", ".join(program.removesuffix("-save") for program in at.legacy)
        return Finding(name, False, f"rules of {held} beside {', '.join(new)} of nftables", _one_filter(at))
    if at.variant == "legacy" and new:
        return Finding(
            name, False, f"iptables is the legacy one, and {', '.join(new)} are of nftables", _one_filter(at)
        )
    return Finding(name, True, f"iptables by {at.variant}" if at.variant else "nftables alone: there is no iptables")


def _one_filter(at: Networks) -> Remedy:
    """Let nftables be the only one: the programs for it, libvirt's rules made by them, and its old ones taken out."""
    acts: list[Act] = []
    for each in at.choices:
        if each.nft and each.value != each.nft:
            back = ("--auto", each.name) if each.auto else ("--set", each.name, each.value)
            acts.append(
                Typed(
                    ("update-alternatives", "--set", each.name, each.nft),
                    ("update-alternatives", *back),
                )
            )
    words = []
    if at.variant == "legacy" and not acts:
        words.append("take the iptables that works by nftables (package iptables-nft)")
    acts.append(Anew(at.daemon, at.systemd))
    foreign = False
    for program, said in at.legacy.items():
        ours = "".join(f"{line}\n" for line in said.splitlines() if LIBVIRTS not in line)
        if ours != said:
            restore = f"{program.removesuffix('-save')}-restore"
            shown = f"{program} | grep -v {LIBVIRTS} | {restore}"
            acts.append(Typed((restore,), (restore,), ours, said, shown))
        chains = saved(ours).chains.values()
        foreign = foreign or not said or any(chain.rules or chain.policy == "drop" for chain in chains)
    if foreign:
        whose = "Docker (its containers stop meanwhile)" if any("DOCKER" in said for said in at.legacy.values()) else ""
        words.append(
            f"start {whose or 'what made them'} anew: {', '.join(at.legacy)} shows rules that are not libvirt's; "
            "they go for good when the host is started anew"
        )
    return Remedy(tuple(acts), ", and ".join(words))


def firewalld(seen: Seen) -> Finding:
    """Whether firewalld, where it runs, works as libvirt needs it."""
    name, at = "firewalld", seen.networks
    if not at.firewalld:
        return Finding(name, True, "it does not run")
    if at.firewalld == "iptables" and at.variant == "nf_tables":
        what = "its back-end is iptables, which flushes the rules of others at a reload"
        return Finding(name, False, what, _backend(at))
    if not at.zone:
        what = "it has no zone libvirt, so that guests get no address"
        return Finding(name, False, what, by_hand("apt install libvirt-daemon-system"))
    return Finding(name, True, f"back-end {at.firewalld}, and it has the zone libvirt")


def _backend(at: Networks) -> Remedy:
    text = re.sub(r"^\s*FirewallBackend\s*=.*$", "FirewallBackend=nftables", at.firewalld_conf, flags=re.MULTILINE)
    shown = f"sed -i s/^FirewallBackend=.*/FirewallBackend=nftables/ {CONFIG}"
    change = Written(CONFIG, at.firewalld_conf, text, shown)
    if not at.systemd:
        return Remedy((change,), f"start firewalld anew, and {at.daemon} behind it")
    return Remedy((change, Anew("firewalld"), Anew(at.daemon)))


def forwarding(seen: Seen) -> Finding:
    """Whether somebody drops what bridges of guests forward: Docker does, by the policy of FORWARD."""
    name, at = "forwarded packets", seen.networks
    if at.unread:
        return Finding(name, None, f"the rules cannot be read: {at.unread}")
    proofs, acts = list[str](), list[Act]()
    for bridge in at.bridges:
        for found in _stopping(at, bridge):
            proofs.append(f"packets of {bridge.name}: {found.proof}")
            acts += _let_by(at, found, bridge.name)
    if proofs:
        whose = "Docker's rules stop" if at.rules.has("DOCKER") else "somebody stops"
        return Finding(name, False, f"{whose} {', and '.join(proofs)}", Remedy(tuple(dict.fromkeys(acts))))
    names = ", ".join(each.name for each in at.bridges)
    return Finding(name, True, f"nobody stops those of {names}" if names else "there is no bridge of guests yet")


def _stopping(at: Networks, bridge: Link) -> Iterator[Fate]:
    if bridge.addresses == () and at.switches.get(BRIDGED) != "1":
        return
    for found in stops(at.rules, "forward", _leaving(bridge, at)):
        # What a network's mode or a VM's own policy forbids is meant so.
        where = found.rule or found.chain
        if found.sure and where is not None and owner(where, at.rules) not in (LIBVIRT, OURS):
            yield found


def _let_by(at: Networks, found: Fate, bridge: str) -> list[Act]:
    way = ways(found, at.rules, bridge)
    return [LetBy(way)] if isinstance(way, Pass) else [Typed(*told) for told in way]


def _leaving(bridge: Link, at: Networks) -> Packet:
    """Give a packet that a guest on a bridge sends out: routed by the host, or past it where it has no address."""
    own = next((each for each in bridge.addresses if ":" not in each.address), None)
    out = next((each.dev for each in at.routes if each.to == "default"), "uplink")
    if own is None:
        return Packet(ANYBODY, ANYBODY, bridge.name, bridge.name, "tcp", 40000, 443)
    host = ip_interface(str(own))
    guest = next(each for each in host.network.hosts() if each != host.ip)
    return Packet(str(guest), ANYBODY, bridge.name, out, "tcp", 40000, 443)
