"""A port forward, as it stands in the metadata of the VM that it leads to."""

from __future__ import annotations

import re
from ipaddress import IPv4Network
from typing import NamedTuple, Self

from kvist.values import PortRange

_FORM = re.compile(r"(?P<ports>\S+?):(?P<to>\d+)(?:-(?P<last>\d+))?(?: from (?P<source>\S+))?(?: on (?P<on>\S+))?")


class Forward(NamedTuple):
    """Ports of the host that lead to as many of a guest's: `8080/tcp:80 from 10.0.0.0/8 on eth0`."""

    ports: PortRange
    to: int
    """The first of the guest's ports."""
    source: str = ""
    """Only connections from this network."""
    on: str = ""
    """Only connections to this address of the host, or that come in by this interface of it."""

    @classmethod
    def parse(cls, text: str) -> Self:
        match = _FORM.fullmatch(text)
        if match is None:
            raise ValueError(f'"{text}" is not a forward such as 8080/tcp:80')
        ports, to = PortRange.parse(match["ports"]), int(match["to"])
        if int(match["last"] or to) - to != ports.last - ports.first or not 1 <= to <= 65535 - ports.last + ports.first:
            raise ValueError(f'"{text}" has not as many ports on both sides')
        return cls(ports, to, match["source"] or "", match["on"] or "")

    def __str__(self) -> str:
        source, on = f" from {self.source}" if self.source else "", f" on {self.on}" if self.on else ""
        return f"{self.ports}:{self.target}{source}{on}"

    @property
    def target(self) -> str:
        """The guest's ports: `80`, `8000-8010`."""
        count = self.ports.last - self.ports.first
        return f"{self.to}-{self.to + count}" if count else str(self.to)

    @property
    def address(self) -> str:
        """The address of the host that it is for, where it is for one."""
        return self.on if re.fullmatch(r"[\d.]+", self.on) else ""

    @property
    def interface(self) -> str:
        """The interface of the host that it is for, where it is for one."""
        return "" if self.address else self.on

    def meets(self, other: Forward) -> bool:
        """Tell whether there are connections that both are for."""
        ours, theirs = self.ports, other.ports
        if ours.protocol != theirs.protocol or ours.last < theirs.first or theirs.last < ours.first:
            return False
        if self.on and other.on and self.on != other.on and bool(self.address) == bool(other.address):
            return False
        if not self.source or not other.source:
            return True
        return IPv4Network(self.source).overlaps(IPv4Network(other.source))
