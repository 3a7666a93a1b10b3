"""Where a card's packets must not get to, whatever its policy says: into networks that libvirt shuts to others.

libvirt has two sets of rules in iptables, for filters and for networks, and the first lets through for good what a
filter does not drop. So a card with a filter would get where no other gets; its filter says what the networks say, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, ip_network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kvist.resources.forwards.crossings import Network

EVERYWHERE = (int(IPv4Address("1.0.0.0")), int(IPv4Address("223.255.255.255")))
"""All addresses of IPv4 that are somebody's."""
Span = tuple[int, int]


def walls(networks: Mapping[str, Network], name: str, host: Iterable[str]) -> tuple[str, ...]:
    """Give the addresses, FIRST-LAST, that a card of this network must not get to.

    They are those of guests of other networks, and from an isolated network all but its own. `name` may be of none;
    `host` are the addresses of the host itself, which is reached by any of them.
    """
    own = networks.get(name)
    holes = [(int(address),) * 2 for address in map(IPv4Address, (one for one in host if ":" not in one))]
    if own is not None and not own.mode:
        return _without([EVERYWHERE], [*holes, *(_span(str(net)) for net in own.subnets)])
    others = [net for net in networks.values() if net is not own and net.mode in ("nat", "") and not net.exposed]
    return _without([_span(str(subnet)) for net in others for subnet in net.subnets], holes)


def _span(network: str) -> Span:
    net = ip_network(network, strict=False)
    return int(net[0]), int(net[-1])


def _without(spans: Iterable[Span], holes: Iterable[Span]) -> tuple[str, ...]:
    left = sorted(set(spans))
    for low, high in sorted(holes):
        kept: list[Span] = []
        for first, last in left:
            parts = [(first, min(last, low - 1)), (max(first, high + 1), last)]
            kept += [part for part in parts if part[0] <= part[1]] if low <= last and high >= first else [(first, last)]
        left = kept
    return tuple(f"{IPv4Address(first)}-{IPv4Address(last)}" for first, last in left)
