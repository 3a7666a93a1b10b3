"""Add sections to an EFI program (PE32+), of whatever architecture: an objcopy knows its own machine's only.

https://learn.microsoft.com/windows/win32/debug/pe-format
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import NamedTuple

from kvist.errors import Corrupt

SECTION = struct.Struct("<8sIIIIIIHHI")
READ, DATA = 0x4000_0000, 0x40


class Section(NamedTuple):
    """One section: where firmware maps it, where it lies in the file, and how long it is there and here."""

    name: str
    length: int
    address: int
    stored: int
    offset: int


class Headers(NamedTuple):
    """What of the headers is needed; places in the file are named `at`."""

    machine: int
    count_at: int
    optional_at: int
    table_at: int
    section_alignment: int
    file_alignment: int
    headers_size: int
    sections: tuple[Section, ...]


def headers(program: bytes) -> Headers:
    """Read the headers of a PE32+ program. Raises Corrupt for anything else."""
    try:
        start = struct.unpack_from("<I", program, 0x3C)[0]
        magic, machine, count, _, _, _, optional = struct.unpack_from("<4sHHIIIH", program, start)
        at = start + 24
        if program[:2] != b"MZ" or magic != b"PE\0\0" or struct.unpack_from("<H", program, at)[0] != 0x20B:
            raise Corrupt("this is no EFI program: it has no PE32+ header")
        section_alignment, file_alignment = struct.unpack_from("<II", program, at + 32)
        size = struct.unpack_from("<I", program, at + 60)[0]
        table = at + optional
        rows = [SECTION.unpack_from(program, table + SECTION.size * index) for index in range(count)]
    except struct.error as wrong:
        raise Corrupt("this is no EFI program: it is cut off") from wrong
    sections = tuple(Section(row[0].rstrip(b"\0").decode(), *row[1:5]) for row in rows)
    return Headers(machine, start + 6, at, table, section_alignment, file_alignment, size, sections)


def extended(program: bytes, parts: Iterable[tuple[str, bytes]], *, alignment: int = 0x1000) -> bytes:
    """Give the program with these parts behind its own sections, close together: firmware reserves the whole span.

    Raises Corrupt when the headers have no room for their names.
    """
    found = headers(program)
    parts = list(parts)
    grain = max(alignment, found.section_alignment)
    row = found.table_at + SECTION.size * len(found.sections)
    if row + SECTION.size * len(parts) > found.headers_size:
        raise Corrupt(f"the headers of this EFI program have no room for {len(parts)} more sections")
    out = bytearray(program)
    address = _up(max(one.address + one.length for one in found.sections), grain)
    added = 0
    for name, content in parts:
        out += bytes(-len(out) % found.file_alignment)
        stored = _up(len(content), found.file_alignment)
        SECTION.pack_into(
            out, row, name.encode(), len(content), address, stored, len(out), 0, 0, 0, 0, READ | DATA
        )  # fmt: skip
        out += content + bytes(stored - len(content))
        row += SECTION.size
        address = _up(address + len(content), grain)
        added += stored
    struct.pack_into("<H", out, found.count_at, len(found.sections) + len(parts))
    struct.pack_into("<I", out, found.optional_at + 8, struct.unpack_from("<I", out, found.optional_at + 8)[0] + added)
    struct.pack_into("<I", out, found.optional_at + 56, address)
    return bytes(out)


def _up(number: int, grain: int) -> int:
    return -(-number // grain) * grain
