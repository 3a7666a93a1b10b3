"""The manual page kvist(1), in the language of man(7)."""

from __future__ import annotations

from collections.abc import Iterator

from kvist.cli.globals import HELP
from kvist.cli.help import START
from kvist.cli.surface import Entry, entries
from kvist.registry.lookup import NOUNS
from kvist.registry.machine import MACHINE

NOTE = '.\\" Written by scripts/reference from the verbs themselves; do not edit.'
EXITS = (
    ("0", "done, or nothing to do"),
    ("1", "tried, and did not work"),
    ("2", "the line makes no sense; nothing was changed"),
    ("3", "no such VM, network, image ..."),
    ("4", "refused, because it would disrupt or destroy and the line did not allow it"),
    ("5", "it did not happen in the time that was given"),
)
FILES = (
    ("$XDG_CONFIG_HOME/kvist/hosts.json", "names of hosts, and the one in use"),
    ("$XDG_STATE_HOME/kvist", "the journal, and what is being done at this moment"),
    ("$XDG_CACHE_HOME/kvist", "images that were built or fetched; may be deleted"),
    ("$XDG_DATA_HOME/kvist", "the ssh key for guests, and their host keys"),
)
ENVIRONMENT = (
    ("KVIST_HOST", "the host to act on where none is named"),
    ("NO_COLOR", "no colours"),
    ("KVIST_DEBUG", "show where kvist stumbled over a mistake of its own"),
)


def page() -> str:
    """Write the manual page."""
    return "".join(f"{line}\n" for line in _lines())


def _lines() -> Iterator[str]:
    yield from (NOTE, '.TH KVIST 1 "" "kvist" "User Commands"', ".SH NAME")
    yield _text("kvist - every operation on a KVM virtual machine is one line")
    yield from (".SH SYNOPSIS", ".B kvist", _text("VERB [VM...] [OPTIONS]"), ".br", ".B kvist")
    yield from (_text("NOUN VERB [OPTIONS]"), ".SH EXAMPLES")
    yield from _pairs(START)
    yield from (".SH OPTIONS", "These are understood by every verb, wherever on the line they stand.")
    yield from _pairs(HELP)
    found = list(entries())
    yield ".SH VERBS OF VMS"
    for heading in MACHINE:
        yield f'.SS "{_plain(heading)}"'
        for entry in found:
            if entry.heading == heading:
                yield from _verb(entry)
    yield ".SH NOUNS"
    for noun in NOUNS.values():
        yield from (f'.SS "{_plain(noun.name)}"', _text(noun.summary))
        for entry in found:
            if entry.heading == noun.name:
                yield from _verb(entry)
    yield ".SH EXIT STATUS"
    yield from _pairs(EXITS)
    yield ".SH ENVIRONMENT"
    yield from _pairs(ENVIRONMENT)
    yield ".SH FILES"
    yield from _pairs(FILES)
    yield from (".SH SEE ALSO", ".BR virsh (1),", ".BR virt-install (1)")


def _verb(entry: Entry) -> Iterator[str]:
    yield from (".TP", f".B {_plain(entry.usage)}", _text(entry.verb.summary))
    for part in entry.text.split("\n\n")[1:]:
        yield from (".IP", *(_text(line) for line in part.splitlines()))
    for one in entry.options:
        if one.group != "Settings" and "-h" not in one.flags and "--help-all" not in one.flags:
            flags = ", ".join(_plain(flag) for flag in one.flags)
            yield from (".RS", ".TP", f".BR {_quoted(flags)} {_quoted(' ' + _plain(one.takes)) if one.takes else ''}")
            yield from (_text(one.doc), ".RE")


def _pairs(pairs: tuple[tuple[str, str], ...]) -> Iterator[str]:
    for left, right in pairs:
        yield from (".TP", f".B {_plain(left)}", _text(right))


def _text(line: str) -> str:
    """Write a line of text: none of its signs is a request."""
    plain = _plain(line.strip())
    return f"\\&{plain}" if plain[:1] in (".", "'") else plain


def _plain(text: str) -> str:
    return text.replace("\\", "\\e").replace("-", "\\-")


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'
