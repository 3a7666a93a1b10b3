"""The words of the field: sizes, addresses, ranges. Each parses what a person types, and prints itself."""

from __future__ import annotations

import re
from typing import ClassVar, NamedTuple, Self


class Size(int):
    """A number of bytes, written `512M`, `4G`, `1.5T` or `10 GiB`.

    Letters K, M, G, T, P, E (also KiB ...) are powers of 1024; KB, MB ... are powers of 1000, as in libvirt
    (https://libvirt.org/formatdomain.html#memory-allocation). A number without a unit is refused, because tools
    disagree about what it means (virt-install: MiB for memory, GiB for disks); `B` says bytes.
    """

    UNITS: ClassVar[dict[str, int]] = {
        "b": 1,
        "bytes": 1,
        **{
            unit: base**power
            for power, letter in enumerate("kmgtpe", 1)
            for unit, base in ((letter, 1024), (f"{letter}ib", 1024), (f"{letter}b", 1000))
        },
    }
    _FORM: ClassVar[re.Pattern[str]] = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]+)\s*")

    @classmethod
    def parse(cls, text: str) -> Self:
        match = cls._FORM.fullmatch(text)
        if match is None:
            bare = re.fullmatch(r"\s*(\d+)\s*", text)
            raise ValueError(
                f"give a unit: {bare[1]}M or {bare[1]}G?" if bare else f'"{text}" is not a size such as 512M or 4G'
            )
        factor = cls.UNITS.get(match[2].lower())
        if factor is None:
            raise ValueError(f'"{match[2]}" is not a unit; use K, M, G or T')
        whole, _, fraction = match[1].partition(".")
        scaled = int(whole) * factor + (int(fraction) * factor // 10 ** len(fraction) if fraction else 0)
        return cls(scaled)

    def __str__(self) -> str:
        """Print exactly, in the largest unit that divides it: what is printed parses back to the same number."""
        for power, letter in reversed(list(enumerate("KMGTPE", 1))):
            if self and self % 1024**power == 0:
                return f"{self // 1024**power}{letter}"
        return f"{int(self)}B"

    def __repr__(self) -> str:
        return f"Size({int(self)})"

    @property
    def short(self) -> str:
        """Print roughly, for a column of a table: 1.4G."""
        value = float(self)
        for letter in "BKMGTP":
            if value < 1000 or letter == "P":
                return f"{value:.0f}{letter}" if value >= 10 or value == int(value) else f"{value:.1f}{letter}"
            value /= 1024
        raise AssertionError("the loop ends at its last letter")


class Mac(str):
    """A unicast MAC address, kept in lower case with colons: `52:54:00:1a:b3:4a`."""

    __slots__ = ()
    _FORM: ClassVar[re.Pattern[str]] = re.compile(r"(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2}")

    @classmethod
    def parse(cls, text: str) -> Self:
        lowered = text.strip().lower()
        if not cls._FORM.fullmatch(lowered):
            raise ValueError(f'"{text}" is not a MAC address such as 52:54:00:1a:b3:4a')
        if int(lowered[:2], 16) & 1:
            raise ValueError(f'"{text}" is a multicast address; a card needs one whose first byte is even')
        return cls(lowered.replace("-", ":"))

    @classmethod
    def random(cls) -> Self:
        """Draw an address under 52:54:00, the prefix that QEMU and libvirt use for guests."""
        from secrets import token_bytes

        return cls("52:54:00:" + token_bytes(3).hex(":"))


class Name(str):
    """The name of a VM, network or volume: what is safe in a file name, a host name and a command line."""

    __slots__ = ()
    _FORM: ClassVar[re.Pattern[str]] = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,62}")

    @classmethod
    def parse(cls, text: str) -> Self:
        if not cls._FORM.fullmatch(text):
            raise ValueError(
                f'"{text}" is not a name: letters, digits and . _ + - (63 at most, a letter or digit first)'
            )
        return cls(text)

    @property
    def hostname(self) -> str:
        """The name as a host name (RFC 1123: letters, digits and hyphens)."""
        return re.sub(r"[^A-Za-z0-9-]+", "-", self).strip("-").lower() or "guest"


class Cidr(NamedTuple):
    """An address with the length of its network's prefix: `192.168.1.2/24`, `fd00::2/64`."""

    address: str
    prefix: int

    @classmethod
    def parse(cls, text: str) -> Self:
        from ipaddress import ip_interface

        if "/" not in text:
            raise ValueError(f'"{text}" has no prefix length; write {text}/24')
        try:
            parsed = ip_interface(text)
        except ValueError as wrong:
            raise ValueError(f'"{text}" is not an address such as 192.168.1.2/24') from wrong
        return cls(str(parsed.ip), parsed.network.prefixlen)

    def __str__(self) -> str:
        return f"{self.address}/{self.prefix}"


class PortRange(NamedTuple):
    """One port or several in a row, of one protocol: `22`, `tcp/22`, `53/udp`, `8000-8010`."""

    first: int
    last: int
    protocol: str = "tcp"

    @classmethod
    def parse(cls, text: str) -> Self:
        match = re.fullmatch(r"(?:(tcp|udp|sctp)/)?(\d+)(?:-(\d+))?(?:/(tcp|udp|sctp))?", text.strip().lower())
        if match is None or (match[1] and match[4]):
            raise ValueError(f'"{text}" is not a port such as 22, 53/udp or 8000-8010')
        first = int(match[2])
        last = int(match[3] or first)
        if not 1 <= first <= last <= 65535:
            raise ValueError(f'"{text}": ports are 1 to 65535, the smaller first')
        return cls(first, last, match[1] or match[4] or "tcp")

    def __str__(self) -> str:
        ports = str(self.first) if self.first == self.last else f"{self.first}-{self.last}"
        return f"{ports}/{self.protocol}"


class PciAddress(NamedTuple):
    """A PCI function as lspci prints it: `0000:03:00.0`."""

    domain: int
    bus: int
    slot: int
    function: int

    @classmethod
    def parse(cls, text: str) -> Self:
        match = re.fullmatch(r"(?:([0-9a-f]{4}):)?([0-9a-f]{2}):([01][0-9a-f])\.([0-7])", text.strip().lower())
        if match is None:
            raise ValueError(f'"{text}" is not a PCI address such as 0000:03:00.0')
        return cls(*(int(part or "0", 16) for part in match.groups()))

    def __str__(self) -> str:
        return f"{self.domain:04x}:{self.bus:02x}:{self.slot:02x}.{self.function}"


class CpuSet(str):
    """Processors of a host, written `0-3,^2` and kept as libvirt writes them: sorted, in ranges, `0-1,3`."""

    __slots__ = ()
    MOST: ClassVar[int] = 16384
    """As many as libvirt counts."""
    _PART: ClassVar[re.Pattern[str]] = re.compile(r"(\^?)(\d+)(?:-(\d+))?")

    @classmethod
    def parse(cls, text: str) -> Self:
        members: set[int] = set()
        for part in text.replace(" ", "").split(","):
            match = cls._PART.fullmatch(part)
            if match is None or (match[1] and match[3]) or int(match[3] or match[2]) < int(match[2]):
                raise ValueError(f'"{text}" is not like 0-3,^2')
            if int(match[3] or match[2]) >= cls.MOST:
                raise ValueError(f'"{text}": no host has processor {match[3] or match[2]}')
            numbers = set(range(int(match[2]), int(match[3] or match[2]) + 1))
            members = members - numbers if match[1] else members | numbers
        if not members:
            raise ValueError(f'"{text}" names no processor')
        ranges: list[list[int]] = []
        for number in sorted(members):
            if ranges and number == ranges[-1][1] + 1:
                ranges[-1][1] = number
            else:
                ranges.append([number, number])
        return cls(",".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges))

    @property
    def members(self) -> frozenset[int]:
        """The numbers of the processors."""
        ends = [part.partition("-") for part in self.split(",")]
        return frozenset(n for first, _, last in ends for n in range(int(first), int(last or first) + 1))


class Duration(float):
    """A time in seconds, written `30`, `90s`, `5m` or `1h`."""

    UNITS: ClassVar[dict[str, int]] = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}

    @classmethod
    def parse(cls, text: str) -> Self:
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhd]?)\s*", text)
        if match is None:
            raise ValueError(f'"{text}" is not a time such as 30, 90s or 5m')
        return cls(float(match[1]) * cls.UNITS[match[2]])

    def __str__(self) -> str:
        """Print exactly, down to a millisecond, in the largest unit that divides it."""
        seconds = float(self)
        for unit, factor in (("d", 86400), ("h", 3600), ("m", 60)):
            if seconds >= factor and seconds % factor == 0:
                return f"{seconds / factor:.0f}{unit}"
        return f"{seconds:.3f}".rstrip("0").rstrip(".") + "s"


class AddressRange(NamedTuple):
    """Addresses in a row, the first and the last: `10.10.0.100-10.10.0.200`, in short `10.10.0.100-200`."""

    first: str
    last: str

    @classmethod
    def parse(cls, text: str) -> Self:
        from ipaddress import ip_address

        begin, dash, end = text.strip().partition("-")
        mark = ":" if ":" in begin else "."
        if dash and mark not in end:
            # Only the end of the last address is typed: it has the beginning of the first.
            end = begin.rpartition(mark)[0] + mark + end
        try:
            first, last = ip_address(begin), ip_address(end)
        except ValueError:
            raise ValueError(f'"{text}" is not a range of addresses such as 10.10.0.100-10.10.0.200') from None
        if first.version != last.version or int(first) > int(last):
            raise ValueError(f'"{text}": give the smaller address first')
        return cls(str(first), str(last))

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"
