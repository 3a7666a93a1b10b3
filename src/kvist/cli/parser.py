"""From a verb's signature to the reading of its arguments."""

from __future__ import annotations

import argparse
import inspect
import os
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from types import NoneType, SimpleNamespace, UnionType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, NoReturn, get_args, get_origin

from kvist.cli.value import is_spec, read_all, read_part, read_value
from kvist.engine.ask import Ask, Part
from kvist.engine.operation import Operation
from kvist.errors import Invalid, Problem
from kvist.registry.lookup import spelled
from kvist.registry.verb import Subject, Verb

if TYPE_CHECKING:
    from kvist.cli.many import Choice


class Parameter(NamedTuple):
    """One parameter of a verb: how it is called, what it takes, and what is said about it."""

    name: str
    type: Any
    ask: Ask
    default: Any
    positional: bool

    @property
    def flag(self) -> str:
        # A word of Python's own (for) is written with a line behind it there.
        return f"--{self.name.rstrip('_').replace('_', '-')}"

    @property
    def many(self) -> bool:
        return get_origin(self.type) is tuple

    @property
    def expands(self) -> bool:
        """Whether it is a table whose every field is an option of its own; as an option it is one, with sub-keys."""
        return self.positional and is_spec(self.type)

    @property
    def item(self) -> Any:
        return get_args(self.type)[0] if self.many else self.type


def function_of(target: Any) -> Callable[..., Any]:
    """Give the plain function behind a verb."""
    return target.function if isinstance(target, Operation) else target


def parameters(target: Any) -> list[Parameter]:
    """Read the parameters of a verb from its signature; `self` and the host are none of its."""
    function = function_of(target)
    # Only what is asked for is looked up: the other hints may name types that are there for the type checker alone.
    asked = {name: hint for name, hint in function.__annotations__.items() if _asks(hint, function.__globals__)}
    holder = SimpleNamespace(__annotations__=asked)
    hints = typing.get_type_hints(holder, function.__globals__, include_extras=True)
    found: list[Parameter] = []
    for one in inspect.signature(function).parameters.values():
        if one.name not in hints:
            continue
        hint = hints[one.name]
        kind, *extras = get_args(hint)
        ask = next(extra for extra in extras if isinstance(extra, Ask))
        found.append(
            Parameter(one.name, _without_none(kind), ask, one.default, one.kind is not inspect.Parameter.KEYWORD_ONLY)
        )
    return found


def _asks(hint: Any, names: dict[str, Any]) -> bool:
    """Tell whether a hint has an Ask, itself or by a name that its module gives to one which many verbs share."""
    return str(hint).startswith("Annotated[") or get_origin(names.get(str(hint))) is typing.Annotated


def _without_none(kind: Any) -> Any:
    if get_origin(kind) in (typing.Union, UnionType):
        inner = [each for each in get_args(kind) if each is not NoneType]
        return inner[0] if len(inner) == 1 else kind
    return kind


class _Tagged(NamedTuple):
    """A word that was given to one of the options that fill the same list."""

    part: Part
    word: str


class _Parser(argparse.ArgumentParser):
    """argparse that raises our errors and finds the nearest option for one it does not know."""

    def error(self, message: str) -> NoReturn:
        raise Invalid(message, hint=f"{self.prog} --help")


def _width() -> int:
    """Give the columns of help. argparse would ask anew for each option that is added, and load shutil for it."""
    try:
        columns = int(os.environ.get("COLUMNS") or os.get_terminal_size().columns)
    except (ValueError, OSError):
        columns = 80
    return max(columns, 40) - 2


class Line:
    """The command line of one verb."""

    def __init__(self, verb: Verb, target: Any) -> None:
        self.verb = verb
        self.parameters = parameters(target)
        self.subject_names = verb.subject in (Subject.VM, Subject.MANY)
        self._parser = _Parser(
            prog=f"kvist {spelled(verb)}",
            description=inspect.cleandoc(function_of(target).__doc__ or verb.summary),
            formatter_class=partial(argparse.RawDescriptionHelpFormatter, max_help_position=32, width=_width()),
            allow_abbrev=False,
            add_help=False,
        )
        self._groups: dict[str, argparse._ArgumentGroup] = {}
        self._rare: list[argparse.Action] = []
        self._choice: Choice | None = None
        self._everywhere = False
        self._understood: dict[str, Any] = {}
        self._vm = ""
        if verb.subject is Subject.MANY:
            self._add_choice()
        elif verb.subject is Subject.VM:
            self._parser.add_argument("vm", metavar="VM", help="name of the VM")
        if verb.everywhere:
            self._parser.add_argument("--all-hosts", action="store_true", help="of all hosts that have names")
        # The table last, and help after that: what is particular to a verb matters more.
        for parameter in sorted(self.parameters, key=lambda one: one.expands):
            self._add(parameter)
        group = self._group("Help" if self._groups else "")
        group.add_argument("-h", "--help", action="help", help="print this")
        if self._rare:
            group.add_argument("--help-all", action="help", help="print this with every setting there is")
        if rest := next((parameter.ask for parameter in self.parameters if parameter.ask.rest), None):
            # Shown only: these words are taken off the line before it is parsed.
            named = ["VM"] if self.subject_names else []
            named += [parameter.name.upper() for parameter in self.parameters if parameter.positional]
            self._parser.usage = " ".join(("%(prog)s", *named, "[OPTIONS] [--]", rest.metavar or "COMMAND..."))
        elif own := next((one for one in self.parameters if one.ask.apart), None):
            self._parser.usage = f"%(prog)s VM... {own.ask.metavar}... [OPTIONS]"
        elif any(parameter.expands for parameter in self.parameters):
            named = {Subject.VM: ["VM"], Subject.MANY: ["VM..."]}.get(verb.subject, [])
            named += [
                word if one.default is inspect.Parameter.empty else f"[{word}]"
                for one in self.parameters
                if one.positional and not one.expands and (word := one.ask.metavar or one.name.upper())
            ]
            self._parser.usage = " ".join(("%(prog)s", *named, "[OPTIONS]"))

    def _add_choice(self) -> None:
        """Let the line say which VMs: names, patterns, all, those with a tag."""
        add = self._parser.add_argument
        add("names", nargs="*", metavar="VM", help="names of VMs, or patterns in quotes: 'web*'")
        add("--all", dest="all_of_them", action="store_true", help="all VMs of the host")
        add("--tag", dest="tags_of_them", action="append", default=[], metavar="TAG", help="only those with this tag")
        add("--jobs", type=int, metavar="NUMBER", help="do so many VMs at a time [8]")

    @property
    def everywhere(self) -> bool:
        """Whether the line that was read asks all hosts."""
        return self._everywhere

    @property
    def choice(self) -> Choice | None:
        """Which VMs the line that was read means; None where the verb takes one only."""
        return self._choice

    def _chosen(self, values: Mapping[str, Any]) -> Choice:
        from kvist.cli.many import Choice
        from kvist.engine.many import WIDTH
        from kvist.resources.vms.selection import EVERY

        names, tags, jobs = values["names"], values["tags_of_them"], values["jobs"]
        if names and values["all_of_them"]:
            raise Invalid(f'--all means every VM, and "{names[0]}" one of them: say one of both', path="--all")
        if not names and not tags and not values["all_of_them"]:
            raise Invalid("no VM is named", hint=f"{self._parser.prog} VM, a pattern in quotes, --tag TAG or --all")
        if jobs is not None and jobs < 1:
            raise Invalid(f"{jobs} VMs at a time do nothing", path="--jobs")
        return Choice(tuple(names) or (EVERY,), tuple(tags), jobs or WIDTH)

    def print_help(self, *, whole: bool = True) -> None:
        """Print what the verb takes; without `whole`, only those settings that people use."""
        rest = "kvist --help lists the options that every verb has."
        if self._rare and not whole:
            rest = f"--help-all lists {len(self._rare)} settings more. {rest}"
        self._parser.epilog = rest
        shown = [action.help for action in self._rare]
        if not whole:
            for action in self._rare:
                action.help = argparse.SUPPRESS
        self._parser.print_help()
        for action, text in zip(self._rare, shown, strict=True):
            action.help = text

    def options(self) -> Iterator[tuple[str, Ask | None]]:
        """Go through all option flags, for completion and the reference."""
        by_flag = {parameter.flag: parameter.ask for parameter in self.parameters if not parameter.positional}
        for action in self._parser._actions:
            for flag in action.option_strings:
                if flag.startswith("--"):
                    yield flag, by_flag.get(flag)

    def takes_value(self, flag: str) -> bool:
        """Tell whether an option of the verb is followed by a word of its own."""
        return any(flag in action.option_strings and action.nargs is None for action in self._parser._actions)

    def read(self, words: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
        """Read the words: names of the VMs, then a value for each parameter. Raises Invalid with every mistake."""
        ours, rest = list(words), list[str]()
        if any(parameter.ask.rest for parameter in self.parameters):
            ours, rest = _at_dashes(words)
        space, unknown = self._parser.parse_known_args(ours)
        values = vars(space)
        self._vm = values.get("vm", "")
        problems = [self._unknown(word) for word in unknown if word.startswith("-") and word != "--"]
        if not problems and unknown:
            problems = [Problem("", f'there is no room for "{word}"') for word in unknown]
        found: dict[str, Any] = {}
        if self.verb.subject is Subject.MANY:
            self._tell_apart(values)
        for parameter in self.parameters:
            try:
                found |= self._value(parameter, values, rest)
            except Invalid as wrong:
                problems += wrong.problems
                if wrong.rest is not None:
                    found[parameter.name] = wrong.rest
        self._understood = found
        if self.verb.subject is Subject.MANY:
            try:
                self._choice = self._chosen(values)
            except Invalid as wrong:
                problems += wrong.problems
        if problems:
            raise Invalid(problems, hint=f"{self._parser.prog} --help")
        self._everywhere = values.get("all_hosts", False)
        if self._choice is not None:
            return list(self._choice.words), found
        return [values["vm"]] if "vm" in values else [], found

    @property
    def understood(self) -> tuple[str, dict[str, Any]] | None:
        """The VM and what could be read for the verb, of a line with mistakes; None where too little was."""
        needed = [one.name for one in self.parameters if one.default is inspect.Parameter.empty]
        if not self._understood.keys() >= set(needed) or (self.subject_names and not self._vm):
            return None
        return self._vm, self._understood

    def _unknown(self, word: str) -> Problem:
        from difflib import get_close_matches

        option = word.partition("=")[0]
        near = get_close_matches(option, [flag for flag, _ in self.options()], n=3)
        return Problem("", f"unknown option {option}" + (f"; nearest: {', '.join(near)}" if near else ""))

    @property
    def restarts(self) -> bool:
        """Whether the verb can restart a VM for what would wait."""
        return any(parameter.name == "restart_now" for parameter in self.parameters)

    def _tell_apart(self, values: dict[str, Any]) -> None:
        """Give the words behind the names to the parameter that they are, where a verb has one of that kind."""
        for parameter in self.parameters:
            if mine := parameter.ask.apart:
                # The first word is a name, unless the VMs are told in another way.
                first = 0 if values["all_of_them"] or values["tags_of_them"] else 1
                words = values["names"]
                found = [word for at, word in enumerate(words) if at >= first and mine(word)]
                values["names"] = [word for at, word in enumerate(words) if at < first or not mine(word)]
                if not found:
                    raise Invalid(f"say which: {parameter.ask.doc}", hint=f"{self._parser.prog} --help")
                values[parameter.name] = found

    def _add(self, parameter: Parameter) -> None:
        if parameter.ask.rest or parameter.ask.apart:
            return
        if parameter.expands:
            self._add_fields(parameter)
            return
        if parameter.ask.parts:
            self._add_parts(parameter)
            return
        help_text = parameter.ask.doc.replace("%", "%%")
        kind = parameter.item
        metavar = parameter.ask.metavar or parameter.name.upper()
        choices = list(get_args(kind)) if get_origin(kind) is Literal else None
        if choices and not (parameter.positional and parameter.ask.metavar):
            metavar = "|".join(choices)
        to = self._group(parameter.ask.group)
        if parameter.positional:
            optional = parameter.default is not inspect.Parameter.empty
            nargs = ("*" if optional else "+") if parameter.many else ("?" if optional else None)
            to.add_argument(parameter.name, nargs=nargs, metavar=metavar, default=argparse.SUPPRESS, help=help_text)
        elif kind is bool and parameter.default is None:
            to.add_argument(
                parameter.flag, action=argparse.BooleanOptionalAction, default=argparse.SUPPRESS, help=help_text
            )
        elif kind is bool:
            # A switch that is on by default is spelled by what it switches off: --no-start.
            name, store = (
                (f"--no-{parameter.flag[2:]}", "store_false") if parameter.default else (parameter.flag, "store_true")
            )
            to.add_argument(
                *_short(parameter), name, dest=parameter.name, action=store, default=argparse.SUPPRESS, help=help_text
            )
        else:
            to.add_argument(
                *_short(parameter),
                parameter.flag,
                dest=parameter.name,
                action="append" if parameter.many else "store",
                metavar=metavar,
                default=argparse.SUPPRESS,
                help=help_text,
            )

    def _group(self, title: str) -> argparse._ActionsContainer:
        if not title:
            return self._parser
        if title not in self._groups:
            self._groups[title] = self._parser.add_argument_group(title)
        return self._groups[title]

    def _add_parts(self, parameter: Parameter) -> None:
        for part in parameter.ask.parts:
            self._parser.add_argument(
                part.flag,
                dest=parameter.name,
                action="append",
                type=partial(_Tagged, part),
                metavar=part.metavar,
                default=argparse.SUPPRESS,
                help=part.doc.replace("%", "%%"),
            )

    def _add_fields(self, parameter: Parameter) -> None:
        group = self._group(parameter.ask.group or f"settings of the {parameter.type.__name__}")
        from kvist.cli.fieldoptions import fields

        common = parameter.ask.common
        taken = {each.name for each in self.parameters}.union(parameter.ask.without)
        for name, field, options in fields(parameter.type, common):
            if name in taken:
                continue
            action = group.add_argument(
                f"--{name.replace('_', '-')}",
                dest=f"{parameter.name}.{name}",
                default=argparse.SUPPRESS,
                **options,
                help=field.doc.replace("%", "%%"),
            )
            if common and name not in common:
                self._rare.append(action)

    def _value(self, parameter: Parameter, values: Mapping[str, Any], rest: Sequence[str]) -> dict[str, Any]:
        if parameter.ask.rest:
            return {parameter.name: tuple(rest)}
        if parameter.expands:
            from kvist.cli.fieldoptions import read

            given = {
                key.partition(".")[2]: value for key, value in values.items() if key.startswith(f"{parameter.name}.")
            }
            return {parameter.name: read(parameter.type, given)}
        if parameter.name not in values:
            return {}
        given = values[parameter.name]
        if parameter.ask.parts:
            return {parameter.name: read_all(lambda tagged: read_part(*tagged), given)}
        where = parameter.ask.metavar if parameter.positional else parameter.flag
        if parameter.many:
            return {
                parameter.name: read_all(lambda word: read_value(parameter.item, parameter.ask, word, where), given)
            }
        return {parameter.name: read_value(parameter.type, parameter.ask, given, where)}


def _short(parameter: Parameter) -> tuple[str, ...]:
    return (f"-{parameter.ask.short}",) if parameter.ask.short else ()


def _at_dashes(words: Sequence[str]) -> tuple[list[str], list[str]]:
    if "--" in words:
        at = list(words).index("--")
        return list(words[:at]), list(words[at + 1 :])
    return list(words), []
