"""What the documents say of the code is what the code says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kvist import errors
from kvist.errors import KvistError

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
TREE = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, KvistError)]
DECISIONS = sorted((DOCS / "decisions").glob("*.md"))


def test_every_piece_of_code_in_the_architecture_stands_in_the_source() -> None:
    source = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "src" / "kvist").rglob("*.py")))
    pieces = re.findall(r"```python\n(.*?)```", (DOCS / "architecture.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(pieces) >= 4
    assert [piece for piece in pieces if piece not in source] == []


def test_every_path_in_the_architecture_is_there() -> None:
    named = re.findall(
        r"`((?:src|tests|scripts|docs)/[\w./-]+)`", (DOCS / "architecture.md").read_text(encoding="utf-8")
    )
    assert len(named) > 10
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_every_exit_code_and_slug_is_documented() -> None:
    rows = re.findall(r"^\| (\d+) \|.*\| (.*) \|$", (DOCS / "exit-codes.md").read_text(encoding="utf-8"), re.MULTILINE)
    documented = {(int(code), slug) for code, slugs in rows for slug in re.findall(r"`([a-z-]+)`", slugs)}
    assert documented == {(kind.exit, kind.code) for kind in TREE}


@pytest.mark.parametrize("path", DECISIONS, ids=lambda path: path.stem)
def test_a_decision_is_numbered_dated_and_short(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith(f"# {int(path.stem[:4])}. ")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d, (accepted|superseded by \d+)", lines[2])
    assert len(lines) <= 60


def test_decisions_are_numbered_without_a_gap() -> None:
    assert [int(path.stem[:4]) for path in DECISIONS] == list(range(1, len(DECISIONS) + 1))


def test_a_decision_that_the_source_refers_to_is_there() -> None:
    named = {
        found
        for path in (ROOT / "src" / "kvist").rglob("*.py")
        for found in re.findall(r"docs/[\w./-]+\.md", path.read_text(encoding="utf-8"))
    }
    assert "docs/decisions/0003-lazy-front-door.md" in named
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []
