"""Policies on filters of libvirt's: one for each card, made from its policy, and referred to by the card."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

from kvist.engine.step import Command
from kvist.errors import Denied, NotFound
from kvist.host import sysctl
from kvist.host.firewall import connections, restoring
from kvist.host.firewall.cardrules import Guarded
from kvist.host.firewall.choice import OF_FILTER, filter_of
from kvist.host.firewall.tables import NETFILTER
from kvist.resources.changing.alteration import plan
from kvist.resources.firewall.backends import rulesinforce
from kvist.resources.firewall.backends.backend import InKernel, Unbound
from kvist.resources.firewall.backends.policyfilter import CARRIED, SHUT, Row, document, leaves_open, rows, written
from kvist.resources.firewall.backends.walls import walls
from kvist.resources.firewall.backends.whereabouts import Whereabouts
from kvist.specs.nic import Nic
from kvist.specs.nwfilter import Filter, same_filter
from kvist.specs.policy import NAMED
from kvist.specs.vm import Vm
from kvist.values import Mac
from kvist.xml.document import Document

if TYPE_CHECKING:
    from kvist.engine.step import Site, Step
    from kvist.resources.firewall.policies import Said
    from kvist.specs.policy import Rule

HEADER: Final = "# Written by kvist: cards, and the addresses that rules of the firewall know them by.\n"


class Wanted(NamedTuple):
    """A card that is to have a filter."""

    vm: str
    card: Guarded
    walls: tuple[str, ...]

    @property
    def name(self) -> str:
        return filter_of(self.card.mac)

    @property
    def rows(self) -> list[Row]:
        return rows(self.card, self.walls)

    def document(self, uuid: str = "") -> Document:
        """Give its filter."""
        return document(self.card, uuid, self.walls)


class Reference(NamedTuple):
    """A card's word that a filter of ours is its own."""

    vm: str
    mac: str
    filter: str
    live: bool
    tap: str


class Filters:
    """The filters `kvist-fw-...`, by the MAC addresses of cards."""

    names_taps = False

    def check(self, at: Site) -> None:
        # Raises Unsupported where libvirt has no filters.
        at.connection.nwfilters.names()
        if at.hand.run(["id", "-u"]).text.strip() != "0":
            raise Denied("the firewall of the host is root's", hint="sudo kvist fw block web")

    def refused(self, rule: Rule) -> str:
        if rule.log:
            return "libvirt's filters keep no log"
        if rule.service.protocol not in (*CARRIED, *NAMED):
            return f"libvirt's filters do not know {rule.service.protocol}"
        return ""

    def successor(self, mac: str) -> str:
        return filter_of(mac)

    def enforce(self, at: Site) -> None:
        from kvist.resources.firewall.policies import Said

        said = Said(at)
        where, wanted = _wanted(said)
        if not wanted:
            self.release(at)
            return
        known = "".join(f"{' '.join((mac, *found))}\n" for mac, found in sorted(where.found.items()))
        at.hand.write(restoring.FILTERS, HEADER + known)
        restoring.install(at.hand)
        mending = {filter_of(one.mac) for one in _unbound(at, wanted)}
        changed = [one for one in wanted if _define(at, one, anew=one.name in mending)]
        _refer(at, _names(wanted))
        _forget(at, {one.name for one in wanted})
        for one in changed:
            if one.card.antispoof and not any(":" not in address for address in one.card.addresses):
                at.report(f"card {one.card.mac} has no address yet: when it has, kvist fw restore lets it send", None)
            _end_connections(at, one.card)

    def release(self, at: Site) -> None:
        if at.hand.read(restoring.FILTERS) is None:
            return
        _refer(at, {})
        _forget(at, set())
        restoring.release(at.hand, restoring.FILTERS)

    def expected(self, at: Site) -> tuple[str, ...]:
        from kvist.resources.firewall.policies import Said

        return tuple(sorted(str(card.mac) for guest, _ in Said(at).in_force() for card in guest.judged))

    def expect(self, at: Site, cards: tuple[str, ...]) -> None:
        filters = at.connection.nwfilters
        for mac in cards:
            name = filter_of(mac)
            if not filters.stored(name):
                filters.define(written(Guarded(Mac.parse(mac), ""), SHUT, "").text(), name=name)

    def intact(self, at: Site, said: Said) -> str:
        _, wanted = _wanted(said)
        if not wanted:
            return ""
        if lacking := restoring.lacking(at.hand):
            return f"{next(iter(lacking))} is not there or not kvist's"
        stored = {one.name: one.xml for one in at.connection.nwfilters.all()}
        for one in wanted:
            xml = stored.get(one.name, "")
            if not xml or same_filter(Document.parse(xml).root) != same_filter(one.document().root):
                return f"filter {one.name} is not there or says otherwise: addresses may have changed since"
        for vm, live, next_boot in _unreferred(at, _names(wanted)):
            return f"cards {', '.join(str(nic.mac) for nic in live or next_boot)} of {vm} do not refer to their filters"
        off = [key for key in NETFILTER if sysctl.read(at.hand, key) != "1"]
        if off and any(not row.on_ethernet for one in wanted for row in one.rows):
            return f"{off[0]} is off, so that nobody judges packets on bridges"
        if unbound := next(iter(_unbound(at, wanted)), None):
            return f"the rules of interface {unbound.tap} were flushed or changed"
        return ""

    def unbound(self, at: Site, said: Said) -> Iterable[Unbound]:
        _, wanted = _wanted(said)
        return _unbound(at, wanted)

    def kernel(self, at: Site, said: Said) -> Iterator[InKernel]:
        _, wanted = _wanted(said)
        said_of = {one.name: one.rows for one in wanted}
        taps = {
            ref.tap: (ref.mac, said_of[ref.filter])
            for ref in _references(at)
            if ref.live and ref.tap and ref.filter in said_of
        }
        yield from rulesinforce.rules(at.hand, taps)

    def commands(self) -> tuple[Command, ...]:
        return (Command(("virsh", "nwfilter-define", "/dev/stdin")), Command(("virsh", "update-device", "VM", "CARD")))


def _ours(name: str) -> bool:
    return name.startswith(OF_FILTER)


def _wanted(said: Said) -> tuple[Whereabouts, list[Wanted]]:
    where, found = Whereabouts(said), list[Wanted]()
    for guest, policy in said.in_force():
        for card in guest.judged:
            rules = [rule for rule in policy.rules if rule.nic in ("", str(card.mac))]
            made = where.meant(said.guarded(guest, card, policy), rules)
            found.append(Wanted(guest.name, made, walls(said.networks, card.network, where.of_host)))
    return where, found


def _unbound(at: Site, wanted: list[Wanted]) -> list[Unbound]:
    said_of = {one.name: one.rows for one in wanted}
    running = [ref for ref in _references(at) if ref.live and ref.tap and ref.filter in said_of]
    missing = rulesinforce.missing(at.hand, {ref.tap: said_of[ref.filter] for ref in running})
    return [Unbound(ref.vm, ref.mac, ref.tap) for ref in running if ref.tap in missing]


def _define(at: Site, wanted: Wanted, *, anew: bool) -> bool:
    """Store the filter of a card, on its running interface too; tells whether it was another before.

    `anew` makes libvirt put its rules in the kernel again, which it does only with what has changed: between the two,
    nothing passes.
    """
    filters = at.connection.nwfilters
    stored = filters.stored(wanted.name)
    uuid = Filter.read(Document.parse(stored).root).uuid or "" if stored else ""
    new = wanted.document(uuid)
    same = bool(stored) and same_filter(Document.parse(stored).root) == same_filter(new.root)
    if same and anew:
        filters.define(written(wanted.card, SHUT, uuid).text(), name=wanted.name)
    if not same or anew:
        filters.define(new.text(), name=wanted.name)
    return not same


def _end_connections(at: Site, card: Guarded) -> None:
    """End what the card has begun and may not have any more, where its rules alone do not."""
    if not leaves_open(card):
        return
    if not at.hand.has(connections.PROGRAM):
        at.report(f"connections that card {card.mac} has begun go on: apt install {connections.PACKAGE}", None)
        return
    for one in connections.denied(at.hand, card):
        connections.end(at.hand, one)


def _names(wanted: list[Wanted]) -> dict[tuple[str, str], str]:
    return {(one.vm, str(one.card.mac)): one.name for one in wanted}


def _nics(xml: str) -> list[Nic]:
    return [nic for nic in Vm.read(Document.parse(xml).root).nics if nic.mac] if xml else []


def _references(at: Site) -> list[Reference]:
    return [
        Reference(each.name, str(nic.mac), nic.filter, live, nic.tap or "")
        for each in at.connection.domains.both()
        for live, text in ((True, each.live), (False, each.stored))
        if OF_FILTER in text
        for nic in _nics(text)
        if nic.filter and _ours(nic.filter)
    ]


def _unreferred(at: Site, names: dict[tuple[str, str], str]) -> Iterator[tuple[str, list[Nic], list[Nic]]]:
    """Give VMs whose cards are to refer to other filters of ours, or to none: their wishes, live and at next boot."""
    for each in at.connection.domains.both():
        live, next_boot = (_otherwise(each.name, text, names) for text in (each.live, each.stored))
        if live or next_boot:
            yield each.name, live, next_boot


def _otherwise(vm: str, xml: str, names: dict[tuple[str, str], str]) -> list[Nic]:
    wishes = [(nic, names.get((vm, str(nic.mac)))) for nic in _nics(xml)]
    return [
        Nic(mac=nic.mac, filter=name)
        for nic, name in wishes
        if nic.filter != name and (name or _ours(nic.filter or ""))
    ]


def _refer(at: Site, names: dict[tuple[str, str], str]) -> None:
    """Let each card refer to its filter, live and for the next boot, and none to another of ours."""
    domains = at.connection.domains
    for vm, live, next_boot in _unreferred(at, names):
        steps: list[Step] = []
        if live:
            steps += plan(vm, Document.parse(domains.xml(vm, secure=True)), None, Vm(nics=tuple(live)))
        if next_boot:
            stored = Document.parse(domains.xml(vm, next_boot=True, secure=True))
            steps += plan(vm, None, stored, Vm(nics=tuple(next_boot)))
        for step in steps:
            step.apply(at)


def _forget(at: Site, kept: set[str]) -> None:
    """Remove the filters that no card needs; those of VMs that are saved stay, without rules: they would not start."""
    filters, domains = at.connection.nwfilters, at.connection.domains
    gone = [name for name in filters.names() if _ours(name) and name not in kept]
    saved = (
        {filter_of(str(nic.mac)): str(nic.mac) for each in domains.both() for nic in _nics(each.stored)
         if not each.live and domains.has_managed_save(each.name)} if gone else {}
    )  # fmt: skip
    for name in gone:
        try:
            if name in saved:
                open_to_all = written(Guarded(Mac.parse(saved[name]), ""), [], filters.uuid(name))
                filters.define(open_to_all.text(), name=name)
            else:
                filters.undefine(name)
        except NotFound:
            # Another kvist was faster.
            continue
