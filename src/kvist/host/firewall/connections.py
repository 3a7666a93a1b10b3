"""Connections that the kernel knows, and how those end that their guest may not have any more."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, NamedTuple

from kvist.host.firewall.cardrules import Guarded, Judgement, is_named

if TYPE_CHECKING:
    from kvist.host.hand import Hand

PROGRAM, PACKAGE = "conntrack", "conntrack"


class Connection(NamedTuple):
    """A connection, by the first packet of it."""

    protocol: str
    number: int
    source: str
    to: str
    sport: int
    dport: int
    message: int
    """The type of ICMP; -1 where it is none."""


def denied(hand: Hand, card: Guarded) -> list[Connection]:
    """List the connections that a card has begun and that its rules do not let it begin now."""
    return [
        one
        for version in ("ipv4", "ipv6")
        for one in _read(hand.run([PROGRAM, "-L", "-f", version], check=False).text)
        if one.source in card.addresses and not _may(card, one)
    ]


def end(hand: Hand, one: Connection) -> None:
    """Let the kernel forget a connection: its next packet begins one, and is judged so."""
    family = "ipv6" if ":" in one.to else "ipv4"
    words = ["-D", "-f", family, "-p", one.protocol, "-s", one.source, "-d", one.to]
    if one.dport:
        words += ["--sport", str(one.sport), "--dport", str(one.dport)]
    # It may have ended since.
    hand.run([PROGRAM, *words], check=False)


def _read(listing: str) -> list[Connection]:
    found: list[Connection] = []
    for line in listing.splitlines():
        words = line.split()
        told: dict[str, str] = {}
        for word in words:
            key, sign, value = word.partition("=")
            if sign:
                # What is told twice is told of the answers the second time.
                told.setdefault(key, value)
        if len(words) > 2 and {"src", "dst"} <= told.keys() and words[1].isdecimal():
            numbers = (int(told.get(key, usual)) for key, usual in (("sport", "0"), ("dport", "0"), ("type", "-1")))
            found.append(Connection(words[0], int(words[1]), told["src"], told["dst"], *numbers))
    return found


def _may(card: Guarded, one: Connection) -> bool:
    for rule in card.rules:
        if rule.out and not is_named(rule) and _fits(rule, one):
            return rule.allow
    return card.outgoing


def _fits(rule: Judgement, one: Connection) -> bool:
    version = ip_address(one.to).version
    number = rule.numbers[version == 6]
    return (
        version in rule.families
        and number in (0, one.number)
        and (rule.message is None or rule.message[version == 6] == one.message)
        and (not rule.ports or any(first <= one.dport <= last for first, last in rule.ports))
        and (not rule.own or _inside(one.source, rule.own))
        and (not rule.peer.network or _inside(one.to, rule.peer.network))
    )


def _inside(address: str, network: str) -> bool:
    return ip_address(address) in ip_network(network, strict=False)
