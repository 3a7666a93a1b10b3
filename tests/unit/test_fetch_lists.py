"""Lists of checksums in the publishers' styles, and the catalogue."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kvist.errors import Invalid, NotFound
from kvist.host import catalogue
from kvist.host.fetch import HASHES, find_checksum
from kvist.resources.images.store import download_path, left_downloads, resolve

A, B = "a" * 64, "b" * 128


@pytest.mark.parametrize(
    ("listing", "found"),
    [
        (f"{A}  disk.img\n{'c' * 64}  other.img\n", A),
        (f"{A} *disk.img\n", A),
        (f"{A}  ./images/disk.img\n", A),
        (
            f"-----BEGIN PGP-----\nHash: SHA256\n\n# disk.img: 5 bytes\nSHA256 (disk.img) = {A.upper()}\n",
            A,
        ),
        (f"SHA256 (disk.img) = {A}\nSHA512 (disk.img) = {B}\n", B),
        (f"{B}\n", B),
    ],
)
def test_a_checksum_is_found_in_every_style(listing: str, found: str) -> None:
    assert find_checksum(listing, "disk.img") == found


def test_a_list_that_does_not_name_the_file_is_refused() -> None:
    with pytest.raises(NotFound, match=r'does not name "disk\.img"'):
        find_checksum(f"{A}  mydisk.img\n", "disk.img")


def test_every_entry_of_the_catalogue_is_whole() -> None:
    entries = catalogue.entries()
    assert {entry.arch for entry in entries} == {"amd64", "arm64"}
    for entry in entries:
        assert entry.url.startswith("https://") and entry.checksums.startswith("https://"), entry.name
        assert entry.kind in HASHES.values(), entry.name
        assert entry.min_memory >= 128 * 1024**2, entry.name
        assert ("arm64" in entry.url or "aarch64" in entry.url) == (entry.arch == "arm64"), entry.url


def test_a_mistyped_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(NotFound, match=r"near it: .*debian-12"):
        catalogue.lookup("debain-12", "amd64")
    assert catalogue.lookup("debian-12", "arm64").arch == "arm64"


def test_what_is_neither_a_file_nor_of_the_web_is_told_as_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match='nothing is fetched by "ftp"'):
        resolve("ftp://example.org/d.qcow2", "x86_64", sha256=None, checksums=None)
    with pytest.raises(Invalid, match="is a directory"):
        resolve(str(tmp_path), "x86_64", sha256=None, checksums=None)


def test_only_downloads_that_nobody_goes_on_with_are_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert left_downloads() == []
    old, fresh = download_path("old.qcow2.part"), download_path("fresh.qcow2.part")
    for path in (old, fresh):
        path.write_bytes(b"half")
    kernel = tmp_path / "kvist/installers/1fbf12a4/kernel"
    kernel.parent.mkdir(parents=True)
    kernel.write_bytes(b"kernel")
    for path in (old, kernel):
        os.utime(path, (0, 0))
    assert left_downloads() == [old, kernel]
