"""Who stands in the way of a guest's packets, and the command that lets them by."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from kvist.host.firewall.owners import FILTER, LIBVIRT, owner
from kvist.host.firewall.passes import Pass, ways

if TYPE_CHECKING:
    from kvist.host.firewall.packets import Fate
    from kvist.host.firewall.ruleset import Ruleset
    from kvist.host.net.passage import Daemon


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
    way = ways(found, rules, bridge, input=input)
    if isinstance(way, Pass):
        return " && ".join(shlex.join(way.rule(side, "insert")) for side in ("i" if input else "io"))
    return " && ".join(shlex.join(told.argv) for told in way)
