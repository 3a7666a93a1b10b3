"""The journal tells what was done, keeps what can still be taken back, and stands many writers."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from kvist.engine import journal
from kvist.engine.execute import carry_out, perform
from kvist.engine.journal import Entry, Journal
from kvist.engine.plan import Plan
from kvist.engine.step import Change, Site, Step
from kvist.engine.undo import Reversal
from kvist.errors import Failed, Refused

if TYPE_CHECKING:
    from kvist.virt.connection import Connection


class Host:
    """Stands in for a connection: a shelf of values."""

    uri = "fake:///host"

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.identity = "one"

    @property
    def site(self) -> Site:
        return Site(
            cast("Connection", self), place="shop", asked="kvist put", identify=lambda thing: f"{thing} {self.identity}"
        )


def values(at: Site) -> dict[str, str]:
    return cast("Host", at.connection).values


@dataclass(frozen=True, kw_only=True)
class Put(Step):
    key: str
    before: str
    after: str

    def describe(self) -> str:
        return f"put {self.after} into {self.key}"

    def apply(self, at: Site) -> None:
        if self.after == "fire":
            raise Failed("it burns")
        values(at)[self.key] = self.after

    def undo(self, at: Site) -> None:
        values(at)[self.key] = self.before

    def changes(self) -> tuple[Change, ...]:
        return (Change("web", self.key, self.before, self.after),)


@dataclass(frozen=True, kw_only=True)
class Hide(Put):
    trashes = True


@dataclass(frozen=True, kw_only=True)
class Burn(Put):
    no_undo = "ashes"
    undo = Step.undo


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("SSH_CONNECTION", "192.0.2.7 1 192.0.2.8 22")
    return tmp_path


def do(host: Host, *steps: Step, undoes: int | None = None, empties: Sequence[int] = ()) -> Entry:
    carry_out(Plan(steps, "put", objects=["vm web"], undoes=undoes, empties=empties), host.site)
    return last()


def undo(host: Host, entry: Entry) -> Entry:
    reversal = Reversal(get(entry.number), host.site)
    with Journal() as book:
        reversal.permit(book)
    return do(host, *reversal.steps, undoes=entry.number)


def last() -> Entry:
    with Journal() as book:
        return book.all(limit=1)[0]


def get(number: int) -> Entry:
    with Journal() as book:
        found = book.get(number)
    assert found is not None
    return found


def put(before: str, after: str, key: str = "memory") -> Put:
    return Put(key=key, before=before, after=after)


def test_an_operation_is_told_with_who_what_and_how_it_ended() -> None:
    entry = do(Host(), put("", "1"))
    assert (entry.number, entry.state, entry.line, entry.host, entry.title) == (1, "done", "kvist put", "shop", "put")
    assert entry.origin == "192.0.2.7" and entry.user
    assert entry.objects == {"vm web": "vm web one"}
    assert [change["after"] for change in entry.changes] == ["1"]
    assert [step.describe() for step in entry.steps()] == ["put 1 into memory"]
    assert entry.ended is not None and 0 <= entry.ended - entry.began < 60


def test_what_failed_is_told_with_the_reason() -> None:
    with pytest.raises(Failed):
        do(Host(), put("", "1"), put("1", "fire"))
    assert (last().state, last().result) == ("failed", "it burns")


def test_where_there_is_nothing_to_do_nothing_is_written_down() -> None:
    carry_out(Plan([]), Host().site)
    assert not Journal.exists()


def test_what_is_undone_can_be_done_again_by_undoing_that() -> None:
    host = Host()
    first = do(host, put("", "1"))
    back = undo(host, first)
    assert host.values == {"memory": ""}
    assert (get(first.number).state, get(first.number).undone_by) == ("undone", back.number)
    again = undo(host, back)
    assert host.values == {"memory": "1"}
    assert (get(first.number).state, get(first.number).undone_by) == ("done", None)
    assert get(back.number).undone_by == again.number
    undo(host, first)
    assert host.values == {"memory": ""}


def test_an_operation_is_not_undone_twice() -> None:
    host = Host()
    first = do(host, put("", "1"))
    undo(host, first)
    with pytest.raises(Refused, match="undone already, by operation 2"):
        undo(host, first)


def test_what_a_later_change_stands_on_is_not_undone_before_that() -> None:
    host = Host()
    first, second = do(host, put("", "1")), do(host, put("1", "2"))
    do(host, put("", "x", key="title"))
    with pytest.raises(Refused, match="operation 2, `kvist put`, has changed memory") as refused:
        undo(host, first)
    assert refused.value.hint == "kvist undo 2"
    undo(host, second)
    undo(host, first)
    assert host.values == {"memory": "", "title": "x"}


def test_what_is_done_again_counts_as_a_later_change() -> None:
    host = Host()
    first, second = do(host, put("", "1")), do(host, put("1", "2"))
    back = undo(host, second)
    undo(host, back)
    with pytest.raises(Refused, match="operation 2"):
        undo(host, first)


def test_an_undo_is_not_undone_once_what_it_stands_on_is_undone_too() -> None:
    host = Host()
    first, second = do(host, put("", "1")), do(host, put("1", "2"))
    back = undo(host, second)
    undo(host, first)
    with pytest.raises(Refused, match="operation 4"):
        undo(host, back)


def test_nothing_is_undone_on_another_object_of_the_same_name() -> None:
    host = Host()
    first = do(host, put("", "1"))
    host.identity = "two"
    with pytest.raises(Refused, match='VM "web" is another one than then'):
        undo(host, first)


def test_what_has_no_way_back_says_why() -> None:
    host = Host()
    with pytest.raises(Refused, match="“put 1 into memory” is not taken back: ashes"):
        undo(host, do(host, Burn(key="memory", before="", after="1")))


def test_what_has_a_way_back_in_part_is_taken_back_in_that_part() -> None:
    host = Host()
    entry = do(host, Burn(key="disk", before="", after="1"), put("", "1"))
    assert Reversal(entry, host.site).lost == ["“put 1 into disk” is not taken back: ashes"]
    undo(host, entry)
    assert host.values == {"disk": "1", "memory": ""}


def test_the_trash_holds_what_was_neither_restored_nor_emptied() -> None:
    host = Host()
    hidden = [do(host, Hide(key=key, before=key, after="")) for key in "abc"]
    undo(host, hidden[0])
    do(host, Burn(key="b", before="", after=""), empties=[hidden[1].number])
    with Journal() as book:
        assert [entry.number for entry in book.trash(host.uri)] == [hidden[2].number]
    with pytest.raises(Refused, match="gone from the trash"):
        undo(host, hidden[1])


def test_what_is_old_is_forgotten_and_what_is_in_the_trash_is_not() -> None:
    host = Host()
    hidden, plain = do(host, Hide(key="a", before="a", after="")), do(host, put("", "1"))
    with Journal() as book:
        book.prune(days=1)
        assert [entry.number for entry in book.all()] == [plain.number, hidden.number]
        time.sleep(0.01)
        book.prune(days=0)
        assert [entry.number for entry in book.all()] == [hidden.number]
    for _ in range(4):
        do(host, put("", "1"))
    with Journal() as book:
        book.prune(count=2)
        assert len(book.all()) == 3


def test_only_what_was_about_a_vm_is_listed_for_it() -> None:
    host = Host()
    do(host, put("", "1"))
    carry_out(Plan([put("", "2")], "put", objects=["vm web2"]), host.site)
    with Journal() as book:
        assert [entry.number for entry in book.all(thing="vm web")] == [1]
        assert [entry.number for entry in book.all(thing="vm we")] == []
        assert [entry.number for entry in book.all(uri="fake:///other")] == []


def test_many_who_write_at_once_lose_nothing() -> None:
    def write() -> None:
        host = Host()
        for number in range(5):
            perform(lambda: Plan([put("", str(number))], "put"), [], host.site)  # noqa: B023 - called at once

    writers = [threading.Thread(target=write) for _ in range(6)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    with Journal() as book:
        entries = book.all()
    assert sorted(entry.number for entry in entries) == list(range(1, 31))
    assert {entry.state for entry in entries} == {"done"}


def test_only_the_user_can_read_the_journal() -> None:
    do(Host(), put("", "1"))
    assert (journal.directory() / "journal.db").stat().st_mode & 0o077 == 0
    assert journal.directory().stat().st_mode & 0o077 == 0
