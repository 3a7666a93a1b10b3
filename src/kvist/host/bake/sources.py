"""Where this machine's apt gets Debian from: its sources in both forms, and the settings of its way there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from kvist.errors import Unsupported
from kvist.host.run import need, run

ETC = Path("/etc/apt")
SUFFIXES = ("", "-updates", "-security")
"""What a release consists of; backports and everything of other publishers stays out."""


class Source(NamedTuple):
    """One suite of an archive; options as apt spells them in the deb822 form (`signed-by`, `trusted` ...)."""

    uri: str
    suite: str
    components: tuple[str, ...]
    options: tuple[tuple[str, str], ...] = ()


def parse_list(text: str) -> Iterator[Source]:
    """Read the one-line form: `deb [signed-by=...] URI SUITE COMPONENT...` (sources.list(5))."""
    for line in text.splitlines():
        match = re.fullmatch(r"\s*deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s*([^#]*)(?:#.*)?", line)
        if match is not None:
            pairs = (option.partition("=") for option in (match[1] or "").split())
            options = tuple((key.lower(), value.replace(",", " ")) for key, _, value in pairs)
            yield Source(match[2], match[3], tuple(match[4].split()), options)


def parse_deb822(text: str) -> Iterator[Source]:
    """Read the stanza form of `.sources` files (sources.list(5)); a stanza that is not enabled gives nothing."""
    for stanza in re.split(r"\n\s*\n", text):
        fields: dict[str, str] = {}
        key = ""
        for line in stanza.splitlines():
            if line.startswith("#") or not line.strip():
                continue
            if line[0].isspace():
                fields[key] += f"\n{line}"
            else:
                key, _, value = line.partition(":")
                key = key.strip().lower()
                fields[key] = value.strip()
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() in ("no", "false", "0"):
            continue
        known = ("types", "uris", "suites", "components", "enabled")
        options = tuple((key, value) for key, value in fields.items() if key not in known)
        for uri in fields.get("uris", "").split():
            for suite in fields.get("suites", "").split():
                yield Source(uri, suite, tuple(fields.get("components", "").split()), options)


def read(etc: Path = ETC) -> list[Source]:
    """Read every source of this machine's apt."""
    parts = etc / "sources.list.d"
    lists = [etc / "sources.list", *sorted(parts.glob("*.list"))]
    found = [source for file in lists if file.exists() for source in parse_list(file.read_text())]
    return found + [source for file in sorted(parts.glob("*.sources")) for source in parse_deb822(file.read_text())]


def of_release(sources: Iterable[Source], here: str, wanted: str) -> list[Source]:
    """Pick the sources of the distribution itself, turned from this machine's release to the wanted one.

    Raises Unsupported when there is none.
    """
    found = [
        source._replace(suite=wanted + source.suite.removeprefix(here))
        for source in sources
        if source.suite.removeprefix(here) in SUFFIXES and source.suite.startswith(here) and "main" in source.components
    ]
    if not found:
        raise Unsupported(f'apt has no source for release "{here}" of this machine', hint="ls /etc/apt/sources.list.d")
    return found


def stanzas(sources: Iterable[Source]) -> str:
    """Write sources in the stanza form."""
    return "\n".join(
        f"Types: deb\nURIs: {source.uri}\nSuites: {source.suite}\nComponents: {' '.join(source.components)}\n"
        + "".join(f"{key.title()}: {value}\n" for key, value in source.options)
        for source in sources
    )


def route() -> list[str]:
    """Give the settings for proxies, certificates, retries and dates, as apt's configuration spells them."""
    dump = run([need("apt-config", "apt"), "dump"]).text.splitlines()
    wanted = re.compile(r"Acquire::(?:https?|ftp|Retries|Check-Valid-Until|Check-Date)\b.* \"[^\"]+\";", re.IGNORECASE)
    return [line for line in dump if wanted.match(line)]
