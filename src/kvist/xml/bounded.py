"""A current value and its maximum: `currentMemory` below `memory`, `vcpu/@current` below the text of `vcpu`.

libvirt leaves the current value out where it equals the maximum, so that writing one of them must mind the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Unpack

from kvist.xml.kinds import UNSET, Common, Field, Scalar
from kvist.xml.path import Tree

if TYPE_CHECKING:
    from lxml.etree import _Element as Element


class Level(Field):
    """The current value."""

    __slots__ = ("current", "top")

    def __init__(self, current: Scalar, top: Scalar, **rest: Unpack[Common]) -> None:
        super().__init__(current.path, current.codec, **rest)
        self.current, self.top = current, top

    def read(self, tree: Tree) -> Any:
        value = self.current.read(tree)
        return self.top.read(tree) if value is UNSET else value

    def write(self, node: Element, value: Any, order: Sequence[str] = ()) -> None:
        tree = Tree(node)
        if value is None:
            self.current.write(node, None)
        elif self.read(tree) != value:
            top = self.top.read(tree)
            if top is UNSET or value > top:
                self.top.write(node, value, order)
            if top is not UNSET and (value < top or self.current.read(tree) is not UNSET):
                self.current.write(node, value, order)


class Ceiling(Field):
    """The maximum."""

    __slots__ = ("current", "top")

    def __init__(self, top: Scalar, current: Scalar, **rest: Unpack[Common]) -> None:
        super().__init__(top.path, top.codec, **rest)
        self.current, self.top = current, top

    def read(self, tree: Tree) -> Any:
        return self.top.read(tree)

    def write(self, node: Element, value: Any, order: Sequence[str] = ()) -> None:
        tree = Tree(node)
        before = self.top.read(tree)
        if value is not None and before not in (UNSET, value):
            current = self.current.read(tree)
            self.current.write(node, min(before if current is UNSET else current, value), order)
        self.top.write(node, value, order)


BOUND = (Level, Ceiling)
"""Both: what is written to one may take the other along."""
