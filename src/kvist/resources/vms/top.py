"""What the running VMs use at this moment."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, NamedTuple

from kvist.engine.ask import Ask
from kvist.engine.rows import Ticks
from kvist.errors import Invalid
from kvist.values import Duration, Size

if TYPE_CHECKING:
    from kvist.resources.vms.machines import Machines
    from kvist.virt.figures import Counters, Figures

INTERVAL = Duration(2)


class Share(NamedTuple):
    """What one VM uses: processors in percent of one, memory now, disks and cards in bytes a second."""

    name: str
    cpu: float
    cpus: int
    used: Size | None
    memory: Size
    resident: Size | None
    read: Size
    written: Size
    received: Size
    sent: Size


def top(
    self: Machines,
    *,
    once: Annotated[bool, Ask("measure one interval, print it and end; so it is where there is no terminal")] = False,
    interval: Annotated[Duration, Ask("how long to measure each time", metavar="TIME")] = INTERVAL,
) -> Ticks[Share] | list[Share]:
    """Show what the running VMs use: processor, memory, disks, network; the busiest first, until Ctrl-C.

    USED is what the guest itself says (its balloon does), RESIDENT what it takes of the host. All of it is one call to
    libvirt at each tick, however many VMs there are.

    Example: kvist top --once --interval 1s
    """
    if not 0.1 <= float(interval) <= 3600:
        raise Invalid(f"{interval} is no interval: it is at least 0.1 s and at most an hour", path="--interval")
    shown = ticks(self.host.connection.counters, float(interval))
    return next(shown) if once else Ticks(shown)


def ticks(counters: Counters, interval: float) -> Iterator[list[Share]]:
    """Measure one interval after the other."""
    before, then = counters.read(), time.monotonic()
    while True:
        time.sleep(interval)
        after, now = counters.read(), time.monotonic()
        yield shares(before, after, now - then)
        before, then = after, now


def shares(before: list[Figures], after: list[Figures], seconds: float) -> list[Share]:
    """Give what each VM used between two looks, busiest first; one that came between the looks is in the next tick."""
    known = {one.name: one for one in before}
    found = [_share(known[one.name], one, seconds) for one in after if one.name in known]
    return sorted(found, key=lambda one: (-one.cpu, one.name))


def _share(before: Figures, after: Figures, seconds: float) -> Share:
    def rate(old: int, new: int) -> Size:
        # A VM that was started anew between two looks counts from nothing again.
        return Size(round(max(0, new - old) / seconds))

    return Share(
        name=after.name,
        cpu=round(max(0.0, after.cpu_time - before.cpu_time) / seconds * 100, 1),
        cpus=after.cpus,
        used=Size(after.used) if after.used is not None else None,
        memory=Size(after.memory),
        resident=Size(after.resident) if after.resident is not None else None,
        read=rate(before.read, after.read),
        written=rate(before.written, after.written),
        received=rate(before.received, after.received),
        sent=rate(before.sent, after.sent),
    )
