"""A drawing of boxes and lines as one SVG document that needs nothing else: https://www.w3.org/TR/SVG11/."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

SPACE = "http://www.w3.org/2000/svg"
LETTER = 7.3
"""Width of a letter of the monospaced font at 12 px, in px: 0.6 em, and a little for fonts that are wider."""
LINE = 16.0
PAD = 8.0

STYLE = """
text { font: 12px ui-monospace, 'DejaVu Sans Mono', Consolas, monospace; fill: #1b1f24 }
.title { font-weight: bold }
.faint { fill: #57606a }
rect { fill: #ffffff; stroke: #57606a; rx: 4 }
.paper { stroke: none }
.uplink { fill: #fff3d6 }
.bridge { fill: #dcefff }
.card { fill: #f3f4f6 }
.vm { fill: #dff5e1 }
.off { stroke-dasharray: 4 3; fill: #ffffff }
path { fill: none; stroke: #57606a }
path.off { stroke-dasharray: 4 3 }
path.routed { stroke: #b35900; stroke-dasharray: 1 3 }
"""


class Drawing:
    """A sheet of paper. Coordinates are px from its upper left corner.

    Example: `sheet = Drawing("net", 400, 200); sheet.box(8, 8, 120, ["virbr0"], "bridge"); sheet.text()`.
    """

    def __init__(self, title: str, width: float, height: float) -> None:
        from lxml import etree

        # The stubs of lxml know no namespace without a prefix; lxml does.
        self._root = etree.Element(f"{{{SPACE}}}svg", nsmap=cast("dict[str, str]", {None: SPACE}))
        for name, value in (("width", width), ("height", height)):
            self._root.set(name, _px(value))
        self._root.set("viewBox", f"0 0 {_px(width)} {_px(height)}")
        self._add(self._root, "title").text = _printable(title)
        self._add(self._root, "style").text = STYLE
        self._add(self._root, "rect", x=0, y=0, width=width, height=height, **{"class": "paper"})
        self._lines = self._add(self._root, "g")

    def box(self, x: float, y: float, width: float, lines: Sequence[str], kind: str) -> None:
        """Draw a box with lines of text, the first as its title."""
        group = self._add(self._root, "g")
        self._add(group, "rect", x=x, y=y, width=width, height=height_of(lines), **{"class": kind})
        for at, line in enumerate(lines):
            named = {"class": "title" if at == 0 else "faint"}
            text = self._add(group, "text", x=x + PAD, y=y + PAD / 2 + LINE * (at + 0.75), **named)
            text.text = _printable(line)

    def join(self, x1: float, y1: float, x2: float, y2: float, kind: str = "") -> None:
        """Draw a line from the right side of a box to the left side of another; it lies below the boxes."""
        half = (x1 + x2) / 2
        d = f"M {_px(x1)} {_px(y1)} C {_px(half)} {_px(y1)} {_px(half)} {_px(y2)} {_px(x2)} {_px(y2)}"
        path = self._add(self._lines, "path", d=d)
        if kind:
            path.set("class", kind)

    def text(self) -> str:
        """Print the document."""
        from lxml import etree

        return etree.tostring(self._root, encoding="unicode", pretty_print=True)

    def _add(self, parent: Element, tag: str, **attributes: float | str) -> Element:
        from lxml import etree

        made = etree.SubElement(parent, f"{{{SPACE}}}{tag}")
        for name, value in attributes.items():
            made.set(name, value if isinstance(value, str) else _px(value))
        return made


def width_of(lines: Sequence[str]) -> float:
    """Give how wide a box has to be for these lines."""
    return max((len(line) for line in lines), default=0) * LETTER + 2 * PAD


def height_of(lines: Sequence[str]) -> float:
    """Give how high a box with these lines is."""
    return len(lines) * LINE + PAD


def _px(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _printable(text: str) -> str:
    """Leave out what no XML document can hold: a name comes from whoever made the VM."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
