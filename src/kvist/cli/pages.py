"""The reference as pages: one for the verbs of VMs, one for each noun, and one for all settings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from kvist.cli.globals import HELP
from kvist.cli.surface import Entry, Option, entries, settings, tables
from kvist.registry.lookup import NOUNS
from kvist.registry.machine import MACHINE
from kvist.xml.kinds import Field
from kvist.xml.spec import Spec

NOTE = "<!-- Written by scripts/reference from the verbs and tables themselves; do not edit. -->\n"
_NAMES = (
    "A setting has one name: as an option (`--memory 4G`, with `-` for `_`), as a sub-key of a device",
    "(`--nic lab,model=virtio`) and in Python (`Vm(memory=...)`).",
)
_WHEN = (
    "When a change reaches the guest: `live` at once, `replug` when the device is taken out and put in, `restart` at",
    "the next cold boot, `recreate` never for this VM.",
)
_FEW = 12
"""A verb that takes more settings than this shows where they are listed instead."""


def pages() -> dict[str, str]:
    """Write all pages: file name and text of each."""
    found = list(entries())
    machine = [entry for entry in found if entry.heading in MACHINE]
    made = {"README.md": _index(), "vm.md": _of_machines(machine), "settings.md": _settings()}
    for noun in NOUNS.values():
        mine = [entry for entry in found if entry.heading == noun.name]
        made[f"{noun.name}.md"] = _page(f"kvist {noun.name}", noun.summary, _chapters(mine, "##"))
    return made


def _page(title: str, summary: str, chapters: Iterable[str]) -> str:
    return "\n".join((NOTE, f"# {title}", "", summary, "", *chapters)).rstrip() + "\n"


def _index() -> str:
    lines = ["| page | what |", "|---|---|", "| [vm](vm.md) | verbs of VMs: create, set, start, ssh ... |"]
    lines += [f"| [{noun.name}]({noun.name}.md) | {noun.summary} |" for noun in NOUNS.values()]
    lines += [
        "| [settings](settings.md) | every setting of a VM and its devices, and when a change of it applies |",
        "",
    ]
    lines += ["## Options that every verb has", "", *_table(("option", "what"), ((_code(a), b) for a, b in HELP))]
    return _page("Reference", "Every verb, option and setting of kvist.", lines)


def _of_machines(found: Iterable[Entry]) -> str:
    chapters: list[str] = []
    for heading, mine in groupby(found, key=lambda entry: entry.heading):
        chapters += [f"## {heading}", "", *_chapters(mine, "###")]
    return _page("Verbs of VMs", "`kvist VERB VM`. Where a verb takes several, names may be patterns.", chapters)


def _chapters(found: Iterable[Entry], mark: str) -> Iterator[str]:
    for entry in found:
        yield from (f"{mark} kvist {entry.words}", "", "```text", entry.usage, "```", "")
        for part in entry.text.split("\n\n"):
            first, is_example, line = part.partition("Example: ")
            if is_example and not first:
                yield from ("```sh", line.strip(), "```", "")
            else:
                yield from (part, "")
        if entry.places:
            yield from _table(("word", "what"), ((_code(one.name), one.doc) for one in entry.places))
        options = [one for one in entry.options if "-h" not in one.flags and "--help-all" not in one.flags]
        given = [one for one in options if one.group != "Settings"]
        if given:
            yield from _table(("option", "what"), ((_flags(one), one.doc) for one in given))
        if len(options) - len(given) > _FEW:
            count = len(options) - len(given)
            yield from (f"And {count} settings of a VM, each an option: [settings](settings.md#vm).", "")


def _flags(one: Option) -> str:
    return ", ".join(_code(f"{flag} {one.takes}".strip()) for flag in one.flags)


def _settings() -> str:
    chapters = [*_NAMES, "", *_WHEN, ""]
    for name, table in tables().items():
        chapters += [f"## {name}", "", (table.__doc__ or "").strip().partition("\n")[0], ""]
        if table.PAGE:
            chapters += [f"libvirt: <{table.PAGE}>", ""]
        chapters += _table(
            ("name", "takes", "applies", "what"),
            ((_code(key), _kind(field), field.applies.value, _doc(table, field)) for key, field in _listed(table)),
        )
    return _page(
        "Settings", "Every setting that kvist knows, from the table that the command line is made of.", chapters
    )


def _listed(table: type[Spec]) -> Iterator[tuple[str, Field]]:
    for key, field in settings(table).items():
        if key != table.UNION:
            yield key, field


def _doc(table: type[Spec], field: Field) -> str:
    return f"{field.doc} [libvirt]({field.page})" if field.page and field.page != table.PAGE else field.doc


def _kind(field: Field) -> str:
    choices = field.codec.choices
    if field.codec.kind == "boolean":
        return "`on`, `off`"
    return ", ".join(_code(str(choice)) for choice in choices) if choices else field.codec.kind


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    lines = [heads, tuple("---" for _ in heads), *rows]
    return [
        *("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |" for row in lines),
        "",
    ]


def _code(text: str) -> str:
    return f"`{text}`"
