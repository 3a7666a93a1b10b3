"""Who stands in the way of a guest's packets, and the command that lets them by."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from kvist.host.firewall.packets import Fate
    from kvist.host.firewall.ruleset import Chain, Rule, Ruleset
    from kvist.host.hand import Hand

LIBVIRT = "libvirt"
OURS = "kvist"
FILTER = "nwfilter"
NWFILTER_CHAINS = ("libvirt-", "FI-", "FO-", "HI-", "FJ-", "FP-", "HJ-", "HP-", "I-", "O-", "P-")
"""How libvirt's nwfilter driver names its chains. Source: libvirt, src/nwfilter/nwfilter_ebiptables_driver.c."""
IPTABLES = {"ip": "iptables", "ip6": "ip6tables"}
TABLES = ("filter", "nat", "mangle", "raw", "security")


class Daemon(NamedTuple):
    """The daemon that makes libvirt's rules, and who runs it."""

    name: str = "libvirtd"
    systemd: bool = True

    @property
    def reload(self) -> str:
        """Make it write its rules anew and start a dnsmasq that has died; no guest notices."""
        return f"systemctl reload-or-restart {self.name}" if self.systemd else f"pkill -HUP -x {self.name}"

    @property
    def restart(self) -> str:
        """Make it write its chains anew too; guests go on."""
        if self.systemd:
            return f"systemctl restart {self.name}"
        return f"pkill -x {self.name}; sleep 2; pgrep -x {self.name} || {self.name} -d"


def daemon(hand: Hand) -> Daemon:
    """Look which daemon that is."""
    from kvist.host.net.passage import daemon as running

    return Daemon(*running(hand))


def owner(where: Rule | Chain, rules: Ruleset) -> str:
    """Tell whose a rule or chain is: libvirt, nwfilter, kvist, Docker, firewalld, ufw; empty when nobody is known."""
    name = getattr(where, "chain", "") or getattr(where, "name", "")
    if where.table == "kvist":
        return OURS
    if name.startswith("LIBVIRT_") or where.table.startswith("libvirt_network"):
        return LIBVIRT
    if name.startswith(NWFILTER_CHAINS):
        return FILTER
    if where.table == "firewalld":
        return "firewalld"
    if name.startswith("ufw"):
        return "ufw"
    if name.startswith("DOCKER"):
        return "Docker"
    if (where.family, where.table, name) == ("ip", "filter", "FORWARD"):
        # Both set its policy to drop, and neither has a chain of its own that would say so.
        return "Docker" if rules.has("DOCKER") else "ufw" if rules.has("ufw") else ""
    return "ufw" if name in ("INPUT", "OUTPUT") and rules.has("ufw") else ""


def holder(found: Fate, rules: Ruleset) -> str:
    """Tell in words who stops a packet."""
    where = found.rule or found.chain
    whose = owner(where, rules) if where is not None else ""
    return whose or (f"table {where.family} {where.table}" if where is not None else "nobody")


def way_out(found: Fate, rules: Ruleset, bridge: str, made_by: Daemon, *, input: bool = False) -> str:
    """Give the command that lets the packets of a bridge past the chain that stops them.

    An accept ends one chain alone: it goes into the chain where the packets came in by a hook, ahead of all.
    """
    if found.chain is None:
        return ""
    whose = holder(found, rules)
    if whose in (LIBVIRT, FILTER):
        return made_by.reload
    if whose == "firewalld":
        change = f"--zone=libvirt --change-interface={bridge}"
        return f"firewall-cmd --permanent {change} && firewall-cmd {change}"
    if whose == "ufw":
        return (
            f"ufw allow in on {bridge}"
            if input
            else f"ufw route allow in on {bridge} && ufw route allow out on {bridge}"
        )
    base = rules.base(found.chain)
    directions = ("i",) if input else ("i", "o")
    if base.family in IPTABLES and base.table in TABLES:
        chain = "DOCKER-USER" if whose == "Docker" and not input and rules.has("DOCKER-USER") else base.name
        tool = IPTABLES[base.family]
        table = "" if base.table == "filter" else f"-t {base.table} "
        return " && ".join(f"{tool} {table}-I {chain} -{one} {bridge} -j ACCEPT" for one in directions)
    place = f"{base.family} {base.table} {base.name}"
    return " && ".join(f"nft insert rule {place} {one}ifname {bridge} accept" for one in directions)
