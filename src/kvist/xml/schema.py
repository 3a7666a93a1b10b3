"""Specs as plain data: their JSON schema, and their values as `-o json`, YAML and REST have them."""

from __future__ import annotations

from typing import Any, TypeAlias

from kvist.xml.codec import Codec
from kvist.xml.kinds import Field, One
from kvist.xml.lists import Many
from kvist.xml.spec import Spec

Json: TypeAlias = "str | int | float | bool | list[Json] | dict[str, Json] | None"


def json_schema(spec: type[Spec]) -> dict[str, Json]:
    """Give the JSON schema (2020-12) of what may be said of an object.

    `x-applies` says when a change of the field reaches the guest, `x-live-for` and `x-restart-for` with which values of
    another field it is sooner or later, `x-when` which variants have it, `x-page` where libvirt documents it.
    """
    return {
        "title": spec.__name__,
        "description": (spec.__doc__ or "").strip().splitlines()[0],
        "type": "object",
        "additionalProperties": False,
        "properties": {name: _property(field) for name, field in spec.DECLARED.items()},
    }


def as_data(spec: Spec) -> dict[str, Json]:
    """Give the fields that are set as plain data, as `from_mapping` reads them (but for those that libvirt tells)."""
    return {name: _datum(spec.DECLARED[name], value) for name, value in spec.items()}


def _property(field: Field) -> Json:
    about: dict[str, Json] = {"description": field.doc, "x-applies": field.applies.value, "x-page": field.page}
    if field.when:
        about["x-when"] = list(field.when)
    for key, rule in (("x-live-for", field.live_for), ("x-restart-for", field.cold_for)):
        if rule:
            about[key] = {rule[0]: list(rule[1])}
    if field.told:
        about["readOnly"] = True
    if isinstance(field, Many):
        return {**about, "type": "array", "items": {"anyOf": [json_schema(field.spec), {"type": "string"}]}}
    if isinstance(field, One):
        return {**about, "anyOf": [json_schema(field.spec), {"type": "string"}, {"type": "null"}]}
    if field.codec.item is not None:
        return {**about, "type": ["array", "null"], "items": _shape(field.codec.item)}
    shape = _shape(field.codec)
    kind = shape.pop("type")
    if isinstance(words := shape.get("enum"), list):
        shape["enum"] = [*words, None]
    return {**about, **shape, "type": [kind, "null"]}


def _shape(codec: Codec[Any]) -> dict[str, Json]:
    shape: dict[str, Json] = {"type": codec.kind if codec.kind in ("integer", "boolean") else "string"}
    if codec.choices:
        shape["examples" if codec.open else "enum"] = list(codec.choices)
    if codec.kind == "size":
        shape["pattern"] = r"^\s*\d+(\.\d+)?\s*[A-Za-z]+\s*$"
    if codec.least is not None:
        shape["minimum"] = codec.least
    if codec.most is not None:
        shape["maximum"] = codec.most
    return shape


def _datum(field: Field, value: Any) -> Json:
    if value is None:
        return None
    if isinstance(value, Spec):
        return as_data(value)
    if isinstance(value, tuple) and (isinstance(field, Many) or field.codec.item is not None):
        return [as_data(each) if isinstance(each, Spec) else _plain(field.codec.item, each) for each in value]
    return _plain(field.codec, value)


def _plain(codec: Codec[Any] | None, value: Any) -> Json:
    assert codec is not None, "a list has items"
    if codec.kind in ("integer", "boolean"):
        plain: bool | int = value
        return plain
    return codec.show(value)
