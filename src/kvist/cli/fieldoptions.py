"""The options that the fields of a table are: how each is written, and what the words behind it become."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kvist.errors import Invalid, Problem

if TYPE_CHECKING:
    from kvist.xml.kinds import Field
    from kvist.xml.lists import Many
    from kvist.xml.spec import Spec

_KINDS = {"string": "TEXT", "integer": "NUMBER", "list": "WORD,WORD"}


def fields(table: type[Spec], common: Sequence[str]) -> Iterator[tuple[str, Field, Mapping[str, Any]]]:
    """Go through the fields that are options, the common ones first, each with what argparse is told of it."""
    named = {name: field for name, field in table.MANY.items() if field.spec.VALUE and len(field.key) == 1}
    known: dict[str, Field] = {**table.FIELDS, **named}
    for name in dict.fromkeys((*common, *known)):
        field = known[name]
        if name in named:
            # Values that are known by a name: --filter-parameters IP=10.0.0.5.
            yield name, field, {"metavar": "NAME=VALUE", "action": "append"}
        elif name != table.UNION:
            switch = {"nargs": "?", "const": "on"} if field.codec.kind == "boolean" else {}
            yield name, field, {"metavar": _metavar(field), **switch}


def read(table: type[Spec], given: Mapping[str, Any]) -> Spec:
    """Read what was typed behind these options. Raises Invalid with every mistake and what is left."""
    from kvist.xml.options import from_mapping

    try:
        lists = {name: _named(table.MANY[name], words) for name, words in given.items() if name in table.MANY}
        return from_mapping(table, {**given, **lists})
    except Invalid as wrong:
        told = Invalid(
            Problem(f"--{each.path.strip('.').replace('_', '-')}", each.what, each.hint) for each in wrong.problems
        )
        told.rest = wrong.rest
        raise told from wrong


def _named(field: Many, words: Sequence[str]) -> list[Any]:
    """Read `NAME=VALUE,VALUE` words: each value is an item of its own; none at all takes the name off the list."""
    found: list[Any] = []
    for word in words:
        name, equals, values = word.partition("=")
        if not equals or not name:
            raise Invalid([Problem(f".{field.name}", f'"{word}" is not like NAME=VALUE')])
        key = {field.key[0]: name}
        if not values:
            found.append(field.spec.removed(**key))
        found += [{**key, field.spec.VALUE: value} for value in values.split(",") if value]
    return found


def _metavar(field: Field) -> str:
    if field.codec.kind == "boolean":
        return "on|off"
    choices = field.codec.choices
    return "|".join(choices) if 0 < len(choices) < 6 else _KINDS.get(field.codec.kind, field.codec.kind.upper())
