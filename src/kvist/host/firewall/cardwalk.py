"""What libvirt's own filter on a card does with a packet: its rules are walked, as the kernel has them.

libvirt has ebtables look at frames, in table nat, and iptables at what is in them. Both print their rules in one form.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, NamedTuple

from kvist.host import sysctl

if TYPE_CHECKING:
    from kvist.host.hand import Hand

BRIDGED = {4: "net.bridge.bridge-nf-call-iptables", 6: "net.bridge.bridge-nf-call-ip6tables"}
"""Without these the kernel does not show iptables what stays on a bridge."""
SAVES = {4: "iptables-save", 6: "ip6tables-save"}
EPHEMERAL = 40000
"""The port that a client is at: one that no rule names."""
ENDS = {"ACCEPT": "accept", "DROP": "drop", "REJECT": "reject"}
KINDS = {"ipv4": "ip", "0x800": "ip", "ipv6": "ip6", "0x86dd": "ip6", "arp": "arp", "0x806": "arp"}
GROUPS = {
    "Broadcast": ("ff:ff:ff:ff:ff:ff", "ff:ff:ff:ff:ff:ff"),
    "Multicast": ("01:00:00:00:00:00", "01:00:00:00:00:00"),
    "Unicast": ("00:00:00:00:00:00", "01:00:00:00:00:00"),
    "BGA": ("01:80:c2:00:00:00", "ff:ff:ff:ff:ff:ff"),
}
"""Addresses that ebtables has words for, and their masks. Source: ebtables(8), --source."""
NAMES = {"icmpv6": "ipv6-icmp", "58": "ipv6-icmp", "1": "icmp", "6": "tcp", "17": "udp", "2": "igmp", "132": "sctp",
         "echo-request": "8", "echo-reply": "0"}  # fmt: skip
"""Words for numbers, as one of the programs prints them and the other does not."""


class Frame(NamedTuple):
    """A packet as it is on the wire of a card."""

    kind: str = "ip"
    """ip, ip6, arp."""
    source: str = ""
    target: str = ""
    protocol: str = ""
    sport: int = EPHEMERAL
    dport: int = 0
    message: int = -1
    """The type of ICMP."""
    mac: str = ""
    to_mac: str = ""
    tap_in: str = ""
    tap_out: str = ""
    state: str = "NEW"
    flags: frozenset[str] = frozenset({"SYN"})

    @property
    def bridged(self) -> bool:
        """Tell whether it stays on one bridge: iptables knows the card that it leaves by of no other."""
        return bool(self.tap_in and self.tap_out)

    @property
    def version(self) -> int:
        return 6 if self.kind == "ip6" else 4

    def answer(self) -> Frame:
        """Give what its receiver answers."""
        return self._replace(
            source=self.target,
            target=self.source,
            sport=self.dport,
            dport=self.sport,
            message={8: 0, 128: 129}.get(self.message, self.message),
            mac=self.to_mac,
            to_mac=self.mac,
            tap_in=self.tap_out,
            tap_out=self.tap_in,
            state="ESTABLISHED",
            flags=frozenset({"SYN", "ACK"}),
        )


class Condition(NamedTuple):
    """One condition of a rule: an option, whether it must not be met, and its values."""

    option: str
    unless: bool
    values: tuple[str, ...]


class Line(NamedTuple):
    """One rule as it is printed."""

    conditions: tuple[Condition, ...]
    target: str
    leaves: bool
    """It goes to another chain for good."""
    text: str


class Ruling(NamedTuple):
    """Which rule decides about a packet: accept, drop or reject."""

    verdict: str
    chain: str
    text: str
    sure: bool = True
    """False where a rule before it has a condition that cannot be told from outside."""


class Saved(NamedTuple):
    """The chains of one table, and those at whose end the packet is accepted."""

    chains: Mapping[str, tuple[Line, ...]]
    accepting: frozenset[str] = frozenset()


def parse(text: str, table: str, *, ethernet: bool = False) -> Saved:
    """Read what iptables-save or ebtables-save printed of one table."""
    chains: dict[str, list[Line]] = {}
    accepting: set[str] = set()
    here = False
    for line in text.splitlines():
        if line.startswith("*"):
            here = line[1:].strip() == table
        elif here and line.startswith(":"):
            name, policy, *_ = line[1:].split()
            chains.setdefault(name, [])
            if ethernet and policy == "ACCEPT":
                accepting.add(name)
        elif here and line.startswith("-A "):
            _, name, rest = line.split(" ", 2)
            chains.setdefault(name, []).append(_line(rest))
    return Saved({name: tuple(lines) for name, lines in chains.items()}, frozenset(accepting))


def _line(text: str) -> Line:
    conditions: list[Condition] = []
    target, leaves = "", False
    for option, unless, values in _options(shlex.split(text)):
        if option in ("-j", "-g"):
            target, leaves = values[0], option == "-g"
        elif option not in ("-m", "--comment", "--reject-with"):
            conditions.append(Condition(option, unless, values))
    return Line(tuple(conditions), target, leaves, text)


def _options(words: list[str]) -> Iterator[Condition]:
    """Take words together; iptables writes `!` before an option, ebtables behind it."""
    at = 0
    while at < len(words):
        unless = words[at] == "!"
        at += unless
        option, values = words[at], list[str]()
        at += 1
        while at < len(words) and not words[at].startswith("-"):
            if words[at] == "!":
                if at + 1 < len(words) and words[at + 1].startswith("-"):
                    break
                unless = True
            else:
                values.append(words[at])
            at += 1
        yield Condition(option, unless, tuple(values))


class CardFilters:
    """The rules of libvirt's filters on the cards of a host."""

    def __init__(self, hand: Hand) -> None:
        self._hand = hand
        self._ethernet = self._read("ebtables-save", "nat", ethernet=True)
        self._traffic = {version: self._read(save, "filter") for version, save in SAVES.items()}

    def _read(self, program: str, table: str, *, ethernet: bool = False) -> Saved:
        return parse(self._hand.run([program]).text, table, ethernet=ethernet)

    def entering(self, frame: Frame) -> Ruling | None:
        """Judge a frame that a card sends; None where no rule of its filter says anything."""
        return judge(self._ethernet, "PREROUTING", frame, ETHERNET) if frame.tap_in else None

    def crossing(self, frame: Frame) -> Ruling | None:
        """Judge what is in it, on its way to another card or another network."""
        if frame.kind == "arp" or (frame.bridged and sysctl.read(self._hand, BRIDGED[frame.version]) != "1"):
            return None
        for chain in ("libvirt-in", "libvirt-out"):
            if found := judge(self._traffic[frame.version], chain, frame, TRAFFIC):
                return found
        return None

    def arriving(self, frame: Frame) -> Ruling | None:
        """Judge what is in it, where it is for the host."""
        if frame.kind == "arp":
            return None
        return judge(self._traffic[frame.version], "libvirt-host-in", frame, TRAFFIC)

    def leaving(self, frame: Frame) -> Ruling | None:
        """Judge a frame that goes to a card."""
        return judge(self._ethernet, "POSTROUTING", frame, ETHERNET) if frame.tap_out else None


Test = Callable[[Frame, tuple[str, ...]], bool | None]


def judge(saved: Saved, chain: str, frame: Frame, tests: Mapping[str, Test]) -> Ruling | None:
    """Walk a packet through a chain and those that it calls; None where all of them let it go on."""
    sure = True
    for line in saved.chains.get(chain, ()):
        fits = _fits(line, frame, tests)
        sure = sure and fits is not None
        if not fits:
            continue
        if line.target in ENDS:
            return Ruling(ENDS[line.target], chain, line.text, sure)
        if line.target == "RETURN":
            return None
        if line.target in saved.chains:
            found = judge(saved, line.target, frame, tests)
            if found is not None:
                return found._replace(sure=sure and found.sure)
            if line.leaves:
                return None
    if chain in saved.accepting and chain not in ("PREROUTING", "POSTROUTING"):
        return Ruling("accept", chain, "its end", sure)
    return None


def _fits(line: Line, frame: Frame, tests: Mapping[str, Test]) -> bool | None:
    told: list[bool | None] = []
    for condition in line.conditions:
        test = tests.get(condition.option)
        met = test(frame, condition.values) if test is not None else None
        told.append(met if met is None else met != condition.unless)
    return False if False in told else None if None in told else True


def _mac(address: str, values: tuple[str, ...]) -> bool | None:
    if not address:
        # It is nobody's in particular that a rule could name, and not all of them.
        return False
    word, _, mask = values[0].partition("/")
    word, mask = GROUPS.get(word, (word, mask or "ff:ff:ff:ff:ff:ff"))
    bits = [int(each.replace(":", ""), 16) for each in (address, word, mask)]
    return bits[0] & bits[2] == bits[1] & bits[2]


def _address(address: str, values: tuple[str, ...]) -> bool | None:
    if not address:
        return None
    net, one = ip_network(values[0], strict=False), ip_address(address)
    return net.version == one.version and one in net


def _between(address: str, values: tuple[str, ...]) -> bool | None:
    if not address:
        return None
    first, _, last = values[0].partition("-")
    low, high, one = ip_address(first), ip_address(last), ip_address(address)
    return low.version == one.version and int(low) <= int(one) <= int(high)


def _port(port: int, values: tuple[str, ...]) -> bool | None:
    for part in values[0].split(","):
        first, colon, last = part.partition(":")
        if int(first or 0) <= port <= int((last or 65535) if colon else first):
            return True
    return False


def _word(word: str, values: tuple[str, ...]) -> bool | None:
    value = values[0].partition("/")[0]
    return NAMES.get(value, value) == NAMES.get(word, word)


def _type(message: int, values: tuple[str, ...]) -> bool | None:
    value = NAMES.get(values[0].partition("/")[0], values[0].partition("/")[0])
    first, _, last = value.partition(":")
    if not first.isdecimal():
        return True if value == "any" else None
    return int(first) <= message <= int(last or first)


def _kind(frame: Frame, values: tuple[str, ...]) -> bool | None:
    return KINDS.get(values[0].lower(), "") == frame.kind


def _flags(frame: Frame, values: tuple[str, ...]) -> bool | None:
    mask, wanted = (set() if value == "NONE" else set(value.split(",")) for value in values)
    return frame.flags & mask == wanted


def _direction(frame: Frame, values: tuple[str, ...]) -> bool | None:
    return (values[0] == "REPLY") == (frame.state == "ESTABLISHED")


def _inner(kind: str, test: Test) -> Test:
    return lambda frame, values: frame.kind == kind and test(frame, values)


ETHERNET: dict[str, Test] = {
    "-i": lambda frame, values: frame.tap_in == values[0],
    "-o": lambda frame, values: frame.tap_out == values[0],
    "-s": lambda frame, values: _mac(frame.mac, values),
    "-d": lambda frame, values: _mac("ff:ff:ff:ff:ff:ff" if frame.kind == "arp" else frame.to_mac, values),
    "-p": _kind,
    "--arp-op": _inner("arp", lambda frame, values: values[0] in ("Request", "1")),
    "--arp-ip-src": _inner("arp", lambda frame, values: _address(frame.source, values)),
    "--arp-ip-dst": _inner("arp", lambda frame, values: _address(frame.target, values)),
    "--arp-mac-src": _inner("arp", lambda frame, values: _mac(frame.mac, values)),
    "--arp-mac-dst": _inner("arp", lambda frame, values: _mac("00:00:00:00:00:00", values)),
    "--arp-gratuitous": _inner("arp", lambda frame, values: frame.source == frame.target),
}
for _ip, _version in (("ip", "ip"), ("ip6", "ip6")):
    ETHERNET |= {
        f"--{_ip}-src": _inner(_version, lambda frame, values: _address(frame.source, values)),
        f"--{_ip}-dst": _inner(_version, lambda frame, values: _address(frame.target, values)),
        f"--{_ip}-proto": _inner(_version, lambda frame, values: _word(frame.protocol, values)),
        f"--{_ip}-sport": _inner(_version, lambda frame, values: _port(frame.sport, values)),
        f"--{_ip}-dport": _inner(_version, lambda frame, values: _port(frame.dport, values)),
        f"--{_ip}-icmp-type": _inner(_version, lambda frame, values: _type(frame.message, values)),
    }
"""The conditions of ebtables. Source: ebtables(8)."""
TRAFFIC: dict[str, Test] = {
    "-s": lambda frame, values: _address(frame.source, values),
    "-d": lambda frame, values: _address(frame.target, values),
    "-p": lambda frame, values: _word(frame.protocol, values),
    "--sport": lambda frame, values: _port(frame.sport, values),
    "--dport": lambda frame, values: _port(frame.dport, values),
    "--sports": lambda frame, values: _port(frame.sport, values),
    "--dports": lambda frame, values: _port(frame.dport, values),
    "--icmp-type": lambda frame, values: _type(frame.message, values),
    "--icmpv6-type": lambda frame, values: _type(frame.message, values),
    "--state": lambda frame, values: frame.state in values[0].split(","),
    "--ctstate": lambda frame, values: frame.state in values[0].split(","),
    "--ctdir": _direction,
    "--tcp-flags": _flags,
    "--mac-source": lambda frame, values: _mac(frame.mac, (values[0].lower(),)),
    "--src-range": lambda frame, values: _between(frame.source, values),
    "--dst-range": lambda frame, values: _between(frame.target, values),
    "--dscp": lambda frame, values: int(values[0], 0) == 0,
    "--physdev-in": lambda frame, values: frame.tap_in == values[0],
    "--physdev-out": lambda frame, values: frame.tap_out == values[0],
    "--physdev-is-bridged": lambda frame, values: frame.bridged,
}
"""The conditions of iptables that libvirt writes. Source: iptables-extensions(8)."""
