"""kvist's own nft table on a host: port forwards to guests, and networks that other hosts may reach."""

from __future__ import annotations

from typing import NamedTuple

from kvist.host.firewall.nft import Chain, Hook, Map, Rule, Table, address, interface, mark, number, one_of
from kvist.values import Mac, PortRange

TABLE = "kvist"
OURS = 0x08000000
"""The bit in the mark of a connection that says: let through by kvist. In the low 24 bits is the guest's card."""
BACK = 0x04000000
"""The bit that says: it comes from a guest of the same bridge, so its answer must come by the host."""
LEASE = 3600
"""Seconds that what a DHCP server said is believed: libvirt's own lease time, which a guest renews at half of it."""

DHCP_ACK = (
    *("udp", "sport", "67", "udp", "dport", "68"),
    # Of the message behind the UDP header: op is BOOTREPLY, the first option says DHCPACK. Source: RFC 2131, RFC 2132.
    *("@th,64,8", "2", "@th,1984,24", "0x350105"),
)
HARDWARE, GIVEN = "@th,288,48", "@th,192,32"
"""Its fields chaddr and yiaddr: whose message it is, and the address given."""


class Card(NamedTuple):
    """A card that a forward leads to."""

    mac: Mac
    bridge: str
    told: str = ""
    """Its address as far as libvirt knows; the kernel learns better."""
    masked: bool = False
    """The guest cannot answer other hosts by this one (no gateway, or another): it sees this host's address."""

    @property
    def key(self) -> int:
        """The mark of its connections: the last half of its MAC address."""
        return OURS | int(self.mac.replace(":", "")[6:], 16)


class Opening(NamedTuple):
    """A port of the host that leads to a card."""

    card: Card
    ports: PortRange
    to: int
    """The first of the guest's ports."""
    source: str = ""
    """Only connections from this network."""
    to_address: str = ""
    """Only connections to this address of the host."""
    by: str = ""
    """Only connections that come in by this interface."""


class Exposure(NamedTuple):
    """A bridge whose guests may be reached from an interface of the host."""

    bridge: str
    uplink: str


class Crossing(NamedTuple):
    """All that kvist lets cross on a host."""

    openings: tuple[Opening, ...] = ()
    exposures: tuple[Exposure, ...] = ()
    spared: tuple[str, ...] = ()
    """Addresses of the host at which its networks answer DNS and DHCP: no forward of those ports touches them."""

    @property
    def cards(self) -> tuple[Card, ...]:
        return tuple(dict.fromkeys(one.card for one in self.openings))

    def remembering(self, told: dict[int, str]) -> Crossing:
        """Give the same, with the addresses that were known of cards of which nothing is known now."""

        def known(one: Opening) -> Opening:
            return one._replace(card=one.card._replace(told=one.card.told or told.get(one.card.key, "")))

        return self._replace(openings=tuple(map(known, self.openings)))

    def table(self) -> Table:
        """Give the table that does it."""
        cards, bridges = self.cards, tuple(dict.fromkeys(card.bridge for card in self.cards))
        return Table(
            TABLE,
            (
                Map("leased", learnt=True, timeout=LEASE),
                Map("seen", learnt=True),
                Map("told", learnt=False, elements=tuple((card.key, card.told) for card in cards if card.told)),
            ),
            (
                Chain("learn_leased", tuple(map(_learn_leased, cards)), Hook("filter", "output", -310)),
                Chain("guard", _guard(bridges), Hook("filter", "prerouting", -310)),
                # Behind conntrack: one look for each connection that a guest begins, not for each packet.
                Chain("learn_seen", tuple(map(_learn_seen, cards)), Hook("filter", "prerouting", -150)),
                Chain("forwards", tuple(rule for one in self.openings for rule in self._led(one))),
                Chain("arriving", _to_host("forwards"), Hook("nat", "prerouting", -105)),
                Chain("local", _to_host("forwards"), Hook("nat", "output", -105)),
                Chain("hairpin", tuple(map(_hairpin, bridges)), Hook("filter", "prerouting", -90)),
                Chain("exposed", tuple(map(_exposed, self.exposures)), Hook("filter", "forward", -5)),
                Chain(
                    "leaving",
                    (*(rule for bridge in bridges for rule in _masked(bridge)), *_masked_cards(cards)),
                    Hook("nat", "postrouting", 95),
                ),
            ),
        )

    def _led(self, one: Opening) -> list[Rule]:
        """Lead a port to where the guest is: by its lease, else where it was last seen, else where it is said to be."""
        spared = self.spared if one.ports.first <= 67 and one.ports.last >= 53 and not one.to_address else ()
        match = (
            *(("iifname", interface(one.by)) if one.by else ()),
            *(("ip", "saddr", address(one.source)) if one.source else ()),
            *(("ip", "daddr", address(one.to_address)) if one.to_address else ()),
            *(("ip", "daddr", "!=", one_of(map(address, spared))) if spared else ()),
        )
        first, last, protocol = one.ports
        ports = number(first) if first == last else f"{number(first)}-{number(last)}"
        if one.to == first:
            to: Rule = ()
        elif first == last:
            to = (":", number(one.to))
        else:
            pairs = (f"{number(port)} : {number(port - first + one.to)}" for port in range(first, last + 1))
            to = (":", protocol, "dport", "map", one_of(pairs))
        return [
            (
                *match,
                *(protocol, "dport", ports, "ct", "mark", "set", mark(one.card.key)),
                *("dnat", "ip", "to", "ct", "mark", "map", f"@{known}", *to),
            )
            for known in ("leased", "seen", "told")
        ]


def _learn(known: str, key: int, found: str) -> Rule:
    # An update alone would leave another address as it is.
    element = one_of((f"{mark(key)} : {found}",))
    return ("delete", f"@{known}", element, "update", f"@{known}", element)


def _learn_leased(card: Card) -> Rule:
    hardware = f"0x{card.mac.replace(':', '')}"
    return ("oifname", interface(card.bridge), *DHCP_ACK, HARDWARE, hardware, *_learn("leased", card.key, GIVEN))


def _learn_seen(card: Card) -> Rule:
    bridge = interface(card.bridge)
    # Only what this host would answer by the same bridge can be an address of the guest's. By its name: the number of
    # an interface (oif) is not there before it is, and is another one when its network was started anew.
    belongs = ("ip", "saddr", "!=", "0.0.0.0", "fib", "saddr", "oifname", bridge, "fib", "saddr", "type", "!=", "local")  # noqa: S104
    return (
        *("iifname", bridge, "ct", "state", "new", "ether", "saddr", str(card.mac)),
        *belongs,
        *_learn("seen", card.key, "ip saddr"),
    )


def _guard(bridges: tuple[str, ...]) -> tuple[Rule, ...]:
    """Let nobody reach 127.0.0.1 from outside, though packets of its own may leave by the bridges."""
    return tuple(("iifname", interface(bridge), "ip", "daddr", "127.0.0.0/8", "drop") for bridge in bridges)


def _to_host(chain: str) -> tuple[Rule, ...]:
    return (("meta", "nfproto", "ipv4", "fib", "daddr", "type", "local", "jump", chain),)


def _is(bits: int) -> Rule:
    return ("ct", "mark", "&", mark(bits), "==", mark(bits))


def _hairpin(bridge: str) -> Rule:
    return (
        *("iifname", interface(bridge), "ct", "state", "new"),
        *_is(OURS),
        *("ct", "mark", "set", "ct", "mark", "|", mark(BACK)),
    )


def _exposed(one: Exposure) -> Rule:
    return (
        *("iifname", interface(one.uplink), "oifname", interface(one.bridge), "ct", "state", "new"),
        *("ct", "mark", "set", "ct", "mark", "|", mark(OURS)),
    )


def _masked(bridge: str) -> tuple[Rule, ...]:
    out = ("oifname", interface(bridge))
    return (
        (*out, *_is(OURS), "ip", "saddr", "127.0.0.0/8", "masquerade"),
        (*out, *_is(OURS | BACK), "masquerade"),
    )


def _masked_cards(cards: tuple[Card, ...]) -> tuple[Rule, ...]:
    return tuple(
        ("oifname", interface(card.bridge), "ct", "mark", mark(card.key), "masquerade") for card in cards if card.masked
    )
