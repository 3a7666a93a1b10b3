"""Help that needs no verb's module: the overview and a noun's verbs."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from kvist.cli.globals import HELP
from kvist.registry.lookup import NOUNS, find
from kvist.registry.machine import MACHINE

START = (
    ("kvist sandbox up", "a private libvirt to try it on, without touching this machine"),
    ("kvist image build debian-12", "make an image"),
    ("kvist create web --image debian-12", "make a VM of it and start it"),
    ("kvist ssh web", "log in"),
)


def overview() -> int:
    """Print what there is."""
    lines = ["kvist: every operation on a KVM virtual machine is one line.", ""]
    lines += ["usage: kvist VERB [VM] [OPTIONS]      kvist NOUN VERB [OPTIONS]", ""]
    lines += ["Begin", *_columns(START), ""]
    for group, verbs in MACHINE.items():
        lines += [group, *_columns((verb.name, verb.summary) for verb in verbs), ""]
    lines += ["Nouns", *_columns((noun.name, noun.summary) for noun in NOUNS.values()), ""]
    lines += ["Everywhere", *_columns(HELP), ""]
    lines += ["kvist VERB --help explains a verb, with an example."]
    return _print(lines)


def noun(name: str) -> int:
    """Print the verbs of a noun."""
    chosen = NOUNS[name]
    lines = [f"kvist {name}: {chosen.summary}", "", *_columns((verb.name, verb.summary) for verb in chosen.verbs), ""]
    return _print([*lines, f"kvist {name} VERB --help explains a verb, with an example."])


def topic(words: Sequence[str]) -> int:
    """Print the help of a noun or verb, as `kvist help image build` asks for it; `--all` spares no setting."""
    whole = "--all" in words or "--help-all" in words
    words = [word for word in words if not word.startswith("-")]
    if len(words) == 1 and words[0] in NOUNS:
        return noun(words[0])
    found = find(list(words))
    if not words:
        return overview()
    if found is None or found[1] != len(words):
        from kvist.cli.unknown import unknown

        raise unknown(words)
    from kvist.cli.call import call
    from kvist.cli.globals import Globals

    return call(found[0], ["--help-all" if whole else "--help"], Globals())


def _columns(pairs: Iterable[tuple[str, str]]) -> list[str]:
    rows = list(pairs)
    width = max(len(left) for left, _ in rows) + 2
    return [f"  {left:<{width}}{right}" for left, right in rows]


def _print(lines: Sequence[str]) -> int:
    sys.stdout.write("\n".join(lines) + "\n")
    return 0
