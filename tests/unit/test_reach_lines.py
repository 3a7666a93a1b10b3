"""Lines that reach into a VM: where its command begins, and options whose order counts."""

from __future__ import annotations

import pytest

from kvist.cli.call import load
from kvist.cli.command import apart
from kvist.cli.globals import split
from kvist.cli.parser import Line
from kvist.errors import Invalid
from kvist.guest.console import Expect, Send
from kvist.registry.lookup import find


def read(text: str) -> tuple[list[str], dict[str, object]]:
    _, words = split(apart(text.split(" ")))
    found = find(words)
    assert found is not None
    verb, used = found
    return Line(verb, load(verb)).read(words[used:])


@pytest.mark.parametrize(
    ("line", "same_as"),
    [
        ("ssh web uname -a", "ssh web -- uname -a"),
        ("ssh --user anna web ls -o x -q", "ssh --user anna web -- ls -o x -q"),
        ("ssh web --user anna ls -la", "ssh web --user anna -- ls -la"),
        ("ssh web --user=anna --tty top", "ssh web --user=anna --tty -- top"),
        ("-H sandbox:a ssh web id", "-H sandbox:a ssh web -- id"),
        ("ssh -H sandbox:a web git checkout -- x", "ssh -H sandbox:a web -- git checkout -- x"),
        ("ssh web -o json cat", "ssh web -o json -- cat"),
        ("sandbox exec lab virsh -q list", "sandbox exec lab -- virsh -q list"),
        ("exec web --timeout 5 sleep 9", "exec web --timeout 5 -- sleep 9"),
    ],
)
def test_a_command_needs_no_dashes_before_it(line: str, same_as: str) -> None:
    assert apart(line.split()) == same_as.split()


@pytest.mark.parametrize(
    "line",
    ["ssh web -- ls -la", "ssh web", "ssh", "create web --image x", "sandbox ls", "stop web -q", "nonsense a b c", ""],
)
def test_a_line_without_a_bare_command_stays_as_it_is(line: str) -> None:
    assert apart(line.split()) == line.split()


def test_options_behind_a_command_are_the_commands() -> None:
    chosen, words = split(apart(["ssh", "web", "grep", "-q", "-y", "--dry-run", "x"]))
    assert not chosen.quiet
    assert not chosen.yes
    assert not chosen.dry_run
    assert words == ["ssh", "web", "--", "grep", "-q", "-y", "--dry-run", "x"]


def test_a_command_keeps_its_words() -> None:
    names, values = read("ssh web --user anna git checkout -- x")
    assert names == ["web"]
    assert values == {"user": "anna", "command": ("git", "checkout", "--", "x")}


def test_what_a_script_types_and_waits_for_keeps_the_order_of_the_line() -> None:
    _, values = read(r"console web --expect login: --send root\n --send id\n --expect uid=0")
    steps = values["steps"]
    assert isinstance(steps, tuple)
    assert [type(step) for step in steps] == [Expect, Send, Send, Expect]
    assert [step.data for step in steps if isinstance(step, Send)] == [b"root\n", b"id\n"]
    assert [step.pattern.pattern for step in steps if isinstance(step, Expect)] == ["login:", "uid=0"]


def test_every_mistake_of_a_script_names_its_option() -> None:
    with pytest.raises(Invalid) as refused:
        read(r"console web --send a\q")
    assert refused.value.problems[0].path == "--send"
    with pytest.raises(Invalid) as refused:
        read("console web --expect (")
    assert refused.value.problems[0].path == "--expect"


def test_copies_take_several_sources_and_the_short_letter() -> None:
    assert read("cp -r a b web:/tmp") == ([], {"sources": ("a", "b"), "destination": "web:/tmp", "recursive": True})


def test_what_to_wait_for_is_one_of_the_known_things() -> None:
    assert read("wait web ssh --timeout 3m")[1] == {"what": "ssh", "timeout": 180.0}
    with pytest.raises(Invalid, match="not one of ip, ssh, agent, cloud-init, off"):
        read("wait web telnet")
