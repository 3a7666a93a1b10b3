"""The guard of a change carries it out, takes it back unless it is told that all is well, and leaves nothing behind."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from kvist.errors import CommandFailed, Conflict, Failed
from kvist.host.hand import Hand
from kvist.host.net import guard as room
from kvist.host.net.guard import Guard, Text
from kvist.host.run import run


class Far(Hand):
    """A hand whose files are only reached by programs, as those of another machine are."""

    @property
    def here(self) -> bool:
        return False


@pytest.fixture(params=["near", "far"])
def hand(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hand:
    monkeypatch.setattr(room, "ROOM", str(tmp_path / "run"))
    return Far() if request.param == "far" else Hand()


@pytest.fixture
def guard(hand: Hand) -> Guard:
    return Guard(hand, "br0")


def change(tmp_path: Path) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]]]:
    made = str(tmp_path / "a file with spaces")
    return [("touch", made), ("-", "false")], [("rm", "-f", made), ("-", "rmdir", "/no-such-directory")]


def gone(guard: Guard, within: float = 10) -> None:
    """Wait until nothing of a guard is left: neither its papers nor its process."""
    end = time.monotonic() + within
    while Path(guard.place).exists() or run(["pgrep", "-f", f"{guard.place} "], check=False).text.strip():
        assert time.monotonic() < end, f"{guard.place} is still there"
        time.sleep(0.05)


def test_a_change_that_is_well_is_kept(guard: Guard, tmp_path: Path) -> None:
    guard.begin(*change(tmp_path), seconds=30)
    guard.made()
    with pytest.raises(Conflict, match="is still watched"):
        guard.begin([], [], seconds=1)
    guard.keep()
    assert (tmp_path / "a file with spaces").exists()
    gone(guard)


def test_nobody_has_to_say_anything_for_it_to_be_taken_back(guard: Guard, tmp_path: Path) -> None:
    guard.begin(*change(tmp_path), seconds=1)
    guard.made()
    assert (tmp_path / "a file with spaces").exists()
    gone(guard)
    assert not (tmp_path / "a file with spaces").exists()
    with pytest.raises(Failed, match="before it heard that all is well"):
        guard.keep()


def test_it_goes_back_at_a_word(guard: Guard, tmp_path: Path) -> None:
    guard.begin(*change(tmp_path), seconds=60)
    guard.made()
    assert guard.back() == ""
    assert not (tmp_path / "a file with spaces").exists()
    gone(guard)


def test_a_command_that_fails_stops_the_change_and_is_told_in_its_own_words(guard: Guard, tmp_path: Path) -> None:
    forward, backward = change(tmp_path)
    never = tmp_path / "never"
    failing = [*forward, ("ls", "/no-such-file"), ("touch", str(never))]
    guard.begin(failing, backward, seconds=60)
    with pytest.raises(CommandFailed, match=r"ls /no-such-file: .*No such file.*everything was put back"):
        guard.made()
    assert not never.exists() and not (tmp_path / "a file with spaces").exists()
    gone(guard)


def test_what_fails_on_the_way_back_does_not_stop_it_and_is_told(guard: Guard, tmp_path: Path) -> None:
    forward, backward = change(tmp_path)
    guard.begin(forward, [("ls", "/no-such-file"), *backward], seconds=60)
    guard.made()
    assert "ls /no-such-file" in guard.back()
    assert not (tmp_path / "a file with spaces").exists()
    gone(guard)


def test_files_come_and_go_with_the_change(guard: Guard, tmp_path: Path) -> None:
    old, new, doomed = (tmp_path / "etc" / name for name in ("old", "new", "doomed"))
    old.parent.mkdir()
    old.write_text("before\n")
    doomed.write_text("still\n")
    texts = [
        Text(str(old), "before\n", "after\n"),
        Text(str(new), "", "new; $(true) `true` \\\n", 0o600),
        Text(str(doomed), "still\n", ""),
    ]
    guard.begin([], [], texts, seconds=60)
    guard.made()
    assert (old.read_text(), new.read_text(), doomed.exists()) == ("after\n", "new; $(true) `true` \\\n", False)
    assert new.stat().st_mode & 0o777 == 0o600
    guard.back()
    assert (old.read_text(), new.exists(), doomed.read_text()) == ("before\n", False, "still\n")
    gone(guard)


def test_words_are_never_read_by_a_shell(guard: Guard, tmp_path: Path) -> None:
    words = ("*", "$HOME", "`id`", "; touch x", "'", '"', "\\", "a b")
    out = tmp_path / "out"
    guard.begin([("cp", "/dev/null", str(out)), ("tee", *(str(tmp_path / word) for word in words))], [], seconds=60)
    guard.made()
    assert set(words) <= {path.name for path in tmp_path.iterdir()}
    guard.keep()
    gone(guard)


def test_the_papers_of_a_guard_that_died_are_cleared_away(guard: Guard, hand: Hand, tmp_path: Path) -> None:
    hand.write(f"{guard.place}/state", "back\n")
    assert guard.there
    guard.back()
    gone(guard)


def test_one_that_is_killed_is_no_hindrance(guard: Guard, tmp_path: Path) -> None:
    guard.begin(*change(tmp_path), seconds=60)
    guard.made()
    run(["kill", "-KILL", Path(guard.place, "pid").read_text().strip()])
    began = time.monotonic()
    assert guard.back() == ""
    gone(guard)
    assert time.monotonic() - began < 5


def test_papers_that_were_written_and_never_begun_are_no_hindrance(guard: Guard, hand: Hand, tmp_path: Path) -> None:
    hand.write(f"{guard.place}/forward", "")
    guard.begin(*change(tmp_path), seconds=60)
    guard.made()
    guard.keep()
    gone(guard)


def test_it_is_in_a_session_of_its_own(guard: Guard, tmp_path: Path) -> None:
    guard.begin(*change(tmp_path), seconds=60)
    guard.made()
    (pid, *_) = run(["pgrep", "-f", f"watch {guard.place} "]).text.split()
    assert os.getsid(int(pid)) != os.getsid(0)
    guard.back()
    gone(guard)
