"""Which nouns and verbs there are. Each verb's module is loaded when the verb is asked for, and not before."""

from __future__ import annotations

from kvist.registry import devices, host, network
from kvist.registry.machine import MACHINE
from kvist.registry.verb import Noun, Verb

NOUNS: dict[str, Noun] = {noun.name: noun for noun in (*devices.NOUNS, *network.NOUNS, *host.NOUNS)}


def find(words: list[str]) -> tuple[Verb, int] | None:
    """Find the verb that a line begins with, and how many words name it; None when there is no such verb."""
    if not words:
        return None
    for verbs in MACHINE.values():
        for verb in verbs:
            if verb.name == words[0]:
                return verb, 1
    noun = NOUNS.get(words[0])
    if noun and len(words) > 1:
        for verb in noun.verbs:
            # A verb of two words (`net host add`) is found by both.
            end = 2 + verb.name.count(" ")
            if verb.name == " ".join(words[1:end]):
                return verb, end
    return (noun.plain, 1) if noun and noun.plain else None


def spelled(verb: Verb) -> str:
    """Give the words that name a verb: `start`, `image ls`."""
    for noun in NOUNS.values():
        if verb is noun.plain:
            return noun.name
        if verb in noun.verbs:
            return f"{noun.name} {verb.name}"
    return verb.name
