"""Every line of kvist that README and the guides show is one that kvist understands, and what they call missing is."""

from __future__ import annotations

import ast
import inspect
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from kvist.cli import globals as options
from kvist.cli.call import load
from kvist.cli.command import apart
from kvist.cli.parser import Line, parameters
from kvist.errors import Invalid
from kvist.host.run import run
from kvist.registry.lookup import NOUNS, find
from kvist.registry.verb import Subject

ROOT = Path(__file__).parents[2]
GUIDES = sorted([*ROOT.glob("README*.md"), *(ROOT / "docs").glob("*.md")])
TABLES = ("from-virsh.md", "from-virsh.zh-CN.md")
ENDS = re.compile(r"\s(?:\||&&|;|>|<|\|\|)\s")


class Shown(NamedTuple):
    """A line of kvist in a document."""

    where: str
    text: str

    def __str__(self) -> str:
        return f"{self.where}: {self.text}"


def commands(text: str) -> Iterator[str]:
    """Give the kvist commands in a line of shell."""
    for part in ENDS.split(f" {text} "):
        words = part.strip().removeprefix("$ ").strip()
        if words == "kvist" or words.startswith("kvist "):
            # As a shell gives them on: without comments, and with the home directory in full.
            yield shlex.join(re.sub("^~/", "/home/", word) for word in shlex.split(words, comments=True))


def spans(text: str) -> Iterator[str]:
    for code in re.findall(r"`([^`]+)`", text):
        yield from commands(code.replace(r"\|", "|"))


def lines(path: Path) -> Iterator[tuple[Shown, bool]]:
    """Give each line of kvist in a document, and whether the document says that it works."""
    fence = ""
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        where = f"{path.name}:{number}"
        if text.startswith("```"):
            fence = "" if fence else text[3:].strip() or "text"
        elif fence == "sh" or (fence == "console" and text.startswith("$ ")):
            yield from ((Shown(where, each), True) for each in commands(text))
        elif not fence:
            works, missing = text, ""
            cells = re.split(r"(?<!\\)\|", text)
            # In these tables the last column is what is not there yet.
            if path.name in TABLES and len(cells) == 6:
                works, missing = "|".join(cells[:4]), cells[4]
            yield from ((Shown(where, each), True) for each in spans(works))
            yield from ((Shown(where, each), False) for each in spans(missing))


def complaint(text: str) -> str:
    """Say what kvist would say to a line that it does not understand; empty when it does."""
    typed = shlex.split(text)[1:]
    try:
        chosen, words = options.split(apart(typed))
        if not words or words[0] == "help" or chosen.version or words[0] in ("-h", "--help"):
            return ""
        if words[0] in NOUNS and (len(words) == 1 or words[1] in ("-h", "--help")):
            return ""
        found = find(words)
        if found is None:
            return "there is no such verb"
        verb, used = found
        rest = words[used:]
        if not rest or "--help" in rest or "--help-all" in rest:
            # The verb is only mentioned.
            return ""
        names, values = Line(verb, load(verb)).read(rest)
        if verb.subject in (Subject.VM, Subject.MANY) and not names:
            return "it names no VM"
        needed = {one.name for one in parameters(load(verb)) if one.default is inspect.Parameter.empty}
        return "" if needed <= set(values) else f"it lacks {', '.join(needed - set(values))}"
    except Invalid as wrong:
        return wrong.what


WORKING = [shown for path in GUIDES for shown, works in lines(path) if works]
MISSING = [shown for path in GUIDES for shown, works in lines(path) if not works]


def test_the_guides_show_many_lines() -> None:
    assert len(WORKING) > 100
    assert {shown.where.partition(":")[0] for shown in WORKING} >= {"README.md", "README.zh-CN.md", *TABLES}


@pytest.mark.parametrize("path", GUIDES, ids=lambda path: path.name)
def test_a_line_in_a_guide_is_one_that_kvist_understands(path: Path) -> None:
    told = [(str(shown), complaint(shown.text)) for shown, works in lines(path) if works]
    assert [f"{shown}: {what}" for shown, what in told if what] == []


def test_what_is_called_missing_is_missing() -> None:
    assert [str(shown) for shown in MISSING if not complaint(shown.text)] == [], "it is there now: say so"


@pytest.mark.parametrize("names", [("README.md", "README.zh-CN.md"), TABLES], ids=["readme", "table"])
def test_both_languages_show_the_same_lines(names: tuple[str, str]) -> None:
    ours = [[shown.text for shown in (*WORKING, *MISSING) if shown.where.startswith(f"{name}:")] for name in names]
    assert sorted(set(ours[0]) ^ set(ours[1])) == []


def test_the_table_has_all_rows_of_the_mission() -> None:
    for name in TABLES:
        text = (ROOT / "docs" / name).read_text(encoding="utf-8")
        assert sorted(int(number) for number in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)) == list(range(1, 51))


def test_every_link_between_the_guides_leads_somewhere() -> None:
    dead = []
    for path in GUIDES:
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
            if not (path.parent / link).exists():
                dead.append(f"{path.name}: {link}")
    assert dead == []


def test_the_python_in_the_guides_passes_the_type_checker(tmp_path: Path) -> None:
    pieces = [
        piece
        for name in ("README.md", "README.zh-CN.md", "docs/python.md")
        for piece in re.findall(r"```python\n(.*?)```", (ROOT / name).read_text(encoding="utf-8"), re.DOTALL)
    ]
    assert len(pieces) > 4
    for number, piece in enumerate(pieces):
        ast.parse(piece)
        (tmp_path / f"piece_{number}.py").write_text(piece)
    files = [str(path) for path in sorted(tmp_path.glob("*.py"))]
    # Raises CommandFailed with what the type checker says.
    run([sys.executable, "-m", "mypy", "--strict", "--config-file", str(ROOT / "pyproject.toml"), *files], timeout=200)
