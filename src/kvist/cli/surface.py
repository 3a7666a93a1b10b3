"""All that can be typed, as data: every verb with its words, options and sub-keys. Completion and reference need it."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple, get_args, get_origin

from kvist.cli.call import load
from kvist.cli.parser import Line, Parameter, function_of
from kvist.registry.lookup import NOUNS, spelled
from kvist.registry.machine import MACHINE
from kvist.registry.verb import Subject, Verb
from kvist.xml.kinds import Field
from kvist.xml.spec import Spec

LIVE_NAMES: Mapping[str, str] = {
    "network": "network",
    "filter": "filter",
    "pool": "pool",
    "path": "file",
    "kernel": "file",
    "initrd": "file",
}
"""What completes a sub-key or setting, by its name."""

FILES = ("FILE", "ISO", "TREE", "PATH", "DIR")
"""What stands in the help for a word that is the path of a file."""


class Word(NamedTuple):
    """A word that stands for itself on the line: the name of a VM, say."""

    name: str
    doc: str
    choices: tuple[str, ...] = ()
    complete: str = ""
    many: bool = False


class Option(NamedTuple):
    """An option of a verb; `takes` is what follows it, empty for a switch, and `spec` the table of its sub-keys."""

    flags: tuple[str, ...]
    doc: str
    takes: str = ""
    must: bool = False
    """The value cannot be left out."""
    choices: tuple[str, ...] = ()
    complete: str = ""
    spec: str = ""
    group: str = ""
    first: tuple[str, ...] = ()
    """Sub-keys that bare words set."""


class Entry(NamedTuple):
    """A verb: its words, what it says of itself, and what may be typed behind it."""

    verb: Verb
    words: str
    heading: str
    text: str
    usage: str
    places: tuple[Word, ...]
    options: tuple[Option, ...]


def entries() -> Iterator[Entry]:
    """Go through all verbs, in the order of the help."""
    for heading, verbs in MACHINE.items():
        for verb in verbs:
            yield _entry(verb, heading)
    for noun in NOUNS.values():
        if noun.plain:
            yield _entry(noun.plain, noun.name)
        for verb in noun.verbs:
            yield _entry(verb, noun.name)


def tables() -> dict[str, type[Spec]]:
    """Give every table of sub-keys that an option or setting of any verb has, by its name."""
    from kvist.specs.vm import Vm

    found: dict[str, type[Spec]] = {}

    def add(table: type[Spec]) -> None:
        if table.__name__ not in found:
            found[table.__name__] = table
            for item in table.MANY.values():
                add(item.spec)
            for part in table.ONE.values():
                add(part.spec)

    add(Vm)
    for heading in (*MACHINE.values(), *(noun.verbs for noun in NOUNS.values())):
        for verb in heading:
            for one in Line(verb, load(verb)).parameters:
                if isinstance(one.item, type) and issubclass(one.item, Spec):
                    add(one.item)
    return found


def settings(table: type[Spec]) -> dict[str, Field]:
    """Give the fields of a table that a person may set."""
    return {name: field for name, field in table.FIELDS.items() if not field.told}


def _entry(verb: Verb, heading: str) -> Entry:
    target = load(verb)
    line = Line(verb, target)
    text = inspect.cleandoc(function_of(target).__doc__ or verb.summary)
    known = {one.name: one for one in line.parameters}
    places, options = [], []
    for action, group in _actions(line):
        if action.option_strings:
            options.append(_option(action, group, known, verb))
        else:
            places.append(_place(action, known, verb))
    return Entry(verb, spelled(verb), heading, text, _usage(line), tuple(places), tuple(options))


def _actions(line: Line) -> Iterator[tuple[argparse.Action, str]]:
    headed = {id(action): title for title, group in line._groups.items() for action in group._group_actions}
    for action in line._parser._actions:
        yield action, headed.get(id(action), "")


def _usage(line: Line) -> str:
    parser = line._parser
    if parser.usage:
        return parser.usage.replace("%(prog)s", parser.prog)
    places = [one for one in parser._actions if not one.option_strings]
    named = [str(one.metavar) + ("..." if one.nargs in ("*", "+") else "") for one in places]
    shown = [f"[{name}]" if one.nargs == "?" else name for name, one in zip(named, places, strict=True)]
    return " ".join((parser.prog, *shown, "[OPTIONS]"))


def _place(action: argparse.Action, known: Mapping[str, Parameter], verb: Verb) -> Word:
    parameter = known.get(action.dest)
    many = action.nargs in ("*", "+")
    if parameter is None:
        return Word(str(action.metavar), _words(action), complete="vm", many=many)
    return Word(str(action.metavar), _words(action), _choices(parameter), _completes(parameter, verb), many)


def _completes(parameter: Parameter, verb: Verb) -> str:
    if parameter.ask.complete:
        return parameter.ask.complete
    if parameter.ask.metavar in FILES:
        return "file"
    return "vm" if verb.subject is Subject.VMS and parameter.name in ("names", "vms") else ""


def _option(action: argparse.Action, group: str, known: Mapping[str, Parameter], verb: Verb) -> Option:
    flags = tuple(action.option_strings)
    takes = "" if action.nargs == 0 else str(action.metavar or action.dest.upper())
    must = bool(takes) and action.nargs is None
    made = Option(flags, _words(action), takes, must, group=group)
    name, _, setting = action.dest.partition(".")
    parameter = known.get(name)
    if parameter is None:
        return made
    if setting:
        field = parameter.type.DECLARED[setting]
        return made._replace(choices=_values(field), complete=LIVE_NAMES.get(setting, ""), spec=_table(field))
    made = made._replace(choices=_choices(parameter) if takes else (), complete=_completes(parameter, verb))
    if isinstance(parameter.item, type) and issubclass(parameter.item, Spec):
        return made._replace(spec=parameter.item.__name__, first=parameter.ask.first or parameter.item.FIRST)
    return made


def _table(field: Field) -> str:
    kind = getattr(field, "spec", None)
    return kind.__name__ if isinstance(kind, type) and issubclass(kind, Spec) else ""


def _values(field: Field) -> tuple[str, ...]:
    return ("on", "off") if field.codec.kind == "boolean" else tuple(map(str, field.codec.choices))


def _choices(parameter: Parameter) -> tuple[str, ...]:
    kind: Any = parameter.item
    if get_origin(kind) is Literal:
        return tuple(get_args(kind))
    return ("on", "off") if kind is bool else ()


def _words(action: argparse.Action) -> str:
    return (action.help or "").replace("%%", "%")


def keys(table: type[Spec]) -> Iterator[Option]:
    """Go through the sub-keys of a table."""
    for name, field in settings(table).items():
        yield Option(
            (name,), field.doc, field.codec.kind, True, _values(field), LIVE_NAMES.get(name, ""), _table(field)
        )
