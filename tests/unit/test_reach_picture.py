"""Pictures of a screen: PPM in, PNG out."""

from __future__ import annotations

import struct
import zlib

import pytest

from kvist.errors import Corrupt
from kvist.guest.picture import PNG, Picture, png, png_size, read_ppm

PIXELS = bytes(range(18))


def chunks(data: bytes) -> dict[bytes, bytes]:
    """Read the chunks of a PNG, each with its checksum, as any viewer does."""
    found = {}
    at = len(PNG)
    while at < len(data):
        length = struct.unpack(">I", data[at : at + 4])[0]
        kind, content = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        assert struct.unpack(">I", data[at + 8 + length : at + 12 + length])[0] == zlib.crc32(kind + content)
        found[kind] = content
        at += 12 + length
    return found


def test_a_ppm_is_read_with_its_comments() -> None:
    assert read_ppm(b"P6\n# QEMU\n3 2\n255\n" + PIXELS) == Picture(3, 2, PIXELS)
    assert read_ppm(b"P6 3 2 255 " + PIXELS) == Picture(3, 2, PIXELS)


def test_pixels_that_look_like_white_space_stay_pixels() -> None:
    assert read_ppm(b"P6\n1 1\n255\n" + b"\n\n\n").pixels == b"\n\n\n"


@pytest.mark.parametrize("data", [b"", b"P5\n3 2\n255\n" + PIXELS, b"P6\n3 2\n65535\n" + PIXELS, b"P6\n3 2\n255\n12"])
def test_anything_else_is_corrupt(data: bytes) -> None:
    with pytest.raises(Corrupt):
        read_ppm(data)


def test_a_png_holds_the_same_pixels() -> None:
    written = png(Picture(3, 2, PIXELS))
    parts = chunks(written)
    assert list(parts) == [b"IHDR", b"IDAT", b"IEND"]
    assert struct.unpack(">2I5B", parts[b"IHDR"]) == (3, 2, 8, 2, 0, 0, 0)
    lines = zlib.decompress(parts[b"IDAT"])
    assert lines == b"\0" + PIXELS[:9] + b"\0" + PIXELS[9:]
    assert png_size(written) == (3, 2)


def test_the_size_of_something_else_is_not_told() -> None:
    with pytest.raises(Corrupt):
        png_size(b"GIF89a")
