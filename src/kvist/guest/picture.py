"""Pictures of a screen: from the PPM that QEMU draws to the PNG that everybody reads."""

from __future__ import annotations

import re
import struct
import zlib
from typing import NamedTuple

from kvist.errors import Corrupt

PNG = b"\x89PNG\r\n\x1a\n"
_PPM = re.compile(rb"P6\s(?:#[^\n]*\n|\s)*(\d+)\s(?:#[^\n]*\n|\s)*(\d+)\s(?:#[^\n]*\n|\s)*(\d+)\s")


class Picture(NamedTuple):
    """Pixels of three bytes (red, green, blue), row after row from the top."""

    width: int
    height: int
    pixels: bytes


def read_ppm(data: bytes) -> Picture:
    """Read a binary PPM of 8 bits a colour. Raises Corrupt. Source: ppm(5)."""
    head = _PPM.match(data)
    if head is None or int(head[3]) != 255:
        raise Corrupt("the picture of the screen is no PPM of 8 bits a colour")
    width, height = int(head[1]), int(head[2])
    pixels = data[head.end() : head.end() + width * height * 3]
    if len(pixels) < width * height * 3:
        raise Corrupt(f"the picture of the screen breaks off: {len(pixels)} bytes of {width * height * 3}")
    return Picture(width, height, pixels)


def png(picture: Picture) -> bytes:
    """Write a picture as PNG. Source: https://www.w3.org/TR/png-3/."""
    row = picture.width * 3
    # Each row begins with the number of its filter: 0 leaves it as it is.
    lines = b"".join(b"\0" + picture.pixels[at : at + row] for at in range(0, len(picture.pixels), row))
    header = struct.pack(">2I5B", picture.width, picture.height, 8, 2, 0, 0, 0)
    return PNG + b"".join((_chunk(b"IHDR", header), _chunk(b"IDAT", zlib.compress(lines, 6)), _chunk(b"IEND", b"")))


def png_size(data: bytes) -> tuple[int, int]:
    """Read width and height of a PNG."""
    if not data.startswith(PNG) or len(data) < 24:
        raise Corrupt("the picture of the screen is no PNG")
    width, height = struct.unpack(">2I", data[16:24])
    return width, height


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
