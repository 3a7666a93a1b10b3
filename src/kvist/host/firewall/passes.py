"""Rules at the head of other people's chains, which let bridges of guests by: put there, kept, and taken out again.

They are lines of one file, which the program that libvirt's hooks call puts in force (`restoring`): so they are back
after a start of the host, and after somebody has made his chains anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from kvist.host.firewall import restoring
from kvist.host.firewall.owners import FIREWALLD, UFW, owner
from kvist.host.firewall.ruleset import Match, ruleset
from kvist.host.run import Result

if TYPE_CHECKING:
    from kvist.host.firewall.packets import Fate
    from kvist.host.firewall.ruleset import Ruleset
    from kvist.host.hand import Hand

IPTABLES = {"ip": "iptables", "ip6": "ip6tables"}
TABLES = ("filter", "nat", "mangle", "raw", "security")


class Pass(NamedTuple):
    """What lets by what comes from a bridge and what goes to it."""

    tool: str
    """iptables, ip6tables or nft."""
    bridge: str
    chain: str
    table: str
    """With its family where the tool is nft: `inet guard`."""

    @property
    def line(self) -> str:
        return " ".join(self)

    def rule(self, way: str, act: str) -> tuple[str, ...]:
        """Give the command that inserts or (iptables alone) deletes or checks the rule of a direction, i or o."""
        if self.tool == "nft":
            return ("nft", act, "rule", *self.table.split(), self.chain, f"{way}ifname", self.bridge, "accept")
        flag = {"insert": "-I", "delete": "-D", "check": "-C"}[act]
        table = () if self.table == "filter" else ("-t", self.table)
        return (self.tool, *table, flag, self.chain, f"-{way}", self.bridge, "-j", "ACCEPT")


class Told(NamedTuple):
    """A command that tells somebody's firewall to let a bridge by, and the one that takes it back."""

    argv: tuple[str, ...]
    back: tuple[str, ...]


def ways(found: Fate, rules: Ruleset, bridge: str, *, input: bool = False) -> Pass | tuple[Told, ...]:
    """Tell how packets of a bridge are let past who stops them: by his own program, else by a rule ahead of his.

    `input` is about packets to the host itself, not through it.
    """
    assert found.chain is not None
    base = rules.base(found.chain)
    whose = owner(found.rule or found.chain, rules)
    if whose == FIREWALLD:
        # A reload would flush what others have put in force: the same is said twice instead, for good and for now.
        zones = (("firewall-cmd", "--permanent", "--zone=libvirt"), ("firewall-cmd", "--zone=libvirt"))
        return tuple(
            Told((*zone, f"--change-interface={bridge}"), (*zone, f"--remove-interface={bridge}")) for zone in zones
        )
    if whose == UFW:
        of, sides = ((), ("in",)) if input else (("route",), ("in", "out"))
        return tuple(
            Told(("ufw", *of, "allow", way, "on", bridge), ("ufw", *of, "delete", "allow", way, "on", bridge))
            for way in sides
        )
    if base.family not in IPTABLES or base.table not in TABLES:
        return Pass("nft", bridge, base.name, f"{base.family} {base.table}")
    # Docker leaves this chain to others: it neither empties nor goes round it when it is started anew.
    free = not input and (base.family, base.table) == ("ip", "filter") and rules.has("DOCKER-USER")
    return Pass(IPTABLES[base.family], bridge, "DOCKER-USER" if free else base.name, base.table)


def kept(hand: Hand) -> list[str]:
    """List the lines that the host keeps."""
    return (hand.read(restoring.PASSES) or "").splitlines()


def put(hand: Hand, wanted: Pass) -> None:
    """Put both rules in force, now and from now on."""
    lines = kept(hand)
    if wanted.line not in lines:
        hand.write(restoring.PASSES, "".join(f"{line}\n" for line in [*lines, wanted.line]))
    restoring.install(hand)
    hand.run([restoring.RESTORE])


def drop(hand: Hand, unwanted: Pass) -> None:
    """Take both rules out; where the chain is gone, they went with it."""
    lines = [line for line in kept(hand) if line != unwanted.line]
    if lines:
        hand.write(restoring.PASSES, "".join(f"{line}\n" for line in lines))
    else:
        restoring.release(hand, restoring.PASSES)
    for way in "io":
        if unwanted.tool == "nft":
            for handle in _handles(hand, unwanted, way):
                place = (*unwanted.table.split(), unwanted.chain)
                hand.run(["nft", "delete", "rule", *place, "handle", str(handle)])
        elif _there(hand, unwanted, way).code == 0:
            hand.run(unwanted.rule(way, "delete"))


def lacking(hand: Hand, wanted: Pass) -> str:
    """Say which rule is not in force; empty where both are."""
    for way in "io":
        there = bool(_handles(hand, wanted, way)) if wanted.tool == "nft" else _there(hand, wanted, way).code == 0
        if not there:
            return " ".join(wanted.rule(way, "insert"))
    return ""


def _there(hand: Hand, one: Pass, way: str) -> Result:
    return hand.run(one.rule(way, "check"), check=False)


def _handles(hand: Hand, one: Pass, way: str) -> list[int]:
    family, _, table = one.table.partition(" ")
    chain = ruleset(hand).chains.get((family, table, one.chain))
    alone = (Match(f"{way}ifname", "==", one.bridge),)
    return [rule.handle for rule in chain.rules if rule.matches == alone and rule.verdict == "accept"] if chain else []
