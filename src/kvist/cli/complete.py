"""What may stand at the end of a line that is being typed. The shells ask with every press of the tab key."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from kvist.cli.globals import ALLOWED, FLAGS, HELP, OUTPUTS, VALUES
from kvist.registry.lookup import NOUNS, find, spelled
from kvist.registry.machine import MACHINE
from kvist.registry.verb import Verb

_BREAKS = "=:"
_SPECIAL = " \t\n\\'\"`$&|;<>()*?[]{}!#~"


class Candidate(NamedTuple):
    """A word that may stand there, and what it means."""

    word: str
    doc: str = ""


Live = Callable[[str, str | None, str], Iterable[str]]
"""Gives the live names of a kind (`vm`) on the host that the line names, or on the one that is taken without; of what
is a part of something (`nic`), those of the thing that is named first behind the verb."""


def main(argv: Sequence[str]) -> int:
    """Answer a shell: `kvist __complete bash LINE POINT`, or `kvist __complete zsh|fish -- WORD...`."""
    from kvist.resources.hosts.livenames import live_names

    if len(argv) < 3:
        # The word is for the scripts of `kvist completion` alone.
        return 2
    shell, *rest = argv
    words = _split(rest[0][: int(rest[1])])[1:] if shell == "bash" else list(rest[2:])
    found = candidates(words or [""], live_names)
    if shell == "bash":
        # bash takes = and : for ends of words, and wants only what comes behind them.
        last = words[-1] if words else ""
        cut = max((last.rfind(each) for each in _BREAKS), default=-1) + 1
        lines = [_escaped(one.word[cut:]) for one in found]
    else:
        lines = [f"{one.word}\t{one.doc}" for one in found]
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return 0


def candidates(words: Sequence[str], live: Live) -> list[Candidate]:
    """Give what may stand in the place of the last word, which is typed so far."""
    *before, last = words
    line = _Line(before, live)
    return [one for one in line.at(last) if one.word.startswith(last)]


class _Line:
    """The words before the one that is being typed."""

    def __init__(self, before: Sequence[str], live: Live) -> None:
        self.live = live
        self.host: str | None = None
        self.words: list[str] = []
        self.waiting = ""
        """The option whose value comes next."""
        self.ended = False
        self.used: set[str] = set()
        self.options: Mapping[str, Any] = {}
        self.specs: Mapping[str, Any] = {}
        self.places: Sequence[Mapping[str, Any]] = ()
        self.depth = 0
        for word in before:
            self._take(word)

    def _take(self, word: str) -> None:
        waiting, self.waiting = self.waiting, ""
        if waiting and not self._skipped(waiting, word):
            self._value(waiting, word)
        elif word == "--":
            self.ended = True
        elif word.startswith("-") and len(word) > 1 and not self.ended:
            name, joined, value = word.partition("=")
            self.used.add(name)
            if joined:
                self._value(name, value)
            elif name in VALUES or self.options.get(name, {}).keys() & {"must", "may"}:
                self.waiting = name
        else:
            self.words.append(word)
            # `log` is a verb, and `log show` another.
            if self.depth <= 1 and (found := find(self.words)) and found[1] > self.depth:
                self._verb(spelled(found[0]), found[1])

    def _skipped(self, option: str, word: str) -> bool:
        """Tell whether an option goes without a value that may be left out."""
        return word.startswith("-") and "may" in self.options.get(option, {})

    def _value(self, option: str, value: str) -> None:
        if VALUES.get(option) == "host":
            self.host = value

    def _verb(self, words: str, depth: int) -> None:
        from kvist.cli.words import read

        table = read()
        mine = table["verbs"].get(words, {"places": (), "options": {}})
        self.places, self.options, self.specs, self.depth = mine["places"], mine["options"], table["specs"], depth

    def at(self, last: str) -> Iterator[Candidate]:
        if self.waiting and not self._skipped(self.waiting, last):
            yield from self._values(self.waiting, last)
        elif self.ended:
            # What follows is a command of the guest's, or words that kvist does not know.
            return
        elif last.startswith("-"):
            name, joined, value = last.partition("=")
            if joined:
                yield from (one._replace(word=f"{name}={one.word}") for one in self._values(name, value))
            else:
                yield from self._flags()
        elif not self.depth:
            yield from self._verbs()
        else:
            if self.depth == len(self.words) == 1:
                # A noun that is a verb as well.
                yield from self._verbs()
            yield from self._at_place(last)

    def _verbs(self) -> Iterator[Candidate]:
        if not self.words:
            for verbs in MACHINE.values():
                yield from (Candidate(verb.name, verb.summary) for verb in verbs)
            yield from (Candidate(noun.name, noun.summary) for noun in NOUNS.values())
        elif self.words[0] in NOUNS and len(self.words) == 1:
            yield from _firsts(NOUNS[self.words[0]].verbs)
        elif self.words[0] in NOUNS and len(self.words) == 2:
            # Verbs of two words: `net host add`.
            named = ((verb, *verb.name.partition(" ")) for verb in NOUNS[self.words[0]].verbs)
            yield from (
                Candidate(last, verb.summary) for verb, first, _, last in named if last and first == self.words[1]
            )

    def _flags(self) -> Iterator[Candidate]:
        for flag, option in self.options.items():
            yield Candidate(flag, option.get("doc", ""))
        said = {word.strip(","): doc for names, doc in HELP for word in names.split()}
        for flag in (*FLAGS, *VALUES):
            if flag.startswith("--") and flag not in self.options:
                yield Candidate(flag, said.get(flag, ""))

    def _values(self, option: str, typed: str) -> Iterator[Candidate]:
        fixed = {"output": OUTPUTS, "allow": ALLOWED}
        if option in VALUES and option not in self.options:
            kind = VALUES[option]
            yield from map(Candidate, self.live("host", None, "") if kind == "host" else fixed.get(kind, ()))
            return
        known = self.options.get(option, {})
        if "spec" in known:
            yield from self._sub_keys(self.specs.get(known["spec"], {}), known.get("first", ()), typed)
        else:
            yield from self._of(known, typed)

    def _sub_keys(self, keys: Mapping[str, Any], first: Sequence[str], typed: str) -> Iterator[Candidate]:
        head, comma, part = typed.rpartition(",")
        before = head + comma
        key, joined, value = part.partition("=")
        if joined:
            for one in self._of(keys.get(key, {}), value):
                yield one._replace(word=f"{before}{key}={one.word}")
            return
        if not before and first:
            for key in first:
                yield from self._of(keys.get(key, {}), typed)
        said = {each.partition("=")[0] for each in head.split(",")}
        for name, field in keys.items():
            if name not in said:
                yield Candidate(f"{before}{name}=", field.get("doc", ""))

    def _at_place(self, typed: str) -> Iterator[Candidate]:
        at = len(self.words) - self.depth
        place = next((one for number, one in enumerate(self.places) if number == at or one.get("many")), None)
        if place is None:
            return
        for one in self._of(place, typed):
            if one.word not in self.words[self.depth :]:
                yield one

    def _of(self, known: Mapping[str, Any], typed: str) -> Iterator[Candidate]:
        yield from map(Candidate, known.get("choices", ()))
        kind = known.get("complete", "")
        if kind in ("file", "place"):
            from kvist.resources.hosts.livenames import paths

            yield from map(Candidate, paths(typed))
            if kind == "place" and "/" not in typed:
                yield from (Candidate(f"{name}:") for name in self.live("vm", self.host, ""))
        elif kind:
            of = self.words[self.depth] if len(self.words) > self.depth else ""
            yield from map(Candidate, self.live(kind, self.host, of))


def _firsts(verbs: Iterable[Verb]) -> Iterator[Candidate]:
    seen: set[str] = set()
    for verb in verbs:
        word = verb.name.partition(" ")[0]
        if word not in seen:
            seen.add(word)
            yield Candidate(word, verb.summary)


def _split(text: str) -> list[str]:
    """Split a line as a shell does, also one whose last quotation mark is missing yet."""
    import shlex

    for closing in ("", "'", '"'):
        try:
            words = shlex.split(text + closing)
        except ValueError:
            # Another quotation mark is open.
            continue
        return words if closing or not text[-1:].isspace() else [*words, ""]
    return text.split()


def _escaped(word: str) -> str:
    return "".join(f"\\{sign}" if sign in _SPECIAL else sign for sign in word)
