"""Every step can be written down and made again, and says what it does, to a person and as a command."""

from __future__ import annotations

import dataclasses
import inspect
import pkgutil
import re
from importlib import import_module

import pytest

import kvist.resources
from kvist.engine.step import Step

for found in pkgutil.walk_packages(kvist.resources.__path__, "kvist.resources."):
    import_module(found.name)


def descendants(kind: type[Step]) -> list[type[Step]]:
    return [each for child in kind.__subclasses__() for each in (child, *descendants(child))]


STEPS = sorted(
    {kind for kind in descendants(Step) if kind.__module__.startswith("kvist.") and not inspect.isabstract(kind)},  # type: ignore[type-abstract]
    key=lambda kind: kind.__qualname__,
)
every_step = pytest.mark.parametrize("kind", STEPS, ids=lambda kind: kind.__name__)
PLAIN = re.compile(r"(?:str|int|float|bool|None|Mapping\[str, Any\]|tuple\[.*\]|Literal\[.*\]|\s|\|)+")
"""What JSON gives back; of a mapping its maker sees to it that what is in it is plain, too (kvist.xml.record)."""
NESTED = re.compile(r"(?:tuple|str|int|float|bool|None|Any|\.\.\.|[\[\], |])+")


def test_there_are_steps() -> None:
    assert len(STEPS) > 10


@every_step
def test_a_step_is_frozen_plain_data(kind: type[Step]) -> None:
    assert dataclasses.is_dataclass(kind)
    for field in dataclasses.fields(kind):
        if field.metadata.get("payload"):
            continue
        written = str(field.type)
        assert PLAIN.fullmatch(written), f"{field.name}: {written} does not come back from a record"
        for inner in re.findall(r"tuple\[(.*)\]", written):
            assert NESTED.fullmatch(inner), f"{field.name}: {written} does not come back from a record"


@every_step
def test_a_step_says_in_a_sentence_what_it_is_and_how_it_is_taken_back(kind: type[Step]) -> None:
    assert (kind.__doc__ or "").split("\n")[0].rstrip().endswith("."), "its docstring is a sentence"
    assert not (kind.__doc__ or "").startswith(f"{kind.__name__}("), "the docstring is dataclass's own"
    reasons = [reason for reason in (kind.stays, kind.no_undo) if reason]
    assert len(reasons) == (kind.undo is Step.undo)


@every_step
def test_what_a_step_changes_can_be_typed_by_hand_too(kind: type[Step]) -> None:
    if kind.after_commit:
        return
    assert kind.changes is not Step.changes or kind.commands is not Step.commands, (
        f"{kind.__name__} tells neither what changes nor which commands do it"
    )
