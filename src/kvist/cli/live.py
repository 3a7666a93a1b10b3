"""Print what goes on coming: a table that is drawn anew on a terminal, lines elsewhere."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kvist.cli import render
from kvist.engine.rows import Stream, Ticks

if TYPE_CHECKING:
    from kvist.cli.globals import Globals


def ticking(ticks: Ticks[Any], chosen: Globals) -> None:
    """Draw a table at every tick until Ctrl-C; where there is no terminal, or data is wanted, print the first one."""
    if chosen.output != "table" or not sys.stdout.isatty():
        render.show(next(iter(ticks)), chosen)
        return
    from rich.live import Live

    try:
        with Live(auto_refresh=False, screen=False, transient=False) as live:
            for rows in ticks:
                live.update(_table(rows), refresh=True)
    except KeyboardInterrupt:
        # The way to end it, so no failure.
        return


def _table(rows: Sequence[Any]) -> Any:
    from rich.table import Table

    if not rows:
        return "no VM runs"
    table = Table(box=None, pad_edge=False, header_style="bold")
    for index, name in enumerate(rows[0]._fields):
        table.add_column(name.upper().replace("_", " "), justify="right" if index else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(render.cell(each) for each in row))
    return table


def streaming(rows: Stream[Any], chosen: Globals) -> None:
    """Print each row as it comes, on a line of its own: words, or one JSON object."""
    try:
        for row in rows:
            sys.stdout.write(_line(row, chosen.output) + "\n")
            sys.stdout.flush()
    except KeyboardInterrupt:
        # The way to end it, so no failure.
        return


def _line(row: Any, form: str) -> str:
    if form == "json":
        return json.dumps(render.plain(row), ensure_ascii=False)
    if form == "yaml":
        import yaml

        return "---\n" + str(yaml.safe_dump(render.plain(row), sort_keys=False, allow_unicode=True)).rstrip()
    if form == "name":
        return str(row.name)
    return "  ".join(render.cell(each) for each in row)
