"""What a killed kvist leaves behind is finished or taken back by the next one, and by nobody while it lives."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from kvist.engine import inflight
from kvist.engine.execute import recover
from kvist.engine.inflight import Inflight, left_behind
from kvist.engine.journal import Journal
from kvist.engine.plan import Plan
from kvist.engine.step import Site, Step, payload
from kvist.errors import Failed

if TYPE_CHECKING:
    from kvist.virt.connection import Connection

URI = "fake:///host"


class Host:
    """Stands in for a connection: remembers what was done to it."""

    def __init__(self, uri: str = URI, *, fails: bool = False) -> None:
        self.uri = uri
        self.fails = fails
        self.acts: list[str] = []

    @property
    def site(self) -> Site:
        return Site(cast("Connection", self))

    def act(self, what: str) -> None:
        if self.fails:
            raise Failed("the host says no")
        self.acts.append(what)


@dataclass(frozen=True, kw_only=True)
class Act(Step):
    name: str

    def describe(self) -> str:
        return self.name

    def apply(self, at: Site) -> None:
        cast("Host", at.connection).act(f"do {self.name}")

    def undo(self, at: Site) -> None:
        cast("Host", at.connection).act(f"undo {self.name}")


@dataclass(frozen=True, kw_only=True)
class Burn(Step):
    no_undo = "ashes"

    def describe(self) -> str:
        return "burn"

    def apply(self, at: Site) -> None:
        cast("Host", at.connection).act("burn")


@dataclass(frozen=True, kw_only=True)
class Open(Step):
    stays = "it disturbs nobody"

    def describe(self) -> str:
        return "open"

    def apply(self, at: Site) -> None:
        cast("Host", at.connection).act("open")


@dataclass(frozen=True, kw_only=True)
class Write(Act):
    content: bytes = payload()


A, B, C = (Act(name=name) for name in "abc")


@pytest.fixture(autouse=True)
def where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    yield inflight.directory()
    _living.clear()


_living: list[Inflight] = []


def left(steps: list[Step], begun: int, *, uri: str = URI, alive: bool = False) -> Path:
    """Write down an operation as its kvist does, and let that kvist die unless it is to live."""
    note = Inflight(Plan(steps, "create"), steps, Host(uri).site)
    for index in range(begun):
        note.begin(index)
    if alive:
        _living.append(note)
    else:
        note.leave()
    return note.path


def test_what_was_begun_is_taken_back_newest_first() -> None:
    path = left([A, B, C], begun=2)
    host = Host()
    assert recover(host.site) == ["took back an interrupted `create`"]
    assert host.acts == ["undo b", "undo a"]
    assert not path.exists()
    assert recover(host.site) == [], "and only once"


def test_an_operation_past_a_step_without_a_way_back_is_finished() -> None:
    left([A, Burn(), B, C], begun=3)
    host = Host()
    assert recover(host.site) == ["finished an interrupted `create`"]
    assert host.acts == ["burn", "do b", "do c"]


def test_a_step_whose_effect_may_stay_does_not_make_recovery_go_on() -> None:
    left([Open(), A, B], begun=2)
    host = Host()
    assert recover(host.site) == ["took back an interrupted `create`"]
    assert host.acts == ["undo a"]


@pytest.mark.parametrize(("steps", "begun"), [([A, B], 0), ([Open(), A], 1)])
def test_where_nothing_is_to_be_taken_back_nothing_is_done(steps: list[Step], begun: int) -> None:
    path = left(steps, begun)
    host = Host()
    assert recover(host.site) == ["found nothing to clean up after an interrupted `create`"]
    assert host.acts == [] and not path.exists()


def test_what_a_living_kvist_does_is_left_to_it() -> None:
    path = left([A, B], begun=1, alive=True)
    host = Host()
    assert recover(host.site) == [] and host.acts == []
    assert path.exists()


def test_what_was_done_on_another_host_waits_for_that_host() -> None:
    path = left([A], begun=1, uri="fake:///other")
    assert recover(Host().site) == []
    assert path.exists()
    assert recover(Host("fake:///other").site) == ["took back an interrupted `create`"]


def test_a_file_that_the_journal_does_not_know_is_an_operation_that_never_began(where: Path) -> None:
    where.mkdir(parents=True)
    (where / "1-00000000").touch()
    assert list(left_behind(URI)) == []
    assert list(where.iterdir()) == []


def test_an_operation_that_was_whole_when_its_kvist_was_killed_stays_whole() -> None:
    path = left([A], begun=1)
    with Journal() as book:
        entry = book.by_token(path.name)
        assert entry is not None
        book.end(entry.number, "done", Host().site)
    host = Host()
    assert recover(host.site) == [] and host.acts == []
    assert not path.exists()


def test_what_cannot_be_taken_back_now_is_tried_again_by_the_next_kvist() -> None:
    path = left([A], begun=1)
    (told,) = recover(Host(fails=True).site)
    assert told.startswith("could not clean up after an interrupted `create`: undoing “a” failed: the host says no")
    assert told.endswith(f"rm {path}")
    host = Host()
    assert recover(host.site) == ["took back an interrupted `create`"]
    assert host.acts == ["undo a"]


def test_content_that_died_with_its_kvist_is_never_written_empty() -> None:
    left([Burn(), Write(name="seed", content=b"#cloud-config")], begun=1)
    host = Host()
    (told,) = recover(host.site)
    assert "“seed” needs what the killed kvist alone had" in told
    assert host.acts == ["burn"]


@pytest.mark.parametrize(
    "change", [{"step": "kvist.engine.step:Gone"}, {"step": "kvist.nowhere:Gone"}, {"colour": "red"}]
)
def test_a_record_of_another_version_stops_nobody(change: dict[str, str]) -> None:
    path = left([A], begun=1)
    with Journal() as book:
        entry = book.by_token(path.name)
        assert entry is not None
        record = [{**entry.records[0], **change}]
        book._act("UPDATE operation SET steps = ? WHERE token = ?", (json.dumps(record), path.name))
    left([B], begun=1)
    host = Host()
    told = recover(host.site)
    assert sorted(sentence.partition(" (")[0] for sentence in told) == [
        "cannot read the interrupted `create` of another kvist",
        "took back an interrupted `create`",
    ]
    assert host.acts == ["undo b"] and path.exists()


def test_a_file_that_never_got_its_name_is_swept_away_once_it_is_old(where: Path) -> None:
    where.mkdir(parents=True)
    old, young = where / ".1-old", where / ".2-young"
    for file in (old, young):
        file.write_text("")
    os.utime(old, (0, 0))
    assert list(left_behind(URI)) == []
    assert not old.exists() and young.exists()


def test_only_the_user_can_read_what_is_written_down(where: Path) -> None:
    left([A], begun=0)
    assert where.stat().st_mode & 0o077 == 0
