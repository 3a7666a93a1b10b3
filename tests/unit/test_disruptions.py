"""Every field that is not live waits for the next boot of a running VM, or wants leave to unplug; none is left out."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from lxml.etree import _Element as Element
from tests.unit.specimens import COMPANIONS, home, sample

from kvist.engine.plan import Plan
from kvist.engine.step import Disruption
from kvist.errors import Refused
from kvist.resources.changing.alteration import plan
from kvist.resources.changing.completion import problems
from kvist.resources.changing.rewriting import one_field
from kvist.specs.vm import Vm
from kvist.xml.document import Document
from kvist.xml.kinds import Applies, Field, One
from kvist.xml.lists import Many
from kvist.xml.spec import Spec


def lists() -> Iterator[tuple[Many | One | None, type[Spec]]]:
    """Go through the VM itself and all that it has lists of."""
    yield None, Vm
    for field in Vm.DECLARED.values():
        if isinstance(field, Many | One):
            yield field, field.spec


def later() -> list[tuple[Many | One | None, type[Spec], str]]:
    """Give every field whose change does not reach a running VM as it is."""
    return [
        (owner, spec, name)
        for owner, spec in lists()
        for name, field in spec.DECLARED.items()
        if field.applies is not Applies.LIVE and not (field.told or field.aside or name == spec.UNION)
    ]


def named(each: object) -> str:
    return each.__name__ if isinstance(each, type) else str(getattr(each, "name", each))


def running(owner: Many | One | None, spec: type[Spec], name: str) -> tuple[Document, Vm]:
    """Give a VM that has the smallest such device, and the wish that the field be otherwise."""
    field = spec.DECLARED[name]
    document, node = home(spec)
    companion = COMPANIONS.get((spec, name), spec())
    if field.when and companion.get(spec.UNION) is None and spec.read(node).get(spec.UNION) not in field.when:
        companion = companion.replace(**{spec.UNION: field.when[0]})
    companion.write(node)
    have = spec.read(node)
    value = sample(spec, field, have.get(name))
    if owner is None:
        return document, Vm(**{name: value})
    key = {each: have.get(each) for each in (owner.key if isinstance(owner, Many) else ()) if have.get(each)}
    item = spec(**{**key, name: value})
    return document, one_field(owner.name, (item,) if isinstance(owner, Many) else item)


def is_key(owner: Many | One | None, name: str) -> bool:
    """A field by which a device is told apart: another value of it is another device."""
    return isinstance(owner, Many) and name in owner.key


def hot(owner: Many | One | None, spec: type[Spec], document: Document) -> bool:
    """Tell whether such a device may come and go while its VM runs."""
    if owner is None:
        return False
    have = spec.read(element(document, spec))
    if owner.live_for and have.get(owner.live_for[0]) in owner.live_for[1]:
        return True
    return owner.applies is Applies.LIVE and not (owner.cold_for and have.get(owner.cold_for[0]) in owner.cold_for[1])


def element(document: Document, spec: type[Spec]) -> Element:
    return next(document.root.iter(spec.TAG))


@pytest.mark.parametrize(("owner", "spec", "name"), later(), ids=named)
def test_a_field_that_is_not_live_waits_or_wants_leave(owner: Many | One | None, spec: type[Spec], name: str) -> None:
    document, wish = running(owner, spec, name)
    field: Field = spec.DECLARED[name]
    if field.applies is Applies.RECREATE:
        assert problems(document, wish) != [], "it cannot be changed at all, and that is said before anything is done"
        return
    made = Plan(plan("web", document, document, wish), "set")
    assert made.steps, "there is something to do"
    if field.applies is Applies.REPLUG and not is_key(owner, name) and hot(owner, spec, document):
        assert [type(step).__name__ for step in made] == ["Replug", "Redefine"]
        assert {change.when for change in made.changes()} == {"replug"}
        with pytest.raises(Refused, match="without a replug"):
            made.permit(Disruption.NONE)
        made.permit(Disruption.REPLUG)
    elif not is_key(owner, name):
        assert [type(step).__name__ for step in made] == ["Redefine"]
        assert {change.when for change in made.changes()} == {"next boot"}
        made.permit(Disruption.NONE)
