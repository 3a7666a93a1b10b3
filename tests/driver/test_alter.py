"""`kvist set` from the command line, on libvirt's test driver."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

import kvist
from kvist.cli.main import main
from kvist.resources.vms.vm import Machine
from kvist.specs.vm import Vm
from kvist.values import Size

URI = "test:///default"


@pytest.fixture
def vm() -> Iterator[Machine]:
    """The VM of the test driver, which forgets what was done when the last connection to it is closed."""
    host = kvist.connect(URI)
    yield host.vm("test")
    host.close()


def ask(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any, str]:
    code = main(["--host", URI, "-o", "json", "set", "test", *words])
    printed = capsys.readouterr()
    return code, json.loads(printed.out) if printed.out else None, printed.err


def test_a_line_changes_what_is_live_and_stores_what_waits(vm: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--title", "the shop", "--on-crash", "restart", "--tags", "a,b")
    code, told, _ = ask(capsys, *words)

    assert code == 0
    assert {(one["field"], one["after"], one["when"]) for one in told["changes"]} == {
        ("title", "the shop", "live"),
        ("tags", "a,b", "live"),
        ("on_crash", "restart", "next boot"),
    }
    live, stored = Vm.read(vm.document().root), Vm.read(vm.document(next_boot=True).root)
    assert (live.title, live.tags, live.on_crash) == ("the shop", ("a", "b"), "destroy")
    assert (stored.title, stored.tags, stored.on_crash) == ("the shop", ("a", "b"), "restart")
    code, told, _ = ask(capsys, *words)
    assert (code, told["changed"]) == (0, False)


def test_a_setting_without_a_value_is_taken_away(vm: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    ask(capsys, "--title", "the shop")
    code, told, _ = ask(capsys, "--title", "")
    assert (code, told["changes"][0]["after"]) == (0, None)
    assert Vm.read(vm.document().root).title is None


def test_a_dry_run_changes_nothing(vm: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    before = vm.document().text()
    code, told, _ = ask(capsys, "--dry-run", "--memory", "3G")
    assert code == 0
    assert [one["field"] for one in told["changes"]] == ["memory"]
    assert vm.document().text() == before


def test_memory_grows_in_both_documents_by_the_typed_call_too(vm: Machine) -> None:
    vm.set(Vm(memory=Size.parse("3G")))
    for next_boot in (False, True):
        assert Vm.read(vm.document(next_boot=next_boot).root).memory == Size.parse("3G")


@pytest.mark.parametrize(
    ("words", "code"),
    [((), 2), (("--name", "other"), 2), (("--memory", "4"), 2), (("--no-such-setting", "1"), 2)],
    ids=["nothing", "a name", "a size without a unit", "an unknown setting"],
)
def test_a_line_that_makes_no_sense_changes_nothing(
    words: tuple[str, ...], code: int, vm: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    before = vm.document().text()
    ended, _, said = ask(capsys, *words)
    assert ended == code
    assert "error" in said
    assert vm.document().text() == before
