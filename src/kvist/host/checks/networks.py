"""What was seen of a host's networks: its packet filters, what guards them, its links, and who listens."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from kvist.errors import CommandFailed, Denied, Unsupported
from kvist.host.firewall.iptables import parse as saved
from kvist.host.firewall.ruleset import EMPTY, Ruleset, ruleset
from kvist.host.net.links import Link, Route, links, routes
from kvist.host.net.listeners import Listener, listeners
from kvist.host.net.passage import asked, daemon, switches

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kvist.host.hand import Hand

CONFIG = "/etc/firewalld/firewalld.conf"
ZONES = ("/usr/lib/firewalld/zones", "/etc/firewalld/zones")
FILTERS = ("iptables", "ip6tables", "arptables", "ebtables")
"""Programs of which a host may have two: one for the kernel's old filters, one for nftables."""
DNSMASQ = "/etc/dnsmasq.d"
APART = f"{DNSMASQ}/libvirt.conf"


class Choice(NamedTuple):
    """One program of several that do the same, as update-alternatives(1) has it."""

    name: str
    value: str
    auto: bool
    """Nobody has chosen it: the best one is taken."""
    nft: str
    """The one for nftables; empty where there is none."""


class Networks(NamedTuple):
    """What was seen of a host's networks."""

    rules: Ruleset = EMPTY
    unread: str = ""
    """Why the rules could not be read; empty when they were."""
    legacy: Mapping[str, str] = {}
    """What the old packet filter says beside nftables: by the program that says it, iptables-legacy-save."""
    variant: str = ""
    """What `iptables -V` says: legacy or nf_tables; empty where there is none."""
    choices: tuple[Choice, ...] = ()
    """Of programs that set packet filters; looked at where the old one is in use."""
    firewalld: str = ""
    """Its back-end where it runs: nftables or iptables."""
    zone: bool = False
    """Whether firewalld has libvirt's zone."""
    firewalld_conf: str = ""
    links: tuple[Link, ...] = ()
    routes: tuple[Route, ...] = ()
    listeners: tuple[Listener, ...] = ()
    switches: Mapping[str, str] = {}
    daemon: str = "libvirtd"
    """The one of libvirt's that makes the rules of networks."""
    systemd: bool = True
    """Whether systemd runs the services of the host."""
    dnsmasq: str | None = None
    """What its file for libvirt's sake says, where the host has a dnsmasq of its own."""

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
    variant = kind[1] if kind else ""
    legacy = _legacy(hand)
    active = asked(hand, "pidof", "-x", "firewalld") is not None
    conf = (hand.read(CONFIG) or "") if active else ""
    backend = re.search(r"^\s*FirewallBackend\s*=\s*(\w+)", conf, re.MULTILINE)
    name, systemd = daemon(hand)
    return Networks(
        rules=rules,
        unread=unread,
        legacy=legacy,
        variant=variant,
        choices=tuple(_choices(hand)) if legacy or variant == "legacy" else (),
        firewalld=(backend[1] if backend else "nftables") if active else "",
        zone=any("libvirt.xml" in hand.names(zones) for zones in ZONES) if active else False,
        firewalld_conf=conf,
        links=tuple(links(hand)) if hand.has("ip") else (),
        routes=tuple(routes(hand)) if hand.has("ip") else (),
        listeners=tuple(listeners(hand)) if hand.has("ss") else (),
        switches=switches(hand),
        daemon=name,
        systemd=systemd,
        dnsmasq=hand.read(APART),
    )


def _legacy(hand: Hand) -> dict[str, str]:
    """Read the old packet filter, where it has a rule or a policy that drops: its empty tables are in nobody's way."""
    found: dict[str, str] = {}
    for tables, program in (("ip", "iptables-legacy-save"), ("ip6", "ip6tables-legacy-save")):
        # Root's to read, as the rules themselves are.
        if not (asked(hand, "cat", f"/proc/net/{tables}_tables_names") or "").strip():
            continue
        said = asked(hand, program)
        if said is None:
            # Loaded, and by whatever program: what is in them cannot be told.
            found[program] = ""
        elif any(chain.rules or chain.policy == "drop" for chain in saved(said).chains.values()):
            found[program] = said
    return found


def _choices(hand: Hand) -> list[Choice]:
    found = []
    for name in FILTERS:
        told = asked(hand, "update-alternatives", "--query", name) or ""
        value = re.search(r"^Value: (\S+)$", told, re.MULTILINE)
        if value is None:
            continue
        nft = next((path for path in re.findall(r"^Alternative: (\S+)$", told, re.MULTILINE) if "-nft" in path), "")
        found.append(Choice(name, value[1], "Status: auto" in told, nft))
    return found
