"""An operation that is killed where it is told to be; its host is a directory, a file in it is what a step made.

Run as `killed_operation.py do DIRECTORY WHERE [STEP ...]` and `killed_operation.py recover DIRECTORY`. A step is a
letter; in capitals it has no way back. WHERE is `before N`, `after N` (the N-th act), `never` or `asleep`.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from kvist.engine.execute import carry_out, recover
from kvist.engine.plan import Plan
from kvist.engine.step import Site, Step

if TYPE_CHECKING:
    from kvist.virt.connection import Connection


class Host:
    """Stands in for a connection."""

    def __init__(self, directory: Path, where: str, number: int) -> None:
        self.uri = f"fake://{directory}"
        self.directory, self.where, self.number = directory, where, number
        self.count = 0

    def make(self, name: str) -> None:
        self._die("before")
        (self.directory / name).write_text("made")
        if self.where == "asleep":
            os.write(1, b"asleep\n")
            time.sleep(60)
        self._die("after")
        self.count += 1

    def _die(self, when: str) -> None:
        if (self.where, self.number) == (when, self.count):
            os.kill(os.getpid(), signal.SIGKILL)


def host_of(at: Site) -> Host:
    return cast("Host", at.connection)


@dataclass(frozen=True, kw_only=True)
class Make(Step):
    name: str

    def describe(self) -> str:
        return f"make {self.name}"

    def apply(self, at: Site) -> None:
        host_of(at).make(self.name)

    def undo(self, at: Site) -> None:
        (host_of(at).directory / self.name).unlink(missing_ok=True)


@dataclass(frozen=True, kw_only=True)
class Burn(Step):
    no_undo = "ashes"
    name: str

    def describe(self) -> str:
        return f"burn {self.name}"

    def apply(self, at: Site) -> None:
        host_of(at).make(self.name)


def main(verb: str, directory: str, where: str = "never", *steps: str) -> None:
    when, _, number = where.partition(" ")
    host = Host(Path(directory), when, int(number or -1))
    site = Site(cast("Connection", host))
    if verb == "recover":
        sys.stdout.write("\n".join(recover(site)))
    else:
        carry_out(Plan([(Burn if name.isupper() else Make)(name=name) for name in steps], verb), site)


if __name__ == "__main__":
    main(*sys.argv[1:])
