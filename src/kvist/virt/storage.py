"""Calls on pools and volumes."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO, NamedTuple

import libvirt

from kvist.errors import NotFound
from kvist.virt.errors import calling
from kvist.virt.streams import drain, pour
from kvist.virt.words import Missing as Missing


class PoolState(NamedTuple):
    """One pool, sizes in bytes (0 while it is not active)."""

    name: str
    active: bool
    autostart: bool
    capacity: int
    allocation: int
    available: int


class VolumeState(NamedTuple):
    """One volume, sizes in bytes."""

    pool: str
    name: str
    path: str
    capacity: int
    allocation: int


class Pools:
    """Pools of one host, and the volumes in them."""

    def __init__(self, handle: libvirt.virConnect) -> None:
        self._handle = handle

    def _find(self, name: str) -> libvirt.virStoragePool:
        with calling(f'find pool "{name}"'):
            return self._handle.storagePoolLookupByName(name)

    def _volume(self, pool: str, name: str) -> libvirt.virStorageVol:
        found = self._find(pool)
        with calling(f'find volume "{name}" in pool "{pool}"'):
            return found.storageVolLookupByName(name)

    def all(self) -> list[PoolState]:
        """List all pools, sorted by name."""
        with calling("list the pools"):
            return sorted(
                PoolState(pool.name(), bool(pool.isActive()), bool(pool.autostart()), *pool.info()[1:])
                for pool in self._handle.listAllStoragePools(0)
            )

    def exists(self, name: str) -> bool:
        """Tell whether there is a pool of this name."""
        with calling("list the pools"):
            return any(pool.name() == name for pool in self._handle.listAllStoragePools(0))

    def xml(self, name: str) -> str:
        """Read the document of a pool."""
        pool = self._find(name)
        with calling(f'read the definition of pool "{name}"'):
            return str(pool.XMLDesc(0))

    def define(self, xml: str, *, name: str) -> None:
        """Define a pool, make its target directory, start it now and with the host."""
        with calling(f'create pool "{name}"'):
            pool = self._handle.storagePoolDefineXML(xml, 0)
            if self._handle.getType() != "TEST":
                pool.build(0)
            pool.create(0)
            pool.setAutostart(1)

    def lend(self, xml: str, *, name: str) -> None:
        """Make a pool that is nowhere stored; it is gone when it is given back, or with the daemon."""
        with calling(f'create pool "{name}"'):
            self._handle.storagePoolCreateXML(xml, 0)

    def give_back(self, name: str) -> None:
        """Forget a pool that was lent; the files in it stay."""
        pool = self._find(name)
        with calling(f'remove pool "{name}"'):
            pool.destroy()

    def undefine(self, name: str) -> None:
        """Stop a pool and forget it; the files in it stay."""
        pool = self._find(name)
        with calling(f'remove pool "{name}"'):
            if pool.isActive():
                pool.destroy()
            pool.undefine()

    def start(self, name: str) -> None:
        """Start a pool."""
        pool = self._find(name)
        with calling(f'start pool "{name}"'):
            pool.create(0)

    def refresh(self, name: str) -> None:
        """Make libvirt look again at what is in a pool."""
        pool = self._find(name)
        with calling(f'refresh pool "{name}"'):
            pool.refresh(0)

    def volumes(self, pool: str) -> list[VolumeState]:
        """List the volumes of a pool, sorted by name."""
        found = self._find(pool)
        with calling(f'list the volumes of pool "{pool}"'):
            return sorted(
                VolumeState(pool, volume.name(), volume.path(), *volume.info()[1:])
                for volume in found.listAllVolumes(0)
            )

    def volume(self, pool: str, name: str) -> VolumeState | None:
        """Read one volume, or None when it is not there."""
        try:
            volume = self._volume(pool, name)
        except NotFound:
            return None
        with calling(f'read volume "{name}" in pool "{pool}"'):
            return VolumeState(pool, name, volume.path(), *volume.info()[1:])

    def volume_of(self, path: str) -> tuple[str, str] | None:
        """Find which pool and volume a path of the host belongs to, or None when it is in no pool."""
        try:
            volume = self._handle.storageVolLookupByPath(path)
            return volume.storagePoolLookupByVolume().name(), volume.name()
        except libvirt.libvirtError as error:
            if error.get_error_code() in (libvirt.VIR_ERR_NO_STORAGE_VOL, libvirt.VIR_ERR_NO_STORAGE_POOL):
                return None
            with calling(f'find the volume of "{path}"'):
                raise

    def volume_xml(self, pool: str, name: str) -> str:
        """Read the document of a volume."""
        volume = self._volume(pool, name)
        with calling(f'read volume "{name}" in pool "{pool}"'):
            return str(volume.XMLDesc(0))

    def create(self, pool: str, xml: str, *, name: str) -> str:
        """Make a volume and give its path on the host."""
        found = self._find(pool)
        with calling(f'create volume "{name}" in pool "{pool}"'):
            return str(found.createXML(xml, 0).path())

    def clone(self, pool: str, xml: str, *, name: str, source_pool: str, source: str) -> str:
        """Make a volume as a full copy of another and give its path on the host."""
        found = self._find(pool)
        origin = self._volume(source_pool, source)
        with calling(f'copy volume "{source}" to "{name}" in pool "{pool}"'):
            return str(found.createXMLFrom(xml, origin, 0).path())

    def delete(self, pool: str, name: str, missing: Missing = Missing.FAILS) -> None:
        """Delete a volume and what is in it."""
        try:
            volume = self._volume(pool, name)
        except NotFound:
            if missing is Missing.IS_FINE:
                return
            raise
        with calling(f'delete volume "{name}" in pool "{pool}"'):
            volume.delete(0)

    def resize(self, pool: str, name: str, capacity: int) -> None:
        """Grow a volume to `capacity` bytes."""
        volume = self._volume(pool, name)
        with calling(f'resize volume "{name}" in pool "{pool}"'):
            volume.resize(capacity, 0)

    def upload(
        self, pool: str, name: str, source: BinaryIO, length: int, on_bytes: Callable[[int], None] | None = None
    ) -> None:
        """Fill a volume with `length` bytes from a file, over the connection; works on any host."""
        volume = self._volume(pool, name)
        with calling(f'fill volume "{name}" in pool "{pool}"'):
            stream = self._handle.newStream(0)
            volume.upload(stream, 0, length, 0)
            pour(source, stream, on_bytes)

    def download(self, pool: str, name: str, length: int = 0) -> bytes:
        """Read a small volume whole (or its first `length` bytes)."""
        volume = self._volume(pool, name)
        with calling(f'read volume "{name}" in pool "{pool}"'):
            stream = self._handle.newStream(0)
            volume.download(stream, 0, length, 0)
            return drain(stream)
