"""All that is known about the way of a card's packets, from one look at host and guest; checks ask no more."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import TYPE_CHECKING

from kvist.errors import CommandFailed, Conflict, Denied, GuestFailed, Invalid, NotFound, TimedOut, Unsupported
from kvist.guest.netlook import GuestNet
from kvist.host.firewall.packets import Packet
from kvist.host.firewall.ruleset import EMPTY, Ruleset
from kvist.host.net.passage import BRIDGED, FORWARD, Daemon, Way
from kvist.resources.netview.diagnosis.ours import Ours, ours
from kvist.resources.netview.facts import Card, Net, cards_of, inside, nets, network_of

if TYPE_CHECKING:
    from kvist.host.net.links import Link
    from kvist.host.net.listeners import Listener
    from kvist.resources.vms.vm import Machine
    from kvist.virt.networks import Lease


@dataclass(frozen=True, kw_only=True)
class Situation:
    """One moment of one card."""

    vm: str
    state: str = "running"
    card: Card | None = None
    net: Net | None = None
    """The network that the card is on, where it is one of libvirt's."""
    links: tuple[Link, ...] = ()
    leases: tuple[Lease, ...] = ()
    neighbours: tuple[tuple[str, str], ...] = ()
    """MAC and address of who answered the host."""
    listeners: tuple[Listener, ...] = ()
    rules: Ruleset = EMPTY
    unread: str = ""
    """Why the rules could not be read; empty when they were."""
    switches: Mapping[str, str] = field(default_factory=dict)
    guest: GuestNet | None = None
    silent: str = ""
    """Why the guest says nothing of itself."""
    target: str = ""
    """Where its packets are to go; empty when nobody said and the host has no gateway either."""
    asked: bool = False
    """Whether a person named that address."""
    way: Way | None = None
    """How the host would send them there."""
    reached: bool | None = None
    """Whether the target answered the host."""
    daemon: Daemon = field(default_factory=Daemon)
    ours: Ours = field(default_factory=Ours)
    now: float = 0.0

    @property
    def running(self) -> bool:
        return self.state in ("running", "paused")

    @property
    def bridge(self) -> str:
        """The bridge that the card's tap has to be a port of."""
        if self.card is None:
            return ""
        return self.card.bridge or (self.net.bridge if self.net else "")

    @property
    def forwards(self) -> bool:
        """Whether the host is the guest's router."""
        return self.net is not None and self.net.forwards

    @property
    def isolated(self) -> bool:
        return self.net is not None and self.net.mode == "isolated"

    @property
    def local(self) -> bool:
        """Whether the target is on the guest's own network: no router is needed."""
        return bool(self.net and self.target and inside(self.target, self.net.addresses))

    def link(self, name: str) -> Link | None:
        return next((each for each in self.links if each.name == name), None)

    @property
    def address(self) -> str:
        """The guest's IPv4 address: its own word, else a lease that has not run out, else who answered the host."""
        return next(iter(self.addresses), "")

    @property
    def addresses(self) -> tuple[str, ...]:
        if self.card is None:
            return ()
        mac = self.card.mac
        if self.guest is not None:
            known = self.guest.interface(mac)
            return tuple(each.address for each in known.addresses if ":" not in each.address) if known else ()
        leased = [
            lease.address
            for lease in self.leases
            if lease.mac.lower() == mac and lease.expiry > self.now and ":" not in lease.address
        ]
        return (*leased, *(at for owner, at in self.neighbours if owner == mac and ":" not in at))

    @property
    def device(self) -> str:
        """What the guest calls the card."""
        known = self.guest.interface(self.card.mac) if self.guest and self.card else None
        return known.name if known else "eth0"

    @property
    def bridged(self) -> bool:
        """Whether packets that stay on a bridge come by the rules of the host too."""
        return self.switches.get(BRIDGED) == "1"

    @property
    def forwarding(self) -> str:
        return self.switches.get(FORWARD, "")

    @property
    def outgoing(self) -> Packet:
        """A first packet from the guest to the target, as the host gets it."""
        out = self.way.dev if self.way and self.forwards and not self.local else self.bridge
        tap = self.card.tap if self.card else ""
        return Packet(self.address, self.target, self.bridge, out, "icmp", tap_in=tap)

    @property
    def returning(self) -> Packet:
        """The answer to it."""
        sent = self.outgoing
        return sent._replace(
            source=sent.destination,
            destination=sent.source,
            iif=sent.oif,
            oif=sent.iif,
            state="established",
            tap_in="",
            tap_out=sent.tap_in,
        )

    def exec(self, *words: str) -> str:
        """Give the line that runs a command in the guest: by its agent, else by the person in front of it."""
        from shlex import join

        line = join(words)
        return f"kvist exec {self.vm} -- {line}" if self.guest and self.guest.ran else f"in the guest: {line}"


def look(vm: Machine, *, to: str = "", mac: str = "") -> Situation:
    """Look at everything once. Raises Invalid for an address that is none and a card that is not there."""
    if to:
        _check(to)
    host, state = vm.host, vm.state
    found = cards_of(vm.document().root)
    if mac and mac.lower() not in {card.mac for card in found}:
        raise Invalid(f'VM "{vm.name}" has no network card {mac}', hint=f"kvist nic ls {vm.name}", path="--mac")
    card = next((each for each in found if not mac or each.mac == mac.lower()), None)
    known = nets(host.connection)
    base = Situation(
        vm=vm.name,
        state=state.value,
        card=card,
        net=network_of(card, known) if card else None,
        now=time.time(),
        target=to,
        asked=bool(to),
    )
    return _inside(vm, _outside(vm, base))


def _check(to: str) -> None:
    try:
        parsed = ip_address(to)
    except ValueError as wrong:
        raise Invalid(f'"{to}" is not an address such as 10.0.0.1', path="--to") from wrong
    if parsed.version != 4:
        raise Invalid(f'"{to}" is an IPv6 address, and the walk is that of IPv4', path="--to")


def _outside(vm: Machine, base: Situation) -> Situation:
    """Add what the host knows."""
    from dataclasses import replace

    from kvist.host.firewall.ruleset import ruleset
    from kvist.host.net.links import links, routes
    from kvist.host.net.listeners import listeners
    from kvist.host.net.neighbours import neighbours
    from kvist.host.net.passage import answers, daemon, switches, way

    hand = vm.host.hand
    target = base.target or next(
        (each.via for each in routes(hand) if each.to == "default" and ":" not in each.via), ""
    )
    rules, unread = EMPTY, ""
    try:
        rules = ruleset(hand)
    except (CommandFailed, Denied, Unsupported) as wrong:
        unread = wrong.what
    return replace(
        base,
        links=tuple(links(hand)),
        leases=tuple(vm.host.connection.networks.leases()),
        neighbours=tuple(neighbours(hand.argv([]))) if hand.here else (),
        listeners=tuple(listeners(hand)),
        rules=rules,
        unread=unread,
        switches=switches(hand),
        target=target,
        way=way(hand, target) if target else None,
        reached=answers(hand, target) if target else None,
        daemon=daemon(hand),
        ours=ours(vm),
    )


def _inside(vm: Machine, base: Situation) -> Situation:
    """Add what the guest says of itself."""
    from dataclasses import replace

    from kvist.guest.netlook import look as ask
    from kvist.resources.reaching.waiting import agent_answers, agent_of

    if base.state != "running":
        return replace(base, silent=f"it is {base.state}")
    if not agent_answers(vm):
        return replace(base, silent="no guest agent answers")
    gateways = [each.address for each in base.net.inet] if base.net else []
    wanted = tuple(dict.fromkeys([*gateways, *([base.target] if base.target else [])]))
    if base.card is None or not base.card.link:
        # Nothing answers behind a pulled cable, and to wait for it would only take time.
        wanted = ()
    try:
        return replace(base, guest=ask(agent_of(vm), wanted))
    except (GuestFailed, TimedOut, Unsupported, Conflict, NotFound) as wrong:
        return replace(base, silent=wrong.what)
