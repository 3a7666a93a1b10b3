"""One XML document of libvirt's, kept as it came."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self, TypeAlias

from kvist.errors import Corrupt

if TYPE_CHECKING:
    from lxml.etree import _Element

    Element: TypeAlias = _Element
    """A node of a document, for the type hints of the rooms above."""


class Document:
    """A document whose untouched parts stay byte for byte; what is new is indented like its neighbours.

        document = Document.parse(domain.XMLDesc(0))
        Vm(memory=Size.parse("4G")).write(document.root)
        connection.defineXML(document.text())

    Two documents are equal when they say the same, however they are indented.
    """

    __slots__ = ("root",)

    def __init__(self, root: Element) -> None:
        self.root = root

    @classmethod
    def parse(cls, text: str | bytes) -> Self:
        """Read a document; nothing outside of it is ever loaded. Raises Corrupt with the line of the mistake."""
        from lxml import etree

        parser = etree.XMLParser(
            resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, encoding="utf-8"
        )
        try:
            return cls(etree.fromstring(text.encode() if isinstance(text, str) else text, parser))
        except etree.XMLSyntaxError as wrong:
            raise Corrupt(f"cannot read XML document: {wrong}") from wrong

    @classmethod
    def new(cls, tag: str, **attributes: str) -> Self:
        """Begin an empty document."""
        from lxml import etree

        return cls(etree.Element(tag, attributes))

    def text(self) -> str:
        """Print the document."""
        from lxml import etree

        return etree.tostring(self.root, encoding="unicode")

    def copy(self) -> Self:
        """Give a copy to change while this one stays."""
        from copy import deepcopy

        return type(self)(deepcopy(self.root))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Document) and self.canonical() == other.canonical()

    def __hash__(self) -> int:
        return hash(self.canonical())

    def __repr__(self) -> str:
        return f"<Document {self.root.tag}>"

    def canonical(self) -> str:
        """Print it so that documents which say the same are the same text."""
        from lxml import etree

        canonical: str = etree.canonicalize(self.text(), strip_text=True)
        return canonical
