"""Words that libvirt's calls take and give; here so that who only speaks of them need not load libvirt."""

from __future__ import annotations

from enum import Enum


class State(Enum):
    """What a VM is doing; https://libvirt.org/html/libvirt-libvirt-domain.html#virDomainState."""

    RUNNING = "running"
    BLOCKED = "blocked"
    PAUSED = "paused"
    STOPPING = "stopping"
    OFF = "off"
    CRASHED = "crashed"
    SUSPENDED = "suspended"
    UNKNOWN = "unknown"

    @property
    def active(self) -> bool:
        """A process stands behind it."""
        return self not in (State.OFF, State.CRASHED, State.UNKNOWN)


class Missing(Enum):
    """What to do about a volume that is not there."""

    IS_FINE = "is fine"
    FAILS = "fails"
