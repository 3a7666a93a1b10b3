"""The packet filter of a host, as its kernel has it: tables, chains and rules, read from nft(8).

Rules that iptables-nft made are among them. What nft's JSON leaves out of these (`xt`) is taken from its text, where
each rule stands under the same handle.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from kvist.errors import CommandFailed, Corrupt, Denied

if TYPE_CHECKING:
    from kvist.host.hand import Hand

ENDS = ("accept", "drop", "reject", "return", "masquerade", "snat", "dnat", "redirect", "queue")
"""Statements that decide about a packet. Source: nft(8), verdict statement and NAT statements."""

ASIDE = ("counter", "log", "mangle", "meta", "ct helper", "notrack", "quota", "set")
"""Statements that let the packet go on to the next one."""

TARGETS = {"REJECT": "reject", "MASQUERADE": "masquerade", "SNAT": "snat", "DNAT": "dnat", "REDIRECT": "redirect"}
"""What extensions of iptables decide; every other one (LOG, CHECKSUM, MARK) lets the packet go on."""


class Match(NamedTuple):
    """One condition of a rule: `iifname`, `ip saddr`, `udp dport`, `ct state` ...; `value` as nft's JSON has it."""

    field: str
    op: str
    value: Any


class Rule(NamedTuple):
    """One rule."""

    family: str
    table: str
    chain: str
    handle: int
    matches: tuple[Match, ...]
    verdict: str
    """accept, drop, reject, return, masquerade, snat, dnat, redirect, jump, goto, vmap; empty: it only counts."""
    target: Any = ""
    """The chain of a jump or goto, the pairs of a verdict map, the address of a translation."""
    text: str = ""
    """The rule as nft prints it."""
    packets: int | None = None
    comment: str = ""

    @property
    def place(self) -> str:
        """Where it stands: `ip filter FORWARD`."""
        return f"{self.family} {self.table} {self.chain}"

    def value(self, field: str) -> Any:
        """Give what a field has to be; None where the rule does not say."""
        return next((match.value for match in self.matches if match.field == field and match.op in ("==", "in")), None)


class Chain(NamedTuple):
    """One chain; one without a hook is only jumped to."""

    family: str
    table: str
    name: str
    rules: tuple[Rule, ...] = ()
    type: str = ""
    hook: str = ""
    prio: int = 0
    policy: str = ""

    @property
    def place(self) -> str:
        return f"{self.family} {self.table} {self.name}"


class Ruleset(NamedTuple):
    """All chains of a host, by family, table and name; and the elements of its named sets and maps."""

    chains: Mapping[tuple[str, str, str], Chain]
    sets: Mapping[tuple[str, str, str], tuple[Any, ...]]

    def table(self, family: str, name: str) -> list[Chain]:
        """List the chains of one table."""
        return [chain for chain in self.chains.values() if (chain.family, chain.table) == (family, name)]

    def hooked(self, hook: str, families: tuple[str, ...], kinds: tuple[str, ...] = ("filter",)) -> list[Chain]:
        """List the chains that packets come by at a hook, in the order in which they do."""
        found = [
            chain
            for chain in self.chains.values()
            if chain.hook == hook and chain.family in families and chain.type in kinds
        ]
        return sorted(found, key=lambda chain: chain.prio)

    def rules(self) -> Iterator[Rule]:
        for chain in self.chains.values():
            yield from chain.rules

    def has(self, prefix: str) -> bool:
        """Tell whether there is a chain whose name begins so."""
        return any(chain.name.startswith(prefix) for chain in self.chains.values())

    def base(self, chain: Chain) -> Chain:
        """Find the chain with the hook by which packets come to this one; itself where none calls it."""
        calls: dict[str, Chain] = {}
        for each in self.table(chain.family, chain.table):
            for rule in each.rules:
                if rule.verdict in ("jump", "goto"):
                    calls.setdefault(str(rule.target), each)
        seen: set[str] = set()
        at = chain
        while not at.hook and at.name in calls and at.name not in seen:
            seen.add(at.name)
            at = calls[at.name]
        return at


EMPTY = Ruleset({}, {})


def ruleset(hand: Hand) -> Ruleset:
    """Read the packet filter of a host in two calls of nft(8), or by iptables-save where there is no nft.

    Raises Unsupported where there is neither, Denied where this user may not look.
    """
    if not hand.has("nft"):
        from kvist.host.firewall.iptables import parse as old

        four, six = old(_said(hand, "iptables-save")), old(_said(hand, "ip6tables-save"), "ip6")
        return Ruleset({**four.chains, **six.chains}, {})
    return parse(_said(hand, "nft", "-j", "list", "ruleset"), _said(hand, "nft", "-a", "list", "ruleset"))


def _said(hand: Hand, *argv: str) -> str:
    try:
        return hand.run(argv).text
    except CommandFailed as wrong:
        if not re.search("not permitted|permission denied", wrong.what, re.IGNORECASE):
            raise
        what = f"{argv[0]} lets only root read the host's packet filter"
        raise Denied(what, hint="type the same line as root") from wrong


def parse(told: str, words: str = "") -> Ruleset:
    """Read what `nft -j list ruleset` printed; `words` is what `nft -a list ruleset` did. Raises Corrupt."""
    try:
        entries = json.loads(told or '{"nftables": []}')["nftables"]
    except (ValueError, KeyError, TypeError) as wrong:
        raise Corrupt(f"cannot read what nft says: {wrong}") from wrong
    texts = _texts(words)
    chains: dict[tuple[str, str, str], Chain] = {}
    rules: dict[tuple[str, str, str], list[Rule]] = {}
    sets: dict[tuple[str, str, str], tuple[Any, ...]] = {}
    for entry in entries:
        if chain := entry.get("chain"):
            made = Chain(
                chain["family"],
                chain["table"],
                chain["name"],
                type=chain.get("type", ""),
                hook=chain.get("hook", ""),
                prio=int(chain.get("prio", 0)),
                policy=chain.get("policy", ""),
            )
            chains[made[:3]] = made
        elif rule := entry.get("rule"):
            text = texts.get((rule["family"], rule["table"], rule["handle"]), "")
            one = _rule(rule, text)
            rules.setdefault((one.family, one.table, one.chain), []).append(one)
        elif held := entry.get("set") or entry.get("map"):
            sets[held["family"], held["table"], held["name"]] = tuple(held.get("elem", ()))
    return Ruleset({key: chain._replace(rules=tuple(rules.get(key, ()))) for key, chain in chains.items()}, sets)


def _texts(words: str) -> dict[tuple[str, str, int], str]:
    """Find each rule's own words: its line, without counters and handle."""
    found: dict[tuple[str, str, int], str] = {}
    family = table = ""
    for line in words.splitlines():
        if head := re.match(r"table (\S+) (\S+) \{", line):
            family, table = head[1], head[2]
        elif rule := re.match(r"\t\t(.*) # handle (\d+)$", line):
            text = re.sub(r"counter packets \d+ bytes \d+ ?", "", rule[1]).strip()
            found[family, table, int(rule[2])] = text
    return found


def _rule(told: Mapping[str, Any], text: str) -> Rule:
    matches: list[Match] = []
    verdict, packets = "", None
    target: Any = ""
    for statement in told.get("expr", ()):
        if not isinstance(statement, dict):
            continue
        (kind, what), *_ = statement.items()
        if kind == "counter" and isinstance(what, dict):
            packets = int(what.get("packets", 0))
        elif kind == "match":
            matches.append(Match(_field(what["left"]), what["op"], what["right"]))
        elif kind in ENDS:
            verdict, target = kind, what or ""
        elif kind in ("jump", "goto"):
            verdict, target = kind, what["target"]
        elif kind == "vmap":
            verdict, target = "vmap", (_field(what["key"]), what["data"])
        elif kind == "xt":
            if what and what.get("type") == "target":
                verdict = TARGETS.get(what["name"], verdict)
            else:
                matches += _extension(what, text, told["chain"], str(told["expr"][-1]))
        elif kind not in ASIDE:
            # A limit, say: whether it lets this packet by is not to be told.
            matches.append(Match(kind, "?", None))
    return Rule(
        told["family"],
        told["table"],
        told["chain"],
        int(told["handle"]),
        tuple(matches),
        verdict,
        target,
        text,
        packets,
        str(told.get("comment", "")),
    )


def _field(left: Any) -> str:
    """Name what a condition looks at, as nft writes it."""
    if not isinstance(left, dict):
        return "?"
    (kind, what), *_ = left.items()
    if kind == "meta":
        return str(what["key"])
    if kind == "payload" and "field" in what:
        return f"{what['protocol']} {what['field']}"
    if kind == "ct":
        return f"ct {what['key']}"
    if kind == "fib":
        return f"fib {what.get('result', '')}"
    return "?"


def _extension(what: Mapping[str, Any] | None, text: str, chain: str, end: str) -> Iterator[Match]:
    """Read a condition of an iptables extension; JSON has its name alone, so that context has to tell the rest."""
    name = (what or {}).get("name", "")
    if name == "comment":
        return
    state = re.search(r"\bct state (!= )?([\w,]+)", text)
    if name in ("conntrack", "state") and state:
        yield Match("ct state", "!=" if state[1] else "in", state[2].split(","))
    elif name == "physdev" and (filtered := re.search(r"'(FI|FO|HI)-([^']+)'", end)):
        # libvirt's nwfilter sends what comes from a tap to the chain FI-TAP or HI-TAP, what goes to it to FO-TAP.
        yield Match("tap out" if filtered[1] == "FO" else "tap in", "==", filtered[2])
    elif name == "physdev" and chain == "libvirt-in-post":
        yield Match("tap in", "filtered", None)
    elif name == "ip" and (told := list(_of_ebtables(text))):
        yield from told
    else:
        yield Match(f"xt {name}", "?", None)


def _of_ebtables(text: str) -> Iterator[Match]:
    """Read the conditions that ebtables' extension for IPv4 has in its text."""
    for words in re.finditer(
        r"\b(ip [sd]addr|ip protocol|(?:tcp|udp) [sd]port) (!= )?([\w.]+)(?:/(\d+))?(-\d+)?", text
    ):
        value: Any = int(words[3]) if words[3].isdecimal() else words[3]
        if words[4]:
            value = {"prefix": {"addr": words[3], "len": int(words[4])}}
        elif words[5]:
            value = {"range": [value, int(words[5][1:])]}
        yield Match(words[1], "!=" if words[2] else "==", value)
