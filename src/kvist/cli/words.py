"""What completion needs to know of all verbs, written down beforehand: looking at the verbs themselves would take it
half a second. `scripts/reference` writes it, and a test holds it against the verbs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("words.json")


def read() -> Mapping[str, Any]:
    """Read the words of all verbs."""
    found: Mapping[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return found


def gather() -> str:
    """Write the words of all verbs as JSON."""
    from kvist.cli.surface import Option, entries, keys, tables

    def option(one: Option) -> dict[str, object]:
        return _short(
            {
                "doc": one.doc,
                "must": one.must,
                "may": bool(one.takes) and not one.must,
                "choices": one.choices,
                "complete": one.complete,
                "spec": one.spec,
                "first": one.first,
            }
        )

    verbs = {
        entry.words: {
            "places": [
                _short({"choices": one.choices, "complete": one.complete, "many": one.many}) for one in entry.places
            ],
            "options": {flag: option(one) for one in entry.options for flag in one.flags if flag.startswith("--")},
        }
        for entry in entries()
    }
    specs = {
        name: {one.flags[0]: _short({"doc": one.doc, "choices": one.choices, "complete": one.complete})
               for one in keys(table)}
        for name, table in tables().items()
        if name != "Vm"
    }  # fmt: skip
    return json.dumps({"verbs": verbs, "specs": specs}, indent=0, ensure_ascii=False, sort_keys=True) + "\n"


def _short(record: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in record.items() if value}
