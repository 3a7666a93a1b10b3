"""What happens to VMs, told as it happens."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, NamedTuple

from kvist.engine.ask import Ask
from kvist.engine.rows import Stream
from kvist.errors import Unreachable
from kvist.values import Duration

if TYPE_CHECKING:
    from kvist.resources.hosts.host import Host
    from kvist.resources.vms.machines import Machines

LOOK = 1.0
"""Seconds between two looks whether the host is still there."""


class Happening(NamedTuple):
    """One thing that happened: when (local time), to which VM, of what kind, and what."""

    time: str
    name: str
    kind: str
    what: str


def events(
    self: Machines,
    name: Annotated[str | None, Ask("tell of this VM only", metavar="NAME", complete="vm")] = None,
    *,
    for_: Annotated[Duration | None, Ask("end after this long [at Ctrl-C]", metavar="TIME")] = None,
) -> Stream[Happening]:
    """Tell what happens to VMs: started, stopped, devices, agents, reboots, watchdogs, errors of disks; a line each.

    With `-o json` each line is one object, for a program to read as they come.

    Example: kvist events web --for 10m -o json
    """
    if name is not None:
        _ = self.host.vm(name).state
    return Stream(happenings(self.host, name, float(for_) if for_ is not None else None))


def happenings(host: Host, name: str | None, seconds: float | None) -> Iterator[Happening]:
    """Listen, and give what is heard. Raises Unreachable when the host goes away meanwhile."""
    end = None if seconds is None else time.monotonic() + seconds
    with host.connection.events.listening() as heard:
        while end is None or time.monotonic() < end:
            left = LOOK if end is None else max(0.0, min(LOOK, end - time.monotonic()))
            event = heard.wait(lambda one: name in (None, one.vm), left)
            if event is not None:
                yield Happening(time.strftime("%Y-%m-%dT%H:%M:%S%z"), event.vm, event.kind, event.what)
            elif not host.connection.alive:
                raise Unreachable(f'host "{host.place.name}" went away', hint="kvist ls")
