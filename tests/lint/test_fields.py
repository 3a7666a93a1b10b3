"""Every field says what it is, where that is documented, and when a change of it reaches the guest."""

from __future__ import annotations

import pkgutil
from importlib import import_module

import pytest

import kvist.specs
from kvist.xml.kinds import Applies, Field
from kvist.xml.lists import Many
from kvist.xml.spec import Spec

MODULES = [import_module(module.name) for module in pkgutil.iter_modules(kvist.specs.__path__, "kvist.specs.")]
SPECS = [
    kind
    for module in MODULES
    for kind in vars(module).values()
    if isinstance(kind, type) and issubclass(kind, Spec) and kind.__module__ == module.__name__
]
FIELDS = [(spec, field) for spec in SPECS for field in spec.DECLARED.values()]


@pytest.mark.parametrize(
    ("spec", "field"), FIELDS, ids=lambda each: each.name if isinstance(each, Field) else each.__name__
)
def test_a_field_has_one_sentence_a_page_and_a_time_at_which_it_applies(spec: type[Spec], field: Field) -> None:
    assert field.doc[:1].isupper(), f"{spec.__name__}.{field.name}: the sentence begins with a capital"
    assert field.doc.endswith(".") and "\n" not in field.doc, f"{spec.__name__}.{field.name}: it ends in a full stop"
    assert field.page.startswith("https://libvirt.org/"), f"{spec.__name__}.{field.name}: no page"
    assert isinstance(field.applies, Applies)


@pytest.mark.parametrize("spec", SPECS, ids=lambda each: each.__name__)
def test_what_a_spec_says_of_its_fields_names_fields_that_it_has(spec: type[Spec]) -> None:
    named = [*spec.FIRST, *filter(None, (spec.UNION, spec.VALUE))]
    for field in spec.DECLARED.values():
        eased = [rule[0] for rule in (field.live_for, field.cold_for) if rule]
        if isinstance(field, Many):
            assert set(eased) <= set(field.spec.DECLARED), f"{field.name} depends on what its items do not have"
        else:
            named += [*eased, *filter(None, (field.up_to,))]
    for many in spec.MANY.values():
        assert set(many.key) <= set(many.spec.DECLARED), f"{many.name} is told apart by fields it does not have"
    assert set(named) <= set(spec.DECLARED)


@pytest.mark.parametrize("spec", SPECS, ids=lambda each: each.__name__)
def test_no_field_hides_a_word_of_the_spec_itself(spec: type[Spec]) -> None:
    assert set(spec.DECLARED) & {name for name in vars(Spec) if not name.startswith("__")} == set()


@pytest.mark.parametrize("spec", SPECS, ids=lambda each: each.__name__)
def test_a_field_with_a_variant_names_one_that_its_spec_has(spec: type[Spec]) -> None:
    bound = {when for field in spec.DECLARED.values() for when in field.when}
    assert not bound or spec.UNION, "a field with a variant needs a field that says which it is"
    if spec.UNION:
        assert bound <= set(spec.DECLARED[spec.UNION].codec.choices)


def test_a_spec_is_a_table_of_a_noun_or_part_of_one() -> None:
    parts = {base for spec in SPECS if spec.TAG for base in spec.__mro__}
    assert [spec.__name__ for spec in SPECS if spec.DECLARED and not spec.TAG and spec not in parts] == []


@pytest.mark.parametrize("spec", SPECS, ids=lambda each: each.__name__)
def test_two_fields_stand_in_one_place_only_in_different_variants(spec: type[Spec]) -> None:
    placed = [field for field in spec.DECLARED.values() if not field.aside]
    for position, one in enumerate(placed):
        for other in placed[position + 1 :]:
            apart = one.when and other.when and not set(one.when) & set(other.when)
            assert one.path != other.path or apart, f"{one.name} and {other.name} are both at {one.path}"
