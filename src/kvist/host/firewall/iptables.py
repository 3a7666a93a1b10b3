"""The packet filter of a host without nft(8): what iptables-save prints, as the same tables, chains and rules."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

from kvist.host.firewall.ruleset import TARGETS, Chain, Match, Rule, Ruleset

HOOKS = {"PREROUTING": "prerouting", "INPUT": "input", "FORWARD": "forward", "OUTPUT": "output",
         "POSTROUTING": "postrouting"}  # fmt: skip
PRIORITIES = {"raw": -300, "mangle": -150, "filter": 0, "security": 50}
"""When the kernel calls the chains of a table. Source: <linux/netfilter_ipv4.h>, enum nf_ip_hook_priorities."""

FIELDS = {"-s": "{} saddr", "-d": "{} daddr", "-i": "iifname", "-o": "oifname", "-p": "l4proto"}
GO_ON = ("LOG", "NFLOG", "CHECKSUM", "MARK", "CONNMARK", "TCPMSS", "CT", "TRACE", "CLASSIFY", "DSCP", "NOTRACK")
"""Extensions after which a packet goes on to the next rule. Source: iptables-extensions(8)."""
STATES = ("--ctstate", "--state")
QUIET = ("--comment", "--reject-with", "--to-ports", "--to-source", "--to-destination", "--random", "--random-fully")
"""Words that say nothing about whether a packet fits."""


def parse(text: str, family: str = "ip") -> Ruleset:
    """Read what `iptables-save` (family ip) or `ip6tables-save` (ip6) printed."""
    chains: dict[tuple[str, str, str], Chain] = {}
    rules: dict[tuple[str, str, str], list[Rule]] = {}
    table = ""
    for line in text.splitlines():
        if line.startswith("*"):
            table = line[1:].strip()
        elif line.startswith(":"):
            name, policy, *_ = line[1:].split()
            chains[family, table, name] = _chain(family, table, name, policy)
        elif line.startswith("-A "):
            words = shlex.split(line)
            key = (family, table, words[1])
            known = rules.setdefault(key, [])
            known.append(_rule(key, words[2:], len(known) + 1, line.partition(" ")[2].partition(" ")[2]))
    return Ruleset({key: chain._replace(rules=tuple(rules.get(key, ()))) for key, chain in chains.items()}, {})


def _chain(family: str, table: str, name: str, policy: str) -> Chain:
    if policy == "-":
        return Chain(family, table, name)
    hook = HOOKS.get(name, "")
    source = hook in ("postrouting", "input")
    priority = (100 if source else -100) if table == "nat" else PRIORITIES.get(table, 0)
    kind = "nat" if table == "nat" else "filter"
    return Chain(family, table, name, (), kind, hook, priority, policy.lower())


def _rule(key: tuple[str, str, str], words: list[str], number: int, text: str) -> Rule:
    family, table, chain = key
    verdict, target = _end(words)
    matches = tuple(_matches(family, words))
    proto = next((match.value for match in matches if match.field == "l4proto" and match.op == "=="), "th")
    named = tuple(
        match._replace(field=f"{proto} {match.field}") if match.field in ("sport", "dport") else match
        for match in matches
    )
    return Rule(family, table, chain, number, named, verdict, target, text)


def _end(words: list[str]) -> tuple[str, str]:
    for flag, kind in (("-j", "jump"), ("-g", "goto")):
        if flag in words:
            name = words[words.index(flag) + 1]
            if name in ("ACCEPT", "DROP", "RETURN", "QUEUE"):
                return name.lower(), ""
            if name in TARGETS:
                return TARGETS[name], ""
            return ("", "") if name in GO_ON else (kind, name)
    return "", ""


def _matches(family: str, words: list[str]) -> Iterator[Match]:
    queue = iter(words)
    unless = False
    for word in queue:
        if word == "!":
            unless = True
            continue
        op = "!=" if unless else "=="
        unless = False
        if word in FIELDS:
            yield Match(FIELDS[word].format(family), op, _value(word, next(queue, "")))
        elif word in ("--dport", "--sport", "--dports", "--sports"):
            yield Match(word[2:].rstrip("s"), op, _ports(next(queue, "")))
        elif word in STATES:
            yield Match("ct state", "in" if op == "==" else op, next(queue, "").lower().split(","))
        elif word in ("-j", "-g") or word == "-m":
            next(queue, "")
        elif word.startswith("-") and word not in QUIET:
            # A condition of some extension: whether it fits is not to be told.
            yield Match(f"xt {word.lstrip('-')}", "?", None)


def _value(flag: str, text: str) -> Any:
    if flag in ("-i", "-o"):
        return f"{text[:-1]}*" if text.endswith("+") else text
    if flag in ("-s", "-d") and "/" in text:
        address, _, length = text.partition("/")
        return address if length in ("32", "128") else {"prefix": {"addr": address, "len": int(length)}}
    return text


def _ports(text: str) -> Any:
    def one(part: str) -> Any:
        low, colon, high = part.partition(":")
        return {"range": [int(low or 0), int(high or 65535)]} if colon else int(low)

    parts = [one(part) for part in text.split(",")]
    return parts[0] if len(parts) == 1 else {"set": parts}
