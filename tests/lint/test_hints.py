"""Every command of kvist that an error or a list tells people to type is one that kvist understands."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from kvist.cli import globals as options
from kvist.cli.call import load
from kvist.cli.command import apart
from kvist.cli.parser import Line
from kvist.registry.lookup import NOUNS, find

SOURCE = Path(__file__).parents[2] / "src" / "kvist"


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Give each string that is handed over as a hint, with a name in the place of what is filled in."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        given = [keyword.value for keyword in node.keywords if keyword.arg in ("hint", "empty")]
        if name in ("Problem", "Finding"):
            given += node.args[2:]
        for value in given:
            for text in flat(value):
                yield node.lineno, text


def flat(value: ast.expr) -> Iterator[str]:
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        yield value.value
    elif isinstance(value, ast.JoinedStr):
        yield "".join(str(part.value) if isinstance(part, ast.Constant) else "filled" for part in value.values)
    elif isinstance(value, ast.IfExp):
        yield from flat(value.body)
        yield from flat(value.orelse)


def told() -> Iterator[tuple[str, str]]:
    for path in sorted(SOURCE.rglob("*.py")):
        for number, text in texts(path):
            for piece in re.split(r"[,;:]\s|\s\(|\sor\s|\sand\s|\s&&\s|^|\stry\s", text):
                if match := re.match(r"\s*(kvist .*?)[\s.?)]*$", piece):
                    yield f"{path.relative_to(SOURCE)}:{number}", match.group(1)


TOLD = list(told())


def test_there_are_hints_to_look_at() -> None:
    assert len(TOLD) > 40


@pytest.mark.parametrize(("where", "line"), TOLD, ids=[f"{where} {line}" for where, line in TOLD])
def test_a_command_in_a_hint_is_one_that_kvist_has(where: str, line: str) -> None:
    _, words = options.split(apart(shlex.split(line)[1:]))
    if not words or words[0] in ("--help", "filled") or "filled" in words[:1]:
        return
    if words[0] in NOUNS and words[1:2] in ([], ["--help"], ["filled"]):
        return
    found = find(words)
    assert found is not None, f"{where}: there is no such verb: {line}"
    verb, used = found
    known = {flag for flag, _ in Line(verb, load(verb)).options()} | {"--"}
    before = words[used : words.index("--")] if "--" in words else words[used:]
    flags = [word.partition("=")[0] for word in before if word.startswith("--")]
    assert [flag for flag in flags if flag not in known] == [], f"{where}: {line}"
