"""Every field of every spec: written, judged by libvirt's own schema, read back, and taken away without a trace."""

from __future__ import annotations

import pkgutil
from importlib import import_module

import pytest
from tests.unit.specimens import COMPANIONS, FORGOTTEN, VARIANTS, home, sample

import kvist.specs
from kvist.xml.lists import Many
from kvist.xml.rng import violations
from kvist.xml.spec import Spec


def specs() -> list[type[Spec]]:
    found: list[type[Spec]] = []
    for module in pkgutil.iter_modules(kvist.specs.__path__, "kvist.specs."):
        for kind in vars(import_module(module.name)).values():
            if isinstance(kind, type) and issubclass(kind, Spec) and kind.TAG and kind.__module__ == module.name:
                found.append(kind)
    return found


def fields() -> list[tuple[type[Spec], str]]:
    return [
        (spec, name)
        for spec in specs()
        for name, field in spec.DECLARED.items()
        if not field.aside and name != spec.UNION
    ]


@pytest.mark.parametrize(("spec", "name"), fields(), ids=lambda each: each if isinstance(each, str) else each.__name__)
def test_a_field_is_written_validly_read_back_and_taken_away_without_a_trace(spec: type[Spec], name: str) -> None:
    field = spec.DECLARED[name]
    document, node = home(spec)
    companion = COMPANIONS.get((spec, name), spec())
    if field.when and companion.get(spec.UNION) is None and spec.read(node).get(spec.UNION) not in field.when:
        companion = companion.replace(**{spec.UNION: field.when[0]})
    companion.write(node)
    before, had = document.text(), spec.read(node)
    value = sample(spec, field, had.get(name))

    spec(**{name: value}).write(node)

    assert document.text() != before
    assert spec.read(node).get(name) == value
    assert (violations(document) == []) is ((spec, name) not in FORGOTTEN)
    written = document.text()
    spec(**{name: value}).write(node)
    assert document.text() == written, "the second time changes nothing"

    back = tuple(item.removed(**dict(item.items())) for item in value) if isinstance(field, Many) else had.get(name)
    spec(**{name: back}).write(node)
    assert document.text() == before


def variants() -> list[tuple[type[Spec], str, str]]:
    return [
        (spec, before, after)
        for spec in specs()
        if spec.UNION
        for before in spec.DECLARED[spec.UNION].codec.choices
        for after in spec.DECLARED[spec.UNION].codec.choices
        if before != after
    ]


@pytest.mark.parametrize(
    ("spec", "before", "after"), variants(), ids=lambda each: each if isinstance(each, str) else each.__name__
)
def test_a_variant_turns_into_any_other_and_leaves_nothing_of_itself(spec: type[Spec], before: str, after: str) -> None:
    document, node = home(spec)
    VARIANTS[spec][before].write(node)
    VARIANTS[spec][after].write(node)

    read, wanted = spec.read(node), VARIANTS[spec][after]
    assert read.get(spec.UNION) == after
    assert {name: read.get(name) for name, _ in wanted.items()} == dict(wanted.items())
    assert violations(document) == []
    gone = [name for name, field in spec.DECLARED.items() if field.when and after not in field.when]
    assert [name for name in gone if name in read] == []
