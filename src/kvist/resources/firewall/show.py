"""Policies as a person reads them: line by line, and as the rules that the kernel has."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from kvist.host.firewall.tables import TABLE
from kvist.resources.firewall.policies import Said, read
from kvist.resources.firewall.policing import Target
from kvist.specs.policy import GROUP, Policy

if TYPE_CHECKING:
    from kvist.host.hand import Hand
    from kvist.resources.hosts.host import Host


class Line(NamedTuple):
    """One line of a policy; what has a number can be removed by it. `packets` is how many it decided about."""

    number: int | None
    line: str
    of: str
    packets: int | None


class InKernel(NamedTuple):
    """One rule of the kernel's."""

    card: str
    chain: str
    line: str
    packets: int | None
    rule: str


def lines(host: Host, target: Target) -> list[Line]:
    """Give what a VM or a group says, and what the groups of a VM add to it."""
    own = target.policy
    said = Said(host.site)
    members = said.members(target.group) if target.group else [said.guests[target.name]]
    macs = {str(card.mac).replace(":", "") for guest in members for card in guest.judged}
    counted: dict[str, int] = {}
    for chain, text, packets, _ in _kernel(host.site.hand):
        if chain.rpartition("_")[2] in macs and packets is not None:
            counted[text] = counted.get(text, 0) + packets
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
    cards = {str(card.mac).replace(":", ""): str(card.mac) for guest in members for card in guest.judged}
    return [
        InKernel(cards[chain.rpartition("_")[2]], chain.partition("_")[0], line, packets, text)
        for chain, line, packets, text in _kernel(host.site.hand)
        if chain.rpartition("_")[2] in cards
    ]


def _kernel(hand: Hand) -> Iterator[tuple[str, str, int | None, str]]:
    """Go through the kernel's rules: chain, line of the policy, packets, and the rule in nft's own words."""
    for family in ("bridge", "inet"):
        told = hand.run(["nft", "-j", "list", "table", family, TABLE], check=False)
        plain = hand.run(["nft", "list", "table", family, TABLE], check=False)
        if told.code or plain.code:
            continue
        texts = _texts(plain.text)
        for each in json.loads(told.text)["nftables"]:
            if rule := each.get("rule"):
                chain = str(rule["chain"])
                text = next(texts[chain], "")
                yield chain, str(rule.get("comment", "")), _packets(rule.get("expr", [])), f"{family} {text}"


def _packets(expressions: list[dict[str, Any]]) -> int | None:
    return next((int(one["counter"]["packets"]) for one in expressions if "counter" in one), None)


def _texts(listing: str) -> dict[str, Iterator[str]]:
    """Sort the lines of a listing by chain; both forms have the rules in the same order."""
    found: dict[str, list[str]] = {}
    chain = ""
    for line in listing.splitlines():
        words = line.split()
        if words[:1] == ["chain"]:
            chain = words[1]
            found[chain] = []
        elif words == ["}"]:
            chain = ""
        elif chain and words and words[0] != "type":
            found[chain].append(" ".join(words))
    return {name: iter(rules) for name, rules in found.items()}
