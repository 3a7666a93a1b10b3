"""Fields that hold a list: plain values in a row of elements, and elements that are specs of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

from kvist.xml import path as paths
from kvist.xml.codec import STR, Codec
from kvist.xml.kinds import UNSET, Common, Field, Scalar

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

    from kvist.xml.spec import Spec

T = TypeVar("T")


def _words(text: str) -> list[str]:
    from shlex import split

    return split(text)


def _joined(words: list[str]) -> str:
    from shlex import join

    return join(words)


def listed(codec: Codec[T], *, words: bool = False) -> Codec[tuple[T, ...]]:
    """Make a codec of lists: `a+b` or `a,b`; with `words`, as a shell would split them."""

    def parse(text: str) -> tuple[T, ...]:
        parts = _words(text) if words else [part for part in text.replace("+", ",").split(",") if part]
        return tuple(codec.parse(part) for part in parts)

    def show(values: tuple[T, ...]) -> str:
        shown = [codec.show(value) for value in values]
        return _joined(shown) if words else ",".join(shown)

    return Codec(
        f"list of {codec.name}",
        lambda text: (codec.load(text),),
        lambda values: codec.dump(values[0]),
        parse=parse,
        show=show,
        kind="list",
        choices=codec.choices,
        open=codec.open,
        item=codec,
    )


class Items(Scalar):
    """A list of plain values in a row of elements of one name; it is written as a whole."""

    __slots__ = ()

    def _raw(self, place: Element) -> str | None:
        return place.get(self.attribute) if self.attribute else place.text

    def read(self, tree: paths.Tree) -> Any:
        raw = [self._raw(place) for place in tree.every(self.steps)]
        values = tuple(self.codec.load(text)[0] for text in raw if text is not None)
        return values or UNSET

    def write(self, node: Element, value: Any, order: Sequence[str] = ()) -> None:
        wanted: tuple[Any, ...] = value or ()
        if (self.read(paths.Tree(node)) or ()) == wanted:
            return
        *above, last = self.steps
        old = [place for place in paths.Tree(node).every(self.steps) if self._raw(place) is not None]
        kept: list[Element | None] = []
        for item in wanted:
            same = next((place for place in old if self.codec.load(self._raw(place) or "")[0] == item), None)
            if same is not None:
                old.remove(same)
            kept.append(same)
        for place in old:
            paths.drop(place)
        if not wanted:
            paths.prune(node, above)
            return
        parent = paths.make(node, above, order)
        before: Element | None = None
        for item, same in zip(wanted, kept, strict=True):
            if same is None:
                same = paths.add(parent, last, order)
                self._put(same, (item,))
            if before is not None and parent.index(same) < parent.index(before):
                paths.move(same, before)
            before = same


class Many(Field):
    """A list of elements, each a spec, told apart by the fields named in `key` (by their position when it is empty).

    Writing adds, changes and removes the items that are named, and leaves the others alone.
    """

    __slots__ = ("key", "spec", "steps")

    def __init__(self, path: str, spec: type[Spec], key: tuple[str, ...], **rest: Unpack[Common]) -> None:
        super().__init__(path, STR, **rest)
        self.spec, self.key = spec, key
        self.steps, _ = paths.parse(path)

    def key_of(self, item: Spec) -> tuple[Any, ...]:
        """Give what an item is told apart by."""
        return tuple(item.get(name) for name in self.key)

    def read(self, tree: paths.Tree) -> Any:
        return tuple(self.spec.read(place) for place in tree.every(self.steps)) or UNSET

    def write(self, node: Element, value: Any, order: Sequence[str] = ()) -> None:
        *above, last = self.steps
        found = paths.Tree(node).every(self.steps)
        if value is None:
            for place in found:
                self._drop(node, place)
            return
        places: dict[tuple[Any, ...], list[Element]] = {}
        for place in found:
            places.setdefault(self.key_of(self.spec.read(place)), []).append(place)
        for item in value:
            known = places.get(self.key_of(item))
            if known and item.is_removed:
                self._drop(node, known.pop(0))
            elif known:
                item.write(known.pop(0))
            elif not item.is_removed:
                parent = paths.make(node, above, order)
                item.write(paths.add(parent, last, order))

    def _drop(self, node: Element, place: Element) -> None:
        paths.drop(place)
        paths.prune(node, self.steps[:-1])
