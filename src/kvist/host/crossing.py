"""kvist's own nft table on a host: port forwards to guests, and networks that other hosts may reach."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import TYPE_CHECKING, NamedTuple

from kvist.errors import Denied, Failed, Unsupported
from kvist.host import nft
from kvist.host.nft import Chain, Hook, Map, Rule, Table, address, interface, mark, number, one_of
from kvist.values import Mac, PortRange

if TYPE_CHECKING:
    from kvist.host.hand import Hand

TABLE = "kvist"
OURS = 0x08000000
"""The bit in the mark of a connection that says: let through by kvist. In the low 24 bits is the guest's card."""
BACK = 0x04000000
"""The bit that says: it comes from a guest of the same bridge, so its answer must come by the host."""
LEASE = 3600
"""Seconds that what a DHCP server said is believed: libvirt's own lease time, which a guest renews at half of it."""

DIRECTORY = "/etc/kvist"
RULES = f"{DIRECTORY}/crossing.nft"
PORTS = f"{DIRECTORY}/crossing.ports"
RESTORE = f"{DIRECTORY}/restore"
HOOKS = {
    f"/etc/libvirt/hooks/{kind}.d/kvist": f"hook_{kind}.sh" for kind in ("network", "qemu", "daemon")
}  # fmt: skip
RELOADED = "/etc/systemd/system/nftables.service.d/kvist.conf"
"""Debian's nftables.service flushes the rules of everybody when it is reloaded."""
WHY = "kvist: port forwards and exposed networks"
PASS = ("-m", "connmark", "--mark", f"{OURS:#010x}/{OURS:#010x}", "-m", "comment", "--comment", WHY, "-j", "ACCEPT")
LIBVIRTS = ("ip", "libvirt_network", "forward")
"""Where libvirt has its rules when its firewall_backend is nftables, since 10.4."""
DAEMONS = ("libvirtd", "virtnetworkd", "virtqemud")

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
    # Only what this host would answer by the same bridge can be an address of the guest's.
    belongs = ("ip", "saddr", "!=", "0.0.0.0", "fib", "saddr", "oif", bridge, "fib", "saddr", "type", "!=", "local")  # noqa: S104
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


def written(hand: Hand) -> bool:
    """Tell whether the host has anything of this."""
    return hand.read(RULES) is not None


def enforce(hand: Hand, wanted: Crossing) -> None:
    """Make the host let through what is wanted, now and after restarts; with nothing wanted nothing is left of it."""
    before = _ports(hand)
    wanted = wanted.remembering(told(hand))
    if not wanted.openings and not wanted.exposures:
        _dismantle(hand, before)
        return
    after = [(card.bridge, _tail(card.mac)) for card in wanted.cards]
    hand.write(RULES, wanted.table().text())
    if after:
        hand.write(PORTS, "".join(f"{bridge} {card}\n" for bridge, card in after))
    else:
        hand.remove(PORTS)
    _close(hand, [each for each in before if each not in after], {bridge for bridge, _ in after})
    _install(hand)
    hand.run([RESTORE])
    left = {card for _, card in before} & {card for _, card in set(after) - set(before)}
    for card in wanted.cards:
        if _tail(card.mac) in left:
            # It is on another bridge now: what was learnt of it there is wrong here.
            for known in ("leased", "seen"):
                hand.run(["nft", "delete", "element", "inet", TABLE, known, one_of((mark(card.key),))], check=False)


def intact(hand: Hand, wanted: Crossing) -> str:
    """Say what of it is not as wanted on the host; empty when all is."""
    table = wanted.table()
    if _rules(hand.read(RULES) or "") != _rules(table.text()):
        return "the host's copy of it is not there or says otherwise"
    if lacking := _lacking(hand):
        return f"{next(iter(lacking))} is not there or not kvist's"
    found = nft.loaded(hand, TABLE)
    if found is None or found.rules != {chain.name: len(chain.rules) for chain in table.chains}:
        return f"table {TABLE} was flushed or changed"
    if not _passes(hand):
        return "the rule that lets them pass those of libvirt is gone, or behind them"
    return _closed(hand, [(card.bridge, _tail(card.mac)) for card in wanted.cards])


def _passes(hand: Hand) -> bool:
    """Tell whether what is marked passes libvirt's rules, in either of the forms that libvirt writes."""
    if hand.has("iptables"):
        lines = hand.run(["iptables", "-w", "10", "-S", "FORWARD"], check=False).text.splitlines()
        first = next((line for line in lines if WHY in line or "-j LIBVIRT_" in line), "")
        if WHY not in first:
            return False
    theirs = hand.run(["nft", "list", "chain", *LIBVIRTS], check=False)
    return bool(theirs.code) or WHY in theirs.text


def _closed(hand: Hand, ports: list[tuple[str, str]]) -> str:
    """Name a bridge or port that was made anew since, and so lacks what a forward needs of it; empty when none was."""
    for bridge in dict.fromkeys(bridge for bridge, _ in ports):
        if (hand.read(_localnet(bridge)) or "").strip() == "0":
            return f"bridge {bridge} was made anew"
    plugged = json.loads(hand.run(["ip", "-json", "-details", "link", "show", "type", "tun"]).text or "[]")
    for link in filter(None, plugged):
        known = (str(link.get("master", "")), str(link.get("address", ""))[3:]) in ports
        if known and not link.get("linkinfo", {}).get("info_slave_data", {}).get("hairpin", True):
            return f"port {link['ifname']} was plugged anew"
    return ""


def whereabouts(hand: Hand) -> dict[int, str]:
    """Give the address that forwards to each card lead to at this moment, by the card's key."""
    found = nft.loaded(hand, TABLE) if written(hand) else None
    maps = found.maps if found else {}
    return {**maps.get("told", {}), **maps.get("seen", {}), **maps.get("leased", {})}


def _rules(text: str) -> list[str]:
    """Give what a table says, less the addresses that were told: the kernel learns those anew."""
    return [line for line in text.splitlines() if not line.startswith("add element ")]


def told(hand: Hand) -> dict[int, str]:
    """Give the addresses that kvist's own copy of the table has, by the card's key."""
    found: dict[int, str] = {}
    for line in (hand.read(RULES) or "").splitlines():
        if line.startswith(f"add element inet {TABLE} told "):
            key, _, address = line.partition("{ ")[2].removesuffix(" }").partition(" : ")
            found[int(key, 16)] = address
    return found


def _install(hand: Hand) -> None:
    lacking = _lacking(hand)
    for path, text in lacking.items():
        hand.write(path, text, mode=0o755)
    if lacking.keys() & HOOKS.keys():
        _notice(hand)
    if "system" in hand.names("/run/systemd") and hand.read(RELOADED) is None:
        hand.write(RELOADED, f"[Service]\nExecStartPost=-{RESTORE}\nExecReload=-{RESTORE}\n")
        hand.run(["systemctl", "daemon-reload"])


def _lacking(hand: Hand) -> dict[str, str]:
    """Give the programs that the host does not have as they should be, by path."""
    wanted = {
        path: files("kvist.host").joinpath(source).read_text(encoding="utf-8")
        for path, source in ((RESTORE, "restore.sh"), *HOOKS.items())
    }
    return {path: text for path, text in wanted.items() if hand.read(path) != text}


def _notice(hand: Hand) -> None:
    """Let libvirt look for hooks: it does when it is started, and once more at SIGHUP."""
    for daemon in DAEMONS:
        pid = (hand.read(f"/run/{daemon}.pid") or "").strip()
        if pid.isdecimal():
            # It may have ended since: then it looks when it is started.
            hand.run(["sh", "-c", 'kill -HUP "$0"', pid], check=False)


def _dismantle(hand: Hand, before: list[tuple[str, str]]) -> None:
    # The hooks first: none of them may bring back what goes now.
    for path in (*HOOKS, RESTORE):
        hand.remove(path)
    if hand.read(RELOADED) is not None:
        hand.remove(RELOADED)
        hand.run(["rmdir", RELOADED.rpartition("/")[0]], check=False)
        hand.run(["systemctl", "daemon-reload"])
    hand.remove(PORTS)
    hand.remove(RULES)
    _close(hand, before, set())
    if nft.loaded(hand, TABLE) is not None:
        hand.run(["nft", "delete", "table", "inet", TABLE])
    # Each of them ends with an error when there is none left.
    while hand.has("iptables") and not hand.run(["iptables", "-w", "10", "-D", "FORWARD", *PASS], check=False).code:
        continue
    for handle in _inserted(hand):
        hand.run(["nft", "delete", "rule", *LIBVIRTS, "handle", str(handle)])
    empty = (*(path.rpartition("/")[0] for path in HOOKS), "/etc/libvirt/hooks", DIRECTORY)
    # Those in which somebody else has something stay.
    hand.run(["rmdir", *empty], check=False)


def _inserted(hand: Hand) -> list[int]:
    """Give the handles of our rules in libvirt's table."""
    done = hand.run(["nft", "-j", "list", "chain", *LIBVIRTS], check=False)
    told = json.loads(done.text)["nftables"] if done.code == 0 else []
    return [each["rule"]["handle"] for each in told if each.get("rule", {}).get("comment") == WHY]


def _close(hand: Hand, gone: list[tuple[str, str]], kept: set[str]) -> None:
    for bridge, card in gone:
        if bridge not in kept and hand.read(_localnet(bridge)) == "1\n":
            hand.write(_localnet(bridge), "0\n")
        for port in hand.names(f"/sys/class/net/{bridge}/brif"):
            if (hand.read(f"/sys/class/net/{port}/address") or "").strip()[3:] == card:
                hand.write(f"/sys/class/net/{bridge}/brif/{port}/hairpin_mode", "0\n")


def _ports(hand: Hand) -> list[tuple[str, str]]:
    """Give the bridges and cards that the host's copy names."""
    pairs = (line.split() for line in (hand.read(PORTS) or "").splitlines())
    return [(words[0], words[1]) for words in pairs if len(words) == 2]


def _tail(mac: Mac) -> str:
    """Give what a card and its tap have in common: libvirt makes the first byte of the tap's address another."""
    return mac[3:]


def _localnet(bridge: str) -> str:
    return f"/proc/sys/net/ipv4/conf/{bridge}/route_localnet"


def check_tools(hand: Hand) -> None:
    """Raise Unsupported when the host lacks a program that this needs, Denied when this user may not use it."""
    if not hand.has("nft"):
        raise Unsupported('program "nft" is not installed on the host', hint="apt install nftables")
    if hand.run(["id", "-u"]).text.strip() != "0":
        raise Denied("the firewall of the host is root's", hint="sudo kvist forward add 8080 web:80")


def check_keys(cards: tuple[Card, ...]) -> None:
    """Raise Failed when two cards cannot be told apart by their marks."""
    by_key: dict[int, Card] = {}
    for card in cards:
        other = by_key.setdefault(card.key, card)
        if other.mac != card.mac:
            raise Failed(f"cards {other.mac} and {card.mac} end alike: forwards cannot tell them apart")
