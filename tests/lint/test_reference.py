"""The reference, the manual page and the words for completion are those of the verbs and tables that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kvist.cli import manpage, reference
from kvist.cli.surface import entries, tables
from kvist.registry.lookup import NOUNS, spelled
from kvist.registry.machine import MACHINE
from kvist.registry.verb import Verb

ROOT = Path(__file__).parents[2]
VERBS = [
    *(verb for verbs in MACHINE.values() for verb in verbs),
    *(verb for noun in NOUNS.values() for verb in noun.verbs),
]


def test_what_is_derived_is_current() -> None:
    assert [str(path.relative_to(ROOT)) for path in reference.stale(ROOT)] == [], "run scripts/reference"


def test_a_derived_file_that_is_late_or_no_more_wanted_is_named(tmp_path: Path) -> None:
    made = reference.derived(tmp_path)
    assert set(reference.stale(tmp_path)) == set(made)
    for path, text in made.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert list(reference.stale(tmp_path)) == []
    page = tmp_path / "docs" / "reference" / "vm.md"
    page.write_text(page.read_text() + "more")
    gone = page.with_name("gone.md")
    gone.touch()
    assert list(reference.stale(tmp_path)) == [page, gone]


@pytest.mark.parametrize("verb", VERBS, ids=spelled)
def test_every_verb_stands_in_the_reference_and_the_manual(verb: Verb) -> None:
    noun = next((noun.name for noun in NOUNS.values() if verb in noun.verbs), "vm")
    text = (ROOT / "docs" / "reference" / f"{noun}.md").read_text()
    assert f"# kvist {spelled(verb)}\n" in text
    assert f".B kvist {spelled(verb)}".replace("-", "\\-") in manpage.page()


def test_every_setting_stands_in_the_reference_with_when_it_applies() -> None:
    text = (ROOT / "docs" / "reference" / "settings.md").read_text()
    for name, table in tables().items():
        chapter = text.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
        for key, field in table.FIELDS.items():
            shown = re.search(rf"^\| `{key}` \| .* \| {field.applies.value} \| .", chapter, re.MULTILINE)
            assert field.told or key == table.UNION or shown, f"{name}.{key}"


def test_a_request_of_troff_in_a_text_is_only_text() -> None:
    assert manpage._text(".TH not\\fB a-b") == "\\&.TH not\\efB a\\-b"
    lines = manpage.page().splitlines()
    known = {".TH", ".SH", ".SS", ".TP", ".B", ".BR", ".IP", ".RS", ".RE", ".br", '.\\"'}
    assert {line.split()[0] for line in lines if line[:1] in (".", "'")} <= known


def test_positional_words_of_verbs_on_vms_are_completed() -> None:
    for entry in entries():
        if entry.usage.startswith(f"kvist {entry.words} VM"):
            assert entry.places[0].complete in ("vm", "policed"), entry.words
