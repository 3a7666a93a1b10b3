"""How a record is printed for a person."""

from __future__ import annotations

import pytest

from kvist.cli.globals import Globals
from kvist.cli.render import show

RECORD = {
    "tags": ["prod", "web"],
    "advice": ["one sentence", "another sentence"],
    "disks": [
        {"target": "vda", "size": None, "backing": None},
        {"target": "sdaa", "size": 5, "backing": None},
    ],
}


def test_words_stand_on_one_line_and_sentences_each_on_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    show(RECORD, Globals())
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["tags", "prod,", "web"]
    assert lines[1:4] == ["advice", "  one sentence", "  another sentence"]


def test_devices_stand_in_columns_and_a_column_without_any_value_is_left_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show({"disks": RECORD["disks"]}, Globals())
    assert capsys.readouterr().out.splitlines() == ["disks", "  vda   -", "  sdaa  5"]
