"""What may lie in a drive for CD-ROMs."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvist.errors import Corrupt
from kvist.guest.iso import pack
from kvist.host.disk_image import examine

UDF = bytes(0x8001) + b"BEA01"
HIGH_SIERRA = bytes(0x8009) + b"CDROM"
MBR = b"\x33\xed".ljust(510, b"\0") + b"\x55\xaa"
"""The first block of a hybrid, which boots from a stick too."""


@pytest.mark.parametrize(
    "content",
    [pack("LABEL", {"a": b"x"}), MBR + pack("LABEL", {"a": b"x"})[512:], UDF, HIGH_SIERRA],
    ids=["ISO 9660", "hybrid", "UDF", "High Sierra"],
)
def test_a_medium_is_known_by_its_file_system(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "medium.iso").write_bytes(content)
    assert examine(tmp_path / "medium.iso", medium=True) == "raw"


@pytest.mark.parametrize("content", [bytes(1 << 16), b"no medium", MBR], ids=["zeros", "text", "disk"])
def test_a_file_that_is_no_medium_is_refused_unless_it_is_said_to_be_one(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "wrong.iso"
    file.write_bytes(content)
    with pytest.raises(Corrupt, match="neither an ISO 9660 nor a UDF file system") as refused:
        examine(file, medium=True)
    assert refused.value.hint == f"if a guest reads it all the same: --disk {file},device=cdrom,format=raw"
    assert examine(file, medium=True, form="raw") == "raw"
