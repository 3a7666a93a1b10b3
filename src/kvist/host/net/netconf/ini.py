"""Files of sections, keys and values, in which sections and keys may stand several times, as systemd's do.

configparser knows each key once; `DNS=` and `[Route]` of systemd-networkd come in rows.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Section(NamedTuple):
    """One section: its name, and its keys with their values in order."""

    name: str
    items: tuple[tuple[str, str], ...]

    def all(self, key: str) -> list[str]:
        """Give every value of a key."""
        return [value for each, value in self.items if each == key]


def parse(text: str) -> list[Section]:
    """Read the sections of a file; comments are left out."""
    found: list[Section] = []
    for raw in text.replace("\\\n", " ").splitlines():
        line = raw.strip()
        if not line or line[0] in "#;":
            continue
        if line.startswith("[") and line.endswith("]"):
            found.append(Section(line[1:-1], ()))
        elif found and "=" in line:
            key, _, value = line.partition("=")
            found[-1] = found[-1]._replace(items=(*found[-1].items, (key.strip(), value.strip())))
    return found


def emit(mark: str, sections: Iterable[Section]) -> str:
    """Write sections, under a comment. Raises ValueError for a value that would be more than one line."""
    lines = [f"# {mark}"]
    for section in sections:
        lines += ["", f"[{section.name}]"]
        for key, value in section.items:
            if "\n" in value or "\r" in value:
                raise ValueError(f"{key}: {value!r} is more than one line")
            lines.append(f"{key}={value}")
    return "\n".join(lines) + "\n"
