"""Libvirt's own filters on cards whose VMs have a policy: they have their say too, until a line replaces them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from kvist.engine.step import Step
from kvist.errors import NotFound
from kvist.host.firewall.choice import NFT, OF_FILTER, chosen
from kvist.resources.changing.alteration import plan
from kvist.resources.firewall.policies import Said
from kvist.specs.nic import FilterParameter, Nic
from kvist.specs.vm import Vm
from kvist.values import Mac
from kvist.xml.document import Document

if TYPE_CHECKING:
    from kvist.resources.firewall.policing import Target
    from kvist.resources.hosts.host import Host

LIVE, NEXT_BOOT = "live", "next boot"
CLEAN = ("clean-traffic", "clean-traffic-gateway", "no-ip-spoofing", "no-mac-spoofing", "no-arp-spoofing")
"""Filters that keep a card from taking another's address."""


class Filtered(NamedTuple):
    """A card with a filter, in the running VM or in what its next boot will use."""

    vm: str
    mac: str
    when: str
    filter: str
    parameters: tuple[str, ...] = ()
    """Its values for the filter's variables: `IP=10.0.0.5`."""

    @property
    def words(self) -> tuple[str, ...]:
        """The same as plain words, to be written down."""
        return (*self[:4], *self.parameters)

    @property
    def nic(self) -> Nic:
        """The card with this filter."""
        given = (each.partition("=") for each in self.parameters)
        parameters = tuple(FilterParameter(name=name, value=value) for name, _, value in given)
        return self.bare.replace(filter=self.filter, filter_parameters=parameters or None)

    @property
    def bare(self) -> Nic:
        """The card without."""
        return Nic(mac=Mac.parse(self.mac), filter=None).replace(filter_parameters=None)


def of_words(words: Sequence[str]) -> Filtered:
    """Read what was written down."""
    vm, mac, when, name, *parameters = words
    return Filtered(vm, mac, when, name, tuple(parameters))


def filtered(host: Host, targets: Iterable[Target]) -> list[Filtered]:
    """List the cards of VMs, and of the members of groups, that the firewall judges and that have a filter too."""
    names: list[str] = []
    for target in targets:
        names += [guest.name for guest in Said(host.site).members(target.group)] if target.group else [target.name]
    found: list[Filtered] = []
    for name in dict.fromkeys(names):
        for when, document in _documents(host, name):
            nics = [nic for nic in Vm.read(document.root).nics if nic.filter and nic.mac]
            found += [_filtered(name, nic, when) for nic in nics if not str(nic.filter).startswith(OF_FILTER)]
    if not found:
        return []
    said = Said(host.site)
    cards = [(name, card) for name in names for card in said.guests[name].cards]
    judged = {(name, str(card.mac)) for name, card in cards if not card.trouble or card.filtered}
    return [one for one in found if (one.vm, one.mac) in judged]


def _filtered(vm: str, nic: Nic, when: str) -> Filtered:
    given = tuple(f"{each.name}={each.value}" for each in nic.filter_parameters)
    return Filtered(vm, str(nic.mac), when, str(nic.filter), given)


def _documents(host: Host, name: str) -> Iterator[tuple[str, Document]]:
    domains = host.connection.domains
    if host.vm(name).state.active:
        yield LIVE, Document.parse(domains.xml(name, secure=True))
    if domains.persistent(name):
        yield NEXT_BOOT, Document.parse(domains.xml(name, next_boot=True, secure=True))


def taken_off(host: Host, cards: Sequence[Filtered]) -> Iterator[Step]:
    """Work out what takes filters off cards. It comes behind the policy's steps: no packet is judged by neither."""
    yield from _altered(host, cards, {card: card.bare for card in cards})


def succeeded(host: Host, cards: dict[Filtered, str]) -> Iterator[Step]:
    """Work out what puts other filters, which are there, in the place of those that cards have."""
    yield from _altered(host, list(cards), {card: card.bare.replace(filter=name) for card, name in cards.items()})


def put_back(host: Host, cards: Sequence[Filtered]) -> Iterator[Step]:
    """Work out what puts filters on cards that had them; those of VMs that have gone since are left."""
    yield from _altered(host, cards, {card: card.nic for card in cards})


def _altered(host: Host, cards: Sequence[Filtered], wish: dict[Filtered, Nic]) -> Iterator[Step]:
    for name in dict.fromkeys(card.vm for card in cards):
        try:
            documents = dict(_documents(host, name))
        except NotFound:
            # The VM has gone since, and its cards with it.
            continue
        wanted = {
            when: Vm(nics=tuple(wish[card] for card in cards if (card.vm, card.when) == (name, when)))
            for when in (LIVE, NEXT_BOOT)
        }
        live, stored = documents.get(LIVE), documents.get(NEXT_BOOT)
        yield from plan(name, live, stored, wanted[NEXT_BOOT if stored else LIVE], live_wish=wanted[LIVE])


def tell(host: Host, cards: Sequence[Filtered], honest: set[str], *, replace: bool) -> None:
    """Say which filters have their say beside the policy, or what goes with those that are taken off.

    `honest` are the VMs whose policy keeps them from taking another's address.
    """
    for vm, mac, name in dict.fromkeys((card.vm, card.mac, card.filter) for card in cards):
        if not replace:
            say = "has its say too" if chosen(host.site.hand) == NFT else "stands in the way of its policy"
            what = f'card {mac} of "{vm}" has filter "{name}", which {say}: --replace takes it off'
            host.site.report(what, None)
        elif name in CLEAN and vm not in honest:
            what = f'with filter "{name}" goes what kept "{vm}" from taking another\'s address: kvist fw antispoof {vm}'
            host.site.report(what, None)
