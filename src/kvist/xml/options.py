"""From what a person writes to a spec: `lab,ip=10.10.0.5,vhost=off`, or the same keys in YAML, JSON and Python.

A comma inside a value is written twice. `key=` and `key=none` remove. All mistakes are reported at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from kvist.errors import Invalid, Problem
from kvist.xml.kinds import Field, One
from kvist.xml.lists import Many
from kvist.xml.spec import Spec

S = TypeVar("S", bound=Spec)


def parse_options(spec: type[S], text: str, *, first: tuple[str, ...] | None = None, path: str = "") -> S:
    """Read `word,key=value,flag` into a spec.

    Bare words go to the keys named in `first` (the spec's own FIRST when not given), each to the first of them that can
    read it; later ones may also name a setting that is on or off. Raises Invalid with every mistake in it.
    """
    reading = _Reading(spec, path)
    bare = list(spec.FIRST if first is None else first)
    for part in _parts(text):
        key, equals, value = part.partition("=")
        if equals and re.fullmatch(r"[A-Za-z_][\w.-]*", key):
            reading.take(key, value)
        elif not equals and reading.values and (field := reading.known(part)) and field.codec.kind == "boolean":
            reading.take(part, "on")
        elif bare:
            key = next((each for each in bare if _reads(spec.DECLARED[each], part)), _meant(spec, bare, part))
            bare.remove(key)
            reading.take(key, part)
        else:
            reading.unknown(part, f'"{part}" has no key')
    return reading.done(spec)


def from_mapping(spec: type[S], mapping: Mapping[str, Any], path: str = "") -> S:
    """Read plain data into a spec: the keys are the fields, the values as in a file or as Python has them.

    Raises Invalid with every mistake in it, each with its path: `.vms.web.nics[1].mac`.
    """
    reading = _Reading(spec, path)
    for key, value in mapping.items():
        reading.take(str(key), value)
    return reading.done(spec)


def nearest(word: str, words: Iterable[str]) -> str:
    """Give the words most like one that is not among them, as the end of a sentence; empty when none is like it."""
    from difflib import get_close_matches

    near = get_close_matches(word, list(words), 3, 0.6)
    return f"; {' or '.join(near)}?" if near else ""


class _Reading:
    """One spec that is being read: what is known of it so far, and what was wrong."""

    def __init__(self, spec: type[Spec], path: str) -> None:
        self.spec, self.path = spec, path
        self.values: dict[str, Any] = {}
        self.problems: list[Problem] = []

    def known(self, key: str) -> Field | None:
        return self.spec.DECLARED.get(key.replace("-", "_"))

    def unknown(self, key: str, what: str) -> None:
        words = [name.replace("_", "-") if "-" in key else name for name in self.spec.DECLARED]
        self.problems.append(Problem(self.path, what + nearest(key, words), f"keys: {', '.join(words)}"))

    def take(self, key: str, value: Any) -> None:
        head, dot, rest = key.partition(".")
        field = self.known(head)
        if field is None or (dot and not isinstance(field, Many | One)):
            self.unknown(key, f'there is no key "{key}"')
            return
        if field.told:
            self.problems.append(Problem(f"{self.path}.{field.name}", "is told by libvirt; nobody sets it"))
            return
        before = self.values.get(field.name)
        several = isinstance(field, Many) or field.codec.kind == "list"
        if before is not None and not dot and not several:
            self.problems.append(Problem(f"{self.path}.{field.name}", "is given twice"))
            return
        try:
            read = _nested(field, rest, value, self.path) if dot else _value(field, value, f"{self.path}.{field.name}")
        except Invalid as wrong:
            self.problems.extend(wrong.problems)
        except ValueError as wrong:
            self.problems.append(Problem(f"{self.path}.{field.name}", str(wrong)))
        else:
            if isinstance(before, tuple) and isinstance(read, tuple):
                read = before + read
            elif isinstance(before, Spec):
                read = before.replace(**dict(read.items()))
            self.values[field.name] = read

    def done(self, kind: type[S]) -> S:
        spec = kind(**self.values)
        try:
            if spec.UNION:
                spec.variant()
        except Invalid as wrong:
            self.problems.extend(problem._replace(path=self.path) for problem in wrong.problems)
        if self.problems:
            told = Invalid(self.problems)
            told.rest = spec
            raise told
        return spec


def _parts(text: str) -> list[str]:
    return [part.replace("\0", ",").strip() for part in text.replace(",,", "\0").split(",") if part.strip()]


def _meant(spec: type[Spec], keys: list[str], text: str) -> str:
    """Give the key whose complaint helps most when none can read the word: no size begins with a letter."""
    return next((key for key in keys if text[:1].isdigit() or spec.DECLARED[key].codec.kind != "size"), keys[0])


def _reads(field: Field, text: str) -> bool:
    try:
        field.codec.parse(text)
    except ValueError:
        return False
    return True


def _nested(field: Field, key: str, value: Any, path: str) -> Any:
    """Read `list.key=value` or `part.key=value`."""
    if isinstance(field, One):
        return from_mapping(field.spec, {key: value}, f"{path}.{field.name}")
    assert isinstance(field, Many), "only a list or a nested spec has keys of its own"
    return (_item(field, key, value, f"{path}.{field.name}[{key}]"),)


def _item(field: Many, key: str, value: Any, path: str) -> Spec:
    if not field.spec.VALUE or len(field.key) != 1:
        raise Invalid([Problem(path, f"give {field.name} as a list")])
    if value in (None, ""):
        named = from_mapping(field.spec, {field.key[0]: key}, path)
        return field.spec.removed(**dict(named.items()))
    rest = value if isinstance(value, Mapping) else {field.spec.VALUE: value}
    return from_mapping(field.spec, {field.key[0]: key, **rest}, path)


def _value(field: Field, value: Any, path: str) -> Any:
    if isinstance(field, Many):
        return _list(field, value, path)
    if value is None or (isinstance(value, str) and _removes(field, value)):
        return None
    if isinstance(field, One):
        return _spec(field.spec, value, path)
    if field.codec.kind == "list" and not isinstance(value, str):
        assert field.codec.item is not None, "a list has items"
        each = value if isinstance(value, list | tuple) else [value]
        return tuple(_plain(field.codec.item, one) for one in each)
    return _plain(field.codec, value)


def _removes(field: Field, text: str) -> bool:
    return text == "" or (text == "none" and "none" not in field.codec.choices)


def _list(field: Many, value: Any, path: str) -> tuple[Spec, ...]:
    """Read every item, and only then complain of those that were wrong."""
    keyed = isinstance(value, Mapping) and bool(field.spec.VALUE)
    pairs: Iterable[tuple[Any, Any]]
    if isinstance(value, Mapping) and keyed:
        pairs = value.items()
    else:
        pairs = enumerate(value if isinstance(value, list | tuple) else [] if value is None else [value])
    read: list[Spec] = []
    problems: list[Problem] = []
    for key, one in pairs:
        at = f"{path}[{key}]"
        try:
            read.append(_item(field, str(key), one, at) if keyed else _spec(field.spec, one, at))
        except Invalid as wrong:
            problems.extend(wrong.problems)
    if problems:
        raise Invalid(problems)
    return tuple(read)


def _spec(spec: type[Spec], value: Any, path: str) -> Spec:
    if isinstance(value, spec):
        return value
    if isinstance(value, Mapping):
        return from_mapping(spec, value, path)
    if isinstance(value, str):
        return parse_options(spec, value, path=path)
    raise Invalid([Problem(path, f"{value!r} is neither keys with values nor a line such as key=value,key=value")])


def _plain(codec: Any, value: Any) -> Any:
    """Read one value of a file, or of Python's own: what YAML makes of `on`, `5` and `1.10` is minded here."""
    if isinstance(value, bool):
        word = ("on", "yes") if value else ("off", "no")
        if codec.kind == "boolean":
            return value
        spoken = next((each for each in word if each in codec.choices), None)
        if spoken is None:
            raise ValueError(f"{str(value).lower()} is not what belongs here; a word such as on or yes needs quotes")
        return spoken
    if isinstance(value, str):
        return codec.parse(value)
    if isinstance(value, int | tuple):
        return codec.parse(codec.show(value))
    raise ValueError(f"{value!r} is not a value here; does it need quotes?")
