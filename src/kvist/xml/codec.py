"""How a value is written in XML, and how a person types it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from kvist.values import Cidr, CpuSet, Duration, Mac, Name, PciAddress, Size

T = TypeVar("T")


class Foreign(ValueError):
    """What is written there is about another setting that shares the place."""


class Codec(Generic[T]):
    """One kind of value: `load` and `dump` for XML, `parse` and `show` for people.

    `parse` raises ValueError with a sentence that says what would have been right. `load` is lenient: what libvirt
    wrote is taken as it is. `kind` is string, integer, boolean, size or list; `choices` are the words there are, if
    few; with `open`, other words are good too.
    """

    __slots__ = ("choices", "dump", "item", "kind", "least", "load", "most", "name", "open", "parse", "show")

    def __init__(
        self,
        name: str,
        load: Callable[[str], T],
        dump: Callable[[T], str] = str,
        *,
        parse: Callable[[str], T] | None = None,
        show: Callable[[T], str] | None = None,
        kind: str = "string",
        choices: tuple[str, ...] = (),
        open: bool = True,
        item: Codec[Any] | None = None,
        least: int | None = None,
        most: int | None = None,
    ) -> None:
        self.name = name
        self.load, self.dump = load, dump
        self.parse = parse or load
        self.show = show or dump
        self.kind, self.choices, self.open, self.item = kind, choices, open, item
        self.least, self.most = least, most

    def __repr__(self) -> str:
        return f"<codec {self.name}>"


def choice(*words: str, open: bool = False, rarely: Sequence[str] = ()) -> Codec[str]:
    """Accept one of some words; with `open`, they are only the ones worth proposing, with `rarely` there are more."""

    def parse(text: str) -> str:
        if not open and text not in words and text not in rarely:
            more = f" or {len(rarely)} rare ones" if rarely else ""
            raise ValueError(f'"{text}" is not one of {", ".join(words)}{more}{_nearest(text, (*words, *rarely))}')
        return text

    return Codec("choice", str, parse=parse, choices=words, open=open or bool(rarely))


def switch(true: str, false: str, name: str = "") -> Codec[bool]:
    """Accept on and off (yes, no, true, false) for something that XML spells in two words of its own."""
    words = {true: True, false: False, **_SPOKEN}

    def parse(text: str) -> bool:
        if text.lower() not in words:
            raise ValueError(f'"{text}" is neither on nor off')
        return words[text.lower()]

    return Codec(
        name or f"{true}-{false}",
        parse,
        lambda value: true if value else false,
        parse=parse,
        show=lambda value: "on" if value else "off",
        kind="boolean",
    )


def either(true: str, false: str, name: str) -> Codec[bool]:
    """Accept on and off for a place where XML may also say something else, which is then left alone."""
    codec = switch(true, false, name)

    def load(text: str) -> bool:
        if text not in (true, false):
            raise Foreign(text)
        return text == true

    return Codec(name, load, codec.dump, parse=codec.parse, show=codec.show, kind="boolean")


def number(least: int, most: int, name: str = "number") -> Codec[int]:
    """Accept a whole number between two bounds, both included."""

    def parse(text: str) -> int:
        value = _integer(text)
        if not least <= value <= most:
            raise ValueError(f"{value} is not between {least} and {most}")
        return value

    return Codec(name, _integer, parse=parse, kind="integer", least=least, most=most)


def alias(text: str) -> str:
    """Read the name that a person gives to a device; libvirt keeps only those that begin with `ua-`."""
    if not text.replace("-", "").replace("_", "").isalnum() or not text.isascii():
        raise ValueError(f'"{text}" has more in it than letters, digits, - and _')
    return text if text.startswith("ua-") else f"ua-{text}"


def scaled(unit: str, name: str) -> Codec[Size]:
    """Accept a size that XML counts in a fixed unit."""
    factor = Size.UNITS[unit.lower()]

    def parse(text: str) -> Size:
        value = Size.parse(text)
        if value % factor:
            raise ValueError(f"{value} is not a whole number of {unit}")
        return value

    def dump(value: Size) -> str:
        if value % factor:
            raise ValueError(f"{value} is not a whole number of {unit}")
        return str(value // factor)

    return Codec(name, lambda text: Size(int(text) * factor), dump, parse=parse, show=Size.__str__, kind="size")


def _integer(text: str) -> int:
    try:
        return int(text, 16 if text.lower().startswith("0x") else 10)
    except ValueError:
        raise ValueError(f'"{text}" is not a whole number') from None


def _permissions(text: str) -> str:
    if not text or len(text) > 4 or set(text) - set("01234567"):
        raise ValueError(f'"{text}" is not a mode such as 0644')
    return text


def _address(text: str) -> str:
    from ipaddress import ip_address

    try:
        return str(ip_address(text))
    except ValueError:
        raise ValueError(f'"{text}" is not an IP address such as 192.168.1.2') from None


def _host(text: str) -> str:
    address, _, prefix = text.partition("/")
    return str(Cidr.parse(text)) if prefix else _address(address)


def _uuid(text: str) -> str:
    from uuid import UUID

    try:
        return str(UUID(text))
    except ValueError:
        raise ValueError(f'"{text}" is not a UUID such as 6b1d8f6e-3c1f-4f0e-9d0a-2f3f5a1c7e11') from None


def _line(text: str) -> str:
    if not text or "\n" in text:
        raise ValueError("it is one line, not none and not several")
    return text


def _absolute(text: str) -> str:
    if not text.startswith("/"):
        raise ValueError(f'"{text}" is not a path from the root, such as /srv/disk.qcow2')
    return text


def _on_this_machine(text: str) -> str:
    from os.path import normpath
    from pathlib import Path

    if "/" not in text:
        raise ValueError(f'"{text}" is not a path; a file of this directory is ./{text}')
    return normpath(Path(text).expanduser().absolute())


def _nearest(text: str, words: tuple[str, ...]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(text, words, 1)
    return f"; {near[0]}?" if near else ""


def shaped(name: str, form: str, like: str) -> Codec[str]:
    """Accept what has a form, a regular expression; `like` is an example of it."""

    def parse(text: str) -> str:
        import re

        if not re.fullmatch(form, text):
            raise ValueError(f'"{text}" is not like {like}')
        return text

    return Codec(name, str, parse=parse)


_SPOKEN = {"on": True, "off": False, "yes": True, "no": False, "true": True, "false": False}

STR = Codec("text", str)
LINE = Codec("line", str, parse=_line)
INT = Codec("number", _integer, kind="integer")
COUNT = number(1, 2**31 - 1, "count")
PORT = number(-1, 65535, "port")
VLAN = number(0, 4095, "vlan")
YES_NO = switch("yes", "no")
ON_OFF = switch("on", "off")
VHOST = either("vhost", "qemu", "vhost")
UUID = Codec("uuid", str, parse=_uuid)
NAME = Codec("name", str, parse=Name.parse)
PATH = Codec("path", str, parse=_absolute)
HERE = Codec("here", str, parse=_on_this_machine)
"""A path as a person types it, from where they are."""
CPUSET = Codec("cpuset", str, parse=CpuSet.parse)
MODE = Codec("mode", str, parse=_permissions)
ADDRESS = Codec("address", str, parse=_address)
HOST = Codec("host", str, parse=_host)
MAC: Codec[Mac] = Codec("mac", lambda text: Mac(text.strip().lower().replace("-", ":")), parse=Mac.parse)
CIDR: Codec[Cidr] = Codec("cidr", Cidr.parse)
PCI: Codec[PciAddress] = Codec("pci", PciAddress.parse)
ALIAS: Codec[str] = Codec("alias", str, parse=alias)
SIZE: Codec[Size] = Codec(
    "size", lambda text: Size(int(text)), lambda size: str(int(size)), parse=Size.parse, show=str, kind="size"
)
KIB: Codec[Size] = scaled("KiB", "kib")
MIB: Codec[Size] = scaled("MiB", "mib")
DURATION: Codec[Duration] = Codec("duration", Duration.parse)
BOOL = switch("true", "false", "flag")
