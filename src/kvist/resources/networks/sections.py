"""The parts of a network that libvirt changes while it runs, and what stands between two documents in them."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import TYPE_CHECKING, Final, NamedTuple

from kvist.xml.document import Document
from kvist.xml.path import drop

if TYPE_CHECKING:
    from kvist.xml.document import Element

SECTIONS: Final = {
    "ip-dhcp-range": "dhcp/range",
    "ip-dhcp-host": "dhcp/host",
    "dns-txt": "dns/txt",
    "dns-srv": "dns/srv",
    "dns-host": "dns/host",
    "forward-interface": "forward/interface",
    "portgroup": "portgroup",
}
"""Where the elements of each section stand, by virsh's names; those of DHCP stand in one of the <ip>."""
MODIFIED: Final = {"ip-dhcp-host": ("mac", "id"), "portgroup": ("name",)}
"""The sections in which libvirt changes an element in place, and the attributes that tell which."""
EMPTY: Final = ("dhcp", "dns")
COUNTED: Final = "connections"
"""What libvirt counts in the document of a network that runs."""


class Item(NamedTuple):
    """One element of a section: in which <ip> it stands (-1 in none), as the how manyeth, and what it says."""

    section: str
    parent: int
    place: int
    xml: str


class Amendment(NamedTuple):
    """One element that is to be another; `before` is empty for one that comes, `after` for one that goes."""

    section: str
    parent: int
    before: str
    after: str


def items(document: Document) -> list[Item]:
    """List the elements of all sections."""
    return [
        Item(section, parent, place, _said(element))
        for section in SECTIONS
        for parent, elements in _homes(document, section)
        for place, element in enumerate(elements)
    ]


def alike(one: Document, other: Document) -> bool:
    """Tell whether two documents differ in the sections at most."""
    return _rest(one) == _rest(other)


def amendments(before: Document, after: Document) -> list[Amendment]:
    """Work out what turns one document into the other, which is alike: what goes first, then what comes."""
    had, wanted = items(before), items(after)
    going = [one for one in had if _key(one) not in {_key(each) for each in wanted}]
    coming = [one for one in wanted if _key(one) not in {_key(each) for each in had}]
    found: list[Amendment] = []
    for one in going:
        new = next((each for each in coming if _changes_into(one, each)), None)
        if new is not None:
            coming.remove(new)
        found.append(Amendment(one.section, one.parent, one.xml, new.xml if new else ""))
    return found + [Amendment(one.section, one.parent, "", one.xml) for one in coming]


def place_of(document: Document, section: str, parent: int, xml: str) -> int:
    """Tell as the how manyeth of its section an element stands; -1 when it is not there."""
    return next((one.place for one in _of(document, section, parent) if one.xml == xml), -1)


def behind(document: Document, section: str, parent: int, place: int) -> list[str]:
    """Give what stands at a place of a section and behind it."""
    return [one.xml for one in _of(document, section, parent) if one.place >= place]


def normal(xml: str) -> str:
    """Print an element so that it can be compared."""
    return _said(Document.parse(xml).root)


def _of(document: Document, section: str, parent: int) -> list[Item]:
    return [one for one in items(document) if (one.section, one.parent) == (section, parent)]


def _key(item: Item) -> tuple[str, int, str]:
    return item.section, item.parent, item.xml


def _changes_into(one: Item, other: Item) -> bool:
    names = MODIFIED.get(one.section)
    if names is None or (one.section, one.parent) != (other.section, other.parent):
        return False
    mine, its = Document.parse(one.xml).root, Document.parse(other.xml).root
    return any(mine.get(name) is not None and mine.get(name) == its.get(name) for name in names)


def _homes(document: Document, section: str) -> Iterator[tuple[int, list[Element]]]:
    path = SECTIONS[section]
    if section.startswith("ip-"):
        for number, ip in enumerate(document.root.findall("ip")):
            yield number, ip.findall(path)
    else:
        yield -1, document.root.findall(path)


def _said(element: Element) -> str:
    copy = deepcopy(element)
    copy.tail = None
    _forget(copy, COUNTED)
    return Document(copy).canonical()


def _rest(document: Document) -> Document:
    rest = document.copy()
    _forget(rest.root, COUNTED)
    for section in SECTIONS:
        for _, elements in _homes(rest, section):
            for element in elements:
                drop(element)
    forward = rest.root.find("forward")
    if forward is not None and document.root.find("forward/interface") is not None:
        # It repeats the first of the interfaces.
        _forget(forward, "dev")
    for tag in EMPTY:
        for element in [*rest.root.iter(tag)]:
            if not len(element) and not element.attrib:
                drop(element)
    return rest


def _forget(element: Element, name: str) -> None:
    if name in element.attrib:
        del element.attrib[name]
