"""Lines that end with a command of their own: `kvist ssh web ls -l`, whose `-l` is none of kvist's options."""

from __future__ import annotations

from collections.abc import Sequence

from kvist.cli.globals import FLAGS, VALUES
from kvist.registry.lookup import find
from kvist.registry.verb import Verb


def apart(words: Sequence[str]) -> list[str]:
    """Put in the `--` that a person may leave out before the command of ssh, exec and the like."""
    names: list[str] = []
    at = 0
    while at < len(words) and words[at] != "--":
        word = words[at]
        if word.startswith("-"):
            at += 2 if word in VALUES else 1
            continue
        names.append(word)
        at += 1
        found = find(names)
        if found is not None:
            return _after(found[0], words, at) if found[0].command else list(words)
        if len(names) == 2:
            break
    return list(words)


def _after(verb: Verb, words: Sequence[str], at: int) -> list[str]:
    from kvist.cli.call import load
    from kvist.cli.parser import Line

    line = Line(verb, load(verb))
    named = False
    while at < len(words) and words[at] != "--":
        word = words[at]
        if word.startswith("-") and word != "-":
            at += 2 if word in VALUES or (word not in FLAGS and line.takes_value(word)) else 1
        elif named:
            return [*words[:at], "--", *words[at:]]
        else:
            named = True
            at += 1
    return list(words)
