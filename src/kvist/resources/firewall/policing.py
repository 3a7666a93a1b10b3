"""Changing the policy of a VM or a group: what is typed is read, written down and put in force."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from kvist.engine.step import Step
from kvist.errors import Conflict, Corrupt, Invalid, KvistError, NotFound, Problem, Unsupported
from kvist.host.firewall import choice, groups, tables
from kvist.resources.changing.alteration import plan
from kvist.resources.firewall.backends.backend import Backend, backend, chosen
from kvist.resources.firewall.policies import BRIDGING, Said, is_network, unreadable
from kvist.resources.firewall.replacing import Filtered, filtered, succeeded, taken_off, tell
from kvist.resources.steps.firewall import ShutCards, WriteGroup, judges, knowing
from kvist.specs.nic import Nic
from kvist.specs.policy import ALLOW, ANY, GROUP, HOST, Policy, Rule, Service
from kvist.specs.vm import Vm
from kvist.xml.document import Document

if TYPE_CHECKING:
    from kvist.resources.hosts.host import Host
    from kvist.values import Duration


class Typed(NamedTuple):
    """A rule as it was typed."""

    verdict: str
    service: str
    source: str = ""
    to: str = ""
    out: bool = False
    nic: str = ""
    most: int | None = None
    log: bool = False


class Target:
    """Whose policy it is: a VM's or a group's."""

    def __init__(self, host: Host, name: str) -> None:
        self.host, self.name = host, name
        self.group = name.removeprefix(GROUP) if name.startswith(GROUP) else ""

    @property
    def lines(self) -> tuple[str, ...]:
        """What it says now. Raises NotFound."""
        if self.group:
            return group(self.host, self.group).policy
        return self.host.vm(self.name).spec.firewall or ()

    @property
    def policy(self) -> Policy:
        """What that means. Raises Corrupt where somebody has written what means nothing."""
        if wrong := unreadable(self.lines):
            raise Corrupt(f'cannot read the policy of "{self.name}": {wrong}', hint=f"kvist fw reset {self.name}")
        return Policy.parse(self.lines)

    def say(self, policy: Policy, confirm: Duration | None = None, *, replace: bool = False) -> Iterator[Step]:
        """Work out what makes its policy this one."""
        yield from change(self.host, [(self, policy)], confirm, replace=replace)


def change(
    host: Host, wanted: Sequence[tuple[Target, Policy]], confirm: Duration | None = None, *, replace: bool = False
) -> Iterator[Step]:
    """Work out what makes policies of VMs and groups these; with `confirm`, only if somebody confirms it in time.

    With `replace`, libvirt's own filters on their cards are taken off.
    """
    at = host.site
    targets = [target for target, policy in wanted if policy.lines]
    differing = [(target, policy.lines) for target, policy in wanted if target.lines != policy.lines]
    (back, forth), have = judges(at), chosen(at)
    filters = filtered(host, targets) if differing or replace else []
    tell(host, filters, {target.name for target, policy in wanted if policy.antispoof}, replace=replace)
    going = filters if replace else []
    succeeded_by = [card for card in going if have.successor(card.mac)]
    if any(lines for _, lines in differing):
        have.check(at)
        must_be_possible(have, [(target.name, policy) for target, policy in wanted])
        yield from knowing(at)
    if confirm is not None and (differing or going):
        yield _watch(host, [target for target, _ in differing], going, confirm)
    if differing or succeeded_by:
        yield back
    if succeeded_by:
        yield ShutCards(by=choice.chosen(at.hand), cards=tuple(dict.fromkeys(card.mac for card in succeeded_by)))
        yield from succeeded(host, {card: have.successor(card.mac) for card in succeeded_by})
    for target, lines in differing:
        if target.group:
            tag = group(host, target.group).tag
            yield WriteGroup(name=target.group, before=(tag, *target.lines), after=(tag, *lines))
        else:
            in_groups = bool(host.vm(target.name).spec.groups)
            yield from written(host, target.name, Vm(firewall=lines or None), judged=bool(lines) or in_groups)
    if differing or succeeded_by:
        yield forth
    elif wanted and (trouble := chosen(at).intact(at, Said(at))):
        at.report(f"it is written down, but {trouble}", None)
        yield forth
    yield from taken_off(host, [card for card in going if card not in succeeded_by])


def must_be_possible(have: Backend, wanted: Iterable[tuple[str, Policy]]) -> None:
    """Raise Invalid with all rules of policies that a back-end cannot have."""
    rules = [(name, rule) for name, policy in wanted for rule in policy.rules]
    problems = [Problem(name, f"{rule}: {why}") for name, rule in rules if (why := have.refused(rule))]
    if problems:
        raise Invalid(problems, hint="kvist fw backend nft")


def _watch(host: Host, targets: Sequence[Target], going: Sequence[Filtered], seconds: Duration) -> Step:
    from uuid import uuid4

    from kvist.host.firewall import unconfirmed
    from kvist.resources.steps.unconfirmed import Watch

    if unconfirmed.read(host.site.hand) is not None:
        raise Conflict("an earlier change waits to be confirmed", hint="kvist fw confirm, or kvist fw revert")
    before = tuple((target.name, target.lines) for target in targets)
    filters = tuple(card.words for card in going)
    return Watch(token=uuid4().hex, seconds=float(seconds), before=before, filters=filters)


def written(host: Host, name: str, said: Vm, *, judged: bool, by: choice.Name | None = None) -> Iterator[Step]:
    """Write down what a VM says, live and for the next boot, where its cards get names that rules can be about."""
    judged = judged and backend(by or choice.chosen(host.site.hand)).names_taps
    domains, vm = host.connection.domains, host.vm(name)
    live = Document.parse(domains.xml(name, secure=True)) if vm.state.active else None
    stored = Document.parse(domains.xml(name, next_boot=True, secure=True)) if domains.persistent(name) else None
    named = {} if stored is None else named_cards(host, Vm.read(stored.root), judged=judged)
    yield from plan(name, live, stored, said.replace(**named), live_wish=said)


def named_cards(host: Host, stored: Vm, *, judged: bool) -> dict[str, tuple[Nic, ...]]:
    """Give the cards whose interface is to have another name from the next start on."""
    from kvist.resources.forwards.crossings import networks

    known = networks(host.site) if judged else {}
    changed: list[Nic] = []
    for nic in stored.nics:
        if not nic.mac:
            continue
        own = tables.own_tap(nic.mac)
        net = known.get(nic.network or "")
        bridged = nic.type == "bridge" or (nic.type == "network" and net is not None and net.mode in BRIDGING)
        if judged and bridged and not nic.tap:
            changed.append(Nic(mac=nic.mac, tap=own))
        elif not judged and nic.tap == own:
            changed.append(Nic(mac=nic.mac, tap=None))
    return {"nics": tuple(changed)} if changed else {}


def group(host: Host, name: str) -> groups.Group:
    """Find a group. Raises NotFound."""
    found = groups.groups(host.site.hand)
    if name not in found:
        known = f"; there is {', '.join(sorted(found))}" if found else ""
        raise NotFound(f'there is no group "{name}"{known}', hint=f"kvist fw group create {name}")
    return found[name]


def must_be_judged(host: Host, target: Target, *, replace: bool = False) -> None:
    """Raise Unsupported when no card of a VM is one whose packets can be judged, and tell of those that are not.

    With `replace`, a card's own filter is in nobody's way.
    """
    if target.group:
        return
    cards = Said(host.site).guests[target.name].cards
    reasons = [f"{card.mac}: {card.trouble}" for card in cards if card.trouble and not (replace and card.filtered)]
    if len(reasons) == len(cards):
        why = "; ".join(reasons) or "it has no network card"
        hint = f"kvist nic add {target.name} default"
        if any(card.filtered for card in cards):
            hint = "the same line with --replace, or kvist fw backend nft"
        raise Unsupported(f'the firewall cannot judge the packets of VM "{target.name}": {why}', hint=hint)
    for reason in reasons:
        host.site.report(f"not judged: {reason}", None)


def read_rule(host: Host, target: Target, typed: Typed) -> Rule:
    """Read a rule. Raises Invalid with all that is wrong."""
    problems: list[Problem] = []
    words = [typed.verdict, ANY]
    try:
        words[1] = str(Service.parse(typed.service))
    except ValueError as wrong:
        problems += [Problem("SERVICE", each) for each in str(wrong).split("; ")]
    words += ["out"] if typed.out else []
    out = typed.out or bool(typed.to and not typed.source)
    for option, text, is_peer in (("--from", typed.source, not out), ("--to", typed.to, out)):
        if not text:
            continue
        try:
            Rule.parse(f"allow any from {text}")
        except ValueError as wrong:
            problems.append(Problem(option, str(wrong)))
            continue
        words += [option.removeprefix("--"), text]
        if is_peer:
            problems += _peer_problems(host, option, text)
    if typed.nic:
        try:
            words += ["nic", _mac(host, target, typed.nic)]
        except KvistError as wrong:
            problems.append(Problem("--nic", wrong.what, wrong.hint))
    if typed.most is not None:
        if not 1 <= typed.most <= 65535:
            problems.append(Problem("--max-connections", f"{typed.most} is not a number of connections: 1 to 65535"))
        else:
            words += ["max", str(typed.most)]
    if not problems:
        try:
            return Rule.parse(" ".join([*words, "log"] if typed.log else words))
        except ValueError as wrong:
            problems += [Problem("", each) for each in str(wrong).split("; ")]
    raise Invalid(problems)


def _peer_problems(host: Host, option: str, text: str) -> list[Problem]:
    if text in (ANY, HOST) or is_network(text):
        return []
    if text.startswith(GROUP):
        try:
            group(host, text.removeprefix(GROUP))
        except NotFound as wrong:
            return [Problem(option, wrong.what, wrong.hint)]
        return []
    said = Said(host.site)
    if text not in said.guests:
        from difflib import get_close_matches

        near = get_close_matches(text, said.guests, n=1)
        hint = f"did you mean {near[0]}?" if near else "kvist ls"
        return [Problem(option, f'"{text}" is neither an address, nor host, nor group:NAME, nor a VM', hint)]
    guest = said.guests[text]
    if not guest.judged:
        return [Problem(option, f'VM "{text}" has no card that the firewall could know it by', f"kvist nic ls {text}")]
    if not said.addresses(guest) and not _asked(host, text):
        what = f'VM "{text}" has no address: nobody could come from there or go there'
        return [Problem(option, what, f"kvist start {text}, or a group, whose members need none yet: kvist fw group")]
    return []


def _asked(host: Host, name: str) -> list[str]:
    """Give the addresses that a running VM, or the host's neighbours, say that it has."""
    from kvist.resources.reaching.address import addresses

    try:
        return [one.address for one in addresses(host.vm(name))]
    except Conflict:
        # It does not run: then it has none.
        return []


def _mac(host: Host, target: Target, word: str) -> str:
    from kvist.resources.devices.naming import pick

    if target.group:
        raise Invalid("the members of a group have cards of their own", path="--nic")
    return str(pick(host.vm(target.name), word, ("nic",), "nic").item.get("mac"))


def with_rule(policy: Policy, rule: Rule, place: int | None) -> Policy:
    """Give a policy with a rule in it: at its place, else behind the others; one that is there stays where it is."""
    if rule in policy.rules and place is None:
        return policy
    rest = [one for one in policy.rules if one != rule]
    if place is not None and not 1 <= place <= len(rest) + 1:
        raise Invalid(f"there is no place {place}: 1 to {len(rest) + 1}", path="--at")
    rest.insert(len(rest) if place is None else place - 1, rule)
    return policy._replace(rules=tuple(rest))


def own_addresses(host: Host, target: Target) -> tuple[str, ...]:
    """Give all that is known of a VM's own addresses, the link-local ones left out."""
    said = Said(host.site)
    found = [*said.addresses(said.guests[target.name]), *_asked(host, target.name)]
    return tuple(dict.fromkeys(found))


def useless(policy: Policy, rule: Rule) -> str:
    """Say why a rule changes nothing: an earlier one decides, or the default is the same; empty when it does."""
    default = policy.outgoing if rule.out else policy.incoming
    way = "out" if rule.out else "in"
    later = policy.rules[policy.rules.index(rule) + 1 :] if rule in policy.rules else ()
    if rule.verdict == default and not rule.most and all(one.out != rule.out for one in later):
        other = "deny" if default == ALLOW else "allow"
        return f"{way}={default} is the default, so that it changes nothing: {way}={other} makes it count"
    return ""
