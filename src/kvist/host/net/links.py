"""The network interfaces, addresses and routes of a host, as its kernel has them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from kvist.values import Cidr

if TYPE_CHECKING:
    from kvist.host.hand import Hand


class Link(NamedTuple):
    """One interface of a host."""

    name: str
    kind: str
    """What it is to the kernel: bridge, tun, veth, vlan, bond ...; empty for a card."""
    master: str
    """The bridge or bond it is a port of."""
    mac: str
    mtu: int
    up: bool
    carrier: bool
    addresses: tuple[Cidr, ...]
    dynamic: bool
    """Whether one of its addresses was given by a DHCP server or a router, for a time."""


class Route(NamedTuple):
    """One route of a host's main table; `to` is `default` or a network."""

    to: str
    via: str
    dev: str
    source: str
    metric: int
    protocol: str


def links(hand: Hand) -> list[Link]:
    """List the interfaces of a host in one call of ip(8)."""
    return [_link(each) for each in _asked(hand, "-details", "address", "show")]


def routes(hand: Hand) -> list[Route]:
    """List the routes of a host's main table, IPv4 then IPv6, in two calls of ip(8)."""
    return [
        Route(
            to=str(each["dst"]),
            via=str(each.get("gateway", "")),
            dev=str(each.get("dev", "")),
            source=str(each.get("prefsrc", "")),
            metric=int(each.get("metric", 0)),
            protocol=str(each.get("protocol", "")),
        )
        for family in ("-4", "-6")
        for each in _asked(hand, family, "route", "show")
    ]


def _asked(hand: Hand, *words: str) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = json.loads(hand.run(["ip", "-json", *words]).text or "[]")
    # ip prints an empty object for what it was not asked about.
    return [each for each in told if each]


def _link(told: dict[str, Any]) -> Link:
    given = told.get("addr_info", [])
    flags = told.get("flags", [])
    return Link(
        name=str(told["ifname"]),
        kind=str(told.get("linkinfo", {}).get("info_kind", "")),
        master=str(told.get("master", "")),
        mac=str(told.get("address", "")),
        mtu=int(told.get("mtu", 0)),
        up="UP" in flags,
        carrier="LOWER_UP" in flags,
        addresses=tuple(Cidr(str(one["local"]), int(one["prefixlen"])) for one in given if one.get("local")),
        dynamic=any(one.get("dynamic") for one in given if one.get("scope") == "global"),
    )
