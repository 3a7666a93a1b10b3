"""A step is plain data with a way back; it cannot be written without one."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

from kvist.engine.plan import Plan
from kvist.engine.step import Change, Disruption, Site, Step, payload
from kvist.errors import Refused


@dataclass(frozen=True, kw_only=True)
class Plug(Step):
    """A step with every kind of field that a record has to hold."""

    disruption = Disruption.REPLUG
    name: str
    ports: tuple[tuple[str, int], ...] = ()
    seconds: float = 1.5
    on: bool = True
    content: bytes = payload()

    def describe(self) -> str:
        return f'plug "{self.name}"'

    def apply(self, at: Site) -> None:
        """Nothing: these tests do not carry it out."""

    def undo(self, at: Site) -> None:
        """Nothing: these tests do not carry it out."""

    def changes(self) -> tuple[Change, ...]:
        return (Change(self.name, "plugged", False, True),)


@dataclass(frozen=True, kw_only=True)
class Reopen(Plug):
    disruption = Disruption.RESTART


def test_a_step_without_a_way_back_and_without_a_reason_cannot_be_written() -> None:
    with pytest.raises(TypeError, match="Lost must either define undo, or say in stays or in no_undo why"):

        class Lost(Step):
            def describe(self) -> str:
                return "lose"

            def apply(self, at: Site) -> None:
                """Nothing."""


@pytest.mark.parametrize("reason", ["stays", "no_undo"])
def test_a_step_with_a_way_back_has_no_reason_for_having_none(reason: str) -> None:
    with pytest.raises(TypeError, match="must either define undo"):
        type("Both", (Plug,), {reason: "it cannot be undone"})


def test_a_step_whose_effect_may_stay_cannot_also_be_past_return() -> None:
    body = {"describe": lambda self: "x", "apply": lambda self, at: None, "stays": "harmless", "no_undo": "gone"}
    with pytest.raises(TypeError, match="must either define undo"):
        type("Torn", (Step,), body)


def test_a_step_comes_back_from_its_record_as_it_was_but_for_its_payload() -> None:
    step = Plug(name="web", ports=(("tcp", 22), ("udp", 53)), seconds=0.5, on=False, content=b"large")
    record = json.loads(json.dumps(step.record()))
    again = Step.recall(record)
    assert again == Plug(name="web", ports=(("tcp", 22), ("udp", 53)), seconds=0.5, on=False)
    assert step.complete and not again.complete


def test_a_record_never_makes_something_of_a_module_that_is_not_kvists() -> None:
    with pytest.raises(ValueError, match='"os" is not a module of kvist'):
        Step.recall({"step": "os:system", "command": "true"})


def test_a_plan_costs_what_its_worst_step_costs() -> None:
    plan = Plan([Plug(name="a"), Reopen(name="b")])
    assert plan.disruption is Disruption.RESTART
    assert Plan([]).disruption is Disruption.NONE
    assert not Plan([])


def test_a_plan_is_refused_when_it_costs_more_than_is_allowed_and_says_what_would_allow_it() -> None:
    plan = Plan([Plug(name="a"), Reopen(name="b")])
    with pytest.raises(Refused) as refused:
        plan.permit(Disruption.REPLUG)
    assert refused.value.what == 'cannot plug "b" without a restart of the guest'
    assert refused.value.hint == "add --allow restart"
    plan.permit(Disruption.RESTART)


def test_what_changes_is_told_as_plain_data() -> None:
    assert Plan([Plug(name="a")]).changes()[0].as_dict() == {
        "object": "a",
        "field": "plugged",
        "before": False,
        "after": True,
        "when": "now",
    }
