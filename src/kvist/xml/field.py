"""Fields: one setting each, declared in one line of a spec.

    network: str | None = attr("source/@network", when="network", applies=LIVE, doc="The network.", default=None)

Everything that a person, a file or a client can say about the setting is derived from that line: its type, its path,
its codec, when a change reaches the guest, and one sentence. `default=None` tells a type checker that the constructor's
argument may be left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, Unpack, cast, overload

from kvist.values import PciAddress, Size
from kvist.xml.bounded import Ceiling, Level
from kvist.xml.codec import BOOL, PCI, STR, Codec
from kvist.xml.kinds import Applies, Aside, Common, Field, Flag, One, PciPlace, Scalar, SizeText
from kvist.xml.lists import Items, Many, listed
from kvist.xml.pairs import Pair

if TYPE_CHECKING:
    from kvist.xml.spec import Spec

LIVE, REPLUG, RESTART, RECREATE = Applies

__all__ = [
    "LIVE",
    "RECREATE",
    "REPLUG",
    "RESTART",
    "Applies",
    "Field",
    "aside",
    "attr",
    "ceiling",
    "flag",
    "items",
    "level",
    "many",
    "one",
    "pair",
    "pci",
    "size",
    "text",
]

T = TypeVar("T")
S = TypeVar("S", bound="Spec")


@overload
def attr(path: str, *, default: None, **rest: Unpack[Common]) -> str | None: ...
@overload
def attr(path: str, codec: Codec[T], *, default: None, **rest: Unpack[Common]) -> T | None: ...
def attr(path: str, codec: Codec[Any] = STR, *, default: None, **rest: Unpack[Common]) -> Any:
    """Bind a setting to an attribute: `source/@network`."""
    return Scalar(path, codec, **rest)


@overload
def text(path: str, *, default: None, **rest: Unpack[Common]) -> str | None: ...
@overload
def text(path: str, codec: Codec[T], *, default: None, **rest: Unpack[Common]) -> T | None: ...
def text(path: str, codec: Codec[Any] = STR, *, default: None, **rest: Unpack[Common]) -> Any:
    """Bind a setting to the text of an element: `on_crash`."""
    return Scalar(path, codec, **rest)


def flag(path: str, *, default: None, **rest: Unpack[Common]) -> bool | None:
    """Bind a setting to an element that says yes by being there: `readonly`."""
    return cast("bool | None", Flag(path, BOOL, **rest))


def size(path: str, unit: str = "KiB", *, default: None, **rest: Unpack[Common]) -> Size | None:
    """Bind a size to an element with a unit; a document without one means `unit`."""
    return cast("Size | None", SizeText(path, unit, **rest))


def pair(path: str, second: str, sign: str, codec: Codec[str], *, default: None, **rest: Unpack[Common]) -> str | None:
    """Bind a setting to two attributes of one element: `@srcipaddr` and `srcipmask`, with a sign between them."""
    return cast("str | None", Pair(path, second, sign, codec, **rest))


def pci(path: str, *, default: None, **rest: Unpack[Common]) -> PciAddress | None:
    """Bind a PCI address to an element that holds it in four attributes."""
    return cast("PciAddress | None", PciPlace(path, PCI, **rest))


@overload
def items(path: str, *, default: None, words: bool = ..., **rest: Unpack[Common]) -> tuple[str, ...] | None: ...
@overload
def items(
    path: str, codec: Codec[T], *, default: None, words: bool = ..., **rest: Unpack[Common]
) -> tuple[T, ...] | None: ...
def items(path: str, codec: Codec[Any] = STR, *, default: None, words: bool = False, **rest: Unpack[Common]) -> Any:
    """Bind a list of plain values to a row of elements: `os/boot/@dev`. It is written as a whole."""
    return Items(path, listed(codec, words=words), **rest)


def many(
    path: str, spec: type[S], *, key: str | tuple[str, ...] = (), default: tuple[()], **rest: Unpack[Common]
) -> tuple[S, ...]:
    """Bind a list of specs to a row of elements, told apart by `key` (by position without one)."""
    return cast("tuple[S, ...]", Many(path, spec, (key,) if isinstance(key, str) else key, **rest))


def one(path: str, spec: type[S], *, default: None, **rest: Unpack[Common]) -> S | None:
    """Bind a spec to a single element."""
    return cast("S | None", One(path, spec, **rest))


@overload
def aside(*, default: None, **rest: Unpack[Common]) -> str | None: ...
@overload
def aside(codec: Codec[T], *, default: None, **rest: Unpack[Common]) -> T | None: ...
def aside(codec: Codec[Any] = STR, *, default: None, **rest: Unpack[Common]) -> Any:
    """Declare a key that stands in no document; resources act on it."""
    return Aside("", codec, **rest)


def ceiling(top: T, current: T, *, default: None, **rest: Unpack[Common]) -> T:
    """Bind the maximum of a value that has one: raising it leaves the current value where it was."""
    return cast("T", Ceiling(cast("Scalar", top), cast("Scalar", current), **rest))


def level(current: T, top: T, *, default: None, **rest: Unpack[Common]) -> T:
    """Bind a value that has a maximum: where it is absent it is the maximum; above it, the maximum follows."""
    return cast("T", Level(cast("Scalar", current), cast("Scalar", top), **rest))
