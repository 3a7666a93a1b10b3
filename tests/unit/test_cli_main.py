"""A line that asks for nothing real: help, version, mistakes; each with its exit code."""

from __future__ import annotations

import errno
import json
import sys

import pytest

from kvist.cli import call as calling
from kvist.cli.globals import Globals
from kvist.cli.main import main
from kvist.errors import Conflict, Invalid, KvistError, NotFound, Refused, TimedOut, Unreachable
from kvist.registry.verb import Verb


@pytest.mark.parametrize("line", ["", "--help", "-h", "help", "help image", "image", "sandbox --help", "--version"])
def test_a_question_about_kvist_itself_ends_well(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(line.split()) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("kvist ") or printed.out.startswith("kvist:")
    assert printed.err == ""


@pytest.mark.parametrize(
    ("line", "what", "hint"),
    [
        ("strat web", 'there is no verb or noun "strat"', "kvist start web"),
        ("imag ls", 'there is no verb or noun "imag"', "kvist image ls"),
        ("xyzzy", 'there is no verb or noun "xyzzy"', "kvist --help"),
        ("trash lst", '"trash" has no verb "lst"; it has ls, restore, empty', "kvist trash ls"),
        ("trash frobnicate", '"trash" has no verb "frobnicate"; it has ls, restore, empty', "kvist trash --help"),
        ("ls -o toml", '-o is one of table, json, yaml, name, xml, svg, not "toml"', ""),
    ],
)
def test_a_line_that_nobody_understands_says_what_is_nearest(
    line: str, what: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(line.split()) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines() == [f"error: {what}", *([f"hint:  {hint}"] if hint else [])]


def failing(error: BaseException) -> object:
    def call(_verb: Verb, _words: object, _chosen: Globals) -> int:
        raise error

    return call


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Conflict("in use"), 1),
        (Unreachable("away"), 1),
        (Invalid("no"), 2),
        (NotFound("no"), 3),
        (Refused("no"), 4),
        (TimedOut("no"), 5),
        (KeyboardInterrupt(), 130),
        (ZeroDivisionError("x"), 1),
    ],
)
def test_an_exit_code_says_what_kind_of_end_it_was(
    error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(calling, "call", failing(error))
    assert main(["ls"]) == code
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.startswith("error: ")
    assert "Traceback" not in printed.err


def test_a_mistake_of_kvists_own_is_told_as_one_and_shown_whole_to_who_asks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(calling, "call", failing(ZeroDivisionError("oops")))
    main(["ls"])
    assert "kvist stumbled over a mistake of its own: ZeroDivisionError: oops" in capsys.readouterr().err
    monkeypatch.setenv("KVIST_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        main(["ls"])


def test_a_word_that_is_no_text_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "\udcc3\udcbc"]) == 2
    assert capsys.readouterr().err.splitlines()[0] == "error: '\\udcc3\\udcbc' is no text in UTF-8"


def test_what_the_machine_refuses_is_no_mistake_of_kvists(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(calling, "call", failing(OSError(errno.EROFS, "Read-only file system", "/root/.local")))
    assert main(["ls"]) == 1
    assert capsys.readouterr().err.startswith('error: cannot use "/root/.local": Read-only file system\nhint:')
    monkeypatch.setattr(calling, "call", failing(OSError(errno.ENOSPC, "No space left on device")))
    assert main(["ls"]) == 1
    assert capsys.readouterr().err.startswith("error: No space left on device\n")


@pytest.mark.parametrize("form", [["-o", "json"], ["-ojson"], ["--output=json"], ["--output", "json"]])
def test_a_program_is_told_of_an_error_as_json(
    form: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    error: KvistError = NotFound('there is no VM "web"', hint="kvist ls")
    monkeypatch.setattr(calling, "call", failing(error))
    monkeypatch.setattr(sys, "argv", ["kvist", "ls", *form])
    assert main(["ls", *form]) == 3
    printed = capsys.readouterr()
    assert json.loads(printed.err) == {"error": "not-found", "what": 'there is no VM "web"', "hint": "kvist ls"}


def test_a_reader_that_has_enough_is_no_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(calling, "call", failing(BrokenPipeError()))
    assert main(["ls"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("list --all", "kvist ls"),
        ("shutdown web", "kvist stop web"),
        ("destroy web", "kvist stop web --force"),
        ("undefine web", "kvist delete web"),
        ("dominfo", "kvist show VM"),
        ("net-start lab", "kvist net start lab"),
        ("image rm micro", "kvist image remove"),
    ],
)
def test_a_word_of_virsh_is_answered_with_the_line_that_does_the_same(
    line: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(line.split()) == 2
    assert capsys.readouterr().err.splitlines()[1] == f"hint:  {hint}"


def test_what_is_suggested_for_a_word_of_virsh_exists() -> None:
    from kvist.cli.unknown import HABITS
    from kvist.registry.lookup import find

    assert [line for line in HABITS.values() if find(line.split()) is None] == []
    assert [word for word in HABITS if find([word])] == []


def test_help_about_what_does_not_exist_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help", "frobnicate"]) == 2
    assert capsys.readouterr().out == ""


def test_the_help_of_create_shows_the_common_settings_and_all_of_them_when_asked(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["create", "--help"]) == 0
    short = capsys.readouterr().out
    assert main(["help", "create", "--all"]) == 0
    whole = capsys.readouterr().out
    assert "--memory SIZE" in short and "--hyperv-ipi" not in short
    assert "--memory SIZE" in whole and "--hyperv-ipi" in whole
    assert short.index("What it is made from") < short.index("Settings") < short.index("Help")
