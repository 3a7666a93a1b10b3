"""Package lists of another architecture, kept apart from this machine's own: its apt and dpkg learn nothing of it."""

from __future__ import annotations

import fcntl
from pathlib import Path

from kvist.errors import CommandFailed, Unreachable
from kvist.host.bake.debs import QUIET, Apt
from kvist.host.run import need, run

LISTS = Path("/var/lib/apt/lists")
"""Where this machine's own lists are: they say how new the others have to be."""


def apt(arch: str, home: Path) -> Apt:
    """Give an apt for packages of an architecture (`arm64`), from the same sources and with the same keys.

    Its lists are kept below `home`, and fetched when this machine's own are newer. Raises Unreachable without a mirror.
    """
    place = home / arch
    for folder in ("state/lists/partial", "cache/archives/partial"):
        (place / folder).mkdir(parents=True, exist_ok=True)
    # An empty list of installed packages: what is asked for is judged by itself, and not against this machine.
    (place / "status").touch()
    settings = {
        "APT::Architecture": arch,
        "APT::Architectures": arch,
        "Acquire::Languages": "none",
        "Dir::State": place / "state",
        "Dir::State::status": place / "status",
        "Dir::Cache": place / "cache",
    }
    options = tuple(word for key, value in settings.items() for word in ("-o", f"{key}={value}"))
    fetched = place / "fetched"
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not fetched.exists() or fetched.stat().st_mtime < _newest():
            _update(arch, options)
            fetched.touch()
    return Apt(options, update=f"rm {fetched}")


def _newest() -> float:
    return max((file.stat().st_mtime for file in LISTS.glob("*_*")), default=0.0)


def _update(arch: str, options: tuple[str, ...]) -> None:
    try:
        run([need("apt-get", "apt"), *QUIET, *options, "update", "--error-on=any"], timeout=300)
    except CommandFailed as failed:
        raise Unreachable(
            f"cannot fetch the package lists of {arch}: {failed.what}", hint="ls /etc/apt/sources.list.d"
        ) from failed
