"""Questions to all hosts at once; one that is slow or dead is named, and not waited for."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from kvist.engine.many import Stop, each
from kvist.engine.rows import Rows
from kvist.errors import KvistError
from kvist.resources.hosts import book as hostbook
from kvist.resources.hosts.host import choose, connect
from kvist.resources.vms.machines import Row as Machine
from kvist.values import Duration, Size

WITHIN = 5.0
"""Seconds that a host has to answer: ten times the slowest ssh login that was measured."""


class Row(NamedTuple):
    """One VM in the list of all hosts."""

    name: str
    host: str
    state: str
    address: str | None
    cpus: int
    memory: Size
    disk: Size | None
    uptime: Duration | None


def hosts() -> list[str]:
    """Name all hosts: those with names, and the one that is taken where none is named, if it is another."""
    book = hostbook.read()
    chosen = choose(None).where
    return [*sorted(book.hosts), *([] if chosen in {*book.hosts, *book.hosts.values()} else [chosen])]


def ls(*, report: Callable[[str, float | None], None] | None = None, timeout: float = WITHIN) -> Rows[Row]:
    """List the VMs of all hosts at the same time; gives what answered, and an error for each host that did not.

    Example: kvist ls --all-hosts
    """

    def ask(name: str, _stop: Stop) -> list[Machine]:
        def tell(what: str, share: float | None) -> None:
            if report is not None:
                report(f"{name}: {what}", share)

        host = connect(name, report=tell, timeout=timeout)
        try:
            return host.vms.ls()
        finally:
            host.close()

    named = hosts()
    rows: list[Row] = []
    errors: list[KvistError] = []
    for outcome in each(named, ask, width=len(named), within=timeout):
        if outcome.error is None:
            rows += [Row(row.name, outcome.name, *row[1:]) for row in outcome.result or ()]
        else:
            error = outcome.error
            error.what = f'host "{outcome.name}": {error.what}'
            errors.append(error)
    return Rows(rows, exit=max((error.exit for error in errors), default=0), errors=errors)
