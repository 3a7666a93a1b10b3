"""One line on many VMs: one result for each, in order, one document, one exit code; Ctrl-C begins no more."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import kvist
from kvist.cli.main import main
from kvist.engine.locks import holding
from kvist.resources.vms.selection import select, tags_of_all

COUNT = 200
OFF = "<test:runstate xmlns:test='http://libvirt.org/schemas/domain/test/1.0'>5</test:runstate>"


def tagged(*tags: str) -> str:
    words = "".join(f"<kvist:tag>{tag}</kvist:tag>" for tag in tags)
    return f"<metadata><kvist:vm xmlns:kvist='urn:kvist:1'>{words}</kvist:vm></metadata>"


def domain(name: str, more: str = "") -> str:
    return (
        f"<domain type='test'><name>{name}</name><memory unit='MiB'>64</memory>{more}<os><type>hvm</type></os></domain>"
    )


def node(tmp_path: Path, *domains: str) -> str:
    file = tmp_path / "host.xml"
    file.write_text(f"<node>{''.join(domains)}</node>")
    return f"test://{file}"


@pytest.fixture
def many(tmp_path: Path) -> str:
    """A host of 200 VMs that run."""
    return node(tmp_path, *(domain(f"vm{number:03}") for number in range(COUNT)))


@pytest.fixture
def few(tmp_path: Path) -> str:
    return node(tmp_path, *(domain(name) for name in ("web1", "web2", "db1")), domain("asleep", OFF))


def test_of_200_one_fails_and_199_are_done(many: str, capsys: pytest.CaptureFixture[str]) -> None:
    with holding(many, ["vm vm077"]):
        code = main(["-H", many, "set", "--all", "--title", "the shop", "--lock-timeout", "1s", "-o", "json", "-q"])
    told: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    assert code == 5
    assert [one["vm"] for one in told] == [f"vm{number:03}" for number in range(COUNT)]
    assert sum(one["changed"] for one in told) == COUNT - 1
    failed = [one for one in told if "error" in one]
    assert [(one["vm"], one["error"], one["exit"]) for one in failed] == [("vm077", "timed-out", 5)]
    assert all(one["changes"][0]["after"] == "the shop" for one in told if one["changed"])


def test_the_one_that_failed_is_told_to_a_person_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    host = node(tmp_path, *(domain(f"vm{number:03}", OFF if number == 77 else "") for number in range(COUNT)))
    assert main(["--host", host, "suspend", "--all"]) == 1
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert lines == [f"vm{number:03}  state  running -> paused" for number in range(COUNT) if number != 77]
    assert 'error: cannot suspend VM "vm077": it is off\n' in printed.err
    assert printed.err.endswith(f"{COUNT - 1} done, 1 failed\n")
    assert 'vm000: suspend VM "vm000"\n' in printed.err


def test_what_is_done_already_is_said_of_each(few: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--host", few, "start", "web2", "db1", "-q", "-o", "json"]) == 0
    assert [one["changed"] for one in json.loads(capsys.readouterr().out)] == [False, False]
    assert main(["--host", few, "start", "web*"]) == 0
    assert capsys.readouterr().out == "web1  nothing to do\nweb2  nothing to do\n"


def test_a_dry_run_plans_each_and_does_none(few: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--host", few, "stop", "web*", "--force", "--dry-run", "-o", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [(one["vm"], one["would"][0]["step"]) for one in told] == [
        ("web1", 'force VM "web1" off'),
        ("web2", 'force VM "web2" off'),
    ]
    assert main(["--host", few, "stop", "web*", "--force", "--dry-run"]) == 0
    assert capsys.readouterr().out == 'would force VM "web1" off\nwould force VM "web2" off\n'


def test_the_exit_code_is_the_worst(few: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--host", few, "suspend", "nosuch", "asleep", "web1"]) == 3
    assert capsys.readouterr().out == "web1  state  running -> paused\n"


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["web*"], ["web1", "web2"]),
        (["db?", "web[12]"], ["db1", "web1", "web2"]),
        (["web2", "web*"], ["web2", "web1"]),
        (["*"], ["asleep", "db1", "web1", "web2"]),
        (["nosuch"], ["nosuch"]),
    ],
)
def test_patterns_give_each_vm_once_in_the_order_of_the_words(few: str, words: list[str], names: list[str]) -> None:
    host = kvist.connect(few)
    assert select(host, words) == names


def test_a_pattern_that_fits_none_is_a_mistake_unless_they_are_to_be_gone(
    few: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--host", few, "start", "wbe*"]) == 3
    assert capsys.readouterr().err.startswith('error: there is no VM whose name fits "wbe*"')
    assert main(["--host", few, "delete", "wbe*"]) == 0


def test_a_tag_finds_those_that_have_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    marked = {"web1": ("prod", "eu"), "web2": ("eu",), "db1": ("prod", "eu"), "bare": ()}
    few = node(tmp_path, *(domain(name, tagged(*tags) if tags else "") for name, tags in marked.items()))
    host = kvist.connect(few)
    assert tags_of_all(host) == marked
    assert select(host, ["*"], tags=["prod"]) == ["db1", "web1"]
    assert select(host, ["web*"], tags=["eu", "prod"]) == ["web1"]
    assert main(["--host", few, "suspend", "--tag", "prod", "-o", "name", "-q"]) == 0
    assert capsys.readouterr().out == "db1\nweb1\n"
    assert main(["--host", few, "suspend", "--tag", "pord"]) == 3


@pytest.mark.parametrize("line", [("start",), ("start", "--all", "web1"), ("start", "--all", "--jobs", "0")])
def test_a_line_that_names_nothing_or_too_much_changes_nothing(
    few: str, line: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--host", few, *line]) == 2
    assert "hint: " in capsys.readouterr().err


def test_those_at_the_same_time_are_as_many_as_asked_for(few: str) -> None:
    from kvist.engine.many import Stop, each

    busy: list[str] = []
    most: list[int] = []
    lock = threading.Lock()

    def act(name: str, _stop: Stop) -> str:
        with lock:
            busy.append(name)
            most.append(len(busy))
        time.sleep(0.02)
        with lock:
            busy.remove(name)
        return name.upper()

    names = [f"vm{number}" for number in range(12)]
    assert [outcome.result for outcome in each(names, act, width=3)] == [name.upper() for name in names]
    assert max(most) == 3


def test_after_a_stop_no_more_are_begun_and_those_begun_take_it_back() -> None:
    from kvist.engine.many import Stop, each
    from kvist.errors import Interrupted

    stop = Stop()
    begun: list[str] = []
    taken_back: list[str] = []

    def act(name: str, halt: Stop) -> str:
        begun.append(name)
        if name == "vm1":
            stop.ask()
        try:
            for _ in range(500):
                halt.look()
                time.sleep(0.01)
        except KeyboardInterrupt:
            # Taking back waits too, and is not stopped again.
            halt.look()
            taken_back.append(name)
            raise
        return name

    names = [f"vm{number}" for number in range(6)]
    outcomes = list(each(names, act, width=2, stop=stop))
    assert sorted(begun) == sorted(taken_back) == ["vm0", "vm1"]
    assert [type(outcome.error) for outcome in outcomes] == [Interrupted] * 6
    assert "begun" in str(outcomes[5].error)
    assert {outcome.exit for outcome in outcomes} == {130}


def test_ctrl_c_ends_a_wait_and_begins_no_more(few: str, capsys: pytest.CaptureFixture[str]) -> None:
    import os
    import signal

    # The first waits for a lock that is not let go; Ctrl-C comes meanwhile.
    with holding(few, ["vm web1"]):
        timer = threading.Timer(1.5, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        began = time.monotonic()
        code = main(["--host", few, "suspend", "web1", "db1", "web2", "--jobs", "1", "-o", "json", "-q"])
    told = json.loads(capsys.readouterr().out)
    assert code == 130
    assert time.monotonic() - began < 10
    assert [one["error"] for one in told] == ["interrupted"] * 3
