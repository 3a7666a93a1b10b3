"""A change of policies that is taken back unless somebody confirms it in time: what is known of it, on the host."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple, Self

if TYPE_CHECKING:
    from kvist.host.hand import Hand

NOTE = "/run/kvist/firewall-unconfirmed"


class Unconfirmed(NamedTuple):
    """The change, when its time is up, and what was before."""

    token: str
    due: float
    """In seconds since 1970."""
    before: tuple[tuple[str, tuple[str, ...]], ...]
    """VMs, or `group:NAME`, and the lines of their policies."""
    filters: tuple[tuple[str, ...], ...] = ()
    """Filters that were taken off: VM, MAC address of the card, `live` or `next boot`, filter, and its variables."""

    @property
    def text(self) -> str:
        return json.dumps(self._asdict()) + "\n"

    @classmethod
    def parse(cls, text: str) -> Self:
        told = json.loads(text)
        before = tuple((str(name), tuple(map(str, lines))) for name, lines in told["before"])
        filters = tuple(tuple(map(str, words)) for words in told.get("filters", ()))
        return cls(str(told["token"]), float(told["due"]), before, filters)


def read(hand: Hand) -> Unconfirmed | None:
    """Give the change that waits to be confirmed; None where none does."""
    text = hand.read(NOTE)
    return Unconfirmed.parse(text) if text else None


def write(hand: Hand, change: Unconfirmed) -> None:
    """Write down that a change waits to be confirmed."""
    hand.write(NOTE, change.text, mode=0o600)


def forget(hand: Hand) -> None:
    """Let no change wait any more."""
    hand.remove(NOTE)
