"""EFI programs of any architecture, taken apart and added to."""

from __future__ import annotations

import struct

import pytest

from kvist.errors import Corrupt
from kvist.host.bake import pe


def program(machine: int = 0xAA64, *, room: int = 0x400) -> bytes:
    """A PE32+ with one section of code; `room` bytes of headers."""
    out = bytearray(0x60)
    out[:2] = b"MZ"
    struct.pack_into("<I", out, 0x3C, 0x40)
    struct.pack_into("<4sHHIIIHH", out, 0x40, b"PE\0\0", machine, 1, 0, 0, 0, 160, 0x206)
    out = out[:0x58] + bytearray(160)
    struct.pack_into("<H", out, 0x58, 0x20B)
    struct.pack_into("<II", out, 0x58 + 32, 0x1000, 0x200)
    struct.pack_into("<II", out, 0x58 + 56, 0x2000, room)
    out += pe.SECTION.pack(b".text", 0x123, 0x1000, 0x200, room, 0, 0, 0, 0, 0x60000020)
    return bytes(out).ljust(room, b"\0") + b"code".ljust(0x200, b"\0")


@pytest.mark.parametrize("machine", [0xAA64, 0x8664])
def test_parts_are_mapped_behind_the_program_without_touching_each_other(machine: int) -> None:
    before = program(machine)
    parts = [(".cmdline", b"console=ttyAMA0"), (".linux", b"k" * 0x1801), (".initrd", b"i")]
    made = pe.extended(before, parts)
    found = pe.headers(made)
    assert found.machine == machine
    assert [one.name for one in found.sections] == [".text", ".cmdline", ".linux", ".initrd"]
    assert [one.address for one in found.sections] == [0x1000, 0x2000, 0x3000, 0x5000]
    for one, (name, content) in zip(found.sections[1:], parts, strict=True):
        assert (one.name, one.length) == (name, len(content))
        assert one.offset % 0x200 == 0 and one.stored % 0x200 == 0
        assert made[one.offset : one.offset + one.length] == content
    assert struct.unpack_from("<I", made, found.optional_at + 56)[0] == 0x6000, "firmware reserves all of it"
    assert made[0x400:0x600] == before[0x400:0x600], "what was there stays where it was"


def test_headers_without_room_are_refused_and_so_is_what_is_no_program() -> None:
    with pytest.raises(Corrupt, match="no room for 2 more"):
        pe.extended(program(room=0x148), [(".a", b""), (".b", b"")])
    for wrong in (b"", b"#!/bin/sh\n", program()[:0x50], b"MZ" + program()[2:0x40] + b"NE" + program()[0x42:]):
        with pytest.raises(Corrupt, match="no EFI program"):
            pe.headers(wrong)
