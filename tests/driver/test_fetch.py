"""Downloads from a real web server on the loopback interface."""

from __future__ import annotations

import gzip
import hashlib
import lzma
import re
import socket
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO, Any

import pytest
import zstandard

from kvist.errors import Corrupt, Exhausted, NotFound, Unreachable, Unsupported
from kvist.host.fetch import fetch


def quiet(phase: str, fraction: float | None) -> None:
    assert fraction is None or 0 <= fraction <= 1, phase


class Site:
    """Files by path; `cut` ends each answer early, `asked` notes the ranges that were asked for."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.cut: int | None = None
        self.asked: list[str | None] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path.startswith("/moved/"):
                    self.send_response(302)
                    self.send_header("Location", self.path.removeprefix("/moved"))
                    self.end_headers()
                    return
                body = site.files.get(self.path)
                if body is None:
                    self.send_error(404)
                    return
                wanted = self.headers.get("Range")
                site.asked.append(wanted)
                start = int(re.findall(r"\d+", wanted)[0]) if wanted else 0
                if start >= len(body):
                    self.send_error(416)
                    return
                self.send_response(206 if wanted else 200)
                self.send_header("Content-Length", str(len(body) - start))
                self.send_header("ETag", '"one"')
                self.end_headers()
                self.wfile.write(body[start : site.cut])

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing on the terminal of the test."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    thread = threading.Thread(target=site.server.serve_forever, args=(0.02,))
    thread.start()
    yield site
    site.server.shutdown()
    thread.join(5)
    site.server.server_close()


def disk(tmp_path: Path, kind: str) -> bytes:
    raw = tmp_path / "made.raw"
    raw.write_bytes(bytes(range(256)) * 4096)
    made = tmp_path / f"made.{kind}"
    if kind != "raw":
        subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", kind, raw, made], check=True)
    return made.read_bytes()


def leftovers(into: Path) -> list[str]:
    return sorted(path.name for path in into.parent.iterdir() if path.name.startswith(into.name))


@pytest.mark.parametrize("kind", ["raw", "qcow2", "vmdk", "vhdx", "vdi"])
def test_every_format_becomes_a_qcow2_with_the_same_content(tmp_path: Path, site: Site, kind: str) -> None:
    site.files["/d.img"] = disk(tmp_path, kind)
    into = tmp_path / "image"
    got = fetch(f"{site.url}/d.img", into, on_progress=quiet)
    assert (got.original, got.verified) == (kind, False)
    same = subprocess.run(["qemu-img", "compare", "-F", "raw", into, tmp_path / "made.raw"], capture_output=True)
    assert same.returncode == 0, same.stdout
    assert leftovers(into) == ["image"]


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress])
def test_a_packed_image_behind_a_redirect_is_verified_as_published(tmp_path: Path, site: Site, pack: object) -> None:
    assert callable(pack)
    body = pack(disk(tmp_path, "qcow2"))
    site.files["/d.img"] = body
    digest = hashlib.sha512(body).hexdigest()
    site.files["/SHA512SUMS"] = f"{digest}  d.img\n".encode()
    got = fetch(f"{site.url}/moved/d.img", tmp_path / "image", checksums=f"{site.url}/SHA512SUMS", on_progress=quiet)
    assert got.verified
    assert got.sha256 == hashlib.sha256(body).hexdigest()


def test_a_download_that_broke_off_goes_on_where_it_stopped(tmp_path: Path, site: Site) -> None:
    site.files["/d.img"] = body = disk(tmp_path, "qcow2")
    into = tmp_path / "image"
    site.cut = 100_000
    with pytest.raises(Unreachable, match="are kept in"):
        fetch(f"{site.url}/d.img", into, on_progress=quiet)
    assert leftovers(into) == ["image.part", "image.part.tag"]
    site.cut = None
    fetch(f"{site.url}/d.img", into, sha256=hashlib.sha256(body).hexdigest(), on_progress=quiet)
    assert site.asked == [None, "bytes=100000-"]
    assert leftovers(into) == ["image"]


def test_a_wrong_checksum_leaves_nothing_and_keeps_the_old_image(tmp_path: Path, site: Site) -> None:
    site.files["/d.img"] = disk(tmp_path, "qcow2")
    into = tmp_path / "image"
    into.write_bytes(b"old")
    with pytest.raises(Corrupt, match="checksum"):
        fetch(f"{site.url}/d.img", into, sha256="0" * 64, on_progress=quiet)
    assert into.read_bytes() == b"old"
    assert leftovers(into) == ["image"]


@pytest.mark.parametrize("kind", ["qcow2", "vmdk", "vdi"])
def test_a_truncated_file_is_corrupt(tmp_path: Path, kind: str) -> None:
    whole = disk(tmp_path, kind)
    source = tmp_path / "short"
    source.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(Corrupt):
        fetch(source, tmp_path / "image", on_progress=quiet)
    assert leftovers(tmp_path / "image") == []
    assert source.exists()


def test_a_truncated_archive_is_corrupt(tmp_path: Path) -> None:
    source = tmp_path / "short.xz"
    source.write_bytes(lzma.compress(disk(tmp_path, "qcow2"))[:-40])
    with pytest.raises(Corrupt, match="not a whole xz file"):
        fetch(source, tmp_path / "image", on_progress=quiet)
    assert leftovers(tmp_path / "image") == []


@pytest.mark.parametrize("frames", [1, 3])
def test_a_zst_of_any_number_of_frames_is_unpacked_whole_and_a_cut_one_is_corrupt(tmp_path: Path, frames: int) -> None:
    image, source = disk(tmp_path, "raw"), tmp_path / "d.raw.zst"
    step = len(image) // frames
    parts = [image[at : at + step] for at in range(0, len(image), step)]
    source.write_bytes(b"".join(map(zstandard.ZstdCompressor().compress, parts)))
    found = fetch(source, tmp_path / "image", on_progress=quiet)
    subprocess.run(["qemu-img", "compare", "-q", str(tmp_path / "made.raw"), str(found.path)], check=True)
    source.write_bytes(source.read_bytes()[:-20])
    with pytest.raises(Corrupt, match=r'"d\.raw\.zst" is not a whole zst file: it ended in the middle'):
        fetch(source, tmp_path / "other", on_progress=quiet)
    assert leftovers(tmp_path / "other") == []


def test_an_error_names_the_file_as_it_was_named_and_its_cause_in_plain_words(tmp_path: Path, site: Site) -> None:
    site.files["/d.qcow2?mirror=1"] = disk(tmp_path, "qcow2")
    with pytest.raises(Corrupt, match=r'checksum of "d\.qcow2" is wrong'):
        fetch(f"{site.url}/d.qcow2?mirror=1", tmp_path / "image", sha256="0" * 64, on_progress=quiet)
    site.files["/e.qcow2"] = site.files["/d.qcow2?mirror=1"][:5000]
    with pytest.raises(Corrupt, match=r'^"e\.qcow2" '):
        fetch(f"{site.url}/e.qcow2", tmp_path / "image", on_progress=quiet)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(Unreachable, match=f'^cannot download "http://127.0.0.1:{port}/d": Connection refused$'):
        fetch(f"http://127.0.0.1:{port}/d", tmp_path / "image", on_progress=quiet)


def test_nothing_there_and_nobody_listening_are_told_apart(tmp_path: Path, site: Site) -> None:
    with pytest.raises(NotFound, match="404"):
        fetch(f"{site.url}/none.img", tmp_path / "image", on_progress=quiet)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(Unreachable, match="cannot download"):
        fetch(f"http://127.0.0.1:{port}/d.img", tmp_path / "image", on_progress=quiet)
    with pytest.raises(NotFound, match="no file"):
        fetch(tmp_path / "none", tmp_path / "image", on_progress=quiet)


def test_a_layer_over_another_file_is_refused(tmp_path: Path) -> None:
    disk(tmp_path, "qcow2")
    layer = tmp_path / "layer"
    command = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", str(tmp_path / "made.qcow2"), str(layer)]
    subprocess.run(command, check=True)
    with pytest.raises(Unsupported, match="only a layer"):
        fetch(layer, tmp_path / "image", on_progress=quiet)


def test_a_full_disk_is_said_and_nothing_stays(tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.files["/d.img"] = gzip.compress(disk(tmp_path, "qcow2"))
    real = Path.open

    def full(self: Path, mode: str = "r", *args: Any, **kwargs: Any) -> IO[Any]:
        return real(Path("/dev/full") if self.name.endswith(".plain.tmp") else self, mode, *args, **kwargs)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(Exhausted, match="no space left"):
        fetch(f"{site.url}/d.img", tmp_path / "image", on_progress=quiet)
    monkeypatch.undo()
    assert leftovers(tmp_path / "image") == ["image.part", "image.part.tag"]


def test_a_file_that_is_no_disk_is_no_image(tmp_path: Path) -> None:
    source = tmp_path / "notes.txt"
    source.write_text("no disk at all")
    with pytest.raises(Corrupt, match="is no disk image: it has 14 bytes"):
        fetch(str(source), tmp_path / "notes.qcow2", on_progress=quiet)
    assert not (tmp_path / "notes.qcow2").exists()
