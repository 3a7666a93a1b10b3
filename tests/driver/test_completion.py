"""Completion in a real bash, with the names of a real libvirt; and how quick its answer is."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from kvist.host.run import run
from kvist.resources.shell import completion

KVIST = Path(sys.executable).with_name("kvist")

ASK = """
source /dev/stdin <<< "$1"
COMP_LINE="$2" COMP_POINT=${#2}
_kvist "$3"
printf '%s\\n' "${COMPREPLY[@]}"
"""


def pressed(line: str) -> list[str]:
    """Press the tab key in bash."""
    return run(["bash", "-c", ASK, "bash", completion("bash"), line, str(KVIST)]).text.split()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("kvist sandb", ["sandbox"]),
        ("kvist -H test:///default suspend te", ["test"]),
        ("kvist -H test:///default create a --nic network=", ["default"]),
        ("kvist completion z", ["zsh"]),
    ],
)
def test_bash_offers_it(line: str, offered: list[str]) -> None:
    assert pressed(line) == offered


def test_a_host_that_cannot_be_reached_offers_nothing_and_says_nothing() -> None:
    done = run([str(KVIST), "__complete", "fish", "--", "kvist", "-H", "test:///no/such.xml", "start", ""])
    assert (done.code, done.text) == (0, "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_understands_its_script(shell: str, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text(completion(shell))  # type: ignore[arg-type]
    assert "__complete " + shell in script.read_text()
    if shutil.which(shell):
        run([shell, "-n", str(script)])
