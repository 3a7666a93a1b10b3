"""Policies as a person reads them: line by line, and as the rules that the kernel has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from kvist.resources.firewall.backends.backend import InKernel, chosen
from kvist.resources.firewall.policies import Said, read
from kvist.resources.firewall.policing import Target
from kvist.specs.policy import GROUP, Policy

if TYPE_CHECKING:
    from kvist.resources.hosts.host import Host


class Line(NamedTuple):
    """One line of a policy; what has a number can be removed by it. `packets` is how many it decided about."""

    number: int | None
    line: str
    of: str
    packets: int | None


def lines(host: Host, target: Target) -> list[Line]:
    """Give what a VM or a group says, and what the groups of a VM add to it."""
    own = target.policy
    said = Said(host.site)
    members = said.members(target.group) if target.group else [said.guests[target.name]]
    macs = {str(card.mac) for guest in members for card in guest.judged}
    counted: dict[str, int] = {}
    for rule in chosen(host.site).kernel(host.site, said):
        if rule.card in macs and rule.packets is not None:
            counted[rule.line] = counted.get(rule.line, 0) + rule.packets
    rows = list(_numbered(own, target.name, counted))
    for name in () if target.group else sorted(said.guests[target.name].groups):
        rows += [row._replace(number=None) for row in _numbered(read(said.groups[name].policy), GROUP + name, counted)]
    return rows


def _numbered(policy: Policy, of: str, counted: dict[str, int]) -> Iterator[Line]:
    if not policy.lines:
        return
    for line in policy.lines[: len(policy.lines) - len(policy.rules)]:
        if not line.startswith("default "):
            yield Line(None, line, of, counted.get(line.partition(" ")[0]))
    for number, rule in enumerate(policy.rules, 1):
        yield Line(number, str(rule), of, counted.get(str(rule), 0 if not policy.off else None))
    for way, verdict in (("in", policy.incoming), ("out", policy.outgoing)):
        line = f"default {way}={verdict}"
        yield Line(None, line, of, counted.get(line))


def in_kernel(host: Host, target: Target) -> list[InKernel]:
    """Give the rules that the kernel has for each card, in the order in which a packet meets them."""
    target.policy  # noqa: B018 - it raises where there is none
    said = Said(host.site)
    members = said.members(target.group) if target.group else [said.guests[target.name]]
    cards = {str(card.mac) for guest in members for card in guest.judged}
    return [rule for rule in chosen(host.site).kernel(host.site, said) if rule.card in cards]
