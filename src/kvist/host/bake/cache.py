"""Keep what was baked, so that an unchanged recipe is not baked again."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kvist.errors import Corrupt
from kvist.host.bake.baked import Baked, Progress

MICRO = "micro"
NAMES = ("debian-12", "debian-13", MICRO)
"""What there are recipes for."""


def directory() -> Path:
    """Give the directory of baked images: `$XDG_CACHE_HOME/kvist/images`, by default below `~/.cache`."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".cache") / "kvist" / "images"


def recipe(name: str, arch: str) -> str:
    """Hash what an image is made of today; it costs a look at the package lists, not a build."""
    from kvist.host.bake import debian, micro

    return micro.recipe(arch) if name == MICRO else debian.recipe(name, arch)


def cached(name: str, arch: str, on_progress: Progress) -> Baked:
    """Give the image `micro` or `debian-12`, baked now if its recipe has changed since the last time.

    Two builders at once take turns, and the second takes what the first made; what a killed one left is cleared.
    """
    from kvist.host.bake import debian, micro

    on_progress("look for a finished image", None)
    wanted = recipe(name, arch)
    home = directory()
    home.mkdir(parents=True, exist_ok=True)
    image = home / f"{name}-{arch}-{wanted[:16]}.qcow2"
    if (found := _read(image)) is not None:
        return found
    with _turn(home / f"{name}-{arch}.lock"):
        if (found := _read(image)) is not None:
            return found
        # only the holder of the lock writes here, so whatever lies about is a dead builder's
        for leftover in home.glob(f"{name}-{arch}-*.tmp"):
            leftover.unlink()
        half = image.with_suffix(".tmp")
        if name == MICRO:
            baked = micro.build(half, arch=arch, on_progress=on_progress)
        else:
            baked = debian.build(name, half, arch=arch, on_progress=on_progress)
        baked = baked._replace(path=image, recipe=wanted)
        note = image.with_suffix(".json.tmp")
        note.write_text(json.dumps(baked.as_dict(), indent=1) + "\n")
        # the description comes last: without it an image does not count
        half.replace(image)
        note.replace(image.with_suffix(".json"))
        return baked


def _read(image: Path) -> Baked | None:
    """Give a kept image; one without a readable description does not count."""
    try:
        baked = Baked.from_dict(image, json.loads(image.with_suffix(".json").read_text()))
    except (FileNotFoundError, Corrupt, json.JSONDecodeError):
        return None
    return baked if image.exists() else None


@contextmanager
def _turn(lock: Path) -> Iterator[None]:
    import fcntl

    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
