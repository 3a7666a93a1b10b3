"""Rules of network filters in words: typed and told; and what is wrong with the document of a filter."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from kvist.errors import Problem
from kvist.specs.nic import FilterParameter
from kvist.specs.nwfilter import (
    USUAL_PRIORITY,
    Conditions,
    Filter,
    Include,
    Meaning,
    Rule,
    Term,
    attributes,
    chain_of,
    entries,
    meaning,
    same,
    values,
)
from kvist.specs.nwfilter_protocols import PROTOCOLS
from kvist.specs.nwfilter_values import VARIABLE_NAME, VARIABLE_VALUE
from kvist.xml.kinds import Scalar
from kvist.xml.options import nearest
from kvist.xml.pairs import Pair
from kvist.xml.spec import Spec

if TYPE_CHECKING:
    from kvist.xml.document import Element

WITH_PORTS: Final = {"6", "17", "33", "132"}
"""What a packet must hold to have ports: TCP, UDP, DCCP, SCTP. Source: virNWFilterRuleValidate."""


def option(name: str) -> str:
    """Give the option that a condition is typed by."""
    return f"--{name.replace('_', '-')}"


def told(said: Meaning) -> str:
    """Say a rule as it is typed: `drop in tcp --dport 22 --priority 100`."""
    from shlex import quote

    parts = [said.action, said.direction, *([said.protocol] if said.protocol else [])]
    parts += [f"{option(name)} {quote(str(term))}" for name, term in said.terms.items()]
    if said.priority != USUAL_PRIORITY:
        parts.append(f"--priority {said.priority}")
    if not said.stateful:
        parts.append("--stateless")
    parts += [f"{name}={value}" for name, value in said.strange]
    return " ".join(parts)


def told_include(include: Include) -> str:
    """Say an include as it is typed: `include no-ip-spoofing IP=10.0.0.5`."""
    given = [f"{name}={','.join(each)}" for name, each in values(include).items()]
    return " ".join(("include", include.filter or "", *given))


def told_entry(node: Element) -> str:
    """Say a rule or an include."""
    return told(meaning(node)) if node.tag == Rule.TAG else told_include(Include.read(node))


def typed(
    action: str,
    direction: str,
    protocol: str,
    conditions: Conditions,
    *,
    priority: int | None,
    stateful: bool,
    wrong: list[Problem],
) -> Meaning:
    """Make a rule of what is typed. What is wrong with it is gathered in `wrong`."""
    terms = {name: Term.of(name, str(value)) for name, value in conditions.items() if value is not None}
    kind = PROTOCOLS.get(protocol)
    if kind is None:
        wrong += [Problem(option(name), "a condition needs a protocol: tcp, ip, arp ...") for name in terms]
        terms = {}
    else:
        known = {name: field for name, field in kind.DECLARED.items() if name != "match"}
        for name, term in terms.items():
            if name not in known:
                wrong.append(
                    Problem(
                        option(name),
                        f'"{protocol}" has no such condition{nearest(name, known)}',
                        f"its conditions: {', '.join(map(option, known))}",
                    )
                )
                continue
            try:
                known[name].codec.parse(term.value)
            except ValueError as complaint:
                wrong.append(Problem(option(name), str(complaint)))
        # In the order of the table, so that the same rule is told in the same words.
        terms = {name: terms[name] for name in known if name in terms}
    said = Meaning(action, direction, USUAL_PRIORITY if priority is None else priority, stateful, protocol, terms)
    wrong += together(said)
    return said


def together(said: Meaning) -> Iterator[Problem]:
    """Find conditions that are right each for itself, and do not go together."""
    if said.protocol in ("ip", "ipv6"):
        ports = [name for name in ("sport", "dport") if name in said.terms]
        inner = said.terms.get("protocol")
        codec = PROTOCOLS[said.protocol].DECLARED["protocol"].codec
        named = str(getattr(codec, "plain")(inner.value)) if inner else ""  # noqa: B009 - every condition is a matcher
        if ports and not named.startswith("$") and named not in WITH_PORTS:
            yield Problem(option(ports[0]), "a packet has ports only with --protocol tcp, udp or sctp")
    if "ipset_flags" in said.terms and "ipset" not in said.terms:
        yield Problem("--ipset-flags", "say which set: --ipset NAME")


def parameters(words: Sequence[str], wrong: list[Problem]) -> tuple[FilterParameter, ...]:
    """Read `VAR=value,value` words. What is wrong with them is gathered in `wrong`."""
    found: list[FilterParameter] = []
    for word in words:
        name, equals, given = word.partition("=")
        if not equals or not given:
            wrong.append(Problem("VAR=VALUE", f'"{word}" is not like IP=10.0.0.5 or IP=10.0.0.5,10.0.0.6'))
            continue
        for value in given.split(","):
            try:
                found.append(FilterParameter(name=VARIABLE_NAME.parse(name), value=VARIABLE_VALUE.parse(value)))
            except ValueError as complaint:
                wrong.append(Problem("VAR=VALUE", str(complaint)))
    return tuple(found)


def problems(root: Element) -> list[Problem]:
    """Find everything that is wrong with the document of a filter, of which libvirt would drop half without a word."""
    if root.tag != Filter.TAG:
        return [Problem("", f"its first element is <{root.tag}>, not <filter>")]
    found = [*_attributes(root, Filter, ""), *_children(root, ("uuid", "rule", "filterref"), "")]
    numbers = {"rule": 0, "filterref": 0}
    for node in entries(root):
        numbers[str(node.tag)] += 1
        where = f"{'rule' if node.tag == Rule.TAG else 'include'} {numbers[str(node.tag)]}"
        if node.tag == Rule.TAG:
            found += _rule(node, where)
        else:
            found += _include(node, where)
    return found


def _rule(node: Element, where: str) -> Iterator[Problem]:
    yield from _attributes(node, Rule, where)
    for name in ("action", "direction"):
        if node.get(name) is None:
            yield Problem(where, f"it has no {name}")
    yield from _children(node, PROTOCOLS, where)
    tags = [str(each.tag) for each in node if str(each.tag) in PROTOCOLS]
    if len(set(tags)) > 1:
        yield Problem(where, f"it has {' and '.join(dict.fromkeys(tags))}; a rule is about one protocol")
    for each in node:
        kind = PROTOCOLS.get(str(each.tag))
        if kind is not None:
            yield from _attributes(each, kind, f"{where} {each.tag}")
    if len(set(tags)) == 1:
        yield from (each._replace(path=f"{where} {tags[0]}") for each in together(meaning(node)))


def _include(node: Element, where: str) -> Iterator[Problem]:
    yield from _attributes(node, Include, where)
    if node.get("filter") is None:
        yield Problem(where, "it names no filter")
    yield from _children(node, ("parameter",), where)
    for each in node.iterfind("parameter"):
        yield from _attributes(each, FilterParameter, f"{where} parameter")


def _children(node: Element, known: Iterable[str], where: str) -> Iterator[Problem]:
    for each in node:
        # Comments and the like have no name.
        if isinstance(each.tag, str) and each.tag not in known:
            yield Problem(where, f"it has no element <{each.tag}>{nearest(each.tag, known)}")


def _attributes(node: Element, kind: type[Spec], where: str) -> Iterator[Problem]:
    """Find attributes that there are not, and values that are not understood."""
    known = attributes(kind)
    for name in map(str, node.attrib):
        if name not in known:
            yield Problem(where, f'it has no attribute "{name}"{nearest(name, known)}')
    for field in _scalars(kind).values():
        parts = [node.get(each) for each in (field.attributes if isinstance(field, Pair) else (field.attribute,))]
        if all(each is None for each in parts):
            continue
        sign = field.sign if isinstance(field, Pair) else ""
        spelled = (parts[0] or "") + "".join(sign + each for each in parts[1:] if each is not None)
        try:
            field.codec.parse(spelled)
        except ValueError as complaint:
            yield Problem(f"{where} {field.attribute}".strip(), str(complaint))


def _scalars(kind: type[Spec]) -> Mapping[str, Scalar]:
    return {
        name: field for name, field in kind.DECLARED.items() if isinstance(field, Scalar) and field.path.startswith("@")
    }


def differences(one: Element, other: Element, ours: str, theirs: str) -> list[str]:
    """Say where two filters do not mean the same; `ours` and `theirs` say what the one and the other are."""
    found: list[str] = []
    (chain, priority), (other_chain, other_priority) = chain_of(one), chain_of(other)
    if chain != other_chain:
        found.append(f"chain is {chain} as {ours}, {other_chain} as {theirs}")
    if priority != other_priority:
        found.append(f"priority is {priority} as {ours}, {other_priority} as {theirs}")
    mine, yours = ([(same(node), told_entry(node)) for node in entries(root)] for root in (one, other))
    if len(mine) == len(yours):
        # Rule by rule, as far as they correspond: only what is otherwise is told.
        pairs = [(a[1], b[1]) for a, b in zip(mine, yours, strict=True) if a[0] != b[0]]
        if pairs and {key for key, _ in mine} == {key for key, _ in yours}:
            return [*found, "the same rules stand in another order"]
        return [*found, *(f"“{a}” as {ours}, “{b}” as {theirs}" for a, b in pairs)]
    there, here = {key for key, _ in mine}, {key for key, _ in yours}
    found += [f"“{text}” is only {ours}" for key, text in mine if key not in here]
    found += [f"“{text}” is only {theirs}" for key, text in yours if key not in there]
    return found or [f"{len(mine)} rules as {ours}, {len(yours)} as {theirs}"]
