"""The checks of a host: one look at all of it, then each check of what was seen.

A new check is a function of what was seen that gives a Finding, and a line in CHECKS; order there is order in the
answer. What it needs to see, `look` of the module beside it sees.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from kvist.host.checks import claims, confinement, networks, rules, virtualisation
from kvist.host.checks.confinement import Confinement
from kvist.host.checks.networks import Networks
from kvist.host.checks.virtualisation import Processor

if TYPE_CHECKING:
    from kvist.host.checks.finding import Finding
    from kvist.host.hand import Hand


class Seen(NamedTuple):
    """What was seen of a host."""

    processor: Processor = Processor()
    confinement: Confinement = Confinement()
    networks: Networks = Networks()


Check = Callable[[Seen], "Finding"]

CHECKS: tuple[Check, ...] = (
    virtualisation.processor,
    virtualisation.module,
    virtualisation.device,
    virtualisation.permission,
    virtualisation.guest,
    confinement.confined,
    rules.packet_filter,
    rules.firewalld,
    rules.forwarding,
    claims.ports,
    claims.subnets,
)


def look(hand: Hand, *, sandbox: bool = False) -> Seen:
    """Look at everything once."""
    # The kernel's log is the machine's, and nothing confines the guests of a sandbox but the sandbox.
    held = Confinement() if sandbox else confinement.look(hand)
    return Seen(virtualisation.look(hand, sandbox=sandbox), held, networks.look(hand))


def findings(seen: Seen) -> list[Finding]:
    """Make all checks."""
    return [check(seen) for check in CHECKS]
