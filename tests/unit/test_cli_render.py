"""What is printed: tables for people, data for programs, names for shells."""

from __future__ import annotations

import io
import json
import sys
from typing import NamedTuple

import pytest

from kvist.cli.globals import Globals
from kvist.cli.render import answer, complain, plain, show, would
from kvist.engine.execute import Answer
from kvist.engine.plan import Plan
from kvist.engine.step import Change, Site, Step
from kvist.errors import Invalid, NotFound, Problem
from kvist.values import Cidr, Duration, Mac, PortRange, Size


class Row(NamedTuple):
    name: str
    free_space: Size | None
    up: Duration | None
    on: bool = True


ROWS = [Row("web", Size(3 << 29), Duration(90)), Row("a-longer-name", None, None, False)]


def printed(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().out


def test_the_columns_of_a_table_stand_under_their_heads(capsys: pytest.CaptureFixture[str]) -> None:
    show(ROWS, Globals())
    assert printed(capsys).splitlines() == [
        "NAME           FREE SPACE  UP  ON",
        "web            1.5G        2m  yes",
        "a-longer-name  -           -   no",
    ]


def test_an_empty_list_prints_nothing_and_as_json_an_empty_list(capsys: pytest.CaptureFixture[str]) -> None:
    show([], Globals())
    assert printed(capsys) == ""
    show([], Globals(output="json"))
    assert json.loads(printed(capsys)) == []


def test_a_name_that_has_several_rows_is_printed_once(capsys: pytest.CaptureFixture[str]) -> None:
    show([*ROWS, ROWS[0]], Globals(output="name"))
    assert printed(capsys) == "web\na-longer-name\n"


def test_names_alone_are_one_to_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    show(ROWS, Globals(output="name"))
    assert printed(capsys) == "web\na-longer-name\n"


def test_json_has_bytes_and_seconds_as_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    show(ROWS, Globals(output="json"))
    assert json.loads(printed(capsys)) == [
        {"name": "web", "free_space": 3 << 29, "up": 90.0, "on": True},
        {"name": "a-longer-name", "free_space": None, "up": None, "on": False},
    ]


def test_yaml_says_the_same_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    import yaml

    show(ROWS, Globals(output="yaml"))
    assert yaml.safe_load(printed(capsys)) == plain(ROWS)


@pytest.mark.parametrize(
    ("value", "data"),
    [
        (Size(4096), 4096),
        (Duration(1.23456), 1.235),
        (Mac("52:54:00:00:00:01"), "52:54:00:00:00:01"),
        (Cidr("10.0.0.1", 24), "10.0.0.1/24"),
        (PortRange(22, 22), "22/tcp"),
        ((Cidr("10.0.0.1", 24),), ["10.0.0.1/24"]),
        ({"size": Size(1), "on": True, "none": None}, {"size": 1, "on": True, "none": None}),
        (Row("a", Size(1), None), {"name": "a", "free_space": 1, "up": None, "on": True}),
        (frozenset({"one"}), ["one"]),
    ],
)
def test_a_value_of_ours_is_plain_data_in_json(value: object, data: object) -> None:
    assert plain(value) == data
    assert type(plain(value)) is type(data)


def test_a_record_is_printed_with_what_is_in_it_set_in(capsys: pytest.CaptureFixture[str]) -> None:
    show({"name": "web", "memory": Size(1 << 30), "os": {"firmware": "efi"}, "tags": ("a", "b")}, Globals())
    lines = printed(capsys).splitlines()
    assert lines[0].split() == ["name", "web"]
    assert lines[1].split() == ["memory", "1G"]
    assert lines[2:4] == ["os", "  firmware  efi"]
    assert lines[4].split(maxsplit=1) == ["tags", "a, b"]


CHANGES = [Change("web", "memory", Size(1 << 30), Size(2 << 30)), Change("web", "machine", "pc", "q35", "restart")]


def test_an_answer_says_field_by_field_what_changed_and_when(capsys: pytest.CaptureFixture[str]) -> None:
    answer(Answer(CHANGES, ["set"]), Globals())
    assert printed(capsys).splitlines() == ["web  memory   1G -> 2G", "web  machine  pc -> q35  restart"]


def test_an_answer_without_a_change_says_that_there_was_nothing_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    answer(Answer([], []), Globals())
    assert printed(capsys) == "nothing to do\n"
    answer(Answer([], []), Globals(output="json"))
    assert json.loads(printed(capsys)) == {"changed": False, "changes": [], "steps": []}


class Start(Step):
    stays = "it is only described here"

    def describe(self) -> str:
        return 'start VM "web"'

    def apply(self, at: Site) -> None:
        raise AssertionError("a plan that is shown is not carried out")


def test_a_dry_run_says_what_would_be_done(capsys: pytest.CaptureFixture[str]) -> None:
    would(Plan([Start()]), Globals())
    assert printed(capsys) == 'would start VM "web"\n'
    would(Plan([]), Globals())
    assert printed(capsys) == "nothing to do\n"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("no_color", "coloured"), [(None, True), ("1", False)])
def test_colour_is_for_terminals_and_for_who_wants_it(
    no_color: str | None, coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    if no_color is not None:
        monkeypatch.setenv("NO_COLOR", no_color)
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    complain(NotFound("no VM", hint="kvist ls"))
    assert ("\x1b[" in screen.getvalue()) is coloured
    assert "no VM" in screen.getvalue() and "kvist ls" in screen.getvalue()


def test_nothing_is_coloured_where_no_terminal_is(capsys: pytest.CaptureFixture[str]) -> None:
    complain(NotFound("no VM", hint="kvist ls"))
    assert capsys.readouterr().err == "error: no VM\nhint:  kvist ls\n"


def test_all_mistakes_of_a_line_are_told_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    complain(Invalid([Problem("--memory", "give a unit"), Problem("", "no network")], hint="kvist create --help"))
    assert capsys.readouterr().err.splitlines() == [
        "error: --memory: give a unit",
        "error: no network",
        "hint:  kvist create --help",
    ]


def test_a_quiet_line_prints_nothing_also_when_there_was_nothing_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    answer(Answer((), ()), Globals(quiet=True))
    assert capsys.readouterr().out == ""
    answer(Answer((), ()), Globals())
    assert capsys.readouterr().out == "nothing to do\n"


def test_what_is_renamed_is_named_by_its_new_name(capsys: pytest.CaptureFixture[str]) -> None:
    changes = [Change("web", "name", "web", "www"), Change("web", "title", None, "x"), Change("db", "name", "-", None)]
    answer(Answer(changes, ["rename"]), Globals(output="name"))
    assert capsys.readouterr().out == "www\ndb\n"
    net = [Change("lan", "definition", "present", None), Change("office", "renamed_from", None, "lan")]
    answer(Answer(net, ["rename"]), Globals(output="name"))
    assert capsys.readouterr().out == "office\n"
