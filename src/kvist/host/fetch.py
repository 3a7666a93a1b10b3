"""Get a disk image from a file or a web server: resumed, verified, unpacked, turned into qcow2, or nothing at all."""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

from kvist.errors import CommandFailed, Corrupt, Exhausted, Failed, Invalid, NotFound, Unreachable, Unsupported
from kvist.host.disk_image import SECTOR
from kvist.host.run import need, run
from kvist.values import Size

Progress = Callable[[str, float | None], None]
CHUNK = 1024 * 1024
HASHES = {32: "md5", 40: "sha1", 64: "sha256", 96: "sha384", 128: "sha512"}
"""Which hash it is, told by its length in hexadecimal digits."""
MAGIC = {b"\xfd7zXZ\0": "xz", b"\x1f\x8b": "gz", b"BZh": "bz2", b"\x28\xb5\x2f\xfd": "zst"}
FORMATS = ("qcow2", "raw", "vmdk", "vhdx", "vdi")


class Fetched(NamedTuple):
    """A verified image, now a qcow2."""

    path: Path
    virtual_size: Size
    original: str
    """The format it came in."""
    sha256: str
    """Checksum of the file as the publisher has it, before it was unpacked or converted."""
    verified: bool
    """True when a checksum was given and matched."""


def fetch(
    source: str | Path,
    into: Path,
    *,
    sha256: str | None = None,
    sha512: str | None = None,
    checksums: str | Path | None = None,
    on_progress: Progress,
) -> Fetched:
    """Bring an image from a path or http(s) URL to the file `into`, as qcow2.

    `checksums` is a publisher's list (path or URL) with a line for the file. An interrupted download stays beside
    `into` with the suffix `.part` and is resumed. Raises NotFound, Unreachable, Corrupt, Exhausted or Unsupported, and
    then leaves nothing at `into`.
    """
    where = str(source)
    # What is told of it is told of the file as it was named, not of the one that it is kept in meanwhile.
    shown = where.partition("?")[0].rpartition("/")[2] or where
    remote = where.startswith(("http://", "https://"))
    part, plain, made = (into.with_name(f"{into.name}.{suffix}") for suffix in ("part", "plain.tmp", "qcow2.tmp"))
    expected = [value.lower() for value in (sha256, sha512) if value]
    with _space(into):
        into.parent.mkdir(parents=True, exist_ok=True)
        if checksums is not None:
            expected.append(find_checksum(_text(checksums), shown))
        try:
            if remote:
                _download(where, part, on_progress)
            elif not Path(where).is_file():
                raise NotFound(f'there is no file "{where}"')
            original = part if remote else Path(where)
            found = _verify(original, shown, expected, on_progress)
            image = plain if _unpack(original, shown, plain, on_progress) else original
            if (size := image.stat().st_size) % SECTOR and _info(image, shown)[0] == "raw":
                raise Corrupt(f'"{where}" is no disk image: it has {size} bytes, and disks have blocks of {SECTOR}')
            kind = _convert(image, shown, made, on_progress)
            made.replace(into)
            _forget(part)
        except Corrupt:
            # resuming a file that is wrong would never make it right
            _forget(part)
            raise
        finally:
            plain.unlink(missing_ok=True)
            made.unlink(missing_ok=True)
    return Fetched(into, Size(_info(into, shown)[1]), kind, found, bool(expected))


def find_checksum(listing: str, name: str) -> str:
    """Find a file's hash in a publisher's list: `HASH  NAME`, `SHA256 (NAME) = HASH`, or a list of one bare hash.

    The strongest one wins; raises NotFound when the list does not name the file.
    """
    found: list[str] = []
    for line in listing.splitlines():
        gnu = re.fullmatch(r"\\?([0-9a-fA-F]{32,128})\s+[ *]?(\S+)\s*", line)
        bsd = re.fullmatch(r"\w+ \((.+)\) = ([0-9a-fA-F]{32,128})\s*", line)
        if gnu is not None and gnu[2].rpartition("/")[2] == name:
            found.append(gnu[1].lower())
        if bsd is not None and bsd[1].rpartition("/")[2] == name:
            found.append(bsd[2].lower())
    bare = listing.split()
    if not found and len(bare) == 1 and re.fullmatch(r"[0-9a-fA-F]{32,128}", bare[0]):
        found.append(bare[0].lower())
    if not found:
        raise NotFound(f'the list of checksums does not name "{name}"', hint="--sha256 gives the checksum itself")
    return max(found, key=len)


def _verify(file: Path, shown: str, expected: list[str], on_progress: Progress) -> str:
    from hashlib import file_digest

    on_progress("verify", None)
    for value in expected:
        if len(value) not in HASHES:
            raise Invalid(f'"{value}" is not a checksum: sha256 has 64 hexadecimal digits, sha512 has 128')
        with file.open("rb") as stream:
            found = file_digest(stream, HASHES[len(value)]).hexdigest()
        if found != value:
            raise Corrupt(f'checksum of "{shown}" is wrong: {HASHES[len(value)]} is {found}, expected {value}')
    with file.open("rb") as stream:
        return file_digest(stream, "sha256").hexdigest()


def _download(url: str, part: Path, on_progress: Progress) -> None:
    """Download to `part`, going on where an earlier attempt stopped."""
    import urllib3

    tag = _tag(part)
    # without the publisher's mark for this very version the rest could belong to another one
    have = part.stat().st_size if part.exists() and tag.exists() else 0
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers |= {"Range": f"bytes={have}-", "If-Range": tag.read_text()}
    again = "the same command again goes on where it stopped"
    pool = urllib3.PoolManager(timeout=urllib3.Timeout(connect=10, read=30), retries=urllib3.Retry(3, redirect=5))
    done, total = have, None
    try:
        with pool.request("GET", url, headers=headers, preload_content=False, enforce_content_length=False) as answer:
            if answer.status == 416 and have:
                # the part is as long as the file or longer: only a fresh start can tell
                part.unlink()
                _download(url, part, on_progress)
                return
            if answer.status in (404, 410):
                raise NotFound(f'there is nothing at "{url}" (http status {answer.status})')
            if answer.status not in (200, 206):
                raise Unreachable(f'cannot download "{url}": http status {answer.status}')
            done = have if answer.status == 206 else 0
            length = answer.headers.get("Content-Length")
            total = done + int(length) if length else None
            mark = answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""
            with part.open("ab" if done else "wb") as file:
                if mark and not mark.startswith("W/"):
                    tag.write_text(mark)
                else:
                    tag.unlink(missing_ok=True)
                for block in answer.stream(CHUNK):
                    file.write(block)
                    done += len(block)
                    on_progress("download", min(1.0, done / total) if total else None)
    except urllib3.exceptions.HTTPError as broken:
        raise Unreachable(
            f'cannot download "{url}": {plainly(broken)}', hint=again if part.exists() else ""
        ) from broken
    if total is not None and done != total:
        raise Unreachable(f'"{url}" ended after {done} of {total} bytes, which are kept in "{part}"', hint=again)


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _tag(part).unlink(missing_ok=True)


def _tag(part: Path) -> Path:
    return part.with_name(f"{part.name}.tag")


def _unpack(packed: Path, shown: str, out: Path, on_progress: Progress) -> bool:
    """Unpack a compressed file to `out`, known by its first bytes; False when it is not compressed."""
    with packed.open("rb") as file:
        head = file.read(8)
    kind = next((name for magic, name in MAGIC.items() if head.startswith(magic)), "")
    if not kind:
        return False
    on_progress("unpack", None)
    import lzma
    import shutil
    import zlib

    import zstandard

    try:
        with out.open("wb") as target:
            if kind == "zst":
                _unpack_zst(packed, target)
            else:
                with _opened(packed, kind) as stream:
                    shutil.copyfileobj(stream, target, CHUNK)
    except (lzma.LZMAError, zlib.error, EOFError, zstandard.ZstdError) as broken:
        raise Corrupt(f'"{shown}" is not a whole {kind} file: {broken}') from broken
    except OSError as broken:
        if broken.errno is not None:
            raise
        raise Corrupt(f'"{shown}" is not a whole {kind} file: {broken}') from broken
    return True


def _opened(packed: Path, kind: str) -> IO[bytes]:
    if kind == "xz":
        import lzma

        return lzma.open(packed)
    if kind == "gz":
        import gzip

        return gzip.open(packed)  # type: ignore[return-value]
    import bz2

    return bz2.open(packed)


def _unpack_zst(packed: Path, target: IO[bytes]) -> None:
    """Unpack a zst file of one frame or several. zstandard's own reader ends without a word where a frame does, and
    where the file is cut off."""
    import zstandard

    frame = None
    with packed.open("rb") as file:
        while block := file.read(CHUNK):
            while block:
                frame = frame or zstandard.ZstdDecompressor().decompressobj()
                target.write(frame.decompress(block))
                block, frame = (frame.unused_data, None) if frame.eof else (b"", frame)
    if frame is not None:
        raise EOFError("it ended in the middle of its data")


def _convert(image: Path, shown: str, out: Path, on_progress: Progress) -> str:
    """Make a qcow2 of an image of any kind; gives the kind it was. Its content is checked on the way."""
    kind, size = _info(image, shown)
    if kind not in FORMATS:
        raise Unsupported(f'"{shown}" is of format "{kind}"; known are {", ".join(FORMATS)}')
    if size == 0:
        raise Corrupt(f'"{shown}" is empty')
    program = need("qemu-img", "qemu-utils")
    if kind in ("qcow2", "vhdx", "vdi"):
        checked = run([program, "check", "-f", kind, str(image)], check=False, timeout=600)
        # 3: clusters that nobody uses, which harm nothing
        if checked.code not in (0, 3, 63):
            raise Corrupt(f'"{shown}" is damaged: {checked.complaint}')
    if kind != "raw":
        _whole(image, shown, kind)
    on_progress("convert to qcow2", None)
    try:
        run([program, "convert", "-f", kind, "-O", "qcow2", str(image), str(out)], timeout=3600)
    except CommandFailed as failed:
        if "No space left" in failed.what:
            raise OSError(errno.ENOSPC, failed.what) from failed
        raise Corrupt(f'"{shown}" cannot be read to its end: {failed.what}') from failed
    return kind


def _whole(image: Path, shown: str, kind: str) -> None:
    """Refuse an image whose tables point behind the end of its file: QEMU reads zeros there without a word."""
    import json

    mapped = run([need("qemu-img", "qemu-utils"), "map", "-f", kind, "--output=json", str(image)], timeout=600)
    extents: list[dict[str, int]] = json.loads(mapped.text)
    end = max((extent["offset"] + extent["length"] for extent in extents if "offset" in extent), default=0)
    if end > image.stat().st_size:
        raise Corrupt(f'"{shown}" is cut off: it has {image.stat().st_size} bytes of at least {end}')


def _info(image: Path, shown: str) -> tuple[str, int]:
    """Give format and virtual size; a layer over another file is refused, for that could be any file of this host."""
    import json

    told = run([need("qemu-img", "qemu-utils"), "info", "--output=json", str(image)], check=False)
    if told.code:
        raise Corrupt(f'"{shown}" is not a disk image: {told.complaint.replace(str(image), shown)}')
    info: dict[str, object] = json.loads(told.text)
    if "backing-filename" in info:
        raise Unsupported(f'"{shown}" is only a layer over "{info["backing-filename"]}"')
    return str(info["format"]), int(str(info["virtual-size"]))


def _text(place: str | Path) -> str:
    where = str(place)
    if not where.startswith(("http://", "https://")):
        if not Path(where).is_file():
            raise NotFound(f'there is no list of checksums "{where}"')
        return Path(where).read_text()
    import urllib3

    pool = urllib3.PoolManager(timeout=urllib3.Timeout(connect=10, read=30), retries=urllib3.Retry(3, redirect=5))
    try:
        answer = pool.request("GET", where)
    except urllib3.exceptions.HTTPError as broken:
        raise Unreachable(f'cannot read the checksums "{where}": {plainly(broken)}') from broken
    if answer.status != 200:
        raise NotFound(f'there is no list of checksums at "{where}" (http status {answer.status})')
    return answer.data.decode(errors="replace")


def plainly(error: Exception) -> str:
    """Say in a few words why a web server could not be asked: what the system said, not what urllib3 wraps it in."""
    reason = getattr(error, "reason", None) or error
    cause = getattr(reason, "__cause__", None) or getattr(reason, "__context__", None)
    return str(getattr(cause, "strerror", None) or reason)


@contextmanager
def _space(into: Path) -> Iterator[None]:
    try:
        yield
    except OSError as full:
        if full.errno in (errno.ENOSPC, errno.EDQUOT):
            raise Exhausted(f'no space left for image "{into}"', hint=f"df -h {into.parent}") from full
        raise Failed(f'cannot write image "{into}": {full.strerror or full}') from full
