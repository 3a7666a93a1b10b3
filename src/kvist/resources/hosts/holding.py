"""What a host has of one kind, as a whole: its VMs, its networks, its bridges."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kvist.engine.step import Site
    from kvist.resources.hosts.host import Host


class Holding:
    """All of one kind on a host; a noun's verbs that name none of them, or several, are a subclass's methods."""

    def __init__(self, host: Host) -> None:
        self.host = host

    @property
    def site(self) -> Site:
        """Where its operations act."""
        return self.host.site
