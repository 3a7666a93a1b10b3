"""Paths into a document: find what they name, make what is missing, prune what they leave empty.

A path is written as in libvirt's documentation: `source/@network`, `os/boot/@dev`,
`os/firmware/feature[@name='secure-boot']/@enabled`, `metadata/kvist:vm/@user`. A predicate is found by its attributes
and made with them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

NAMESPACES = {
    "kvist": "urn:kvist:1",
    "qemu": "http://libvirt.org/schemas/domain/qemu/1.0",
    "libosinfo": "http://libosinfo.org/xmlns/libvirt/domain/1.0",
    "dnsmasq": "http://libvirt.org/schemas/network/dnsmasq/1.0",
}
"""The prefixes that a path may use."""

INDENT = "  "
"""One level of libvirt's own documents."""

_STEP = re.compile(r"(?:^|/)(?:(?P<prefix>\w+):)?(?P<tag>[\w.-]+)(?P<where>(?:\[@\w+='[^']*'\])*)")
_WHERE = re.compile(r"\[@(\w+)='([^']*)'\]")


class Step(NamedTuple):
    """One element on the way: its name, the attributes it is known by, and the query that finds it."""

    tag: str
    where: tuple[tuple[str, str], ...]
    query: str
    prefix: str = ""


def parse(path: str) -> tuple[tuple[Step, ...], str]:
    """Split a path into its steps and the attribute at its end (empty when it ends in an element)."""
    head, at, attribute = path.rpartition("@") if re.search(r"(?:^|/)@[\w:-]+$", path) else (path, "", "")
    head = head.removesuffix("/") if at else head
    steps: list[Step] = []
    end = 0
    while end < len(head):
        match = _STEP.match(head, end)
        if match is None:
            raise ValueError(f'"{path}" is not a path')
        prefix = match["prefix"] or ""
        tag = f"{{{NAMESPACES[prefix]}}}{match['tag']}" if prefix else match["tag"]
        steps.append(Step(tag, tuple(_WHERE.findall(match["where"])), tag + match["where"], prefix))
        end = match.end()
    return tuple(steps), attribute


class Tree:
    """An element that is being read: remembers the way to every place already visited."""

    __slots__ = ("_seen", "root")

    def __init__(self, root: Element) -> None:
        self.root = root
        self._seen: dict[tuple[Step, ...], Element | None] = {(): root}

    def at(self, steps: tuple[Step, ...]) -> Element | None:
        """Give the first element at the end of these steps, or None."""
        seen = self._seen
        if steps in seen:
            return seen[steps]
        above = self.at(steps[:-1])
        found = None if above is None else above.find(steps[-1].query)
        seen[steps] = found
        return found

    def every(self, steps: tuple[Step, ...]) -> list[Element]:
        """Give every element at the end of these steps, below the first of each of its parents."""
        above = self.at(steps[:-1])
        return [] if above is None else above.findall(steps[-1].query)


def make(root: Element, steps: Sequence[Step], order: Sequence[str] = ()) -> Element:
    """Give the element at the end of these steps, making what is missing, in this order among its siblings."""
    node = root
    for step in steps:
        found = node.find(step.query)
        node = add(node, step, order) if found is None else found
    return node


def add(parent: Element, step: Step, order: Sequence[str] = ()) -> Element:
    """Make a child, indented like its neighbours: behind the last of its name, or where `order` puts it, or last."""
    child = parent.makeelement(step.tag, nsmap={step.prefix: NAMESPACES[step.prefix]} if step.prefix else None)
    for name, value in step.where:
        child.set(name, value)
    _place(parent, child, _index(parent, step.tag, order))
    return child


def move(child: Element, before: Element) -> None:
    """Put a child right behind one of its siblings."""
    parent = before.getparent()
    assert parent is not None, "a sibling has a parent"
    drop(child)
    _place(parent, child, parent.index(before) + 1)


def drop(child: Element) -> None:
    """Take an element out; what surrounds it stays as it was."""
    parent = child.getparent()
    assert parent is not None, "the root of a document stays"
    previous, following = child.getprevious(), child.getnext()
    if following is None:
        if previous is not None:
            previous.tail = child.tail
        elif not (parent.text or "").strip():
            parent.text = None
    child.tail = None
    parent.remove(child)


def prune(root: Element, steps: Sequence[Step]) -> None:
    """Remove what these steps lead to while it is empty, from the end up to `root`, which stays."""
    for node, step in reversed(list(_way(root, steps))):
        if len(node) or (node.text or "").strip() or set(node.attrib) - {name for name, _ in step.where}:
            return
        drop(node)


def _way(root: Element, steps: Sequence[Step]) -> Iterator[tuple[Element, Step]]:
    node = root
    for step in steps:
        found = node.find(step.query)
        if found is None:
            return
        yield found, step
        node = found


def _index(parent: Element, tag: str, order: Sequence[str]) -> int:
    same = parent.findall(tag)
    if same:
        return parent.index(same[-1]) + 1
    if tag in order:
        later = set(order[order.index(tag) + 1 :])
        for index, sibling in enumerate(parent):
            if sibling.tag in later:
                return index
    return len(parent)


def _place(parent: Element, child: Element, index: int) -> None:
    if len(parent) == 0:
        outer = _before(parent)
        if "\n" in outer:
            parent.text, child.tail = outer + INDENT, outer
        parent.append(child)
        return
    pad = parent.text if not (parent.text or "").strip() else None
    if index == len(parent):
        last = parent[-1]
        child.tail, last.tail = last.tail, pad
    else:
        child.tail = pad if index == 0 else parent[index - 1].tail
    parent.insert(index, child)


def _before(node: Element) -> str:
    """Give the white space in front of an element: its own indentation."""
    parent = node.getparent()
    if parent is None:
        return "\n"
    previous = node.getprevious()
    space = (parent.text if previous is None else previous.tail) or ""
    return space[space.rfind("\n") :] if "\n" in space and not space.strip() else ""
