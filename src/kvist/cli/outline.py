"""Draw trees of lines: with the characters for boxes where the terminal has them, in plain ASCII where not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, TextIO

if TYPE_CHECKING:
    from kvist.resources.netview.outline import Branch


class Strokes(NamedTuple):
    """What stands before a line: of one that others follow, of the last, and below each of both."""

    fork: str
    last: str
    down: str
    past: str = "   "


BOXES = Strokes("├─ ", "└─ ", "│  ")
PLAIN = Strokes("+- ", "`- ", "|  ")


def drawing(trees: Sequence[Branch], stream: TextIO) -> str:
    """Give the lines of some trees, as the stream can show them."""
    encoding = (stream.encoding or "ascii").lower().replace("-", "")
    return "".join(f"{line}\n" for line in lines(trees, BOXES if encoding == "utf8" else PLAIN))


def lines(trees: Sequence[Branch], strokes: Strokes) -> Iterator[str]:
    """Go through the lines of some trees, roots at the left margin."""
    for tree in trees:
        yield tree.text
        yield from _under(tree, strokes, "")


def _under(tree: Branch, strokes: Strokes, before: str) -> Iterator[str]:
    for number, each in enumerate(tree.under, 1):
        last = number == len(tree.under)
        yield before + (strokes.last if last else strokes.fork) + each.text
        yield from _under(each, strokes, before + (strokes.past if last else strokes.down))
