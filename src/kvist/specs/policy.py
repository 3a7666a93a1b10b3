"""The policy of a VM's firewall, as it stands in its metadata: lines that a person can read, and what they mean."""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Final, NamedTuple, Self

Network = IPv4Network | IPv6Network

WITH_PORTS: Final = ("tcp", "udp", "sctp")
ICMP_TYPES: Final = {
    "echo-request": (8, 128),
    "echo-reply": (0, 129),
    "destination-unreachable": (3, 1),
    "packet-too-big": (3, 2),
    "time-exceeded": (11, 3),
    "parameter-problem": (12, 4),
    "redirect": (5, 137),
}
"""Names of messages, and their numbers in ICMP and ICMPv6. Source: RFC 792, RFC 4443."""
CARRIED: Final = {"icmp": (1, 58), "igmp": (2, 2), "tcp": (6, 6), "udp": (17, 17), "gre": (47, 47), "esp": (50, 50),
                  "ah": (51, 51), "sctp": (132, 132)}  # fmt: skip
"""Protocols on IP, and their numbers in IPv4 and IPv6. Source: IANA, Protocol Numbers."""
NAMED: Final = ("arp", "dhcp", "nd", "ra")
"""What a guest needs to be on a network at all: it passes unless a rule denies it by this name.

But `ra` that it sends itself passes like all else that it sends: whoever advertises is a router for all others.
"""
ROUTER: Final = "ra"
PROTOCOLS: Final = ("any", "ipv4", "ipv6", *CARRIED, *NAMED)
GROUP: Final = "group:"
HOST: Final = "host"
ANY: Final = "any"
ALLOW, DENY, REJECT = "allow", "deny", "reject"
VERDICTS: Final = (ALLOW, DENY, REJECT)
"""What rules and defaults may say. Who sent a packet is told that it was rejected, and not that it was denied."""
_CALLED = {
    "ssh": "tcp/22",
    "telnet": "tcp/23",
    "smtp": "tcp/25",
    "dns": "udp/53",
    "http": "tcp/80",
    "ntp": "udp/123",
    "https": "tcp/443",
    "smb": "tcp/445",
    "mysql": "tcp/3306",
    "rdp": "tcp/3389",
    "postgres": "tcp/5432",
    "vnc": "tcp/5900",
    "ping": "icmp/echo-request",
}
"""What people call services, and rules by their ports."""
_PORTS = re.compile(r"(\d{1,9})(?:-(\d{1,9}))?")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,62}")
_MAC = re.compile(r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}")


class Service(NamedTuple):
    """What a rule is about: `tcp/22,80-90`, `icmp/echo-request`, `any`."""

    protocol: str
    ports: tuple[tuple[int, int], ...] = ()
    message: str = ""
    """The message of ICMP; empty for all."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ValueError with all that is wrong."""
        protocol, slash, rest = text.strip().lower().partition("/")
        if not slash and protocol and protocol[0].isdecimal():
            protocol, slash, rest = "tcp", "/", protocol
        if protocol == "all":
            protocol = "any"
        if protocol not in PROTOCOLS:
            meant = f"; {protocol} is {_CALLED[protocol]}" if protocol in _CALLED else ""
            raise ValueError(f'"{protocol}" is not a protocol that rules know: {", ".join(PROTOCOLS)}{meant}')
        if not slash:
            return cls(protocol)
        if protocol == "icmp":
            if rest not in ICMP_TYPES:
                raise ValueError(f'"{rest}" is not a message of ICMP: {", ".join(ICMP_TYPES)}')
            return cls(protocol, message=rest)
        if protocol not in WITH_PORTS:
            raise ValueError(f"{protocol} has no ports: tcp, udp and sctp have")
        wrong: list[str] = []
        ports: list[tuple[int, int]] = []
        for part in rest.split(","):
            match = _PORTS.fullmatch(part.strip())
            first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
            if match is None:
                wrong.append(f'"{part}" is not a port such as 22, or a range such as 80-90')
            elif not 1 <= first <= last <= 65535:
                wrong.append(f'"{part.strip()}": ports are 1 to 65535, the smaller first')
            ports.append((first, last))
        if wrong:
            raise ValueError("; ".join(wrong))
        return cls(protocol, _merged(ports))

    def __str__(self) -> str:
        if self.ports:
            return f"{self.protocol}/{','.join(str(a) if a == b else f'{a}-{b}' for a, b in self.ports)}"
        return f"{self.protocol}/{self.message}" if self.message else self.protocol


class Rule(NamedTuple):
    """One rule: `allow tcp/22 from 10.0.0.0/8`, `deny any out to group:db nic 52:54:00:1a:b3:4a max 2 log`."""

    verdict: str
    service: Service
    out: bool = False
    """About what the guest sends; else about what comes to it."""
    source: str = ""
    to: str = ""
    nic: str = ""
    """Only for the card with this MAC address."""
    most: int = 0
    """So many connections at a time; more are denied."""
    log: bool = False

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ValueError with all that is wrong."""
        words = text.split()
        if len(words) < 2 or words[0] not in VERDICTS:
            raise ValueError(f'"{text}" is not a rule such as `allow tcp/22 from 10.0.0.0/8`')
        wrong: list[str] = []
        values: dict[str, str] = {}
        out = log = False
        service = Service(ANY)
        try:
            service = Service.parse(words[1])
        except ValueError as error:
            wrong.append(str(error))
        rest = iter(words[2:])
        for word in rest:
            if word == "out":
                out = True
            elif word == "log":
                log = True
            elif word in ("from", "to", "nic", "max"):
                values[word] = next(rest, "")
                if not values[word]:
                    wrong.append(f'"{word}" says nothing')
            else:
                wrong.append(f'"{word}" is not a word of a rule: from, to, out, nic, max, log')
        source, to = _read_peer(values.get("from", ""), wrong), _read_peer(values.get("to", ""), wrong)
        most = values.get("max", "0")
        if not most.isdecimal() or ("max" in values and not 1 <= int(most) <= 65535):
            wrong.append(f'"{most}" is not a number of connections')
        nic = values.get("nic", "").lower()
        if nic and not _MAC.fullmatch(nic):
            wrong.append(f'"{nic}" is not a MAC address')
        if wrong:
            raise ValueError("; ".join(wrong))
        rule = cls(words[0], service, out or bool(to and not source), source, to, nic, int(most), log)
        if wrong := rule.problems():
            raise ValueError("; ".join(wrong))
        return rule

    def problems(self) -> list[str]:
        """Say what does not go together."""
        found: list[str] = []
        own, peer = (self.source, self.to) if self.out else (self.to, self.source)
        if own and not _network(own) and own != ANY:
            found.append(f'on the side of the VM itself only addresses are possible, not "{own}"')
        versions = {net.version for text in (own, peer) if (net := _network(text)) is not None}
        if len(versions) > 1:
            found.append(f"{self.source} and {self.to} are of different families")
        if {"ipv4": 6, "ipv6": 4}.get(self.service.protocol) in versions:
            found.append(f"{own or peer} is no address of {self.service.protocol}")
        if self.service.protocol in NAMED and (own or peer or self.most):
            found.append(f"a rule about {self.service.protocol} is about all of it: it takes no from, to and max")
        if self.service.protocol in NAMED and self.verdict == REJECT:
            found.append(f"{self.service.protocol} has no answer that says no: it can be denied, not rejected")
        if self.most and self.verdict != ALLOW:
            found.append("a number of connections belongs to what is allowed")
        if self.most and self.service.protocol not in WITH_PORTS:
            found.append(f"{self.service.protocol} has no connections to be counted: tcp, udp and sctp have")
        return found

    @property
    def peer(self) -> str:
        """Who is at the other end: a network, `host`, a VM, `group:NAME`; empty for anybody."""
        found = self.to if self.out else self.source
        return "" if found == ANY else found

    @property
    def own(self) -> str:
        """The network that the VM's own address must be of; empty for all."""
        found = self.source if self.out else self.to
        return "" if found == ANY else found

    def __str__(self) -> str:
        words = [self.verdict, str(self.service)]
        words += ["out"] if self.out else []
        for key, value in (("from", self.source), ("to", self.to), ("nic", self.nic), ("max", self.most or "")):
            words += [key, str(value)] if value else []
        return " ".join([*words, "log"] if self.log else words)


class Policy(NamedTuple):
    """All that is said of a VM's packets. The first rule that fits decides; where none does, the default."""

    rules: tuple[Rule, ...] = ()
    incoming: str = ALLOW
    outgoing: str = ALLOW
    blocked: bool = False
    antispoof: bool = False
    addresses: tuple[str, ...] = ()
    """What is known of its own addresses, for that; DHCP gives more."""
    off: bool = False
    """It is written down and not in force."""

    @classmethod
    def parse(cls, lines: Iterable[str]) -> Self:
        """Read the lines of a policy. Raises ValueError with all that is wrong."""
        made, wrong = cls(), list[str]()
        for line in lines:
            words = line.split()
            try:
                if words == ["block"]:
                    made = made._replace(blocked=True)
                elif words[:1] == ["antispoof"]:
                    made = made._replace(antispoof=True, addresses=tuple(str(ip_address(word)) for word in words[1:]))
                elif words == ["off"]:
                    made = made._replace(off=True)
                elif words[:1] == ["default"]:
                    made = made.defaulting(words[1:])
                else:
                    made = made._replace(rules=(*made.rules, Rule.parse(line)))
            except ValueError as error:
                wrong.append(f"{line}: {error}")
        if wrong:
            raise ValueError("; ".join(wrong))
        return made

    def defaulting(self, words: Iterable[str]) -> Self:
        """Give it with other defaults: `in=deny`, `out=allow`. Raises ValueError."""
        made = self
        for word in words:
            way, _, verdict = word.partition("=")
            if way not in ("in", "out") or verdict not in VERDICTS:
                raise ValueError(f'"{word}" is not a default such as in=deny or out=allow')
            made = made._replace(incoming=verdict) if way == "in" else made._replace(outgoing=verdict)
        return made

    def joined(self, other: Policy) -> Self:
        """Give what both say together, its own rules first: of a VM and of a group that it is in."""
        if other.off:
            return self
        return self._replace(
            rules=(*self.rules, *other.rules),
            incoming=self.incoming if self.incoming != ALLOW else other.incoming,
            outgoing=self.outgoing if self.outgoing != ALLOW else other.outgoing,
            blocked=self.blocked or other.blocked,
            antispoof=self.antispoof or other.antispoof,
        )

    @property
    def lines(self) -> tuple[str, ...]:
        """The policy as text; nothing where nothing is said."""
        head = ["off"] if self.off else []
        head += ["block"] if self.blocked else []
        head += [" ".join(("antispoof", *self.addresses))] if self.antispoof else []
        if (self.incoming, self.outgoing) != (ALLOW, ALLOW):
            head.append(f"default in={self.incoming} out={self.outgoing}")
        return (*head, *map(str, self.rules))


def _merged(ports: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Sort ranges and put together those that meet: a set of the kernel's takes no two that overlap."""
    made: list[tuple[int, int]] = []
    for first, last in sorted(ports):
        if made and first <= made[-1][1] + 1:
            made[-1] = (made[-1][0], max(last, made[-1][1]))
        else:
            made.append((first, last))
    return tuple(made)


def _network(text: str) -> Network | None:
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None


def _read_peer(text: str, wrong: list[str]) -> str:
    """Read who is meant; networks are written as nft writes them. Adds to `wrong` what nobody can be."""
    if not text:
        return ""
    if "/" in text or ":" in text.removeprefix(GROUP) or re.fullmatch(r"[\d.]+", text):
        try:
            net = ip_network(text, strict=False)
        except ValueError:
            wrong.append(f'"{text}" is not an address or a network such as 10.0.0.0/8')
            return ""
        return str(net.network_address) if net.prefixlen == net.max_prefixlen else str(net)
    if not _NAME.fullmatch(text.removeprefix(GROUP)):
        wrong.append(f'"{text}" is neither a network, nor host, nor the name of a VM, nor group:NAME')
        return ""
    return text
