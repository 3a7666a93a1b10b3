"""Policies on nft tables of kvist's own."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from kvist.engine.step import Command
from kvist.host.firewall import tables
from kvist.resources.firewall.backends.backend import InKernel, Unbound
from kvist.specs.vm import Vm
from kvist.xml.document import Document

if TYPE_CHECKING:
    from kvist.engine.step import Site
    from kvist.host.hand import Hand
    from kvist.resources.firewall.policies import Said
    from kvist.specs.policy import Rule


class Tables:
    """The tables `bridge kvist-fw` and `inet kvist-fw`."""

    names_taps = True

    def check(self, at: Site) -> None:
        tables.check_tools(at.hand)

    def refused(self, rule: Rule) -> str:
        return ""

    def successor(self, mac: str) -> str:
        return ""

    def enforce(self, at: Site) -> None:
        from kvist.resources.firewall.policies import wanted

        tables.enforce(at.hand, wanted(at))

    def release(self, at: Site) -> None:
        tables.enforce(at.hand, tables.Firewall())

    def expected(self, at: Site) -> tuple[str, ...]:
        return ()

    def expect(self, at: Site, cards: tuple[str, ...]) -> None:
        """Do nothing: a card's rules need not be there for it to be plugged in."""

    def intact(self, at: Site, said: Said) -> str:
        return tables.intact(at.hand, said.firewall())

    def unbound(self, at: Site, said: Said) -> Iterable[Unbound]:
        done = at.hand.run(["nft", "-j", "list", "map", "bridge", tables.TABLE, "source"], check=False)
        told = json.loads(done.text)["nftables"] if done.code == 0 else []
        bound = {str(pair[0]) for each in told for pair in each.get("map", {}).get("elem", [])}
        ours = {str(card.mac) for card in said.firewall().guarded}
        for name, xml in at.connection.domains.documents(active=True):
            for nic in Vm.read(Document.parse(xml).root).nics:
                if nic.mac and nic.tap and str(nic.mac) in ours and nic.tap not in bound:
                    yield Unbound(name, str(nic.mac), nic.tap)

    def kernel(self, at: Site, said: Said) -> Iterator[InKernel]:
        macs = {str(card.mac).replace(":", ""): str(card.mac) for guest in said.guests.values() for card in guest.cards}
        for chain, line, packets, text in _kernel(at.hand):
            kind, _, digits = chain.rpartition("_")
            if digits in macs:
                yield InKernel(macs[digits], kind, line, packets, text)

    def commands(self) -> tuple[Command, ...]:
        return (Command(("nft", "-f", tables.RULES)),)


def _kernel(hand: Hand) -> Iterator[tuple[str, str, int | None, str]]:
    """Go through the kernel's rules: chain, line of the policy, packets, and the rule in nft's own words."""
    for family in ("bridge", "inet"):
        told = hand.run(["nft", "-j", "list", "table", family, tables.TABLE], check=False)
        plain = hand.run(["nft", "list", "table", family, tables.TABLE], check=False)
        if told.code or plain.code:
            continue
        texts = _texts(plain.text)
        for each in json.loads(told.text)["nftables"]:
            if rule := each.get("rule"):
                chain = str(rule["chain"])
                text = next(texts[chain], "")
                yield chain, str(rule.get("comment", "")), _packets(rule.get("expr", [])), f"{family} {text}"


def _packets(expressions: list[dict[str, Any]]) -> int | None:
    return next((int(one["counter"]["packets"]) for one in expressions if "counter" in one), None)


def _texts(listing: str) -> dict[str, Iterator[str]]:
    """Sort the lines of a listing by chain; both forms have the rules in the same order."""
    found: dict[str, list[str]] = {}
    chain = ""
    for line in listing.splitlines():
        words = line.split()
        if words[:1] == ["chain"]:
            chain = words[1]
            found[chain] = []
        elif words == ["}"]:
            chain = ""
        elif chain and words and words[0] != "type":
            found[chain].append(" ".join(words))
    return {name: iter(rules) for name, rules in found.items()}
