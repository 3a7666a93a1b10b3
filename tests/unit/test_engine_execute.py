"""A plan is carried out whole or not at all; the host is a list of what was done to it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from kvist.engine import inflight
from kvist.engine.execute import carry_out
from kvist.engine.operation import operation
from kvist.engine.plan import Plan
from kvist.engine.step import Change, Disruption, Site, Step
from kvist.errors import Conflict, Failed, Interrupted, Refused, TimedOut

if TYPE_CHECKING:
    from kvist.virt.connection import Connection


class Host:
    """Stands in for a connection: remembers every act, and fails where it is told to."""

    uri = "fake:///host"
    alive = True

    def __init__(self, **fails: BaseException) -> None:
        self.fails = fails
        self.acts: list[str] = []
        self.made: set[str] = set()
        self.told: list[str] = []

    @property
    def site(self) -> Site:
        return Site(cast("Connection", self), lambda what, _share: self.told.append(what))

    def act(self, what: str) -> None:
        self.acts.append(what)
        # Each failure happens once: what is done again succeeds.
        if error := self.fails.pop(what.replace(" ", "_"), None):
            raise error


def host_of(at: Site) -> Host:
    return cast("Host", at.connection)


@dataclass(frozen=True, kw_only=True)
class Make(Step):
    name: str

    def describe(self) -> str:
        return f"make {self.name}"

    def apply(self, at: Site) -> None:
        host_of(at).act(f"make {self.name}")
        host_of(at).made.add(self.name)

    def verify(self, at: Site) -> None:
        host_of(at).act(f"verify {self.name}")
        if self.name not in host_of(at).made:
            raise Failed(f'"{self.name}" is not there')

    def undo(self, at: Site) -> None:
        host_of(at).act(f"undo {self.name}")
        host_of(at).made.discard(self.name)

    def changes(self) -> tuple[Change, ...]:
        return (Change(self.name, "state", None, "made"),)


@dataclass(frozen=True, kw_only=True)
class Costly(Make):
    disruption = Disruption.RESTART


@dataclass(frozen=True, kw_only=True)
class Burn(Step):
    no_undo = "ashes"
    name: str

    def describe(self) -> str:
        return f"burn {self.name}"

    def apply(self, at: Site) -> None:
        host_of(at).act(f"burn {self.name}")


@dataclass(frozen=True, kw_only=True)
class Open(Step):
    stays = "an open door disturbs nobody"
    name: str

    def describe(self) -> str:
        return f"open {self.name}"

    def apply(self, at: Site) -> None:
        host_of(at).act(f"open {self.name}")


@dataclass(frozen=True, kw_only=True)
class Wait(Open):
    after_commit = True


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path


def notes() -> list[str]:
    where = inflight.directory()
    return [path.name for path in where.iterdir()] if where.is_dir() else []


def test_steps_are_done_in_order_and_then_read_back() -> None:
    host = Host()
    answer = carry_out(Plan([Make(name="a"), Make(name="b")]), host.site)
    assert host.acts == ["make a", "make b", "verify a", "verify b"]
    assert host.told == ["make a", "make b"]
    assert answer.changed
    assert [change.subject for change in answer.changes] == ["a", "b"]
    assert notes() == []


def test_no_steps_are_nothing_to_do_and_nothing_is_written_down() -> None:
    host = Host()
    answer = carry_out(Plan([]), host.site)
    assert not answer.changed and host.acts == [] and notes() == []
    assert answer.as_dict() == {"changed": False, "changes": [], "steps": []}


def test_a_failure_takes_back_what_was_begun_newest_first_and_is_raised_as_it_is() -> None:
    failure = Conflict('"c" is in use', hint="wait")
    host = Host(make_c=failure)
    with pytest.raises(Conflict) as raised:
        carry_out(Plan([Make(name="a"), Make(name="b"), Make(name="c"), Make(name="d")]), host.site)
    assert raised.value is failure
    assert raised.value.what == '"c" is in use'
    assert host.acts == ["make a", "make b", "make c", "undo c", "undo b", "undo a"]
    assert host.made == set() and notes() == []


def test_what_cannot_be_read_back_is_taken_back() -> None:
    host = Host(verify_a=Failed("not there"))
    with pytest.raises(Failed, match="not there"):
        carry_out(Plan([Make(name="a"), Make(name="b")]), host.site)
    assert host.made == set() and notes() == []


def test_ctrl_c_takes_back_what_was_begun() -> None:
    host = Host(make_b=KeyboardInterrupt())
    with pytest.raises(Interrupted) as stopped:
        carry_out(Plan([Make(name="a"), Make(name="b")]), host.site)
    assert host.acts == ["make a", "make b", "undo b", "undo a"]
    assert stopped.value.exit == 130
    assert stopped.value.what == "stopped; what was begun has been taken back"
    assert notes() == []


def test_ctrl_c_does_not_claim_to_have_taken_back_what_stays() -> None:
    host = Host(open_x=KeyboardInterrupt())
    with pytest.raises(Interrupted) as stopped:
        carry_out(Plan([Make(name="a"), Open(name="x")]), host.site)
    assert stopped.value.what == "stopped; “open x” had begun and is not taken back"
    assert host.made == set() and notes() == []


def test_a_lost_connection_is_told_once_and_leaves_the_note_for_the_next_kvist() -> None:
    host = Host(make_b=Failed("gone"), undo_b=Failed("gone too"), undo_a=Failed("gone three"))
    host.alive = False
    with pytest.raises(Failed) as failed:
        carry_out(Plan([Make(name="a"), Make(name="b")]), host.site)
    assert failed.value.what == (
        "gone; the connection is lost; the next kvist that reaches the host takes back what was begun"
    )
    assert len(notes()) == 1


def test_ctrl_c_past_a_step_without_a_way_back_finishes_what_was_begun() -> None:
    host = Host(burn_x=KeyboardInterrupt())
    with pytest.raises(Interrupted, match="too late to take it back"):
        carry_out(Plan([Make(name="a"), Burn(name="x"), Make(name="b")]), host.site)
    assert host.acts == ["make a", "burn x", "burn x", "make b"]
    assert host.made == {"a", "b"} and notes() == []


def test_a_failure_past_a_step_without_a_way_back_leaves_what_was_before_it_and_says_so() -> None:
    host = Host(burn_y=Failed("wet"))
    with pytest.raises(Failed) as failed:
        carry_out(Plan([Make(name="a"), Burn(name="x"), Make(name="b"), Burn(name="y")]), host.site)
    assert host.acts == ["make a", "burn x", "make b", "burn y", "undo b"]
    assert host.made == {"a"}
    assert failed.value.what == "wet; there is no way back past “burn x”"
    assert notes() == []


def test_a_step_without_a_way_back_that_did_not_happen_does_not_keep_the_others_from_being_taken_back() -> None:
    host = Host(burn_x=Failed("wet"))
    with pytest.raises(Failed, match=r"^wet$"):
        carry_out(Plan([Make(name="a"), Burn(name="x")]), host.site)
    assert host.made == set()


def test_what_may_stay_stays_and_the_rest_is_taken_back() -> None:
    host = Host(make_b=Failed("no"))
    with pytest.raises(Failed, match=r"^no$"):
        carry_out(Plan([Make(name="a"), Open(name="door"), Make(name="b")]), host.site)
    assert host.acts == ["make a", "open door", "make b", "undo b", "undo a"]


def test_an_undo_that_stumbles_does_not_keep_older_steps_from_being_taken_back() -> None:
    host = Host(make_c=Failed("no"), undo_b=OSError("disk gone"))
    with pytest.raises(Failed) as failed:
        carry_out(Plan([Make(name="a"), Make(name="b"), Make(name="c")]), host.site)
    assert host.acts[-3:] == ["undo c", "undo b", "undo a"]
    assert failed.value.what == "no; undoing “make b” failed: OSError: disk gone"
    assert str(failed.value) == failed.value.what
    assert len(notes()) == 1, "the note stays, for the next kvist to try again"


def test_what_disrupts_is_refused_before_anything_is_done() -> None:
    host = Host()
    with pytest.raises(Refused):
        carry_out(Plan([Make(name="a"), Costly(name="b")]), host.site)
    assert host.acts == [] and notes() == []
    carry_out(Plan([Costly(name="b")]), host.site, allow=Disruption.RESTART)
    assert host.made == {"b"}


def test_a_wait_after_the_work_that_fails_takes_nothing_back() -> None:
    host = Host(open_ssh=TimedOut("no answer"))
    with pytest.raises(TimedOut):
        carry_out(Plan([Wait(name="ssh"), Make(name="a")]), host.site)
    assert host.acts == ["make a", "verify a", "open ssh"], "it comes last, wherever it stands"
    assert host.made == {"a"} and notes() == []


def test_a_mistake_of_kvists_own_takes_back_too() -> None:
    host = Host(make_b=ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        carry_out(Plan([Make(name="a"), Make(name="b")]), host.site)
    assert host.made == set() and notes() == []


def test_where_nothing_can_be_written_down_nothing_is_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("no directory")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    host = Host()
    with pytest.raises(Failed) as failed:
        carry_out(Plan([Make(name="a")]), host.site)
    assert host.acts == []
    assert "XDG_STATE_HOME" in failed.value.hint


class Shelf:
    """An object with an operation."""

    kind = "shelf"

    def __init__(self, host: Host) -> None:
        self.host = host

    @property
    def site(self) -> Site:
        return self.host.site

    @operation
    def fill(self, *names: str) -> Iterator[Step]:
        """Make what is not there."""
        for name in names:
            if name not in self.host.made:
                yield Costly(name=name)


def test_an_operation_is_a_plan_until_it_is_called_and_has_nothing_to_do_the_second_time() -> None:
    host = Host()
    shelf = Shelf(host)
    plan = shelf.fill.plan("a", "b")
    assert [step.describe() for step in plan] == ["make a", "make b"]
    assert plan.title == "fill" and host.acts == []
    with pytest.raises(Refused):
        shelf.fill("a", "b")
    assert shelf.fill.allowing(Disruption.RESTART)("a", "b").changed
    assert not shelf.fill("a", "b").changed
    assert shelf.fill.__doc__ == "Make what is not there."
