"""The checks of a diagnosis, in the order in which a packet meets what they look at.

A check is a function of a Situation that gives what it saw, marked with `@check(NAME)`; order in the files is order in
the answer, and the files are walked in the order of `walk`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from kvist.resources.netview.diagnosis.situation import Situation


class Finding(NamedTuple):
    """One link of the chain: all right, broken, or (None) not to be told or not needed; the proof; what mends it."""

    check: str
    ok: bool | None
    proof: str
    fix: str = ""


class Seen(NamedTuple):
    """The same as the check itself gives it, without its name."""

    ok: bool | None
    proof: str
    fix: str = ""


Check = Callable[["Situation"], Seen]
_checks: dict[str, Check] = {}


def check(name: str) -> Callable[[Check], Check]:
    """Enter a function into the checks."""

    def enter(function: Check) -> Check:
        _checks[name] = function
        return function

    return enter


def walk(at: Situation) -> list[Finding]:
    """Make all checks; each looks at its own link only, so that several broken ones are all found."""
    # Loaded in the order of the packet's way; each enters its checks.
    from kvist.resources.netview.diagnosis import beyond, guest, ours, wire  # noqa: F401 - loading them is what they are for

    order = sorted(_checks, key=lambda name: ORDER.index(name))
    return [Finding(name, *_checks[name](at)) for name in order]


ORDER = (
    *("power", "card", "link", "port", "filter"),
    *("guest card", "dhcp", "address", "gateway", "dns"),
    *("ip_forward", "route", "nat", "firewall", "return"),
    *("policy", "forwards"),
)
"""The links of the chain. A packet has to get past each of them before the next one matters; what kvist itself should
have loaded for the VM comes last, for it stops none of the guest's own."""
