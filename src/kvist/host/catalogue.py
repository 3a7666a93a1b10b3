"""Which cloud images have short names: read from `catalogue.toml` beside this file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from kvist.errors import NotFound
from kvist.values import Size

FILE = Path(__file__).with_name("catalogue.toml")


class Entry(NamedTuple):
    """Where an image is published and what is known about it."""

    name: str
    arch: str
    url: str
    checksums: str
    """URL of the publisher's list."""
    kind: str
    """The hash in that list."""
    os: str
    user: str
    min_memory: Size


def entries() -> list[Entry]:
    """Give every image of the catalogue, one entry per processor architecture."""
    import tomllib

    tables: dict[str, dict[str, Any]] = tomllib.loads(FILE.read_text())
    return [
        Entry(
            name=name,
            arch=arch,
            url=table[arch]["url"],
            checksums=table[arch]["sums"],
            kind=table["kind"],
            os=table["os"],
            user=table["user"],
            min_memory=Size.parse(table["memory"]),
        )
        for name, table in tables.items()
        for arch in ("amd64", "arm64")
        if arch in table
    ]


def lookup(name: str, arch: str) -> Entry:
    """Find an image by its short name; raises NotFound with the nearest names."""
    from difflib import get_close_matches

    every = entries()
    for entry in every:
        if (entry.name, entry.arch) == (name, arch):
            return entry
    if archs := [entry.arch for entry in every if entry.name == name]:
        raise NotFound(f'image "{name}" is not published for "{arch}", only for {", ".join(archs)}')
    names = sorted({entry.name for entry in every})
    near = get_close_matches(name, names, 3, 0.4) or names
    raise NotFound(f'no image "{name}" in the catalogue; near it: {", ".join(near)}', hint="kvist image catalogue")
