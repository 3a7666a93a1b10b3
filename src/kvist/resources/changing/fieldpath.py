"""Paths of single settings, `memory` or `nics[52:54:00:00:00:01].filter`: listed from a spec, and made a wish of."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple, TypeVar

from kvist.errors import Invalid
from kvist.specs.vm import Vm
from kvist.values import Size
from kvist.xml.diff import label
from kvist.xml.kinds import Field, One
from kvist.xml.lists import Many
from kvist.xml.options import nearest
from kvist.xml.spec import Spec

S = TypeVar("S", bound=Spec)

STARS: Final = "********"
PART: Final = re.compile(r"([A-Za-z_-]+)(?:\[([^\]]*)\])?(?:\.(.+))?")


class Setting(NamedTuple):
    """One setting of an object: where it stands, its declaration and its value."""

    path: str
    field: Field
    value: Any


def settings(spec: Spec, at: str = "") -> Iterator[Setting]:
    """Go through everything that is set, down into devices. Secrets are given as stars."""
    for name, value in spec.items():
        field = spec.DECLARED[name]
        if isinstance(field, Many):
            for number, item in enumerate(value or ()):
                yield from settings(item, f"{at}{name}[{label(field, item) or number}].")
        elif isinstance(field, One):
            if value is not None:
                yield from settings(value, f"{at}{name}.")
        else:
            yield Setting(f"{at}{name}", field, STARS if field.secret and value is not None else value)


def is_field(word: str) -> bool:
    """Tell whether a word is the name of a setting of VMs, or a path that begins with one."""
    found = PART.fullmatch(word)
    return bool(found and found[1].replace("-", "_") in Vm.DECLARED)


def is_item(path: str) -> bool:
    """Tell whether a path means whole devices and no setting of one: `nics`, `nics[52:54:00:00:00:01]`."""
    found = PART.fullmatch(path)
    return bool(found and found[1] in Vm.MANY and found[3] is None)


def normal(word: str) -> str:
    """Give a path as kvist prints it. Raises Invalid, with the nearest names, where VMs have no such setting."""
    found = PART.fullmatch(word)
    name = found[1].replace("-", "_") if found else ""
    if found is None or name not in Vm.DECLARED:
        raise Invalid(f'VMs have no setting "{word}"{nearest(word, Vm.DECLARED)}', hint="kvist set --help-all")
    field, rest = Vm.DECLARED[name], found[3]
    inner = getattr(field, "spec", None)
    if rest is not None:
        head = re.split(r"[.\[]", rest)[0].replace("-", "_")
        if inner is None or head not in inner.DECLARED:
            keys = inner.DECLARED if inner else ()
            raise Invalid(f'"{name}" has no setting "{rest}"{nearest(rest, keys)}', hint="kvist set --help-all")
        rest = head + rest[len(head) :]
    return name + (f"[{found[2]}]" if found[2] is not None else "") + (f".{rest}" if rest else "")


def under(path: str, above: str) -> bool:
    """Tell whether a path is another, or stands below it: `nics[x].link` below `nics[x]` and `nics`."""
    return path == above or path.startswith((f"{above}.", f"{above}["))


def wish_at(have: S, path: str, value: Any) -> S:
    """Give the wish that the setting at `path` be `value`; list items are found, by key or number, in `have`.

    Without a setting behind it, a path means a whole item: `value` is then the item. Raises Invalid for an item that
    is not there.
    """
    found = PART.fullmatch(path)
    assert found is not None, "paths are normal before they are followed"
    name, key, rest = found[1], found[2], found[3]
    field = have.DECLARED[name]
    if isinstance(field, Many) and key is not None:
        items: tuple[Spec, ...] = have.get(name) or ()
        number = next(
            (at for at, item in enumerate(items) if (label(field, item) or str(at)).lower() == key.lower()), None
        )
        if number is None:
            there = ", ".join(label(field, item) or str(at) for at, item in enumerate(items)) or "none"
            raise Invalid(f"there is no {name}[{key}]; there is {there}")
        inner = wish_at(items[number], rest, value) if rest else value
        place = [field.key_of(item) for item in items[:number]].count(field.key_of(items[number]))
        return type(have)(**{name: placed(field, items[number], place, inner)})
    if isinstance(field, One) and rest:
        return type(have)(**{name: wish_at(have.get(name) or field.spec(), rest, value)})
    return type(have)(**{name: value})


def value_at(have: Spec, path: str) -> Any:
    """Give the value, or the whole item, at a path; None where there is nothing."""
    found = PART.fullmatch(path)
    assert found is not None, "paths are normal before they are followed"
    name, key, rest = found[1], found[2], found[3]
    value = have.get(name)
    if key is not None:
        field = have.MANY[name]
        labels = [(label(field, item) or str(at)).lower() for at, item in enumerate(value)]
        value = value[labels.index(key.lower())] if key.lower() in labels else None
    return value if rest is None or value is None else value_at(value, rest)


def placed(field: Many, item: Spec, place: int, wish: Spec) -> tuple[Spec, ...]:
    """Give a wish about one item of a list: with its key or, where it has none, at its place among those without."""
    key = {name: item.get(name) for name in field.key if item.get(name) is not None}
    if key:
        return (wish.replace(**key),)
    return (*(field.spec() for _ in range(place)), wish)


def merged(one: S, other: S) -> S:
    """Give both wishes as one; what the other says of the same setting wins."""
    whole = dict(one.items())
    for name, value in other.items():
        field = one.DECLARED[name]
        mine = whole.get(name)
        if isinstance(field, Many) and mine and value:
            whole[name] = _joined(field, mine, value)
        elif isinstance(field, One) and mine is not None and value is not None:
            whole[name] = merged(mine, value)
        else:
            whole[name] = value
    return type(one)(**whole)


def _joined(field: Many, mine: tuple[Spec, ...], value: tuple[Spec, ...]) -> tuple[Spec, ...]:
    items = list(mine)
    for number, item in enumerate(value):
        key = field.key_of(item)
        keyed = any(part is not None for part in key)
        at = next((index for index, each in enumerate(items) if field.key_of(each) == key), None) if keyed else number
        if at is None or at >= len(items):
            items.append(item)
        elif item.is_removed or items[at].is_removed:
            items[at] = item if item.is_removed else items[at]
        else:
            items[at] = merged(items[at], item)
    return tuple(items)


def typed(path: str, value: Any) -> Any:
    """Give a size as one again, which is a mere number in a step that was written down."""
    if not isinstance(value, int) or isinstance(value, bool):
        return value
    spec: type[Spec] = Vm
    names = re.sub(r"\[[^\]]*\]", "", path).split(".")
    for name in names[:-1]:
        inner = spec.DECLARED.get(name)
        if not isinstance(inner, Many | One):
            return value
        spec = inner.spec
    field = spec.DECLARED.get(names[-1])
    return Size(value) if field is not None and field.codec.kind == "size" else value
