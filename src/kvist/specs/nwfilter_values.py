"""What stands in the rules of network filters: numbers, addresses, masks, flags; in digits, by name, or a variable.

A value is kept as it is spelled. `plain` gives the one spelling that values are compared by: libvirt rewrites what it
is given (0X10 to 0x10, 255.0.0.0 to 8, 2048 to ipv4), and means the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from kvist.xml.codec import Codec, shaped

VARIABLE: Final = re.compile(r"\$\s*(\w+)\s*(?:\[\s*(@?)\s*(\d+)\s*\])?\s*", re.ASCII)
LONGEST_COMMENT: Final = 256
"""libvirt cuts off what is longer (MAX_COMMENT_LENGTH)."""

ETHERTYPES: Final = {"arp": 0x806, "rarp": 0x8035, "ipv4": 0x800, "ipv6": 0x86DD, "vlan": 0x8100}
IP_PROTOCOLS: Final = {
    "tcp": 6,
    "udp": 17,
    "udplite": 136,
    "esp": 50,
    "ah": 51,
    "icmp": 1,
    "igmp": 2,
    "sctp": 132,
    "icmpv6": 58,
}
ARP_OPCODES: Final = {
    "Request": 1,
    "Reply": 2,
    "Request_Reverse": 3,
    "Reply_Reverse": 4,
    "DRARP_Request": 5,
    "DRARP_Reply": 6,
    "DRARP_Error": 7,
    "InARP_Request": 8,
    "ARP_NAK": 9,
}
STATES: Final = ("NEW", "ESTABLISHED", "RELATED", "INVALID", "NONE")
TCP_FLAGS: Final = ("FIN", "SYN", "RST", "PSH", "ACK", "URG")


class Matcher(Codec[str]):
    """One kind of value in a rule. `understand` gives its plain spelling, or says what is wrong with it."""

    __slots__ = ("understand",)

    def __init__(
        self, name: str, understand: Callable[[str], str], *, choices: tuple[str, ...] = (), variable: bool = True
    ) -> None:
        self.understand = _or_variable(understand) if variable else understand
        super().__init__(name, str, parse=self._parsed, choices=choices)

    def _parsed(self, text: str) -> str:
        self.understand(text)
        return text

    def plain(self, text: str) -> str:
        """Give the spelling to compare by; what cannot be understood is compared as it is."""
        try:
            return self.understand(text)
        except ValueError:
            return text


def _or_variable(understand: Callable[[str], str]) -> Callable[[str], str]:
    def either(text: str) -> str:
        if not text.startswith("$"):
            return understand(text)
        found = VARIABLE.fullmatch(text)
        if found is None:
            raise ValueError(f'"{text}" is not a variable such as $IP, $PORTS[@1] or $PORTS[2]')
        name, iterates, number = found.groups()
        # The iterator of a variable that names none is the first.
        return f"${name}" if number is None or (iterates and int(number) == 0) else f"${name}[{iterates}{int(number)}]"

    return either


def variables(text: str) -> list[str]:
    """Give the variables that a value names: `$A/$B` names two."""
    return re.findall(r"\$\s*(\w+)", text) if "$" in text else []


def numbers(
    name: str, most: int, words: Mapping[str, int] = {}, *, least: int = 0, hexadecimal: bool = True
) -> Matcher:
    """Accept a number up to `most`, in decimal or as 0x..., or one of some words for numbers."""
    known = {word.lower(): number for word, number in words.items()}

    def understand(text: str) -> str:
        if text.lower() in known:
            return str(known[text.lower()])
        if re.fullmatch(r"\d+", text, re.ASCII):
            value = int(text)
        elif hexadecimal and re.fullmatch(r"0[xX][0-9a-fA-F]+", text):
            value = int(text, 16)
        else:
            rest = f" and none of {', '.join(words)}" if words else ""
            raise ValueError(f'"{text}" is not a number{rest}')
        if not least <= value <= most:
            raise ValueError(f"{text} is not between {least} and {most}")
        return str(value)

    return Matcher(name, understand, choices=tuple(words))


def _joined(name: str, sign: str, first: Matcher, second: Matcher, wrong: Callable[[str, str], str]) -> Matcher:
    """Make the matcher of two values with a sign between them; `wrong` says what is wrong with the two together."""

    def understand(text: str) -> str:
        one, joined, two = text.partition(sign)
        plain = first.understand(one)
        if not joined:
            return plain
        other = second.understand(two)
        if complaint := wrong(plain, other):
            raise ValueError(f'"{text}": {complaint}')
        return f"{plain}{sign}{other}"

    def spelled(text: str) -> str:
        one, joined, two = text.partition(sign)
        return first.plain(one) + (sign + second.plain(two) if joined else "")

    made = Matcher(name, understand, choices=first.choices, variable=False)
    # Half of what libvirt has may be understood where the other half is not.
    return _Spelled(made, spelled)


class _Spelled(Matcher):
    """A matcher whose parts are spelled plainly each for itself."""

    __slots__ = ("_spell",)

    def __init__(self, made: Matcher, spell: Callable[[str], str]) -> None:
        super().__init__(made.name, made.understand, choices=made.choices, variable=False)
        self._spell = spell

    def plain(self, text: str) -> str:
        return self._spell(text)


def span(of: Matcher) -> Matcher:
    """Accept one value, or the first and the last of a row: `22`, `1-1023`, `10.0.0.1-10.0.0.9`."""

    def wrong(first: str, last: str) -> str:
        if first.startswith("$") or last.startswith("$"):
            return ""
        return "the smaller comes first" if _rank(first) > _rank(last) else ""

    return _joined(f"{of.name} range", "-", of, of, wrong)


def _rank(text: str) -> int:
    from ipaddress import ip_address

    return int(text) if text.isdigit() else int(ip_address(text))


def masked(of: Matcher, mask: Matcher) -> Matcher:
    """Accept an address, alone or with a mask: `10.0.0.0/8`, `52:54:00:00:00:00/ff:ff:ff:00:00:00`."""
    return _joined(f"{of.name} with mask", "/", of, mask, lambda _address, _mask: "")


def _mac(text: str) -> str:
    if not re.fullmatch(r"[0-9a-fA-F]{1,2}(?::[0-9a-fA-F]{1,2}){5}", text):
        raise ValueError(f'"{text}" is not a MAC address such as 52:54:00:1a:b3:4a')
    return ":".join(f"{int(part, 16):02x}" for part in text.split(":"))


def _mac_mask(text: str) -> str:
    try:
        plain = _mac(text)
    except ValueError:
        raise ValueError(f'"{text}" is not a mask such as ff:ff:ff:00:00:00') from None
    _whole(text, int(plain.replace(":", ""), 16), 48)
    return plain


def _whole(text: str, value: int, bits: int) -> int:
    """Give the length of a mask. Raises ValueError for one with a hole in it, which libvirt does not take."""
    length = value.bit_count()
    if value != ((1 << length) - 1) << (bits - length):
        raise ValueError(f'"{text}" is not a mask: its ones are not all in front')
    return length


def _address(version: int, like: str) -> Callable[[str], str]:
    def understand(text: str) -> str:
        from ipaddress import IPv4Address, IPv6Address

        try:
            return str(IPv4Address(text) if version == 4 else IPv6Address(text))
        except ValueError:
            raise ValueError(f'"{text}" is not an IPv{version} address such as {like}') from None

    return understand


def _mask(version: int, like: str) -> Callable[[str], str]:
    bits = 32 if version == 4 else 128

    def understand(text: str) -> str:
        from ipaddress import IPv4Address, IPv6Address

        if re.fullmatch(r"\d+", text, re.ASCII):
            if int(text) > bits:
                raise ValueError(f'"{text}" is not a mask: IPv{version} addresses have {bits} bits')
            return str(int(text))
        try:
            value = int(IPv4Address(text) if version == 4 else IPv6Address(text))
        except ValueError:
            raise ValueError(f'"{text}" is not a mask such as {like}') from None
        return str(_whole(text, value, bits))

    return understand


def _states(text: str) -> str:
    words = {word.strip().upper() for word in text.split(",")}
    if not words <= set(STATES):
        raise ValueError(f'"{text}" is not a list of {", ".join(STATES)}')
    return "NONE" if "NONE" in words else ",".join(state for state in STATES if state in words)


def _flags(text: str) -> str:
    parts = text.split("/")
    if len(parts) != 2:
        raise ValueError(f'"{text}" is not like SYN,ACK/SYN: the flags looked at, a slash, those of them that are set')
    return "/".join(_flag_set(part) for part in parts)


def _flag_set(text: str) -> str:
    words = {word.strip().upper() for word in text.split(",")}
    if not words <= {*TCP_FLAGS, "ALL", "NONE"}:
        raise ValueError(f'"{text}" is not a list of {", ".join(TCP_FLAGS)}, ALL or NONE')
    chosen = set(TCP_FLAGS) if "ALL" in words else words & set(TCP_FLAGS)
    return "ALL" if chosen == set(TCP_FLAGS) else ",".join(flag for flag in TCP_FLAGS if flag in chosen) or "NONE"


def _ipset(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_.:+ -]{1,31}", text):
        raise ValueError(f'"{text}" is not the name of an ipset: 31 letters, digits and _ . : + - at most')
    return text


def _ipset_flags(text: str) -> str:
    if not re.fullmatch(r"(?:src|dst)(?:,(?:src|dst)){0,5}", text, re.IGNORECASE):
        raise ValueError(f'"{text}" is not like src,dst: six words src or dst at most')
    return text.lower()


def _yes_no(text: str) -> str:
    if text.lower() not in ("yes", "no", "true", "false", "1", "0"):
        raise ValueError(f'"{text}" is neither yes nor no')
    return "yes" if text in ("yes", "true", "1") else "no"


def _comment(text: str) -> str:
    if len(text) > LONGEST_COMMENT:
        raise ValueError(f"a comment has {LONGEST_COMMENT} characters at most, this one {len(text)}")
    return text


MAC = Matcher("match mac", _mac)
MAC_MASKED = masked(MAC, Matcher("mac mask", _mac_mask))
IPV4 = Matcher("ipv4", _address(4, "10.0.0.1"))
IPV4_MASKED = masked(IPV4, Matcher("ipv4 mask", _mask(4, "24 or 255.255.255.0")))
IPV6 = Matcher("ipv6", _address(6, "fd00::1"))
IPV6_MASKED = masked(IPV6, Matcher("ipv6 mask", _mask(6, "64 or ffff:ffff:ffff:ffff::")))
BYTE = numbers("byte", 0xFF)
SHORT = numbers("short", 0xFFFF)
LONG = numbers("long", 0xFFFFFFFF)
COUNT = numbers("connections", 0xFFFF, hexadecimal=False)
DSCP = numbers("dscp", 63)
VLAN_ID = numbers("vlan id", 4095)
ETHERTYPE = numbers("ethertype", 0xFFFF, ETHERTYPES, least=0x600)
INNER_ETHERTYPE = numbers("inner ethertype", 0xFFFF, ETHERTYPES, least=0x3C)
IP_PROTOCOL = numbers("ip protocol", 0xFF, IP_PROTOCOLS)
OPCODE = numbers("opcode", 0xFFFF, ARP_OPCODES)
STATE = Matcher("state", _states, variable=False)
FLAGS = Matcher("tcp flags", _flags, variable=False)
IPSET = Matcher("ipset", _ipset)
IPSET_FLAGS = Matcher("ipset flags", _ipset_flags, variable=False)
GRATUITOUS = Matcher("gratuitous", _yes_no, variable=False)
COMMENT = Matcher("comment", _comment, variable=False)

FILTER_NAME = shaped(
    "filter name", r"[A-Za-z_][A-Za-z0-9_.-]{0,62}", "no-smtp: letters, digits and . _ -, no digit first"
)
VARIABLE_NAME = shaped("variable name", r"[A-Za-z0-9_]+", "IP: letters, digits and _")
VARIABLE_VALUE = shaped(
    "variable value", r"[A-Za-z0-9_.:]+", "10.0.0.5: letters, digits and . : _, all that libvirt takes"
)
CHAIN = shaped(
    "chain",
    r"root|(?:mac|stp|arp)[A-Za-z0-9_.:-]{0,9}|(?:vlan|rarp|ipv4|ipv6)[A-Za-z0-9_.:-]{0,8}",
    "root, or arp-web: a chain begins with mac, stp, vlan, arp, rarp, ipv4 or ipv6 and has 12 characters at most",
)
