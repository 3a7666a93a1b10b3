"""Whose a rule in the packet filter of a host is: told by the names that each gives to its tables and chains."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kvist.host.firewall.ruleset import Chain, Rule, Ruleset

LIBVIRT = "libvirt"
OURS = "kvist"
FILTER = "nwfilter"
DOCKER = "Docker"
FIREWALLD = "firewalld"
UFW = "ufw"
NWFILTER_CHAINS = ("libvirt-", "FI-", "FO-", "HI-", "FJ-", "FP-", "HJ-", "HP-", "I-", "O-", "P-")
"""How libvirt's nwfilter driver names its chains. Source: libvirt, src/nwfilter/nwfilter_ebiptables_driver.c."""


def owner(where: Rule | Chain, rules: Ruleset) -> str:
    """Tell whose a rule or chain is: libvirt, nwfilter, kvist, Docker, firewalld, ufw; empty when nobody is known."""
    name = getattr(where, "chain", "") or getattr(where, "name", "")
    if where.table in ("kvist", "kvist-fw"):
        return OURS
    if name.startswith("LIBVIRT_") or where.table.startswith("libvirt_network"):
        return LIBVIRT
    if name.startswith(NWFILTER_CHAINS):
        return FILTER
    if where.table == "firewalld":
        return FIREWALLD
    if name.startswith("ufw"):
        return UFW
    if name.startswith("DOCKER"):
        return DOCKER
    if (where.family, where.table, name) == ("ip", "filter", "FORWARD"):
        # Both set its policy to drop, and neither has a chain of its own that would say so.
        return DOCKER if rules.has("DOCKER") else UFW if rules.has("ufw") else ""
    return UFW if name in ("INPUT", "OUTPUT") and rules.has("ufw") else ""
