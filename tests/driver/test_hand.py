"""A hand on a host does the same to its programs and files here and behind a prefix."""

from __future__ import annotations

from pathlib import Path

import pytest

import kvist
from kvist.errors import CommandFailed, Unsupported
from kvist.host.hand import Hand


@pytest.fixture(params=["this machine", "behind a prefix"])
def hand(request: pytest.FixtureRequest, tmp_path: Path) -> Hand:
    behind = request.param == "behind a prefix"
    return Hand(prefix=["env", "--"] if behind else [], root=str(tmp_path))


def test_a_program_runs_and_its_failure_is_told(hand: Hand) -> None:
    assert hand.run(["cat"], input=b"word").text == "word"
    assert hand.run(["false"], check=False).code == 1
    with pytest.raises(CommandFailed, match=r'program "ls" failed: .*no-such-file'):
        hand.run(["ls", "/no-such-file"])


def test_a_program_that_is_not_there_is_told_apart(hand: Hand) -> None:
    assert (hand.has("cat"), hand.has("no-such-program")) == (True, False)
    with pytest.raises(Unsupported, match='program "no-such-program" is not installed'):
        hand.run(["no-such-program"])


def test_a_file_is_written_whole_read_listed_and_removed(hand: Hand, tmp_path: Path) -> None:
    assert hand.read("/etc/kvist/one") is None
    assert hand.names("/etc/kvist") == []
    hand.write("/etc/kvist/one", "1\n", mode=0o600)
    hand.write("/etc/kvist/one", "2\n", mode=0o600)
    assert (tmp_path / "etc/kvist/one").read_text() == hand.read("/etc/kvist/one") == "2\n"
    assert (tmp_path / "etc/kvist/one").stat().st_mode & 0o777 == 0o600
    assert hand.names("/etc/kvist") == ["one"]
    hand.remove("/etc/kvist/one")
    hand.remove("/etc/kvist/one")
    assert hand.names("/etc/kvist") == []


def test_the_words_for_another_machine_are_quoted_once() -> None:
    far = Hand(ssh=["-p", "22", "root@hv2"])
    assert far.argv(["ip", "a b", "$x"]) == [
        *("ssh", "-o", "BatchMode=yes", "-p", "22", "root@hv2"),
        "env LC_ALL=C.UTF-8 ip 'a b' '$x'",
    ]


def test_a_host_without_programs_says_so() -> None:
    host = kvist.connect("test:///default")
    with pytest.raises(Unsupported, match="out of reach"):
        host.hand.run(["true"])
