"""Read from a program or library which other libraries it needs (ELF, 64 bits, little-endian)."""

from __future__ import annotations

import struct
from typing import NamedTuple

PT_LOAD, PT_DYNAMIC, PT_INTERP = 1, 2, 3
DT_NULL, DT_NEEDED, DT_STRTAB = 0, 1, 5


class Needs(NamedTuple):
    """The dynamic loader a program asks for, and the libraries by their sonames."""

    loader: str
    libraries: tuple[str, ...]


def needs(binary: bytes) -> Needs:
    """Give what an ELF file needs to be loaded; nothing for a static program or a file of another kind.

    https://refspecs.linuxfoundation.org/elf/gabi4+/ch5.dynamic.html
    """
    if binary[:6] != b"\x7fELF\x02\x01":
        return Needs("", ())
    table, size, count = struct.unpack_from("<Q", binary, 32)[0], *struct.unpack_from("<HH", binary, 54)
    headers = [struct.unpack_from("<IIQQQQ", binary, table + size * index) for index in range(count)]
    loads = [(address, offset, length) for kind, _, offset, address, _, length in headers if kind == PT_LOAD]

    def text(offset: int) -> str:
        return binary[offset : binary.index(b"\0", offset)].decode()

    loader, wanted, strings = "", [], 0
    for kind, _, offset, _, _, length in headers:
        if kind == PT_INTERP:
            loader = text(offset)
        if kind != PT_DYNAMIC:
            continue
        for tag, value in struct.iter_unpack("<QQ", binary[offset : offset + length]):
            if tag == DT_NULL:
                break
            if tag == DT_NEEDED:
                wanted.append(value)
            if tag == DT_STRTAB:
                strings = next(value - start + at for start, at, span in loads if start <= value < start + span)
    return Needs(loader, tuple(text(strings + at) for at in wanted))
