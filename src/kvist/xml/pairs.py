"""A setting in two attributes of one element: an address and its mask, the first and the last of a range."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Unpack

from kvist.xml import path as paths
from kvist.xml.codec import Codec
from kvist.xml.kinds import UNSET, Common, Scalar

if TYPE_CHECKING:
    from lxml.etree import _Element as Element


class Pair(Scalar):
    """Two attributes that are read and typed as one text, with a sign between them: `10.0.0.0/8`, `1-1023`."""

    __slots__ = ("second", "sign")

    def __init__(self, path: str, second: str, sign: str, codec: Codec[Any], **rest: Unpack[Common]) -> None:
        super().__init__(path, codec, **rest)
        self.second, self.sign = second, sign

    @property
    def attributes(self) -> tuple[str, str]:
        """The names of both attributes."""
        return self.attribute, self.second

    def read(self, tree: paths.Tree) -> Any:
        node = tree.at(self.steps)
        parts = (None, None) if node is None else (node.get(self.attribute), node.get(self.second))
        if parts == (None, None):
            return UNSET
        return (parts[0] or "") + ("" if parts[1] is None else self.sign + parts[1])

    def write(self, node: Element, value: Any, order: Sequence[str] = ()) -> None:
        if value is None:
            if self.read(paths.Tree(node)) is not UNSET:
                self._remove(node)
        elif self.read(paths.Tree(node)) != value:
            self._put(paths.make(node, self.steps, order), value)

    def _put(self, place: Element, value: Any) -> None:
        first, joined, second = value.partition(self.sign)
        for attribute, part in ((self.attribute, first), (self.second, second if joined else "")):
            if part:
                place.set(attribute, part)
            elif attribute in place.attrib:
                del place.attrib[attribute]

    def _remove(self, node: Element) -> None:
        place = paths.Tree(node).at(self.steps)
        assert place is not None, "what is removed is there"
        for attribute in self.attributes:
            if attribute in place.attrib:
                del place.attrib[attribute]
        paths.prune(node, self.steps)
