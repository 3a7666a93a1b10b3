"""All virtual machines of a host: listed, and added to."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from kvist.engine.elsewhere import Elsewhere
from kvist.resources.hosts.holding import Holding
from kvist.values import Duration, Size

if TYPE_CHECKING:
    from kvist.resources.making.create import Maker
    from kvist.resources.vms.events import events as _events
    from kvist.resources.vms.top import top as _top
else:

    class Maker:
        """What `create` is a method of."""

        create = Elsewhere("kvist.resources.making.create:create")


class Row(NamedTuple):
    """One VM in a list."""

    name: str
    state: str
    address: str | None
    cpus: int
    memory: Size
    disk: Size | None
    uptime: Duration | None


class Machines(Maker, Holding):
    """The VMs of a host."""

    kind = "vm"

    def ls(self) -> list[Row]:
        """List all VMs: state, address, processors, memory, disk, time since boot.

        MEMORY is what a VM was given; `kvist top` shows what its guest may use at this moment.

        Example: kvist ls
        """
        from kvist.resources.reaching.address import addresses_of_all
        from kvist.resources.vms.memory import given
        from kvist.resources.vms.uptime import uptimes

        shots = self.host.connection.domains.snapshot()
        running = [shot for shot in shots if shot.state.active]
        address = addresses_of_all(self.host, running) if running else {}
        since = uptimes(self.host, running) if running else {}
        return [
            Row(
                name=shot.name,
                state=shot.doing,
                address=address.get(shot.name) or None,
                cpus=shot.cpus,
                memory=given(self.host, shot),
                disk=Size(sum(disk.capacity or 0 for disk in shot.disks)) or None,
                uptime=since.get(shot.name),
            )
            for shot in shots
        ]

    if TYPE_CHECKING:
        top = _top
        events = _events
    else:
        top = Elsewhere("kvist.resources.vms.top:top")
        events = Elsewhere("kvist.resources.vms.events:events")
