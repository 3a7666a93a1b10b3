"""A spec as plain data, for what is written down and read again: numbers, words, lists and keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from kvist.xml.codec import Codec
from kvist.xml.kinds import One
from kvist.xml.lists import Many
from kvist.xml.spec import Spec

S = TypeVar("S", bound=Spec)

REMOVED = "-removed"
"""The key that marks an item which is to be taken off its list; no field has such a name."""


def record(spec: Spec) -> dict[str, Any]:
    """Give a spec as data that JSON can hold; `recalled` makes it again."""
    kept: dict[str, Any] = {REMOVED: True} if spec.is_removed else {}
    for name, value in spec.items():
        if value is None:
            kept[name] = None
        elif name in spec.MANY:
            kept[name] = [record(item) for item in value]
        elif name in spec.ONE:
            kept[name] = record(value)
        else:
            kept[name] = _plain(spec.DECLARED[name].codec, value)
    return kept


def recalled(spec: type[S], data: Mapping[str, Any]) -> S:
    """Make a spec from its record."""
    values: dict[str, Any] = {}
    for name, value in data.items():
        if name == REMOVED:
            continue
        field = spec.DECLARED[name]
        if value is None:
            values[name] = None
        elif isinstance(field, Many):
            values[name] = tuple(recalled(field.spec, item) for item in value)
        elif isinstance(field, One):
            values[name] = recalled(field.spec, value)
        else:
            values[name] = _read(field.codec, value)
    return spec.removed(**values) if data.get(REMOVED) else spec(**values)


def _plain(codec: Codec[Any], value: Any) -> Any:
    return [codec.item.dump(each) for each in value] if codec.item is not None else codec.dump(value)


def _read(codec: Codec[Any], value: Any) -> Any:
    return tuple(codec.item.load(each) for each in value) if codec.item is not None else codec.load(value)
