"""How much memory VMs were given; what a guest holds is more until its balloon driver has given back the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvist.errors import NotFound
from kvist.values import Size

if TYPE_CHECKING:
    from kvist.resources.hosts.host import Host
    from kvist.virt.domains import Snapshot


def given(host: Host, shot: Snapshot) -> Size:
    """Give the memory that a VM was given.

    QEMU starts a guest with its maximum, and libvirt asks the balloon for the difference; until the guest's driver
    runs, both tell the maximum, and only the document of the next boot still knows what was wished.
    """
    if not shot.unasked or shot.memory != shot.memory_max:
        return Size(shot.memory)
    from kvist.specs.vm import Vm
    from kvist.xml.document import Document

    try:
        text = host.connection.domains.xml(shot.name, next_boot=True)
    except NotFound:
        # Gone since it was counted.
        return Size(shot.memory)
    stored = Vm.read(Document.parse(text).root)
    return min(Size(shot.memory), stored.memory or stored.memory_max or Size(shot.memory))


def untaken(host: Host, shot: Snapshot) -> list[str]:
    """Say that a guest may use more than it was given, as long as its balloon driver does not run."""
    mine = given(host, shot)
    if mine == shot.memory:
        return []
    return [
        f"until its balloon driver runs the guest may use {Size(shot.memory).short}, not the {mine.short} it was given"
    ]
