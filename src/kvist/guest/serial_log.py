"""What a guest wrote on its serial port while nobody looked: files that libvirt's virtlogd writes and rotates."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

POLL = 0.2
KEPT = 100
"""More turned files than anybody configures (max_backups in virtlogd.conf is 3)."""


def files(path: Path) -> list[Path]:
    """Give what is kept, oldest first: `web.log.1`, `web.log.0`, `web.log`."""
    turned = [path.with_name(f"{path.name}.{number}") for number in range(KEPT)]
    return [each for each in (*reversed(turned), path) if each.exists()]


def kept(path: Path) -> Iterator[bytes]:
    """Read all that is kept, oldest first."""
    for file in files(path):
        try:
            yield file.read_bytes()
        except FileNotFoundError:
            # Turned once more while we read: the next one in the list is what it was.
            continue


def follow(path: Path, goes_on: Callable[[], bool]) -> Iterator[bytes]:
    """Read all that is kept, then what comes, through every turn of the file, while `goes_on` says so."""
    for file in files(path)[:-1]:
        yield file.read_bytes()
    stream = path.open("rb")
    try:
        while True:
            last = not goes_on()
            if piece := stream.read():
                yield piece
            elif last:
                return
            elif _turned(stream, path):
                stream.close()
                stream = path.open("rb")
            else:
                time.sleep(POLL)
    finally:
        stream.close()


def _turned(stream: BinaryIO, path: Path) -> bool:
    """Tell whether the file of this name is another by now, or was begun anew."""
    try:
        there = path.stat()
    except FileNotFoundError:
        # Between the turn and the first byte of the new file.
        return False
    here = os.fstat(stream.fileno())
    return (there.st_ino, there.st_dev) != (here.st_ino, here.st_dev) or there.st_size < stream.tell()
