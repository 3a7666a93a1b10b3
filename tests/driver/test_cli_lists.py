"""Lists on the command line, also those with nothing in them."""

from __future__ import annotations

import json

import pytest

from kvist.cli.main import main

HOST = ("--host", "test:///default")


def test_an_empty_list_says_so_beside_the_data_and_how_to_fill_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*HOST, "image", "ls"]) == 0
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == "there is no image; kvist image build debian-12 makes one\n"


@pytest.mark.parametrize("form", [("-o", "json"), ("-o", "name"), ("--quiet",)], ids=" ".join)
def test_a_program_gets_an_empty_list_and_no_words(form: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*HOST, "image", "ls", *form]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert (json.loads(printed.out) if "json" in form else printed.out) in ([], "")


def test_a_list_with_something_in_it_says_nothing_beside_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*HOST, "ls"]) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines()[0].split()[:2] == ["NAME", "STATE"]
    assert printed.err == ""


def test_several_vms_are_answered_by_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*HOST, "start", "test", "test", "--quiet", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == [{"vm": "test", "changed": False, "changes": [], "steps": []}]
    assert main([*HOST, "stop", "test", "nobody", "--dry-run", "-o", "json"]) == 3
    planned, failed = json.loads(capsys.readouterr().out)
    assert [each["step"] for each in planned["would"]] == ['shut down VM "test"']
    assert (failed["vm"], failed["error"]) == ("nobody", "not-found")


def test_a_name_that_begins_with_a_hyphen_can_be_given_after_two_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*HOST, "show", "--", "-x"]) == 3
    assert capsys.readouterr().err.startswith('error: there is no VM "-x"')


def test_a_record_has_a_name_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*HOST, "show", "test", "-o", "name"]) == 0
    assert capsys.readouterr().out == "test\n"


def test_a_dry_run_names_what_it_would_change(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*HOST, "stop", "test", "--dry-run", "-o", "name"]) == 0
    assert capsys.readouterr().out == "test\n"


def test_a_word_that_is_no_number_where_one_is_wanted_is_told_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*HOST, "fw", "remove", "test", "x"]) == 2
    assert capsys.readouterr().err.startswith('error: N: "x" is not a whole number\n')
