"""Options that every verb has are found wherever they stand, and nothing behind `--` is touched."""

from __future__ import annotations

import pytest

from kvist.cli.globals import Globals, split
from kvist.errors import Invalid


@pytest.mark.parametrize(
    ("line", "chosen", "rest"),
    [
        ("ls", Globals(), "ls"),
        ("-o json ls", Globals(output="json"), "ls"),
        ("ls -o json", Globals(output="json"), "ls"),
        ("ls -ojson", Globals(output="json"), "ls"),
        ("ls --output=yaml", Globals(output="yaml"), "ls"),
        ("--host sandbox:lab start web", Globals(host="sandbox:lab"), "start web"),
        ("start -H test:///default web", Globals(host="test:///default"), "start web"),
        ("start web --dry-run --show-virsh", Globals(dry_run=True, show_virsh=True), "start web"),
        ("delete web -y -q", Globals(yes=True, quiet=True), "delete web"),
        ("start web --allow restart", Globals(allow="restart"), "start web"),
        ("--version", Globals(version=True), ""),
        ("stop web --timeout 2m", Globals(), "stop web --timeout 2m"),
        ("exec web -- ls -o json --host x -y", Globals(), "exec web -- ls -o json --host x -y"),
        ("-q exec web -- -q", Globals(quiet=True), "exec web -- -q"),
    ],
)
def test_a_line_is_split_into_what_every_verb_has_and_the_rest(line: str, chosen: Globals, rest: str) -> None:
    assert split(line.split()) == (chosen, rest.split())


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("ls -o", "-o needs a value"),
        ("ls --host=", "--host needs a value"),
        ("ls -o toml", '-o is one of table, json, yaml, name, xml, svg, not "toml"'),
        ("start web --allow everything", '--allow is one of replug, restart, recreate, not "everything"'),
    ],
)
def test_a_value_that_is_missing_or_wrong_is_told_with_what_there_is(line: str, sentence: str) -> None:
    with pytest.raises(Invalid) as wrong:
        split(line.split())
    assert wrong.value.what == sentence


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (["set", "web", "--title", "the shop"], "kvist set web --title 'the shop'"),
        (["create", "web", "--password", "x y"], "kvist create web --password '********'"),
        (["create", "web", "--password=x"], "kvist create web '--password=********'"),
        (
            ["set", "web", "--graphics", "vnc,password=x,port=1"],
            "kvist set web --graphics 'vnc,password=********,port=1'",
        ),
        (["set", "web", "--graphics=vnc,password=x"], "kvist set web '--graphics=vnc,password=********'"),
    ],
)
def test_the_line_in_the_journal_tells_no_password(words: list[str], asked: str) -> None:
    assert Globals(words=tuple(words)).asked == asked


def test_how_long_to_wait_for_another_kvist_is_a_time() -> None:
    assert Globals(lock_timeout="2m").patience == 120
    assert Globals().patience is None
    with pytest.raises(Invalid, match="is not a time"):
        _ = Globals(lock_timeout="soon").patience
