"""From a word of a line to the value that it stands for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any, Literal, get_args, get_origin

from kvist.engine.ask import Ask, Part
from kvist.errors import Invalid, Problem


def is_spec(kind: Any) -> bool:
    from kvist.xml.spec import Spec

    return isinstance(kind, type) and issubclass(kind, Spec)


def read_value(kind: Any, ask: Ask, word: Any, where: str) -> Any:
    if not isinstance(word, str):
        return word
    if is_spec(kind):
        from kvist.xml.options import parse_options

        return parse_options(kind, word, first=ask.first or None, path=where)
    try:
        if ask.parse is not None:
            return ask.parse(word)
        if get_origin(kind) is Literal:
            from kvist.xml.codec import choice

            return choice(*get_args(kind)).parse(word)
        if kind is bool:
            from kvist.xml.codec import BOOL

            return BOOL.parse(word)
        if isinstance(kind, type) and issubclass(kind, Enum):
            return kind(word)
        if hasattr(kind, "parse"):
            return kind.parse(word)
        if kind in (int, float):
            return _number(kind, word)
        return word
    except ValueError as wrong:
        raise Invalid(str(wrong), path=where) from wrong


def _number(kind: type[int] | type[float], word: str) -> int | float:
    try:
        return kind(word)
    except ValueError:
        raise ValueError(f'"{word}" is not a {"whole number" if kind is int else "number"}') from None


def read_all(read: Callable[[Any], Any], words: Sequence[Any]) -> tuple[Any, ...]:
    """Read every word of a list. Raises Invalid with every mistake, and with what is left without them."""
    found: list[Any] = []
    problems: list[Problem] = []
    for word in words:
        try:
            found.append(read(word))
        except Invalid as wrong:
            problems += wrong.problems
            # Of a device, what it is made of or plugged into has to be known; the rest may be missing.
            if wrong.rest is not None and any(key in wrong.rest for key in wrong.rest.FIRST):
                found.append(wrong.rest)
    if problems:
        told = Invalid(problems)
        told.rest = tuple(found)
        raise told
    return tuple(found)


def read_part(part: Part, word: str) -> Any:
    try:
        return part.parse(word)
    except Invalid as wrong:
        raise Invalid(wrong.what, hint=wrong.hint, path=part.flag) from wrong
    except ValueError as wrong:
        raise Invalid(str(wrong), path=part.flag) from wrong
