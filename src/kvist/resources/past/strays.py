"""Files of a host that are in no pool, reached through libvirt alone: what it keeps of a VM besides its disks."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from kvist.engine.locks import holding
from kvist.specs.pool import Pool
from kvist.specs.volume import Volume
from kvist.values import Size
from kvist.virt.words import Missing
from kvist.xml.document import Document

if TYPE_CHECKING:
    from kvist.virt.connection import Connection

LENT = "kvist-strays"


@contextmanager
def reached(connection: Connection, path: str) -> Iterator[tuple[str, str]]:
    """Give pool and volume of a file; its directory is lent a pool for as long as the block runs, if it has none."""
    place = PurePosixPath(path)
    # Two pools of one directory are one too many for libvirt.
    with holding(connection.uri, [f"directory {place.parent}"], patience=60):
        yield from _pooled(connection, place)


def _pooled(connection: Connection, place: PurePosixPath) -> Iterator[tuple[str, str]]:
    for pool in connection.pools.all():
        if pool.active and pool.name != LENT:
            target = Document.parse(connection.pools.xml(pool.name)).root.findtext("target/path")
            if target == str(place.parent):
                connection.pools.refresh(pool.name)
                yield pool.name, place.name
                return
    if any(pool.name == LENT for pool in connection.pools.all()):
        # Whoever made it was killed before it was given back.
        connection.pools.give_back(LENT)
    document = Document.new("pool")
    Pool(type="dir", name=LENT, path=str(place.parent)).write(document.root)
    connection.pools.lend(document.text(), name=LENT)
    try:
        yield LENT, place.name
    finally:
        connection.pools.give_back(LENT)


def copy(connection: Connection, path: str, name: str) -> bool:
    """Copy a file byte for byte to another name in its directory; false when there is no such file."""
    with reached(connection, path) as (pool, file):
        if connection.pools.volume(pool, file) is None:
            return False
        content = connection.pools.download(pool, file)
        connection.pools.delete(pool, name, Missing.IS_FINE)
        document = Document.new("volume")
        Volume(name=name, capacity=Size(len(content)), format="raw").write(document.root)
        connection.pools.create(pool, document.text(), name=name)
        connection.pools.upload(pool, name, io.BytesIO(content), len(content))
        return True


def remove(connection: Connection, path: str) -> None:
    """Remove a file; one that is not there is fine."""
    with reached(connection, path) as (pool, file):
        connection.pools.delete(pool, file, Missing.IS_FINE)


def remove_logs(connection: Connection, xml: str) -> None:
    """Remove what a VM wrote on its serial ports: the files named after it, and those they were turned to."""
    root = Document.parse(xml).root
    mine = f"-{(root.findtext('uuid') or '')[:8]}-serial"
    logs = {str(log.get("file")) for log in root.iterfind("devices/*/log")}
    for path in sorted(log for log in logs if mine in PurePosixPath(log).name):
        with reached(connection, path) as (pool, file):
            for volume in connection.pools.volumes(pool):
                if volume.name == file or volume.name.startswith(f"{file}."):
                    connection.pools.delete(pool, volume.name, Missing.IS_FINE)
