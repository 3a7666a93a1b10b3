"""A small ISO 9660 image: a handful of files in its root, the same bytes for the same files.

pycdlib stamps the clock into every image it writes (and costs 26 ms to import), so a seed made by it would differ each
time; here every date is the same one. Long names are in a Joliet tree, and the primary tree has them too, for systems
that read nothing else (https://wiki.osdev.org/ISO_9660; ECMA-119; Joliet specification 1.0).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import NamedTuple

from kvist.errors import Corrupt, Invalid

SECTOR = 2048
_PRIMARY, _JOLIET, _END = 16, 17, 18
_TABLES = {_PRIMARY: (19, 20), _JOLIET: (21, 22)}
_ROOT = {_PRIMARY: 23, _JOLIET: 24}
_FILES = 25
_RECORD_DATE = bytes((100, 1, 1, 0, 0, 0, 0))
_VOLUME_DATE = b"2000010100000000\0"
_NO_DATE = b"0000000000000000\0"


class _Entry(NamedTuple):
    identifier: bytes
    start: int
    size: int
    directory: bool = False


def pack(volume: str, files: Mapping[str, bytes]) -> bytes:
    """Make an image with the label `volume` that holds `files` in its root directory.

    Raises Invalid when the names do not fit into one directory sector (about 40 files).
    """
    placed: list[tuple[str, int, int]] = []
    content = bytearray()
    for name in sorted(files):
        placed.append((name, _FILES + len(content) // SECTOR, len(files[name])))
        content += _padded(files[name])
    sectors = _FILES + len(content) // SECTOR
    image = bytearray(SECTOR * _PRIMARY)
    image += _descriptor(_PRIMARY, volume, sectors)
    image += _descriptor(_JOLIET, volume, sectors)
    image += _padded(b"\xffCD001\x01")
    for kind in (_PRIMARY, _JOLIET):
        image += _padded(struct.pack("<BBIH2s", 1, 0, _ROOT[kind], 1, b""))
        image += _padded(struct.pack(">BBIH2s", 1, 0, _ROOT[kind], 1, b""))
    for kind in (_PRIMARY, _JOLIET):
        image += _directory(kind, placed)
    return bytes(image + content)


def unpack(image: bytes) -> dict[str, bytes]:
    """Read the files of an image that `pack` made; Corrupt when it is something else."""
    descriptor = image[_JOLIET * SECTOR : (_JOLIET + 1) * SECTOR]
    if descriptor[:6] != b"\x02CD001":
        raise Corrupt("the image is not an ISO 9660 image with a Joliet tree")
    start, size = struct.unpack_from("<I", descriptor, 158)[0], struct.unpack_from("<I", descriptor, 166)[0]
    files: dict[str, bytes] = {}
    at, end = start * SECTOR, start * SECTOR + size
    while at < min(end, len(image)) and image[at]:
        where, length = struct.unpack_from("<I4xI", image, at + 2)
        name = image[at + 33 : at + 33 + image[at + 32]]
        if not image[at + 25] & 2:
            files[name.decode("utf-16-be")] = image[where * SECTOR : where * SECTOR + length]
        at += image[at]
    return files


def _directory(kind: int, placed: list[tuple[str, int, int]]) -> bytes:
    entries = [_Entry(b"\x00", _ROOT[kind], SECTOR, True), _Entry(b"\x01", _ROOT[kind], SECTOR, True)]
    entries += sorted(_Entry(_identifier(kind, name), start, size) for name, start, size in placed)
    records = b"".join(map(_record, entries))
    if len(records) > SECTOR:
        raise Invalid("too many files for one small image", hint="use fewer or shorter file names")
    return _padded(records)


def _identifier(kind: int, name: str) -> bytes:
    if kind == _JOLIET:
        return name.encode("utf-16-be")
    # Systems without Joliet lower this and drop the version, which gives the name back.
    return f"{name.upper()}.;1".encode("ascii", "replace")


def _record(entry: _Entry) -> bytes:
    odd = len(entry.identifier) % 2
    length = 33 + len(entry.identifier) + (0 if odd else 1)
    head = struct.pack(
        "<BB8s8s7sBBB4sB",
        length,
        0,
        _both(entry.start),
        _both(entry.size),
        _RECORD_DATE,
        2 if entry.directory else 0,
        0,
        0,
        _both_short(1),
        len(entry.identifier),
    )
    return head + entry.identifier + (b"" if odd else b"\0")


def _descriptor(kind: int, volume: str, sectors: int) -> bytes:
    joliet = kind == _JOLIET
    little, big = _TABLES[kind]

    def text(value: str, width: int) -> bytes:
        if joliet:
            return value.ljust(width // 2)[: width // 2].encode("utf-16-be").ljust(width, b"\0")
        return value.encode("ascii", "replace").ljust(width)[:width]

    return _padded(
        struct.pack(
            "<B5sBB32s32s8x8s32s4s4s4s8sII4s4s34s",
            2 if joliet else 1,
            b"CD001",
            1,
            0,
            text("", 32),
            text(volume, 32),
            _both(sectors),
            b"%/E" if joliet else b"",
            _both_short(1),
            _both_short(1),
            _both_short(SECTOR),
            _both(10),
            little,
            0,
            struct.pack(">I", big),
            struct.pack(">I", 0),
            _record(_Entry(b"\x00", _ROOT[kind], SECTOR, True)),
        )
        + b"".join(text("", width) for width in (128, 128, 128, 128, 37, 37, 37))
        + _VOLUME_DATE * 2
        + _NO_DATE * 2
        + b"\x01\x00"
    )


def _both(number: int) -> bytes:
    return struct.pack("<I", number) + struct.pack(">I", number)


def _both_short(number: int) -> bytes:
    return struct.pack("<H", number) + struct.pack(">H", number)


def _padded(data: bytes) -> bytes:
    return data.ljust(-(-len(data) // SECTOR) * SECTOR, b"\0")
