"""A kvist that is killed between any two acts leaves the old state or the new one, once the next kvist has looked."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kvist.host.run import run, spawn

SCRIPT = str(Path(__file__).with_name("killed_operation.py"))
POINTS = [f"{when} {number}" for number in range(4) for when in ("before", "after")]


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    directory = tmp_path / "host"
    directory.mkdir()
    return directory


def made(host: Path) -> set[str]:
    return {path.name for path in host.iterdir()}


def notes(host: Path) -> list[str]:
    return [path.name for path in (host.parent / "state" / "kvist" / "inflight").iterdir()]


def do(host: Path, where: str, *steps: str) -> int:
    return run([sys.executable, SCRIPT, "do", str(host), where, *steps], check=False).code


def recover(host: Path) -> str:
    return run([sys.executable, SCRIPT, "recover", str(host)]).text.strip()


def test_an_operation_that_nobody_kills_leaves_no_note(host: Path) -> None:
    assert do(host, "never", "a", "b", "c", "d") == 0
    assert made(host) == {"a", "b", "c", "d"}
    assert notes(host) == [] and recover(host) == ""


@pytest.mark.parametrize("point", POINTS)
def test_killed_anywhere_it_is_taken_back(host: Path, point: str) -> None:
    assert do(host, point, "a", "b", "c", "d") == -signal.SIGKILL
    assert len(notes(host)) == 1
    assert recover(host) == "took back an interrupted `do`"
    assert made(host) == set() and notes(host) == []
    assert do(host, "never", "a", "b", "c", "d") == 0
    assert made(host) == {"a", "b", "c", "d"}


@pytest.mark.parametrize("point", POINTS)
def test_killed_at_or_past_a_step_without_a_way_back_it_is_finished(host: Path, point: str) -> None:
    assert do(host, point, "a", "B", "c", "d") == -signal.SIGKILL
    told = recover(host)
    if int(point.split()[1]) < 1:
        assert (told, made(host)) == ("took back an interrupted `do`", set())
    else:
        assert (told, made(host)) == ("finished an interrupted `do`", {"a", "B", "c", "d"})
    assert notes(host) == []


def test_two_that_live_do_not_take_each_other_back(host: Path) -> None:
    with spawn([sys.executable, SCRIPT, "do", str(host), "asleep", "a", "b"], stdout=subprocess.PIPE) as living:
        try:
            assert living.stdout is not None
            assert living.stdout.readline() == b"asleep\n"
            assert recover(host) == ""
            assert made(host) == {"a"}
            assert do(host, "never", "x") == 0
            assert made(host) == {"a", "x"}
        finally:
            living.kill()
            living.wait()
    assert recover(host) == "took back an interrupted `do`"
    assert made(host) == {"x"}


def test_ctrl_c_takes_back_at_once_and_leaves_no_note(host: Path) -> None:
    with spawn([sys.executable, SCRIPT, "do", str(host), "asleep", "a", "b"], stdout=subprocess.PIPE) as living:
        assert living.stdout is not None
        assert living.stdout.readline() == b"asleep\n"
        living.send_signal(signal.SIGINT)
        assert living.wait(20) != 0
    assert made(host) == set() and notes(host) == []
