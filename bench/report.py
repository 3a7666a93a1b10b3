"""The table: how it is reckoned, how it reads, and where it is kept."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from bench.race import Result

from kvist.errors import Failed
from kvist.host.run import run

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
BEGIN, END = "<!-- bench/run --write: begin -->", "<!-- bench/run --write: end -->"


class Row(NamedTuple):
    """One ratio. `aim` is the largest that is good enough; None where none was set."""

    what: str
    measure: str
    kvist: str
    rival: str
    value: str
    ratio: float
    aim: float | None
    runs: int

    @property
    def met(self) -> bool:
        return self.aim is None or self.ratio <= self.aim


def compare(
    what: str,
    measure: str,
    found: Mapping[str, Result],
    rival: str | float,
    *,
    aim: float | None = None,
    less: str = "",
) -> Row:
    """Hold kvist against a rival of the same race, or against a limit in seconds.

    `less` names a third one in the race that does only what both have in common: its time is taken off theirs.
    """
    ours = found["kvist"]
    runs = len(ours.costs)
    if not isinstance(rival, str):
        ratio = ours.typical(measure) / rival
        return Row(what, measure, _figure(ours, measure), "limit", f"{rival * 1000:.0f}", ratio, aim, runs)
    theirs = found[rival]
    if not less:
        ratio = ours.typical(measure) / theirs.typical(measure)
        return Row(what, measure, _figure(ours, measure), rival, _figure(theirs, measure), ratio, aim, runs)
    shared = found[less].typical(measure)
    left, right = ours.typical(measure) - shared, theirs.typical(measure) - shared
    # Two medians of a busy machine may lie closer together than the clock can tell apart.
    ratio = left / max(right, 0.001)
    pair = (f"{left * 1000:.0f}", f"{right * 1000:.0f}")
    return Row(what, measure, pair[0], f"{rival}, less {less}", pair[1], ratio, aim, runs)


def _figure(result: Result, measure: str) -> str:
    values = [value * 1000 for value in result.values(measure)]
    return f"{result.typical(measure) * 1000:.0f} ({min(values):.0f}-{max(values):.0f})"


def table(rows: Sequence[Row]) -> str:
    """Print the rows as a table that reads well in a terminal and as Markdown."""
    head = ("what", "measure", "kvist, ms", "against", "ms", "ratio", "aim", "runs")
    lines = [head, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    texts = ["| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in lines]
    texts.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(texts)


def _cells(row: Row) -> tuple[str, ...]:
    aim = "" if row.aim is None else f"<= {row.aim:g}{'' if row.met else ' MISSED'}"
    return (row.what, row.measure, row.kvist, row.rival, row.value, f"{row.ratio:.3g}", aim, str(row.runs))


def setting() -> str:
    """Say on what and with what it was measured."""
    versions = [
        f"Python {platform.python_version()}",
        *(_version(*each) for each in (("virsh", "--version"), ("virt-install", "--version"))),
        _version("qemu-system-x86_64", "--version").partition("(")[0].strip(),
    ]
    system = platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    return f"{_processor()}, {os.cpu_count()} cores; {system}; {', '.join(versions)}"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def _version(program: str, *words: str) -> str:
    first = run([program, *words]).text.splitlines()[0].strip()
    return first if first[:1].isalpha() else f"{program} {first}"


def write(text: str) -> None:
    """Put the table into the page, in the place of the one that is there. Raises Failed when the page has no place."""
    page = PAGE.read_text()
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise Failed(f'"{PAGE.name}" has no place for the table', hint=f"it goes between {BEGIN} and {END}")
    PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")
