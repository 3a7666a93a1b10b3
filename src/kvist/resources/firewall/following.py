"""What else changes when a VM does: the firewall, which knows its cards and the groups that it is in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from kvist.errors import Unsupported

if TYPE_CHECKING:
    from kvist.engine.step import Site, Step


def followed(at: Site, steps: Sequence[Step]) -> Iterator[Step]:
    """Give steps that change what the firewall knows of a VM, and those that let it follow, on a host that has one."""
    if steps and _has_firewall(at):
        from kvist.resources.steps.firewall import judges

        back, forth = judges(at)
        yield from (back, *steps, forth)
    else:
        yield from steps


def _has_firewall(at: Site) -> bool:
    from kvist.host.firewall import restoring

    try:
        return any(at.hand.read(path) is not None for path in (restoring.FIREWALL, restoring.FILTERS))
    except Unsupported:
        # Where no program of the host's can be run, none has made a firewall.
        return False
