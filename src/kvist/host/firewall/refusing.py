"""Telling the sender of a packet that it does not come to a guest, before the kernel knows the card that it is for.

Packets to a card are judged in family bridge, whose chains behind the bridge's decision cannot reject. So family inet
looks first, where packets are forwarded or the host sends them: it knows the card by the MAC address of a bridged
packet, else by the addresses of the guest. What it does not know is dropped by the card's own chain.
"""

from __future__ import annotations

from kvist.host.firewall.cardrules import (
    ANSWER,
    DHCP_GIVEN,
    NEIGHBOURS,
    PASS,
    Guarded,
    is_named,
    matches,
    refused,
)
from kvist.host.firewall.nft import Chain, Hook, Rule, Store, interface, mark, one_of

CHAIN = "refusals"
FOR = "refused"
"""The map from MAC addresses to chains."""


def chains(guarded: tuple[Guarded, ...]) -> list[Chain]:
    """Give the chains that reject what comes to cards; none where no policy says so."""
    refusing = [card for card in guarded if card.refuses]
    if not refusing:
        return []
    known: list[Rule] = [("ether", "daddr", "vmap", f"@{FOR}")]
    for card in refusing:
        for where in ("mine", "at"):
            known.append(("ip", "daddr", f"@{where}4_{card.id}", "goto", f"refuse_{card.id}"))
            known.append(("ip6", "daddr", f"@{where}6_{card.id}", "goto", f"refuse_{card.id}"))
    answers = ("meta", "mark", "&", mark(ANSWER | PASS), "!=", "0", "return")
    return [
        *(Chain(f"refuse_{card.id}", tuple(_refusing(card))) for card in refusing),
        Chain(CHAIN, (answers, *known)),
        Chain("forward", (("jump", CHAIN),), Hook("filter", "forward", -151)),
    ]


def local(guarded: tuple[Guarded, ...], bridges: tuple[str, ...]) -> tuple[Rule, ...]:
    """Give what the host's own packets to guests meet."""
    if not bridges or not any(card.refuses for card in guarded):
        return ()
    return (("oifname", one_of(map(interface, bridges)), "jump", CHAIN),)


def stores(guarded: tuple[Guarded, ...]) -> list[Store]:
    """Give the map that these chains need."""
    elements = tuple(f"{card.mac} : goto refuse_{card.id}" for card in guarded if card.refuses)
    return [Store("map", FOR, "ether_addr : verdict", elements=elements)] if elements else []


def _refusing(card: Guarded) -> list[Rule]:
    """Find the first rule that fits, as the card's own chain will; reject if it says so."""
    rows: list[Rule] = [(*match, "return") for match in DHCP_GIVEN]
    rows.append(("icmpv6", "type", one_of(NEIGHBOURS), "return"))
    for rule in card.rules:
        if rule.out or is_named(rule):
            continue
        for match in matches(rule, senders=True, sides=("daddr", "saddr")):
            rows += refused(match, rule.line, rule.protocol) if rule.told else [(*match, "return")]
    return [*rows, *(refused((), "default in=reject") if card.told_in else ())]
