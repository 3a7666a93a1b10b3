"""The kernel's neighbour table: which MAC has which address on the networks of this machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kvist.host.run import run


def neighbours(prefix: Sequence[str] = ()) -> list[tuple[str, str]]:
    """List MAC and address of every neighbour that answered; `prefix` runs the look-up in another network namespace."""
    return [_pair(one) for one in _listed(prefix) if not {"FAILED", "INCOMPLETE"} & set(one.get("state", ()))]


def reachable(prefix: Sequence[str] = ()) -> set[tuple[str, str]]:
    """List MAC and address of the neighbours that have answered within the last half minute or so.

    Source: arp(7), base_reachable_time.
    """
    return {_pair(one) for one in _listed(prefix) if "REACHABLE" in one.get("state", ())}


def _listed(prefix: Sequence[str]) -> list[dict[str, Any]]:
    import json

    listed = json.loads(run([*prefix, "ip", "-j", "neigh"]).text or "[]")
    return [one for one in listed if one.get("lladdr")]


def _pair(one: dict[str, Any]) -> tuple[str, str]:
    return one["lladdr"].lower(), one["dst"]
