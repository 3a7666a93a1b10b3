"""What the firewall of a host is to judge, worked out from what VMs and groups say of themselves."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from kvist.host.firewall import choice, groups
from kvist.host.firewall.apart import check_apart
from kvist.host.firewall.cardrules import HOST, Guarded, Judgement, Peer, key_of
from kvist.host.firewall.nft import interface
from kvist.host.firewall.tables import Firewall, Group, Known, own_tap
from kvist.resources.forwards.crossings import networks
from kvist.specs import policy
from kvist.specs.policy import ALLOW, CARRIED, GROUP, ICMP_TYPES, REJECT, Policy, Rule
from kvist.specs.vm import Vm
from kvist.values import Mac
from kvist.xml.document import Document

if TYPE_CHECKING:
    from kvist.engine.step import Site
    from kvist.specs.nic import Nic

BRIDGING = ("", "nat", "route", "open", "bridge")
"""Modes of networks whose cards are ports of a bridge."""


class Card(NamedTuple):
    """A card of a VM, as far as the firewall is concerned."""

    mac: Mac
    tap: str
    bridge: str
    network: str
    trouble: str = ""
    """Why its packets cannot be judged; empty when they can."""
    isolated: bool = False
    down: bool = False
    filter: str = ""
    """A filter of libvirt's that somebody has given it; not that which is made from a policy."""
    filtered: bool = False
    """That filter is all that keeps its packets from being judged."""


class Guest(NamedTuple):
    """A VM: its cards, and what it says of itself."""

    name: str
    cards: tuple[Card, ...]
    lines: tuple[str, ...]
    groups: frozenset[str]

    @property
    def judged(self) -> tuple[Card, ...]:
        """The cards whose packets can be judged."""
        return tuple(card for card in self.cards if not card.trouble)


class Said:
    """What all VMs and groups of a host say, read once."""

    def __init__(self, at: Site) -> None:
        self.at = at
        self.networks = networks(at)
        self.groups = groups.groups(at.hand)
        self.guests = {name: self._guest(name, xml) for name, xml in at.connection.domains.documents()}

    def _guest(self, name: str, xml: str) -> Guest:
        spec = Vm.read(Document.parse(xml).root)
        tags = spec.tags or ()
        inside = {one.name for one in self.groups.values() if one.tag and one.tag in tags}
        inside |= {one for one in spec.groups or () if one in self.groups}
        cards = tuple(self._card(nic) for nic in spec.nics if nic.mac)
        return Guest(name, cards, spec.firewall or (), frozenset(inside))

    def _card(self, nic: Nic) -> Card:
        mac = Mac.parse(str(nic.mac))
        net = self.networks.get(nic.network or "")
        trouble, bridge = "", nic.bridge or (net.bridge if net else "")
        own_filter = (nic.filter or "").startswith(choice.OF_FILTER)
        if nic.type not in ("network", "bridge"):
            trouble = f"a card of type {nic.type} is no port of a bridge"
        elif nic.virtualport == "openvswitch":
            trouble = "Open vSwitch judges its packets, not the kernel's bridge"
        elif nic.type == "network" and (net is None or net.mode not in BRIDGING):
            trouble = f'network "{nic.network}" is not there' if net is None else f"its network is of mode {net.mode}"
        filtered = bool(not trouble and nic.filter and not own_filter and self.stands_on == choice.NWFILTER)
        if filtered:
            trouble = f'it has filter "{nic.filter}", and libvirt lets no second one judge what that accepts'
        tap = nic.tap or ""
        own = own_tap(mac) if not tap or tap.startswith("vnet") else tap
        for name in filter(None, (own, bridge)):
            try:
                interface(name)
            except ValueError as wrong:
                trouble = str(wrong)
        foreign = "" if own_filter else nic.filter or ""
        return Card(
            mac, own, bridge, nic.network or "", trouble, bool(nic.isolated), nic.link == "down", foreign, filtered
        )

    @cached_property
    def stands_on(self) -> choice.Name:
        """What the policies of this host stand on."""
        return choice.chosen(self.at.hand)

    def policy(self, guest: Guest) -> Policy:
        """Give what holds for a VM: what it says itself, then what its groups say."""
        own = read(guest.lines)
        if own.off:
            return own
        for name in sorted(guest.groups):
            own = own.joined(read(self.groups[name].policy))
        return own

    def members(self, group: str) -> list[Guest]:
        """List the VMs that are in a group."""
        return [guest for guest in self.guests.values() if group in guest.groups]

    @cached_property
    def leases(self) -> dict[str, list[str]]:
        """Give the addresses that were given to cards, by MAC address."""
        found: dict[str, list[str]] = {}
        for lease in sorted(self.at.connection.networks.leases(), key=lambda one: one.expiry):
            found.setdefault(lease.mac.lower(), []).append(lease.address)
        return {mac: addresses[-1:] for mac, addresses in found.items()}

    def addresses(self, guest: Guest) -> tuple[str, ...]:
        """Give what is known of a VM's addresses without asking anybody: its policy and the leases."""
        known = list(read(guest.lines).addresses)
        for card in guest.judged:
            known += self.leases.get(str(card.mac), [])
        return tuple(dict.fromkeys(known))

    def in_force(self) -> list[tuple[Guest, Policy]]:
        """List the VMs whose packets are to be judged, and by what."""
        found = [(guest, self.policy(guest)) for guest in sorted(self.guests.values())]
        return [(guest, policy) for guest, policy in found if policy.lines and not policy.off]

    def firewall(self) -> Firewall:
        """Work out what the kernel is to do."""
        guarded: list[Guarded] = []
        named: set[str] = set()
        asked: set[str] = set()
        for guest, wanted in self.in_force():
            for rule in wanted.rules:
                (asked if rule.peer.startswith(GROUP) else named).add(rule.peer)
            guarded += [self.guarded(guest, card, wanted) for card in guest.judged]
        asked = {name.removeprefix(GROUP) for name in asked}
        sets = [
            Group(_set(name), tuple(sorted(key_of(card.mac) for one in self.members(name) for card in one.judged)))
            for name in sorted(asked)
        ]
        peers = [guest for guest in self.guests.values() if guest.name in named or guest.groups & asked]
        ours = {card.mac for card in guarded}
        known = {
            card.mac: Known(card.mac, card.tap) for guest in peers for card in guest.judged if card.mac not in ours
        }
        told = {
            address: key_of(guest.judged[0].mac) for guest in peers if guest.judged for address in self.addresses(guest)
        }
        owners = {str(card.mac): guest.name for guest in self.guests.values() for card in guest.judged}
        check_apart(((mac, owners[mac]) for mac in (*sorted(ours), *sorted(known))), "the firewall")
        bridges = sorted({card.bridge for guest in self.guests.values() for card in guest.judged if card.bridge})
        return Firewall(
            tuple(guarded),
            tuple(known[mac] for mac in sorted(known)),
            tuple(sets),
            tuple(sorted(told.items())),
            tuple(bridges),
        )

    def guarded(self, guest: Guest, card: Card, wanted: Policy) -> Guarded:
        """Give a card and what its policy says of it."""
        return Guarded(
            card.mac,
            card.tap,
            tuple(self._judgement(rule, guest) for rule in wanted.rules if rule.nic in ("", str(card.mac))),
            wanted.incoming == ALLOW,
            wanted.outgoing == ALLOW,
            wanted.blocked,
            wanted.antispoof,
            tuple(dict.fromkeys((*wanted.addresses, *self.leases.get(str(card.mac), ())))),
            told_in=wanted.incoming == REJECT,
            told_out=wanted.outgoing == REJECT,
        )

    def _judgement(self, rule: Rule, guest: Guest) -> Judgement:
        return Judgement(
            rule.verdict == ALLOW,
            str(rule),
            rule.service.protocol,
            CARRIED.get(rule.service.protocol, (0, 0)),
            rule.service.ports,
            ICMP_TYPES.get(rule.service.message),
            rule.out,
            self._peer(rule.peer),
            rule.own,
            rule.most,
            f"kvist {guest.name} {rule.verdict}: " if rule.log else "",
            told=rule.verdict == REJECT,
        )

    def _peer(self, peer: str) -> Peer:
        if not peer:
            return Peer()
        if peer == policy.HOST:
            return Peer(cards=(HOST,))
        if peer.startswith(GROUP):
            return Peer(group=_set(peer.removeprefix(GROUP)))
        if peer in self.guests:
            # A VM whose cards have gone since is nobody: no card has this mark.
            return Peer(cards=tuple(key_of(card.mac) for card in self.guests[peer].judged) or (0,))
        return Peer(network=peer) if is_network(peer) else Peer(cards=(0,))


def read(lines: Iterable[str]) -> Policy:
    """Read lines that somebody may have changed by hand: where one says nothing, nothing passes."""
    try:
        return Policy.parse(lines)
    except ValueError:
        # `kvist fw ls` and `check` tell which line, and `reset` takes it away.
        return Policy(blocked=True)


def unreadable(lines: Iterable[str]) -> str:
    """Say which lines of a policy say nothing; empty when all can be read."""
    try:
        Policy.parse(lines)
    except ValueError as wrong:
        return str(wrong)
    return ""


def is_network(text: str) -> bool:
    """Tell whether a peer is an address or a network, not the name of something."""
    if text.startswith(GROUP):
        return False
    return ":" in text or text.replace(".", "").replace("/", "").isdecimal()


def _set(group: str) -> str:
    """Name the kernel's set of a group: letters and digits, and no two alike."""
    from zlib import crc32

    return f"group_{crc32(group.encode()):08x}"


def wanted(at: Site) -> Firewall:
    """Work out what the firewall of a host is to judge."""
    return Said(at).firewall()
