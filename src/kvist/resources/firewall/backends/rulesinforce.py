"""The rules that the kernel has of a card's filter, and the lines of the policy that they are from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from kvist.host.firewall.cardchains import FROM, TO, Installed, installed
from kvist.resources.firewall.backends.backend import InKernel

if TYPE_CHECKING:
    from kvist.host.hand import Hand
    from kvist.resources.firewall.backends.policyfilter import Row

NEEDED = {(version, chain) for version in ("ip", "ip6") for chain in ("FORWARD", "INPUT", "FI", "FO", "HI")}
WAYS = {FROM: ("out", "inout"), TO: ("in", "inout")}


def missing(hand: Hand, wanted: Mapping[str, Sequence[Row]]) -> set[str]:
    """Find the interfaces whose rules are not all in the kernel."""
    if not wanted:
        return set()
    have = installed(hand)
    return {tap for tap, rows in wanted.items() if _lacks([one for one in have if one.tap in (tap, "")], rows)}


def _lacks(have: list[Installed], rows: Sequence[Row]) -> bool:
    for chain in (FROM, TO):
        if sum(one.chain == chain for one in have) != len(_frames(rows, chain)):
            return True
    chains = {(one.text.partition(" ")[0], one.chain) for one in have}
    return any(not row.on_ethernet for row in rows) and not chains >= NEEDED


def _frames(rows: Sequence[Row], chain: str) -> list[Row]:
    return [row for row in rows if row.on_ethernet and row.direction in WAYS[chain]]


def rules(hand: Hand, wanted: Mapping[str, tuple[str, Sequence[Row]]]) -> Iterator[InKernel]:
    """Go through the rules of interfaces, each with its card and what its filter says."""
    have = installed(hand)
    for tap, (mac, rows) in wanted.items():
        ours = [one for one in have if one.tap == tap]
        for chain in (FROM, TO):
            # Comments are for rules about packets alone; these are in the order in which they were given.
            found, said = [one for one in ours if one.chain == chain], _frames(rows, chain)
            lines = [row.line for row in said] if len(said) == len(found) else [""] * len(found)
            yield from (_shown(mac, one, line) for one, line in zip(found, lines, strict=True))
        yield from (_shown(mac, one, one.comment) for one in ours if one.chain not in (FROM, TO))


def _shown(mac: str, one: Installed, line: str) -> InKernel:
    return InKernel(mac, f"{one.chain}-{one.tap}", line, one.packets, one.text)
