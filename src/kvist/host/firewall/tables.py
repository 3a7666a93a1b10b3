"""kvist's own nft tables on a host that judge the packets of guests' cards, and how they are kept in force."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from kvist.errors import CommandFailed, Denied, Unsupported
from kvist.host.firewall import nft, refusing, restoring
from kvist.host.firewall.cardrules import (
    ANSWER,
    CARD,
    GUARDED,
    HOST,
    JUDGED,
    NOBODY,
    PASS,
    SOURCE,
    Guarded,
    coming,
    key_of,
    sending,
    stores,
)
from kvist.host.firewall.nft import Chain, Hook, Rule, Store, Table, interface, mark, one_of
from kvist.values import Mac

if TYPE_CHECKING:
    from kvist.host.hand import Hand

TABLE = "kvist-fw"
RULES = restoring.FIREWALL
CARDS = f"{restoring.DIRECTORY}/firewall.cards"
"""Which card is called what: for the program that finds its interfaces."""
SEEN = 3600
"""Seconds that an address is believed to be a card's after it was last used."""
NETFILTER = ("net.bridge.bridge-nf-call-iptables", "net.bridge.bridge-nf-call-ip6tables")
"""Settings that let the kernel know the connections of packets that stay on a bridge."""


class Known(NamedTuple):
    """A card that policies speak of, and that has none itself."""

    mac: Mac
    tap: str


class Group(NamedTuple):
    """A group, as the kernel has it: a set of cards."""

    name: str
    cards: tuple[int, ...]


class Firewall(NamedTuple):
    """All that is to be judged on a host."""

    guarded: tuple[Guarded, ...] = ()
    known: tuple[Known, ...] = ()
    groups: tuple[Group, ...] = ()
    told: tuple[tuple[str, int], ...] = ()
    """Addresses, and the cards that they are known to be of."""
    bridges: tuple[str, ...] = ()
    """Bridges by which the host itself reaches guests."""

    def tables(self) -> tuple[Table, Table]:
        """Give both tables: that of the bridges, and that which knows connections."""
        groups = tuple(Store("set", one.name, "mark", elements=tuple(map(mark, one.cards))) for one in self.groups)
        bridge = Table(
            TABLE,
            (),
            (
                *(chain for card in self.guarded for chain in coming(card)),
                Chain("prerouting", _source(), Hook("filter", "prerouting", -310)),
                Chain("judged", _judged(), Hook("filter", "prerouting", 10)),
                Chain("postrouting", (("oifname", "vmap", "@leaving"),), Hook("filter", "postrouting", -10)),
            ),
            "bridge",
            (
                Store("map", "source", "ifname : mark", apart=True),
                Store("map", "leaving", "ifname : verdict", apart=True),
                *groups,
                *(store for card in self.guarded for store in stores(card, "bridge")),
                Store("map", "entering", "mark : verdict", elements=self._dispatch("jump from")),
            ),
        )
        told = {4: list[str](), 6: list[str]()}
        for address, key in dict(self.told).items():
            told[6 if ":" in address else 4].append(f"{address} : {mark(key)}")
        limited = [card for card in self.guarded if card.limited and not card.blocked]
        inet = Table(
            TABLE,
            (),
            (
                *(chain for card in self.guarded for chain in sending(card)),
                # Behind conntrack, and before what others do to addresses and marks.
                Chain("prerouting", self._arriving(), Hook("filter", "prerouting", -151)),
                *refusing.chains(self.guarded),
                Chain(
                    "output",
                    (*self._local(), *refusing.local(self.guarded, self.bridges)),
                    Hook("filter", "output", -151),
                ),
                Chain("postrouting", self._leaving(limited), Hook("filter", "postrouting", -151)),
            ),
            "inet",
            (
                Store("map", "seen4", "ipv4_addr : mark", learnt=True, timeout=SEEN, size=nft.MOST),
                Store("map", "seen6", "ipv6_addr : mark", learnt=True, timeout=SEEN, size=nft.MOST),
                Store("map", "told4", "ipv4_addr : mark", elements=tuple(told[4])),
                Store("map", "told6", "ipv6_addr : mark", elements=tuple(told[6])),
                *groups,
                *(store for card in self.guarded for store in stores(card, "inet")),
                *refusing.stores(self.guarded),
                Store("map", "outgoing", "mark : verdict", elements=self._dispatch("goto out")),
            ),
        )
        return bridge, inet

    def _dispatch(self, where: str) -> tuple[str, ...]:
        return tuple(f"{mark(card.key)} : {where}_{card.id}" for card in self.guarded)

    def _arriving(self) -> tuple[Rule, ...]:
        card = (*_has(CARD), "meta", "nfproto")
        learn = f"saddr : meta mark & {mark(SOURCE)} }}"
        return (
            ("ct", "state", "related", *_add(PASS)),
            ("ct", "state", "established", "ct", "direction", "reply", *_add(ANSWER)),
            (*card, "ipv4", "ip", "saddr", "!=", NOBODY, "update", "@seen4", f"{{ ip {learn}"),
            (*card, "ipv6", "ip6", "saddr", "!=", "::", "update", "@seen6", f"{{ ip6 {learn}"),
            ("meta", "mark", "&", mark(SOURCE), "vmap", "@outgoing"),
        )

    def _local(self) -> tuple[Rule, ...]:
        to_guests = ("oifname", one_of(map(interface, self.bridges)))
        return (
            (
                (*to_guests, *_add(HOST)),
                (*to_guests, "ct", "state", "related", *_add(PASS)),
                (*to_guests, "ct", "state", "established", "ct", "direction", "reply", *_add(ANSWER)),
            )
            if self.bridges
            else ()
        )

    def _leaving(self, limited: list[Guarded]) -> tuple[Rule, ...]:
        # The addresses of an answer to what was led elsewhere are not those that its receiver wrote to.
        rows: list[Rule] = [("ct", "status", "dnat", "ct", "direction", "reply", *_add(PASS))]
        for card in limited:
            for known in ("mine", "at"):
                rows.append(("ip", "daddr", f"@{known}4_{card.id}", "goto", f"count_{card.id}"))
                rows.append(("ip6", "daddr", f"@{known}6_{card.id}", "goto", f"count_{card.id}"))
        return tuple(rows)

    def text(self) -> str:
        """Give what `nft -f` reads; the interfaces of the cards are put in by the program that loads it."""
        return "".join(table.text() for table in self.tables())

    def cards(self) -> str:
        """Give the list of cards: the end of the MAC address, mark, chain, and own name of the interface."""
        rows = [(card.mac, card.key | GUARDED, f"in_{card.id}", card.tap) for card in self.guarded]
        rows += [(card.mac, key_of(card.mac), "-", card.tap) for card in self.known]
        return "".join(f"{mac[3:]} {mark(key)} {chain} {tap}\n" for mac, key, chain, tap in rows)


def own_tap(mac: str) -> str:
    """Give the name that the interface of a card gets, so that rules can be about it before it is there."""
    return restoring.OWN_TAP + mac.replace(":", "")


def _has(bits: int) -> Rule:
    return ("meta", "mark", "&", mark(bits), "==", mark(bits))


def _add(bits: int) -> Rule:
    return ("meta", "mark", "set", "meta", "mark", "|", mark(bits))


def _source() -> tuple[Rule, ...]:
    return (
        ("meta", "mark", "set", "iifname", "map", "@source"),
        ("meta", "mark", "&", mark(SOURCE), "vmap", "@entering"),
    )


def _judged() -> tuple[Rule, ...]:
    # Where the kernel does not hand bridged packets to the other table, they have not been judged: none of them passes.
    unjudged = ("meta", "mark", "&", mark(GUARDED | JUDGED), "==", mark(GUARDED))
    return (("ether", "type", "{ ip, ip6 }", *unjudged, "counter", "drop", "comment", '"not judged"'),)


def written(hand: Hand) -> bool:
    """Tell whether the host has anything of this."""
    return hand.read(RULES) is not None


def enforce(hand: Hand, wanted: Firewall) -> None:
    """Make the host judge as is wanted, now and after restarts; with nothing wanted nothing is left of it."""
    before = hand.read(RULES) or ""
    if not wanted.guarded:
        if before:
            _dismantle(hand)
        return
    text = wanted.text()
    hand.write(RULES, text)
    hand.write(CARDS, wanted.cards())
    restoring.install(hand)
    # Only what is otherwise, in one transaction; where the kernel has not what it should have had, all of it.
    if before and _load(hand, nft.change(before, text)) == "" and not _broken(hand, wanted):
        return
    if complaint := _load(hand, text):
        raise CommandFailed(f"the kernel did not take the firewall's tables: {complaint}")


def _load(hand: Hand, text: str) -> str:
    done = hand.run([restoring.RESTORE, "firewall"], input=text.encode(), check=False)
    return done.complaint or "nft failed" if done.code else ""


def _dismantle(hand: Hand) -> None:
    restoring.release(hand, RULES, CARDS)
    for family in ("bridge", "inet"):
        hand.run(["nft", "delete", "table", family, TABLE], check=False)


def intact(hand: Hand, wanted: Firewall) -> str:
    """Say what of it is not as wanted on the host; empty when all is."""
    if not wanted.guarded:
        return ""
    if _lasting(hand.read(RULES) or "") != _lasting(wanted.text()):
        return "the host's copy of it is not there or says otherwise"
    if lacking := restoring.lacking(hand):
        return f"{next(iter(lacking))} is not there or not kvist's"
    return _broken(hand, wanted)


def _lasting(text: str) -> list[str]:
    """Give what a table says, less the addresses that were told: guests change those."""
    told = re.compile(r"add element \S+ \S+ (?:told|mine)[46]")
    return [line for line in text.splitlines() if not told.match(line)]


def _broken(hand: Hand, wanted: Firewall) -> str:
    for table in wanted.tables():
        found = nft.loaded(hand, TABLE, table.family)
        if found is None or found.rules != {chain.name: len(chain.rules) for chain in table.chains}:
            return f"table {table.family} {TABLE} was flushed or changed"
    return ""


def check_tools(hand: Hand) -> None:
    """Raise Unsupported when the host lacks a program that this needs, Denied when this user may not use it."""
    for program, package in (("nft", "nftables"), ("awk", "mawk"), ("flock", "util-linux")):
        if not hand.has(program):
            raise Unsupported(f'program "{program}" is not installed on the host', hint=f"apt install {package}")
    if hand.run(["id", "-u"]).text.strip() != "0":
        raise Denied("the firewall of the host is root's", hint="sudo kvist fw block web")
