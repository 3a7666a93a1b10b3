"""Sandboxes through kvist's own command line."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kvist.host.run import Result, run
from kvist.sandbox import sandbox as sandboxes
from kvist.sandbox.sandbox import Sandbox


def kvist(*words: str, code: int = 0) -> Result:
    done = run([str(Path(sys.executable).with_name("kvist")), *words], check=False, timeout=60)
    assert done.code == code, f"{words}: {done.code}, not {code}\n{done.text}\n{done.err.decode()}"
    return done


@pytest.fixture
def name() -> Iterator[str]:
    chosen = f"verbs-{os.getpid()}"
    yield chosen
    sandboxes.down(chosen)


def test_up_and_down_say_what_changed_and_the_second_time_that_there_is_nothing_to_do(name: str) -> None:
    up = json.loads(kvist("sandbox", "up", name, "-o", "json").text)
    assert up["changes"] == [
        {"object": f"sandbox:{name}", "field": "state", "before": "down", "after": "up", "when": "now"}
    ]
    assert kvist("sandbox", "up", name).text == "nothing to do\n"
    assert "up -> down" in kvist("sandbox", "down", name).text
    assert kvist("sandbox", "down", name).text == "nothing to do\n"


def test_a_listed_sandbox_is_reached_by_the_name_it_is_listed_with(sandbox: Sandbox) -> None:
    rows = {row["name"]: row for row in json.loads(kvist("sandbox", "ls", "-o", "json").text)}
    row = rows[sandbox.name]
    assert (row["pid"], row["uri"]) == (sandbox.pid, sandbox.uri)
    assert row["memory"] > 1 << 20
    assert kvist("-H", row["host"], "net", "ls", "-o", "name").text.split() == ["default"]


def test_a_command_in_a_sandbox_needs_no_dashes_and_gives_its_exit_code(sandbox: Sandbox) -> None:
    assert kvist("sandbox", "exec", sandbox.name, "virsh", "-q", "net-list", "--name").text.strip() == "default"
    kvist("sandbox", "exec", sandbox.name, "--", "sh", "-c", "exit 6", code=6)


def test_a_sandbox_that_is_not_up_is_not_found(name: str) -> None:
    assert f"kvist sandbox up {name}" in kvist("sandbox", "exec", name, "true", code=3).err.decode()


def test_a_name_and_all_together_are_refused_before_anything_ends(sandbox: Sandbox) -> None:
    kvist("sandbox", "down", sandbox.name, "--all", code=2)
    assert sandboxes.find(sandbox.name) == sandbox
