"""QEMU processes of a host whose files can be seen from here."""

from __future__ import annotations

from pathlib import Path

RUN = "run/libvirt/qemu"
"""Where libvirtd of the system notes the process of each VM; https://libvirt.org/drvqemu.html."""


def started(root: Path, vm: str) -> float | None:
    """Tell when the process of a VM began, in seconds since 1970; None when it cannot be seen."""
    try:
        pid = int((root / RUN / f"{vm}.pid").read_text())
        return (root / "proc" / str(pid)).stat().st_ctime
    except (OSError, ValueError):
        # Another user's session, or it ended this moment: there is no time to tell.
        return None
