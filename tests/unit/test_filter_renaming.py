"""Another name for a filter: it keeps its identity while nobody uses it, and is replaced where somebody does."""

from __future__ import annotations

import pytest
from tests.unit.test_filters import BINDING, VM, WEB, Bound, Setting, setting

from kvist.errors import Refused
from kvist.resources.filters.library import Library

__all__ = ["setting"]


def test_a_rename_that_was_cut_off_is_taken_back_or_finished(setting: Setting) -> None:
    (step,) = setting.filters.rename.plan("web", "www")
    setting.memory.undefine("web")
    step.undo(setting.site)
    assert setting.memory.kept["web"] == WEB
    setting.memory.undefine("web")
    step.apply(setting.site)
    step.verify(setting.site)
    assert "www" in setting.memory.kept


def test_a_filter_in_use_that_is_renamed_is_replaced_wherever_it_is_used(setting: Setting) -> None:
    setting.do(setting.filters.create.plan("shop"))
    setting.do(setting.filters.include.plan("shop", "web", ("ADMIN=10.0.0.1",)))
    before = dict(setting.memory.kept)
    plan = setting.do(setting.filters.rename.plan("web", "www"))
    assert [step.describe() for step in plan] == ['define filter "www"', 'change filter "shop"', 'remove filter "web"']
    (include,) = Library(setting.site.connection).includes("shop")
    assert (include.filter, [str(each.value) for each in include.parameters]) == ("www", ["10.0.0.1"])
    assert "web" not in setting.memory.kept and not setting.filters.rename.plan("web", "www")
    for step in reversed(plan.steps):
        step.undo(setting.site)
    assert setting.memory.kept == before


def test_the_cards_of_vms_get_the_new_name_of_their_filter_now_and_at_their_next_boot(setting: Setting) -> None:
    setting.vms.append(("vm", VM))
    plan = setting.filters.rename.plan("web", "www")
    assert ("nics[52:54:00:00:00:01].filter", "web", "www", "live") in [
        (change.field, change.before, change.after, change.when) for change in plan.changes()
    ]
    assert len(plan.steps) == 4, "the running VM and its definition are two steps"
    setting.vms.clear()
    setting.memory.bound.append(Bound("vnet0", "web", BINDING.format(vm="gone")))
    with pytest.raises(Refused, match='it is used by running card "vnet0", which no VM has'):
        setting.filters.rename.plan("web", "www")


def test_a_filter_is_renamed_with_its_identity_and_back(setting: Setting) -> None:
    plan = setting.do(setting.filters.rename.plan("web", "www"))
    assert setting.memory.uuid("www") == "u1" and "web" not in setting.memory.kept
    assert not setting.filters.rename.plan("web", "www")
    for step in plan:
        step.undo(setting.site)
    assert setting.memory.kept["web"] == WEB and "www" not in setting.memory.kept
