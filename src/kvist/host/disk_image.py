"""Disk images as files of this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from kvist.errors import Corrupt
from kvist.host.run import need, run
from kvist.values import Size

SECTOR = 512
VOLUME_SET = 0x8000
"""Where a medium says what is on it: behind the 16 blocks that are left for whoever boots from it."""
STANDARDS = {b"CD001": 1, b"BEA01": 1, b"NSR02": 1, b"NSR03": 1, b"CDROM": 9}
"""Names of the standards of media, and where each stands in that block: ISO 9660 (hybrids too), UDF, High Sierra."""


class ImageInfo(NamedTuple):
    """What qemu-img finds in a file."""

    format: str
    virtual_size: Size
    backing: str


def inspect(path: Path) -> ImageInfo:
    """Ask qemu-img what a file is, also while a guest has it open. Raises Corrupt for what it cannot read."""
    qemu_img = need("qemu-img", "qemu-utils")
    asked = run([qemu_img, "info", "--output=json", "--force-share", str(path)], check=False)
    if asked.code:
        raise Corrupt(f'"{path}" is no disk image that QEMU can read: {asked.complaint}')
    told = json.loads(asked.text)
    return ImageInfo(told["format"], Size(told["virtual-size"]), told.get("full-backing-filename", ""))


def examine(path: Path, root: Path = Path("/"), *, form: str | None = None, medium: bool = False) -> str:
    """Give the format of a file that is to be a disk, or (`medium`) lie in a drive; `form` is what it is said to be.

    Raises Corrupt for a directory, for what is no disk at all, and for an image that is cut off or whose backing file
    is not there below `root`.
    """
    shown = _shown(path, root)
    if path.is_dir():
        raise Corrupt(f'"{shown}" is a directory, not a disk image')
    if medium:
        if path.is_file() and path.stat().st_size == 0:
            raise Corrupt(f'"{shown}" is empty')
        if path.is_file() and _begins_as_qcow2(path):
            raise Corrupt(f'"{shown}" is a disk image of format qcow2, not a medium', hint=f"--disk {shown}")
        if path.is_file() and form is None and not _is_medium(path):
            raise Corrupt(
                f'"{shown}" is no medium: it has neither an ISO 9660 nor a UDF file system',
                hint=f"if a guest reads it all the same: --disk {shown},device=cdrom,format=raw",
            )
        return "raw"
    try:
        found = inspect(path)
    except Corrupt as wrong:
        raise Corrupt(wrong.what.replace(str(path), shown)) from wrong
    if form is None and found.format == "raw" and path.is_file():
        size = path.stat().st_size
        if size == 0 or size % SECTOR:
            raise Corrupt(
                f'"{shown}" is no disk image: it has {size} bytes, and disks have blocks of {SECTOR}',
                hint="if it is one, say so: --disk FILE,format=raw",
            )
    if found.backing and not (root / found.backing.removeprefix(str(root)).lstrip("/")).exists():
        raise Corrupt(f'"{shown}" lies on "{_shown(Path(found.backing), root)}", which is not there')
    if found.format == "qcow2" and (end := _end(path)) > path.stat().st_size:
        raise Corrupt(f'"{shown}" is cut off: it has {path.stat().st_size} bytes of at least {end}')
    return form or found.format


def _begins_as_qcow2(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"QFI\xfb"


def _is_medium(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(VOLUME_SET)
        block = file.read(16)
    return any(block.startswith(name, at) for name, at in STANDARDS.items())


def _shown(path: Path, root: Path) -> str:
    return f"/{path.relative_to(root)}" if path.is_relative_to(root) else str(path)


def _end(path: Path) -> int:
    """Give the end of the last data that a qcow2's tables point to: QEMU reads zeros there when the file is shorter."""
    alone = json.dumps({"driver": "qcow2", "backing": None, "file": {"driver": "file", "filename": str(path)}})
    asked = run(
        [need("qemu-img", "qemu-utils"), "map", "--force-share", "--output=json", f"json:{alone}"],
        check=False,
        timeout=600,
    )
    if asked.code:
        raise Corrupt(f'"{path}" is damaged: {asked.complaint}')
    extents: list[dict[str, int]] = json.loads(asked.text)
    return max((extent["offset"] + extent["length"] for extent in extents if "offset" in extent), default=0)
