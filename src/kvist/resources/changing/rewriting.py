"""Write a wish into the document of a VM, minding what libvirt ties together; and take just that out of it again."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import TYPE_CHECKING, Any, NamedTuple

from kvist.specs.disk import Disk
from kvist.specs.vm import Vm
from kvist.xml import path as paths
from kvist.xml.document import Document
from kvist.xml.kinds import One
from kvist.xml.lists import Many
from kvist.xml.spec import Spec

if TYPE_CHECKING:
    from kvist.xml.document import Element

SOURCES = frozenset(name for name, field in Disk.DECLARED.items() if field.path.startswith("source/")) | {"type"}
"""The fields of a disk that say where its data is."""


class Device(NamedTuple):
    """A device that a wish names: where it is listed, what is wanted of it, and its element where there is one."""

    field: Many | One
    wish: Spec
    element: Element | None
    number: int
    """Its place in the wish, which is the name of a device without a key."""

    @property
    def have(self) -> Spec | None:
        """What its element says."""
        return None if self.element is None else self.field.spec.read(self.element)

    def within(self, wish: Spec | None = None) -> Vm:
        """Give a wish that is about this device alone."""
        item = self.wish if wish is None else wish
        if isinstance(self.field, One):
            return one_field(self.field.name, None if item.is_removed else item)
        return one_field(self.field.name, (item,))


def one_field(name: str, value: Any) -> Vm:
    """Give a wish of a single field, named by a word."""
    return Vm(**{name: value})


def devices(document: Document, wish: Vm) -> Iterator[Device]:
    """Go through the devices that a wish names, each with its element in the document."""
    tree = paths.Tree(document.root)
    for name, wanted in wish.items():
        if name in wish.ONE:
            one = wish.ONE[name]
            yield Device(one, one.spec.removed() if wanted is None else wanted, tree.at(one.steps), 0)
        elif name in wish.MANY:
            yield from _listed(wish.MANY[name], wanted, tree)


def _listed(field: Many, wanted: tuple[Spec, ...] | None, tree: paths.Tree) -> Iterator[Device]:
    elements = tree.every(field.steps)
    if wanted is None:
        for number, element in enumerate(elements):
            have = field.spec.read(element)
            yield Device(field, field.spec.removed(**{name: have.get(name) for name in field.key}), element, number)
        return
    known: dict[tuple[Any, ...], list[Element]] = {}
    for element in elements:
        known.setdefault(field.key_of(field.spec.read(element)), []).append(element)
    for number, item in enumerate(wanted):
        same = known.get(field.key_of(item))
        yield Device(field, item, same.pop(0) if same else None, number)


def rewritten(document: Document, wish: Vm) -> Document:
    """Give a copy of the document that says what is wished; all else in it stays byte for byte."""
    copy = document.copy()
    for device in devices(copy, wish):
        if device.element is not None and not device.wish.is_removed:
            loosen(device.element, device.wish)
    if "cpus" in wish or "cpus_max" in wish:
        # A list of single processors, which libvirt keeps after one was plugged in, would win over the number.
        for single in copy.root.findall("vcpus"):
            paths.drop(single)
    wish.write(copy.root)
    return copy


def changed(element: Element, wish: Spec) -> Element:
    """Give a copy of a device's element that says what is wished."""
    copy = deepcopy(element)
    copy.tail = None
    loosen(copy, wish)
    wish.write(copy)
    return copy


def turned(element: Element, one: Spec, other: Spec) -> Element:
    """Give a copy of a device's element in which all that stands between two specs is as the other says."""
    between: dict[str, Any] = {}
    for name in dict.fromkeys((*(name for name, _ in one.items()), *(name for name, _ in other.items()))):
        if one.get(name) != other.get(name):
            field = one.DECLARED[name]
            between[name] = _turned_list(field, one, other) if isinstance(field, Many) else other.get(name)
    return changed(element, type(one)(**between))


def _turned_list(field: Many, one: Spec, other: Spec) -> tuple[Spec, ...]:
    wanted = other.get(field.name)
    kept = [field.key_of(item) for item in wanted]
    gone: list[Spec] = []
    for item in one.get(field.name):
        if field.key_of(item) in kept:
            kept.remove(field.key_of(item))
        else:
            gone.append(item)
    # Of several with one key the first are turned, and then the rest is taken off.
    return (*wanted, *(field.spec.removed(**{name: item.get(name) for name in field.key}) for item in gone))


def loosen(element: Element, wish: Spec) -> None:
    """Take out what libvirt derived from settings that are about to change."""
    if not isinstance(wish, Disk):
        return
    have = Disk.read(element)
    if "bus" in wish and wish.bus != have.bus:
        for address in element.findall("address"):
            paths.drop(address)
    if any(name in wish and wish.get(name) != have.get(name) for name in SOURCES):
        for backing in element.findall("backingStore"):
            paths.drop(backing)
        source = element.find("source")
        if source is not None and "index" in source.attrib:
            del source.attrib["index"]


def restored(now: Document, before: Document, wish: Vm) -> Document:
    """Give a copy of `now` in which what the wish names is as it was `before`; what others changed since stays."""
    copy = now.copy()
    old = Vm.read(before.root)
    # What is raised above its maximum takes the maximum along.
    named_plain = {each for name, _ in wish.items() if name in Vm.FIELDS for each in (Vm.FIELDS[name].up_to, name)}
    plain = Vm(**{name: old.get(name) for name in Vm.FIELDS if name in named_plain})
    rewritten_plain = rewritten(copy, plain)
    then = {(each.field.name, each.number): each.element for each in devices(before, wish)}
    # Removals of whole lists are spelled out by what was there before.
    named = _spelled(before, wish)
    for device in devices(rewritten_plain, named):
        was = then.get((device.field.name, device.number))
        _put_back(rewritten_plain, device, was)
    return rewritten_plain


def _spelled(before: Document, wish: Vm) -> Vm:
    whole: dict[str, Any] = {name: () for name, value in wish.items() if name in wish.MANY and value is None}
    for device in (each for name in whole for each in devices(before, one_field(name, None))):
        whole[device.field.name] = (*whole[device.field.name], device.wish)
    return wish.replace(**whole) if whole else wish


def _put_back(document: Document, device: Device, was: Element | None) -> None:
    place = device.element
    if was is None:
        if place is not None:
            paths.drop(place)
        return
    if place is None:
        was = deepcopy(was)
        move(was, document)
        *above, last = device.field.steps
        place = paths.add(paths.make(document.root, above, Vm.ORDER), last)
    else:
        spec = device.field.spec
        touched = _touched(device.wish)
        now, then = (dict(spec.read(node).items()) for node in (place, was))
        if any(now.get(name) != then.get(name) for name in (now.keys() | then.keys()) - touched):
            # Somebody else has changed other settings of it since.
            one, other = (
                spec(**{name: each for name, each in side.items() if name in touched}) for side in (now, then)
            )
            was = turned(place, one, other)
    tail = place.tail
    place.clear()
    place.text, place.tail = was.text, tail
    for name, value in was.attrib.items():
        place.set(name, value)
    place.extend(deepcopy(list(was)))


def _touched(wish: Spec) -> set[str]:
    """Name the settings that a wish may have changed; with one of a variant all that its variants have."""
    names = {name for name, _ in wish.items()}
    bound = {name for name, field in wish.DECLARED.items() if field.when or name == wish.UNION}
    return names | bound if names & bound else names


def adopted(document: Document, live: Document, wish: Vm) -> Document:
    """Give a copy of the document in which new devices have the places that they have in the running VM.

    A guest names a card by its place: it must not find it elsewhere after the next boot.
    """
    copy = document.copy()
    taken = {_place(address) for address in copy.root.iterfind("devices/*/address")}
    running = {(each.field.name, each.number): each.element for each in devices(live, wish)}
    for device in devices(copy, wish):
        twin = running.get((device.field.name, device.number))
        if device.element is None or twin is None or device.element.find("address") is not None:
            continue
        address = twin.find("address")
        if address is not None and _place(address) not in taken:
            fresh = deepcopy(address)
            fresh.tail = None
            device.element.append(fresh)
    return copy


def move(element: Element, document: Document) -> None:
    """Leave it to libvirt where a device is put whose place another device of the document has."""
    taken = {_place(address) for address in document.root.iterfind("devices/*/address")}
    for address in element.findall("address"):
        if _place(address) in taken:
            paths.drop(address)


def _place(address: Element) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((str(name), str(value)) for name, value in address.attrib.items()))
