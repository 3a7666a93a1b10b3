"""The kinds of fields there are, and how each is read from an element and written into it."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from functools import total_ordering
from typing import TYPE_CHECKING, Any, Final, Self, TypedDict, Unpack, overload

from kvist.values import PciAddress, Size
from kvist.xml import path as paths
from kvist.xml.codec import SIZE as BYTES
from kvist.xml.codec import STR, Codec, Foreign

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

    from kvist.xml.spec import Spec


@total_ordering
class Applies(Enum):
    """When a change of a field reaches the guest; the later, the more it disrupts."""

    LIVE = "live"
    REPLUG = "replug"
    RESTART = "restart"
    RECREATE = "recreate"

    def __lt__(self, other: Applies) -> bool:
        order = list(Applies)
        return order.index(self) < order.index(other)


class _Unset(Enum):
    UNSET = "unset"

    def __bool__(self) -> bool:
        return False


UNSET: Final = _Unset.UNSET
"""What a field gives when the document says nothing about it."""


class Common(TypedDict, total=False):
    """What every declaration may say besides its path and its codec.

    `when` names the variants of its spec (values of the spec's UNION field) that have the field.
    `live_for` names another field and those of its values with which a change is live although `applies` says later;
    `cold_for` those with which it waits for a restart although `applies` says earlier. In a list, it is a field of the
    item that comes or goes.
    `up_to` names the field that a live change may not exceed; with `growing`, a live change may only add.
    With `standing`, a live change replaces a value: it neither brings the first nor takes the last away.
    `also` is an attribute of the spec's own element that repeats the value in some documents; it is kept in step.
    `told` marks what libvirt tells and nobody sets, `secret` what is never shown.
    """

    when: str | tuple[str, ...]
    applies: Applies
    doc: str
    page: str
    live_for: tuple[str, tuple[str, ...]]
    cold_for: tuple[str, tuple[str, ...]]
    up_to: str
    growing: bool
    standing: bool
    also: str
    told: bool
    secret: bool


class Field:
    """A setting: name, codec, doc, page, applies; and how it is read from an element and written into it."""

    __slots__ = (
        "also",
        "applies",
        "codec",
        "cold_for",
        "doc",
        "growing",
        "live_for",
        "name",
        "page",
        "path",
        "secret",
        "standing",
        "told",
        "up_to",
        "when",
    )
    aside = False

    def __init__(self, path: str, codec: Codec[Any], **rest: Unpack[Common]) -> None:
        self.name = ""
        self.path, self.codec = path, codec
        self.applies = rest.get("applies", Applies.RESTART)
        self.doc, self.page = rest.get("doc", ""), rest.get("page", "")
        when = rest.get("when", ())
        self.when: tuple[str, ...] = (when,) if isinstance(when, str) else when
        self.cold_for = rest.get("cold_for")
        self.told = rest.get("told", False)
        self.secret = rest.get("secret", False)
        self.standing = rest.get("standing", False)
        self.also = rest.get("also", "")
        self.live_for, self.up_to, self.growing = (
            rest.get("live_for"),
            rest.get("up_to", ""),
            rest.get("growing", False),
        )

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, spec: None, owner: type) -> Self: ...
    @overload
    def __get__(self, spec: Spec, owner: type) -> Any: ...
    @overload
    def __get__(self, spec: object, owner: type) -> Self: ...
    def __get__(self, spec: Any, owner: type) -> Any:
        return self if spec is None else spec.get(self.name)

    def __repr__(self) -> str:
        return f"<field {self.name or '?'} at {self.path}>"

    def read(self, tree: paths.Tree) -> Any:
        """Give the value in the element, or UNSET."""
        raise NotImplementedError

    def write(self, node: Element, value: Any, order: Sequence[str] = ()) -> None:
        """Make the element say `value`; None removes. A value that is there already touches nothing."""
        raise NotImplementedError


class Scalar(Field):
    """One attribute, or the text of one element."""

    __slots__ = ("attribute", "steps")

    def __init__(self, path: str, codec: Codec[Any], **rest: Unpack[Common]) -> None:
        super().__init__(path, codec, **rest)
        self.steps, self.attribute = paths.parse(path)

    def read(self, tree: paths.Tree) -> Any:
        node = tree.at(self.steps)
        raw = None if node is None else node.get(self.attribute) if self.attribute else _said(node)
        if raw is None and self.also:
            raw = tree.root.get(self.also)
        try:
            return UNSET if raw is None else self.codec.load(raw)
        except Foreign:
            return UNSET

    def write(self, node: Element, value: Any, order: Sequence[str] = ()) -> None:
        if value is None:
            if self.read(paths.Tree(node)) is not UNSET:
                self._remove(node)
        elif self.read(paths.Tree(node)) != value:
            self._put(paths.make(node, self.steps, order), value)
            if self.also and self.also in node.attrib:
                node.set(self.also, self.codec.dump(value))

    def _put(self, place: Element, value: Any) -> None:
        if self.attribute:
            place.set(self.attribute, self.codec.dump(value))
        else:
            place.text = self.codec.dump(value)

    def _remove(self, node: Element) -> None:
        _without(node, self.also)
        place = paths.Tree(node).at(self.steps)
        if place is None:
            return
        if self.attribute:
            _without(place, self.attribute)
        else:
            place.text = None
        paths.prune(node, self.steps)


def _said(node: Element) -> str | None:
    """Give an element's text; the white space in front of its first child is none."""
    text = node.text
    return None if text is None or (len(node) and not text.strip()) else text


def _without(place: Element, attribute: str) -> None:
    if attribute and attribute in place.attrib:
        del place.attrib[attribute]


class SizeText(Scalar):
    """A size as the text of an element whose attribute `unit` says what it counts."""

    __slots__ = ("unit",)

    def __init__(self, path: str, unit: str, **rest: Unpack[Common]) -> None:
        super().__init__(path, BYTES, **rest)
        self.unit = unit

    def read(self, tree: paths.Tree) -> Any:
        node = tree.at(self.steps)
        if node is None or node.text is None:
            return UNSET
        return Size(int(node.text) * Size.UNITS[node.get("unit", self.unit).lower()])

    def _put(self, place: Element, value: Any) -> None:
        unit = next(
            unit for unit in (place.get("unit", self.unit), self.unit, "bytes") if value % Size.UNITS[unit.lower()] == 0
        )
        place.set("unit", unit)
        place.text = str(int(value) // Size.UNITS[unit.lower()])

    def _remove(self, node: Element) -> None:
        place = paths.Tree(node).at(self.steps)
        if place is not None:
            _without(place, "unit")
        super()._remove(node)


class PciPlace(Scalar):
    """A PCI address in the four attributes of an element."""

    __slots__ = ()

    def read(self, tree: paths.Tree) -> Any:
        node = tree.at(self.steps)
        if node is None or node.get("bus") is None:
            return UNSET
        return PciAddress(*(int(node.get(part, "0"), 0) for part in PciAddress._fields))

    def _put(self, place: Element, value: Any) -> None:
        for part, digits in zip(PciAddress._fields, (4, 2, 2, 1), strict=True):
            place.set(part, f"0x{getattr(value, part):0{digits}x}")

    def _remove(self, node: Element) -> None:
        place = paths.Tree(node).at(self.steps)
        if place is not None:
            for part in PciAddress._fields:
                _without(place, part)
            paths.prune(node, self.steps)


class Flag(Scalar):
    """An element that says yes by being there."""

    __slots__ = ()

    def read(self, tree: paths.Tree) -> Any:
        return UNSET if tree.at(self.steps) is None else True

    def write(self, node: Element, value: Any, order: Sequence[str] = ()) -> None:
        place = paths.Tree(node).at(self.steps)
        if value and place is None:
            paths.make(node, self.steps, order)
        elif not value and place is not None:
            paths.drop(place)
            paths.prune(node, self.steps[:-1])


class One(Field):
    """A single element that is a spec of its own."""

    __slots__ = ("spec", "steps")

    def __init__(self, path: str, spec: type[Spec], **rest: Unpack[Common]) -> None:
        super().__init__(path, STR, **rest)
        self.spec = spec
        self.steps, _ = paths.parse(path)

    def read(self, tree: paths.Tree) -> Any:
        place = tree.at(self.steps)
        return UNSET if place is None else self.spec.read(place)

    def write(self, node: Element, value: Any, order: Sequence[str] = ()) -> None:
        place = paths.Tree(node).at(self.steps)
        if value is None or value.is_removed:
            if place is not None:
                paths.drop(place)
                paths.prune(node, self.steps[:-1])
        else:
            value.write(paths.make(node, self.steps, order))


class Aside(Field):
    """A key that a person may give and that stands nowhere in this document; resources act on it."""

    __slots__ = ()
    aside = True

    def read(self, tree: paths.Tree) -> Any:
        return UNSET

    def write(self, node: Element, value: Any, order: Sequence[str] = ()) -> None:
        """Leave the document alone."""
