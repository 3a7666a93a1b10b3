"""What the packet filter of a host would do with a packet: the rules are walked as the kernel walks them.

A condition that cannot be told from outside (a mark, a limit, an extension) makes the answer unsure: its rule is passed
by, and what comes after it is only what is likely.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from ipaddress import ip_address, ip_network
from typing import Any, NamedTuple

from kvist.host.firewall.ruleset import Chain, Match, Rule, Ruleset

DEEPEST = 16
"""How deep chains may call each other. Source: nft(8), jump; NFT_JUMP_STACK_SIZE of Linux."""

FAMILIES = {4: ("ip", "inet"), 6: ("ip6", "inet")}
STOPS = ("drop", "reject")


class Packet(NamedTuple):
    """A packet as far as a filter looks at it."""

    source: str = ""
    destination: str = ""
    iif: str = ""
    oif: str = ""
    proto: str = ""
    sport: int | None = None
    dport: int | None = None
    state: str = "new"
    ether: str = "ip"
    mac: str = ""
    """Of who sends it on this wire; empty where that is not known."""
    tap_in: str = ""
    """The port of a bridge that it came in by, where that is known."""
    tap_out: str = ""

    @property
    def version(self) -> int:
        return 6 if ":" in self.destination or self.ether == "ip6" else 4

    @property
    def words(self) -> str:
        """Say what it is: `udp 10.0.0.2 -> 10.0.0.1 port 53`."""
        port = f" port {self.dport}" if self.dport else ""
        return f"{self.proto or self.ether} {self.source or 'any'} -> {self.destination or 'any'}{port}"


class Fate(NamedTuple):
    """What becomes of a packet, and which rule or which chain's policy decided."""

    action: str
    """accept, drop, reject; masquerade, snat for `translated`."""
    sure: bool = True
    rule: Rule | None = None
    chain: Chain | None = None

    @property
    def stopped(self) -> bool:
        return self.action in STOPS

    @property
    def proof(self) -> str:
        """Say who decided, in nft's own words."""
        if self.rule is not None:
            return f"{self.rule.place}: {self.rule.text or self.rule.verdict}"
        if self.chain is not None:
            return f"{self.chain.place}: policy {self.chain.policy}"
        return "no rule"


def fate(rules: Ruleset, hook: str, packet: Packet) -> Fate:
    """Walk a packet through all chains of a hook; the first that drops or rejects it decides, else the last accept."""
    last = Fate("accept")
    for chain in rules.hooked(hook, FAMILIES[packet.version]):
        here = through(rules, chain, packet)
        if here.stopped:
            # An earlier chain that may have let it by, or may have stopped it, makes that no less sure.
            return here
        last = (here if here.rule is not None else last)._replace(sure=last.sure and here.sure)
    return last


def stops(rules: Ruleset, hook: str, packet: Packet) -> list[Fate]:
    """Give every chain of a hook that would stop the packet: each has to let it by."""
    found = [through(rules, chain, packet) for chain in rules.hooked(hook, FAMILIES[packet.version])]
    return [each for each in found if each.stopped]


def translated(rules: Ruleset, packet: Packet) -> Fate:
    """Say whether the source of a packet that leaves is translated, and by which rule; `accept` when it is not."""
    for chain in rules.hooked("postrouting", FAMILIES[packet.version], ("nat",)):
        here = through(rules, chain, packet)
        if here.action in ("masquerade", "snat"):
            return here
    return Fate("accept")


def through(rules: Ruleset, chain: Chain, packet: Packet) -> Fate:
    """Walk a packet through one chain and those that it calls."""
    ended = _Walk(rules, packet).chain(chain, 0)
    if ended is not None and ended.action != "return":
        return ended
    sure = ended.sure if ended is not None else True
    return Fate(chain.policy or "accept", sure, None, chain)


class _Walk:
    """One packet on its way through the chains of one hook."""

    def __init__(self, rules: Ruleset, packet: Packet) -> None:
        self.rules, self.packet, self.sure = rules, packet, True

    def chain(self, chain: Chain, depth: int) -> Fate | None:
        """Walk one chain; gives what decided, or `return` with how sure that is where nothing did."""
        for rule in chain.rules if depth <= DEEPEST else ():
            holds = self._holds(rule)
            if holds is False or not rule.verdict:
                continue
            if holds is None:
                # That it may have been stopped before makes a later stop no less sure.
                self.sure = self.sure and rule.verdict in STOPS
                continue
            verdict, target = rule.verdict, rule.target
            if verdict == "vmap":
                verdict, target = self._mapped(rule)
            if verdict in ("jump", "goto"):
                inner = self.rules.chains.get((rule.family, rule.table, str(target)))
                ended = self.chain(inner, depth + 1) if inner is not None else None
                if ended is not None and (ended.action != "return" or verdict == "goto"):
                    return ended
            elif verdict == "return":
                break
            elif verdict:
                return Fate(verdict, self.sure, rule, chain)
        return Fate("return", self.sure)

    def _holds(self, rule: Rule) -> bool | None:
        told = [self._match(rule, match) for match in rule.matches]
        if False in told:
            return False
        return None if None in told else True

    def _match(self, rule: Rule, match: Match) -> bool | None:
        if match.op == "?":
            return None
        if match.op == "filtered":
            tap = self.packet.tap_in
            return bool(tap) and (rule.family, rule.table, f"FI-{tap}") in self.rules.chains
        known, has = self._value(match.field)
        if not known:
            return None
        if has is None:
            # What a connection is not, is told by `!=`; a field that a packet has not fits no condition at all.
            return match.field == "ct status" and match.op == "!="
        fits = self._fits(rule, has, match.value)
        if fits is None or match.op in ("==", "in"):
            return fits
        if match.op == "!=":
            return not fits
        return _ordered(has, match.op, match.value)

    def _value(self, field: str) -> tuple[bool, Any]:
        """Give whether a field of the packet can be told, and its value; None where the packet has no such field."""
        packet = self.packet
        layer, _, part = field.partition(" ")
        plain: dict[str, Any] = {
            "iifname": packet.iif,
            "iif": packet.iif,
            "oifname": packet.oif,
            "oif": packet.oif,
            "l4proto": packet.proto,
            "nfproto": f"ipv{packet.version}",
            "protocol": packet.ether,
            "ether type": packet.ether,
            "ether saddr": packet.mac,
            "ct state": packet.state,
        }
        if field in plain:
            return bool(plain[field]), plain[field]
        if field == "ct status":
            return True, None
        if layer == "tap":
            return True, (packet.tap_in if part == "in" else packet.tap_out) or None
        if layer in ("ip", "ip6"):
            if packet.ether != layer or layer != FAMILIES[packet.version][0]:
                return True, None
            value = {"saddr": packet.source, "daddr": packet.destination, "protocol": packet.proto}.get(part, "")
            return bool(value), value
        if layer in ("tcp", "udp", "th", "icmp", "icmpv6", "sctp", "dccp"):
            if packet.ether == "arp" or (packet.proto and layer not in ("th", packet.proto)):
                return True, None
            port = {"sport": packet.sport, "dport": packet.dport}.get(part)
            return port is not None, port
        if layer == "arp" and packet.ether != "arp":
            return True, None
        return False, None

    def _fits(self, rule: Rule, has: Any, value: Any) -> bool | None:
        if isinstance(value, str) and value.startswith("@"):
            held = self.rules.sets.get((rule.family, rule.table, value[1:]))
            return None if held is None else self._fits(rule, has, {"set": list(held)})
        if isinstance(value, list):
            value = {"set": value}
        if not isinstance(value, dict):
            return _same(has, value)
        if "set" in value:
            items = value["set"] if isinstance(value["set"], list) else [value["set"]]
            told = [self._fits(rule, has, item) for item in items]
            return True if True in told else None if None in told else False
        if "prefix" in value:
            inside = ip_network(f"{value['prefix']['addr']}/{value['prefix']['len']}", strict=False)
            return ip_address(str(has)) in inside
        if "range" in value:
            low, high = (_key(each) for each in value["range"])
            return bool(type(low) is type(_key(has)) and low <= _key(has) <= high)
        if "elem" in value:
            return self._fits(rule, has, value["elem"].get("val"))
        return None

    def _mapped(self, rule: Rule) -> tuple[str, Any]:
        """Look a packet up in a verdict map."""
        field, data = rule.target
        known, has = self._value(field)
        if isinstance(data, str):
            pairs: Any = self.rules.sets.get((rule.family, rule.table, data.lstrip("@")), ())
        else:
            pairs = data.get("set", ())
        for key, verdict in (pair for pair in pairs if isinstance(pair, list) and len(pair) == 2):
            fits = self._fits(rule, has, key) if known and has is not None else None
            if fits:
                (kind, what), *_ = verdict.items()
                return kind, what["target"] if what else ""
            if fits is None and not known:
                self.sure = False
        return "", ""


def _key(value: Any) -> Any:
    """Give what values of one kind are ordered by."""
    if isinstance(value, int):
        return value
    try:
        return int(ip_address(str(value)))
    except ValueError:
        return str(value)


def _same(has: Any, value: Any) -> bool:
    if isinstance(has, str) and isinstance(value, str):
        return has == value or (value.endswith("*") and fnmatchcase(has, value))
    return bool(_key(has) == _key(value))


def _ordered(has: Any, op: str, value: Any) -> bool | None:
    one, two = _key(has), _key(value)
    if type(one) is not type(two):
        return None
    return bool({"<": one < two, ">": one > two, "<=": one <= two, ">=": one >= two}.get(op))
