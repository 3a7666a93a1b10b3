"""Every verb leads to a function, which says what it does, how it is called, and what each of its parameters means."""

from __future__ import annotations

import inspect
import re
import shlex
from importlib import import_module
from typing import Any

import pytest

from kvist.cli import globals as options
from kvist.cli import help as overview
from kvist.cli.call import load
from kvist.cli.command import apart
from kvist.cli.parser import Line, function_of, parameters
from kvist.registry.lookup import NOUNS, find, spelled
from kvist.registry.machine import MACHINE
from kvist.registry.verb import Subject, Verb
from kvist.specs.disk import Disk
from kvist.specs.network import Network
from kvist.specs.nic import Nic
from kvist.specs.nwfilter import Conditions
from kvist.specs.vm import Vm

VERBS = [
    *(verb for verbs in MACHINE.values() for verb in verbs),
    *(verb for noun in NOUNS.values() for verb in noun.verbs),
]
KNOWN_AND_RARE = {
    Vm: ("--memory SIZE", "--hyperv-ipi"),
    Nic: ("--link up|down", "--rx-queue-size"),
    Disk: ("--size SIZE", "--iotune-group"),
    Network: ("--subnet TEXT", "--nat-port-start"),
    Conditions: ("--dport TEXT", "--hello-time"),
}
every_verb = pytest.mark.parametrize("verb", VERBS, ids=spelled)


@every_verb
def test_a_verb_leads_to_a_function(verb: Verb) -> None:
    module = import_module(f"kvist.resources.{verb.target.partition(':')[0]}")
    assert module.__doc__
    assert callable(function_of(load(verb)))


def example_of(verb: Verb) -> str:
    text = inspect.cleandoc(function_of(load(verb)).__doc__ or "")
    lines = [line for line in text.splitlines() if line.startswith("Example:")]
    assert len(lines) == 1, f'the docstring of "{spelled(verb)}" has {len(lines)} lines that begin with "Example:"'
    return lines[0].removeprefix("Example:").strip()


@every_verb
def test_a_verb_says_what_it_does_and_shows_a_line_that_does_it(verb: Verb) -> None:
    first = inspect.cleandoc(function_of(load(verb)).__doc__ or "").split("\n\n")[0]
    assert first.rstrip().endswith(".") and first[0].isupper()
    words = shlex.split(example_of(verb))
    assert words[0] == "kvist"


@every_verb
def test_the_example_of_a_verb_is_a_line_that_kvist_understands(verb: Verb) -> None:
    typed = shlex.split(example_of(verb), comments=True)
    # A shell may go on behind it: `kvist image ls -o name | sort`, `kvist sandbox up && kvist ls`.
    ends = [at for at, word in enumerate(typed) if word in ("|", "&&", ">", "<")]
    _, words = options.split(apart(typed[1 : min(ends, default=len(typed))]))
    found = find(words)
    assert found is not None and found[0] is verb, f"the example calls another verb: {' '.join(words)}"
    names, values = Line(verb, load(verb)).read(words[found[1] :])
    needed = {one.name for one in parameters(load(verb)) if one.default is inspect.Parameter.empty}
    assert needed <= set(values)
    if verb.subject in (Subject.VM, Subject.MANY):
        assert names


@every_verb
def test_a_parameter_of_a_verb_says_what_it_means(verb: Verb) -> None:
    known = {one.name: one for one in parameters(load(verb))}
    for one in known.values():
        assert one.ask.doc or one.ask.parts, f"{spelled(verb)} {one.flag} has no words"
    given: set[str] = set(inspect.signature(function_of(load(verb))).parameters)
    # The object itself and the reporter of progress come from kvist; all else from a person.
    from_kvist = {"self", "host", "machine", "report"}
    assert given - set(known) <= from_kvist, f"{spelled(verb)}: these parameters are no Ask"


@every_verb
def test_a_question_and_the_next_command_name_what_exists(verb: Verb) -> None:
    assert verb.asks.format(names="web") if verb.asks else True
    if verb.then:
        words = shlex.split(verb.then.format(name="web"))
        assert words[0] == "kvist"
        assert find(options.split(words[1:])[1]) is not None


@every_verb
def test_the_help_of_a_verb_shows_its_options_and_example(verb: Verb, capsys: pytest.CaptureFixture[str]) -> None:
    line = Line(verb, load(verb))
    line.print_help()
    printed = capsys.readouterr().out
    assert f"usage: kvist {spelled(verb)}" in printed
    assert "Example:" in printed
    assert [flag for flag, _ in line.options() if flag not in printed] == []
    if "--help-all" in printed:
        line.print_help(whole=False)
        short = capsys.readouterr().out
        assert len(short) < len(printed) / 2
        assert re.search(r"--help-all lists \d+ settings more", short)
        common, rare = KNOWN_AND_RARE[next(one.type for one in line.parameters if one.expands)]
        assert common in short and rare not in short


def test_the_overview_names_every_verb_and_noun(capsys: pytest.CaptureFixture[str]) -> None:
    overview.overview()
    printed = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]
    firsts = {words[0] for words in printed}
    assert {verb.name for verbs in MACHINE.values() for verb in verbs} <= firsts
    assert set(NOUNS) <= firsts


@pytest.mark.parametrize("noun", NOUNS)
def test_the_help_of_a_noun_names_its_verbs(noun: str, capsys: pytest.CaptureFixture[str]) -> None:
    overview.noun(noun)
    printed = {line.strip().partition("  ")[0] for line in capsys.readouterr().out.splitlines() if line[:2] == "  "}
    assert printed == {verb.name for verb in NOUNS[noun].verbs}


def test_no_two_verbs_and_no_verb_and_noun_share_a_name() -> None:
    top = [*(verb.name for verbs in MACHINE.values() for verb in verbs), *NOUNS]
    assert len(top) == len(set(top))
    for noun in NOUNS.values():
        names: list[Any] = [verb.name for verb in noun.verbs]
        assert len(names) == len(set(names))
