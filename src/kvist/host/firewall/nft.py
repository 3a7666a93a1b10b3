"""One nftables table as data, and its text: rendered from typed words, loaded at once or not at all."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from kvist.errors import Unsupported

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kvist.host.hand import Hand

Rule = tuple[str, ...]
"""The words of a rule; what comes from outside went through `interface`, `address`, `number` or a type of `values`."""

MOST = 65535
"""Elements that a map has room for."""
DECLARATIONS = ("add table ", "add chain ", "add set ", "add map ")
ELEMENT = "add element "
_WORD = re.compile(r'[A-Za-z0-9_@.,:/&|=!*" {}-]+')
_INTERFACE = re.compile(r"[A-Za-z0-9_.:@-]{1,15}")


class Hook(NamedTuple):
    """Where the kernel calls a chain. Source: nft(8), CHAINS; the priorities are those of its table of names."""

    kind: str
    hook: str
    priority: int


class Chain(NamedTuple):
    """A chain and its rules; one without a hook is jumped to."""

    name: str
    rules: tuple[Rule, ...]
    hook: Hook | None = None


class Map(NamedTuple):
    """A map from marks to addresses. `learnt` is filled by rules and stays when the table is loaded anew."""

    name: str
    learnt: bool
    timeout: int = 0
    """Seconds after which what was learnt is forgotten; 0 for never."""
    elements: tuple[tuple[int, str], ...] = ()


class Store(NamedTuple):
    """A set or map of any type. One that is `learnt` is filled by rules and stays when the table is loaded anew."""

    kind: str
    """set or map."""
    name: str
    type: str
    """What is in it: `ipv4_addr`, `ifname : mark`."""
    learnt: bool = False
    timeout: int = 0
    size: int = 0
    elements: tuple[str, ...] = ()
    apart: bool = False
    """Its elements are none of the table's text: something else puts them in."""


class Table(NamedTuple):
    """A whole table."""

    name: str
    maps: tuple[Map, ...]
    chains: tuple[Chain, ...]
    family: str = "inet"
    stores: tuple[Store, ...] = ()

    def text(self) -> str:
        """Give what `nft -f` reads: it makes the table what is said here, whatever of it there is already.

        Only rules and told elements are replaced: what the kernel has learnt since stays.
        """
        at = f"{_safe(self.family)} {_safe(self.name)}"
        lines = [f"add table {at}", *(_declared(at, one) for one in self.stores)]
        for one in self.maps:
            flags = " flags dynamic" if one.learnt else ""
            flags += f",timeout; timeout {number(one.timeout)}s" if one.timeout else ""
            kind = f"type mark : ipv4_addr;{flags}{';' if flags else ''} size {MOST};"
            lines.append(f"add map {at} {_safe(one.name)} {{ {kind} }}")
        for chain in self.chains:
            hook = chain.hook
            said = f" {{ type {_safe(hook.kind)} hook {_safe(hook.hook)} priority {hook.priority}; }}" if hook else ""
            lines.append(f"add chain {at} {_safe(chain.name)}{said}")
        lines += [f"flush chain {at} {chain.name}" for chain in self.chains]
        for one in self.maps:
            if not one.learnt:
                lines.append(f"flush map {at} {one.name}")
                lines += [f"add element {at} {one.name} {{ {mark(key)} : {address(to)} }}" for key, to in one.elements]
        for store in self.stores:
            if not store.learnt and not store.apart:
                lines.append(f"flush {store.kind} {at} {store.name}")
                lines += [f"add element {at} {store.name} {{ {_safe(one)} }}" for one in store.elements]
        lines += [
            f"add rule {at} {chain.name} {' '.join(map(_safe, rule))}" for chain in self.chains for rule in chain.rules
        ]
        return "\n".join(lines) + "\n"


def _declared(at: str, one: Store) -> str:
    flags = [*(["dynamic"] if one.learnt else []), *(["timeout"] if one.timeout else [])]
    said = f"type {_safe(one.type)};" + (f" flags {','.join(flags)};" if flags else "")
    said += f" timeout {number(one.timeout)}s;" if one.timeout else ""
    said += f" size {number(one.size)};" if one.size else ""
    return f"add {_safe(one.kind)} {at} {_safe(one.name)} {{ {said} }}"


def change(before: str, after: str) -> str:
    """Give what makes of one text, which is loaded, the other: chains and elements that are the same are not touched.

    Counters, and connections that are counted, stay so where nothing changed.
    """
    old, new = before.splitlines(), after.splitlines()
    gone, come = set(old) - set(new), set(new) - set(old)
    lines = [line for line in new if line in come and line.startswith(DECLARATIONS)]
    rules_before, rules_after = _by_chain(old), _by_chain(new)
    touched = [chain for chain in rules_after if rules_before.get(chain) != rules_after[chain]]
    lines += [f"flush chain {chain}" for chain in touched]
    lines += [f"delete {line.removeprefix('add ')}" for line in old if line in gone and line.startswith(ELEMENT)]
    lines += [line for line in new if line in come and line.startswith(ELEMENT)]
    lines += [rule for chain in touched for rule in rules_after[chain]]
    for kinds in ("chain",), ("set", "map"):
        names = {kind: _names(old, kind) - _names(new, kind) for kind in kinds}
        # Emptied first: some of them may lead to others.
        lines += [f"flush {kind} {name}" for kind in kinds for name in sorted(names[kind])]
        lines += [f"delete {kind} {name}" for kind in kinds for name in sorted(names[kind])]
    return "".join(f"{line}\n" for line in lines)


def _names(lines: list[str], kind: str) -> set[str]:
    return {" ".join(line.split(" ", 5)[2:5]) for line in lines if line.startswith(f"add {kind} ")}


def _by_chain(lines: list[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {name: [] for name in sorted(_names(lines, "chain"))}
    for line in lines:
        if line.startswith("add rule "):
            found[" ".join(line.split(" ", 5)[2:5])].append(line)
    return found


def interface(name: str) -> str:
    """Give the name of an interface as a word of a rule. Raises ValueError for what can be none."""
    if not _INTERFACE.fullmatch(name):
        raise ValueError(f'"{name}" is not the name of a network interface')
    return f'"{name}"'


def address(text: str) -> str:
    """Give an IPv4 address or network as a word of a rule. Raises ValueError for what is none."""
    from ipaddress import IPv4Network

    return str(IPv4Network(text, strict=False)).removesuffix("/32")


def number(value: int) -> str:
    """Give a number as a word of a rule."""
    return str(int(value))


def mark(value: int) -> str:
    """Give a mark of a connection as a word of a rule."""
    return f"{int(value):#010x}"


def one_of(words: Iterable[str]) -> str:
    """Give a set of words as one: `{ 1.2.3.4, 5.6.7.8 }`."""
    return f"{{ {', '.join(words)} }}"


def _safe(word: str) -> str:
    """Let nothing through that would end a rule and begin another."""
    if not _WORD.fullmatch(word):
        raise ValueError(f"{word!r} is not a word of a rule")
    return word


class Loaded(NamedTuple):
    """A table as the kernel has it: its chains, how many rules each has, and what its maps say."""

    rules: dict[str, int]
    maps: dict[str, dict[int, str]]


def loaded(hand: Hand, name: str, family: str = "inet") -> Loaded | None:
    """Read a table back; None when there is none. Raises Unsupported where the host has no nft."""
    done = hand.run(["nft", "-j", "list", "table", family, name], check=False)
    if done.code == 127:
        raise Unsupported('program "nft" is not installed on the host', hint="apt install nftables")
    if done.code:
        return None
    rules: dict[str, int] = {}
    maps: dict[str, dict[int, str]] = {}
    told: list[dict[str, dict[str, Any]]] = json.loads(done.text)["nftables"]
    for each in told:
        if chain := each.get("chain"):
            rules.setdefault(str(chain["name"]), 0)
        elif rule := each.get("rule"):
            rules[str(rule["chain"])] = rules.get(str(rule["chain"]), 0) + 1
        elif (found := each.get("map")) and found.get("map") == "ipv4_addr":
            maps[str(found["name"])] = {_key(key): str(value) for key, value in found.get("elem", [])}
    return Loaded(rules, maps)


def _key(told: Any) -> int:
    """Give the key of an element, which comes with its time left where the map has a timeout."""
    return int(told["elem"]["val"] if isinstance(told, dict) else told)
