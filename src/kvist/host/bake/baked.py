"""What comes out of the oven: a disk image and what is known about it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Self

from kvist.errors import Corrupt
from kvist.values import Size

Progress = Callable[[str, float | None], None]
"""Told what is being done now, and which part of the whole is behind it (None: nobody knows)."""


class Baked(NamedTuple):
    """A finished disk image."""

    path: Path
    format: str
    virtual_size: Size
    sha256: str
    os: str
    """Short id of the osinfo database: `debian12`."""
    arch: str
    user: str
    """The account a person logs in to."""
    cloud_init: bool
    """True when cloud-init (and not just a reader of its seed) works in it."""
    agent: bool
    firmware: tuple[str, ...]
    min_memory: Size
    recipe: str
    """Hash of everything that went in: equal recipes give equal images."""

    def as_dict(self) -> dict[str, Any]:
        """Give it as plain data, without the place where it happens to lie."""
        return {key: value for key, value in self._asdict().items() if key != "path"}

    @classmethod
    def from_dict(cls, path: Path, data: dict[str, Any]) -> Self:
        """Read back what `as_dict` gave; raises Corrupt when it is something else."""
        try:
            return cls(
                path=path,
                format=str(data["format"]),
                virtual_size=Size(data["virtual_size"]),
                sha256=str(data["sha256"]),
                os=str(data["os"]),
                arch=str(data["arch"]),
                user=str(data["user"]),
                cloud_init=bool(data["cloud_init"]),
                agent=bool(data["agent"]),
                firmware=tuple(data["firmware"]),
                min_memory=Size(data["min_memory"]),
                recipe=str(data["recipe"]),
            )
        except (KeyError, TypeError, ValueError) as wrong:
            raise Corrupt(f'the description of image "{path}" cannot be read: {wrong!r}') from wrong


def checksum(path: Path) -> str:
    """Give the SHA-256 of a file."""
    from hashlib import file_digest

    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
