"""How long guests have been running, which libvirt does not tell."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from kvist.host.qemu import started
from kvist.values import Duration

if TYPE_CHECKING:
    from kvist.resources.hosts.host import Host
    from kvist.virt.domains import Snapshot


def uptimes(host: Host, running: Iterable[Snapshot]) -> dict[str, Duration]:
    """Give the seconds since boot of each VM, by its QEMU process; only where the processes can be seen from here."""
    if host.place.sandbox is not None:
        root = host.place.sandbox.root
    elif host.place.local:
        root = Path("/")
    else:
        return {}
    now = time.time()
    begun = ((shot.name, started(root, shot.name)) for shot in running)
    return {name: Duration(max(0.0, now - since)) for name, since in begun if since is not None}
