"""Who is busy with an object is waited for, who is busy with another is not, and nothing is left behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kvist.engine import locks
from kvist.engine.locks import holding
from kvist.errors import TimedOut

URI = "fake:///host"


@pytest.fixture(autouse=True)
def where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(locks, "directory", lambda: tmp_path / "locks")
    return tmp_path / "locks"


@contextmanager
def held_elsewhere(*things: str) -> Iterator[threading.Event]:
    """Let another thread hold objects until the block ends, or the event it is given is set."""
    ready, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        with holding(URI, things):
            ready.set()
            let_go.wait(20)

    other = threading.Thread(target=hold)
    other.start()
    assert ready.wait(5)
    try:
        yield let_go
    finally:
        let_go.set()
        other.join(5)


def test_one_who_comes_later_waits_for_the_same_object(where: Path) -> None:
    with held_elsewhere("vm web") as let_go:
        threading.Timer(0.2, let_go.set).start()
        began = time.monotonic()
        with holding(URI, ["vm web"]):
            assert 0.1 < time.monotonic() - began < 5
    assert list(where.iterdir()) == []


def test_nobody_waits_for_another_object_or_another_host() -> None:
    with held_elsewhere("vm web"), holding(URI, ["vm db"], patience=0), holding("fake:///2", ["vm web"], patience=0):
        assert len(list(locks.directory().iterdir())) == 3


def test_a_wait_ends_and_says_who_is_waited_for() -> None:
    with (
        held_elsewhere("vm web"),
        pytest.raises(TimedOut, match=r'another kvist \(process \d+\) is busy with VM "web"'),
        holding(URI, ["vm web"], patience=0.1),
    ):
        raise AssertionError("it is held")


def test_a_wait_is_told_once_when_it_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "TELL_AFTER", 0.05)
    told: list[str] = []
    with (
        held_elsewhere("vm web"),
        pytest.raises(TimedOut),
        holding(URI, ["vm web"], patience=0.3, tell=lambda what, _share: told.append(what)),
    ):
        raise AssertionError("it is held")
    assert len(told) == 1 and 'busy with VM "web"' in told[0]


def test_a_short_wait_is_not_told() -> None:
    told: list[str] = []
    with held_elsewhere("vm web") as let_go:
        threading.Timer(0.1, let_go.set).start()
        with holding(URI, ["vm web"], tell=lambda what, _share: told.append(what)):
            assert told == []


def test_who_holds_an_object_may_hold_it_again_and_keeps_it() -> None:
    with holding(URI, ["vm web"]):
        with holding(URI, ["vm web", "vm db"], patience=0):
            pass
        with held_elsewhere("vm db"):
            assert len(list(locks.directory().iterdir())) == 2


def test_two_who_want_the_same_two_objects_do_not_wait_for_each_other_for_ever() -> None:
    done: list[int] = []

    def both(number: int, *things: str) -> None:
        for _ in range(20):
            with holding(URI, things, patience=20):
                time.sleep(0.001)
        done.append(number)

    pair = [threading.Thread(target=both, args=args) for args in ((1, "vm a", "vm b"), (2, "vm b", "vm a"))]
    for each in pair:
        each.start()
    for each in pair:
        each.join(30)
    assert sorted(done) == [1, 2]


def test_an_error_while_it_is_held_lets_go(where: Path) -> None:
    with pytest.raises(ZeroDivisionError), holding(URI, ["vm web"]):
        _ = 1 / 0
    assert list(where.iterdir()) == []
    with holding(URI, ["vm web"], patience=0):
        assert len(list(where.iterdir())) == 1


def test_what_a_killed_kvist_left_is_swept_away_and_what_is_held_is_not(where: Path) -> None:
    where.mkdir()
    (where / "fake vm gone").touch()
    with held_elsewhere("vm db"):
        with holding(URI, ["vm web"]):
            pass
        assert len(list(where.iterdir())) == 1


def test_an_object_with_a_long_name_has_a_lock_too() -> None:
    with holding("fake:///" + "x" * 300, ["vm web"]):
        assert all(len(path.name) < 256 for path in locks.directory().iterdir())
