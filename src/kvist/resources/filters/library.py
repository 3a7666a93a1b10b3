"""All network filters of a host at one moment: what each includes, in which order its rules count, and who uses it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Final, NamedTuple

from kvist.errors import NotFound
from kvist.specs.nic import Nic
from kvist.specs.nwfilter import ROOT, Include, Meaning, Rule, chain_of, entries, meaning, values
from kvist.specs.nwfilter_protocols import ON_ETHERNET
from kvist.xml.document import Document
from kvist.xml.options import nearest

if TYPE_CHECKING:
    from kvist.virt.connection import Connection

BUILT_IN: Final = frozenset(
    {
        *("allow-arp", "allow-dhcp", "allow-dhcp-server", "allow-dhcpv6", "allow-dhcpv6-server", "allow-incoming-ipv4"),
        *("allow-incoming-ipv6", "allow-ipv4", "allow-ipv6", "clean-traffic", "clean-traffic-gateway"),
        *("no-arp-ip-spoofing", "no-arp-mac-spoofing", "no-arp-spoofing", "no-ip-multicast", "no-ip-spoofing"),
        *("no-ipv6-multicast", "no-ipv6-spoofing", "no-mac-broadcast", "no-mac-spoofing", "no-other-l2-traffic"),
        *("no-other-rarp-traffic", "qemu-announce-self", "qemu-announce-self-rarp"),
    }
)
"""Filters that come with libvirt, and lean on one another. Source: its src/nwfilter/xml."""

KNOWN_TO_LIBVIRT: Final = frozenset({"MAC", "IP"})
"""Variables that libvirt fills in: from the card, and from the first packets that the guest sends."""


class Placed(NamedTuple):
    """A rule of a filter, or of one that it includes."""

    filter: str
    at: int
    """Its place among the rules and includes of that filter."""
    chain: str
    chain_priority: int
    said: Meaning
    given: Mapping[str, tuple[str, ...]]
    """Values for its variables, from the includes that lead to it."""


class Card(NamedTuple):
    """A card of a VM that has a filter."""

    vm: str
    mac: str
    filter: str


class Binding(NamedTuple):
    """A running card that a filter is bound to."""

    port: str
    filter: str
    vm: str
    mac: str


class Library:
    """The filters of one host, read in one go."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        stored = connection.nwfilters.all()
        self.uuids = {each.name: each.uuid for each in stored}
        self.documents = {each.name: Document.parse(each.xml) for each in stored}
        self.texts = {each.name: each.xml for each in stored}

    def get(self, name: str) -> Document:
        """Give the document of a filter. Raises NotFound with the nearest names."""
        if name not in self.documents:
            raise NotFound(f'there is no filter "{name}"{nearest(name, self.documents)}', hint="kvist filter ls")
        return self.documents[name]

    def includes(self, name: str) -> list[Include]:
        """Give what a filter includes, in order; nothing for one that is not there."""
        document = self.documents.get(name)
        return [] if document is None else [Include.read(node) for node in document.root.iterfind(Include.TAG)]

    def way(self, start: str, end: str) -> list[str]:
        """Give the includes that lead from a filter to another, both included; empty when none do."""
        ways, seen = [[start]], {start}
        for way in ways:
            if way[-1] == end:
                return way
            for include in self.includes(way[-1]):
                if include.filter is not None and include.filter not in seen:
                    seen.add(include.filter)
                    ways.append([*way, include.filter])
        return []

    def above(self, name: str) -> set[str]:
        """Give the filters that have the rules of this one: itself, and all that lead to it."""
        return {each for each in (*self.documents, name) if self.way(each, name)}

    def unfolded(
        self, name: str, given: Mapping[str, tuple[str, ...]] = {}, seen: tuple[str, ...] = ()
    ) -> Iterator[Placed]:
        """Go through the rules of a filter and of those it includes, in the order in which they stand."""
        document = self.documents.get(name)
        if document is None or name in seen:
            return
        chain, priority = chain_of(document.root)
        for at, node in enumerate(entries(document.root)):
            if node.tag == Rule.TAG:
                yield Placed(name, at, chain, priority, meaning(node), given)
            else:
                include = Include.read(node)
                yield from self.unfolded(include.filter or "", {**given, **values(include)}, (*seen, name))

    def evaluated(self, name: str) -> list[Placed]:
        """List the rules of a filter, with those it includes, in the order in which a packet meets them.

        First those that ebtables looks at: the chain "root", which enters each other chain when it is that one's turn;
        then those of the host's firewall, which has no such chains: those of "root" before all others. Source:
        virNWFilterRuleInstSort and ebiptablesApplyNewRules.
        """

        def turn(place: tuple[int, Placed]) -> tuple[int, int, int, str, int, int]:
            order, rule = place
            priority = rule.said.priority
            if rule.said.protocol and rule.said.protocol not in ON_ETHERNET:
                return (1, int(rule.chain != ROOT), priority, "", 0, order)
            if rule.chain == ROOT:
                return (0, priority, 1, "", 0, order)
            return (0, rule.chain_priority, 0, rule.chain, priority, order)

        return [rule for _, rule in sorted(enumerate(self.unfolded(name)), key=turn)]

    def needs(self, name: str, given: set[str]) -> dict[str, str]:
        """Give the variables that neither an include nor the card gives, each with a filter that names it."""
        return {
            variable: rule.filter
            for rule in self.unfolded(name)
            for variable in rule.said.variables
            if variable not in given and variable not in rule.given and variable not in KNOWN_TO_LIBVIRT
        }

    @cached_property
    def bindings(self) -> list[Binding]:
        """The running cards that filters are bound to."""
        return bindings(self._connection)

    @cached_property
    def cards(self) -> list[Card]:
        """The cards, of running VMs and stored ones, that have a filter."""
        found: dict[Card, None] = {}
        texts = [(each.name, text) for each in self._connection.domains.both() for text in (each.stored, each.live)]
        for vm, text in texts:
            # Most VMs have none, and a document takes longer to read than to search.
            if "<filterref" in text:
                for node in Document.parse(text).root.iterfind("devices/interface"):
                    nic = Nic.read(node)
                    if nic.filter is not None:
                        found[Card(vm, str(nic.mac), nic.filter)] = None
        return list(found)

    def users(self, name: str) -> list[str]:
        """Say who uses a filter itself: filters that include it, cards of VMs, bindings of cards that no VM has."""
        found = [f'filter "{each}"' for each in self.documents if name in {one.filter for one in self.includes(each)}]
        vms = [card.vm for card in self.cards if card.filter == name]
        found += [f'VM "{vm}"' for vm in dict.fromkeys(vms)]
        found += [f'running card "{each.port}"' for each in self.bindings if each.filter == name and each.vm not in vms]
        return found

    def reached(self, name: str) -> int:
        """Count the running cards that a change of a filter reaches."""
        over = self.above(name)
        return sum(binding.filter in over for binding in self.bindings)


def bindings(connection: Connection) -> list[Binding]:
    """List the running cards that filters are bound to."""
    return [_binding(each.port, each.filter, each.xml) for each in connection.nwfilters.bindings()]


def _binding(port: str, filter: str, text: str) -> Binding:
    root = Document.parse(text).root
    mac = root.find("mac")
    return Binding(port, filter, root.findtext("owner/name") or "", "" if mac is None else mac.get("address") or "")
