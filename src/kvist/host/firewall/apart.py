"""Marks of the kernel hold half a MAC address: cards that end alike would be one to the rules."""

from __future__ import annotations

from collections.abc import Iterable

from kvist.errors import Conflict


def check_apart(cards: Iterable[tuple[str, str]], what: str) -> None:
    """Raise Conflict when two of the cards, each a MAC address and its VM, have the same last three bytes."""
    by_tail: dict[str, tuple[str, str]] = {}
    for mac, vm in cards:
        other, theirs = by_tail.setdefault(mac.lower()[9:], (mac, vm))
        if other.lower() != mac.lower():
            raise Conflict(
                f'{what} cannot tell card {mac} of VM "{vm}" from card {other} of VM "{theirs}": their addresses end '
                "alike, and the kernel marks packets by the last three bytes",
                hint=f"kvist nic remove {vm} {mac} && kvist nic add {vm} NETWORK",
            )
