"""The error tree: what a shell, a script and a REST client see of each error."""

from __future__ import annotations

import re

import pytest

from kvist import errors
from kvist.errors import Invalid, KvistError, NotFound, Problem, Unreachable

TREE = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, KvistError)]
EXITS = {"Invalid": 2, "NotFound": 3, "Refused": 4, "TimedOut": 5, "Interrupted": 130}
"""Fixed for ever: scripts are written against them (docs/exit-codes.md)."""


@pytest.mark.parametrize("kind", TREE, ids=lambda kind: kind.__name__)
def test_an_exit_code_is_fixed(kind: type[KvistError]) -> None:
    assert kind.exit == EXITS.get(kind.__name__, 1)


@pytest.mark.parametrize("kind", TREE, ids=lambda kind: kind.__name__)
def test_an_error_is_drawn_in_the_tree_and_has_one_sentence(kind: type[KvistError]) -> None:
    drawn = re.findall(r"^    (?:[│ ]*[├└]── )?(\w+)", errors.__doc__ or "", re.MULTILINE)
    assert kind.__name__ in drawn
    assert kind.__doc__


def test_no_two_errors_share_a_slug() -> None:
    slugs = [kind.code for kind in TREE]
    assert len(slugs) == len(set(slugs))
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", slug) for slug in slugs)


@pytest.mark.parametrize("kind", TREE, ids=lambda kind: kind.__name__)
def test_a_rest_client_is_told_whose_mistake_it_is(kind: type[KvistError]) -> None:
    assert 400 <= kind.http < 600
    assert not (kind.retry and kind.http < 500), "what the client did wrong does not become right by waiting"


def test_only_what_has_a_hint_or_a_path_tells_of_it() -> None:
    assert NotFound("no VM").as_dict() == {"error": "not-found", "what": "no VM"}
    assert Unreachable("away", hint="ping it", path=".hosts[0]").as_dict() == {
        "error": "unreachable",
        "what": "away",
        "hint": "ping it",
        "path": ".hosts[0]",
    }


def test_a_request_with_several_mistakes_is_told_of_all_of_them() -> None:
    wrong = Invalid(
        [Problem("--memory", "give a unit", "4096M"), Problem("", "no such network"), Problem(".mac", "bad")]
    )
    assert wrong.what == "--memory: give a unit; no such network; .mac: bad"
    assert str(wrong) == wrong.what
    assert wrong.hint == "4096M", "the first hint, where the whole has none"
    assert wrong.as_dict()["problems"] == [
        {"path": "--memory", "what": "give a unit", "hint": "4096M"},
        {"path": "", "what": "no such network", "hint": ""},
        {"path": ".mac", "what": "bad", "hint": ""},
    ]


def test_a_single_mistake_is_a_list_of_one() -> None:
    wrong = Invalid("is not a name", path="NEW", hint="letters")
    assert wrong.problems == (Problem("NEW", "is not a name", "letters"),)
    assert wrong.what == "NEW: is not a name"


def test_what_is_added_to_an_error_reaches_whoever_reads_it() -> None:
    error = NotFound("no VM")
    error.add("and no disk")
    assert str(error) == error.what == error.as_dict()["what"] == "no VM; and no disk"
    wrong = Invalid("no name")
    wrong.add("and no disk")
    assert [problem.what for problem in wrong.problems] == ["no name", "and no disk"]
