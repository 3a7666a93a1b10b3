"""Where images come from and who uses them."""

from __future__ import annotations

import os
import time
from hashlib import sha256 as sha256_of
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from kvist.errors import Invalid, KvistError, NotFound, Problem
from kvist.values import Name
from kvist.xml.document import Document

if TYPE_CHECKING:
    from kvist.host.fetch import Fetched
    from kvist.resources.hosts.host import Host

ARCH = {"x86_64": "amd64", "aarch64": "arm64"}
UNTOUCHED = 3600.0
"""Seconds after which a download to which nothing came is not going on: it would have ended itself after 30."""
ENDINGS = (".qcow2", ".img", ".raw", ".vmdk", ".vhdx", ".vdi", ".xz", ".gz", ".bz2", ".zst")


class Source(NamedTuple):
    """An image that is to be added: where it is and how it is verified."""

    name: str
    source: str
    sha256: str = ""
    checksums: str = ""


def resolve(source: str, arch: str, *, sha256: str | None, checksums: str | None) -> Source:
    """Find out what is meant: a URL, a file, or a name of the catalogue.

    Raises NotFound with the nearest names, Invalid for a checksum that is none.
    """
    if sha256 is not None and (len(sha256) != 64 or not set(sha256.lower()) <= set("0123456789abcdef")):
        raise Invalid([Problem("--sha256", f'"{sha256}" is not a SHA-256: 64 hexadecimal digits')])
    verified = {"sha256": (sha256 or "").lower(), "checksums": checksums or ""}
    if source.startswith(("http://", "https://")):
        return Source(_called(source.rpartition("/")[2]), source, **verified)
    if "://" in source:
        scheme = source.partition("://")[0]
        raise Invalid([Problem("SOURCE", f'nothing is fetched by "{scheme}", only by http and https')])
    path = Path(source).expanduser()
    if path.is_dir():
        raise Invalid([Problem("SOURCE", f'"{source}" is a directory, not a disk image')])
    if path.is_file():
        return Source(_called(path.name), str(path.absolute()), **verified)
    if "/" in source or source.endswith(ENDINGS):
        raise NotFound(f'there is no file "{source}"', hint="kvist image catalogue")
    from kvist.host.catalogue import lookup

    entry = lookup(source, ARCH.get(arch, arch))
    return Source(source, entry.url, verified["sha256"], verified["checksums"] or ("" if sha256 else entry.checksums))


def _called(file: str) -> str:
    name = file
    while name.endswith(ENDINGS):
        name = name.rpartition(".")[0]
    return name


def volume_name(name: str, source: Source) -> str:
    """Name the volume of an image: another source, or a file that has changed since, is another volume."""
    token = "|".join((source.source, source.sha256, source.checksums))
    path = Path(source.source)
    if path.is_file():
        status = path.stat()
        token += f"|{status.st_size}|{status.st_mtime_ns}"
    return f"{Name(name)}-{sha256_of(token.encode()).hexdigest()[:12]}.qcow2"


def download_path(volume: str) -> Path:
    """Where a download is kept until it is whole: another try goes on from what is there."""
    home = _downloads()
    home.mkdir(parents=True, exist_ok=True)
    return home / volume


def left_downloads() -> list[Path]:
    """List what downloads and installers have left on this machine that nobody has touched for a while."""
    home = _downloads()
    files = (*home.glob("*"), *home.with_name("installers").glob("*/*"))
    quiet = time.time() - UNTOUCHED
    return sorted(path for path in files if path.stat().st_mtime < quiet)


def _downloads() -> Path:
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".cache") / "kvist" / "downloads"


def described(source: str, arch: str, found: Fetched) -> dict[str, Any]:
    """Say what an image that was fetched is, as far as the catalogue knows."""
    from kvist.host.catalogue import entries

    entry = next((each for each in entries() if each.url == source), None)
    return {
        "os": entry.os if entry else "",
        "arch": ARCH.get(arch, arch),
        "virtual_size": int(found.virtual_size),
        "user": entry.user if entry else "root",
        # An image that nobody knows most likely is a cloud image; a seed does no harm to one that is not.
        "cloud_init": True,
        "agent": False,
        "firmware": ["bios", "uefi"],
        "min_memory": int(entry.min_memory) if entry else 0,
        "sha256": found.sha256,
        "source": source,
    }


def users(host: Host, path: str) -> list[str]:
    """List the VMs whose disks lie on top of an image, or are it."""
    found: list[str] = []
    for name, xml in host.connection.domains.documents():
        root = Document.parse(xml).root
        for element in root.iterfind("devices/disk/source"):
            source = element.get("file") or element.get("dev")
            if source and (source == path or path in _chain(host, source)):
                found.append(name)
                break
    return sorted(found)


def users_in_trash(host: Host, path: str) -> list[str]:
    """List the VMs in the trash whose disks lie on top of an image: they are to come back whole."""
    from kvist.resources.past.retiring import in_trash, name_of

    found: set[str] = set()
    for (pool, volume), entry in in_trash(host.connection.uri).items():
        state = host.connection.pools.volume(pool, volume)
        if state is not None and path in _chain(host, state.path):
            found.add(name_of(entry))
    return sorted(found)


def _chain(host: Host, path: str) -> list[str]:
    from kvist.resources.devices.disk import chain

    try:
        return list(chain(host, path))
    except KvistError:
        # Who cannot be looked at must be taken for a user: nothing that holds data is deleted on a guess.
        return [path]
