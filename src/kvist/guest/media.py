"""Installation media as trees of files: a directory, an ISO image, or a web server's directory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple, Protocol

from kvist.errors import Corrupt, Denied, Exhausted, NotFound, Unreachable
from kvist.host.fetch import plainly

if TYPE_CHECKING:
    import urllib3

SMALL = 256 << 10
"""More than any file that describes a medium has."""


class Labels(NamedTuple):
    """What an ISO image says about itself in its header; empty for other trees."""

    volume: str = ""
    system: str = ""
    publisher: str = ""
    application: str = ""


class Tree(Protocol):
    """Files by their path from the root, without a leading slash."""

    @property
    def source(self) -> str: ...
    @property
    def labels(self) -> Labels: ...
    def has(self, path: str) -> bool: ...
    def text(self, path: str) -> str:
        """Give a small file; an empty text when it is not there."""

    def copy(self, path: str, into: IO[bytes]) -> None:
        """Copy a file; NotFound when it is not there."""


class DirectoryTree:
    """A directory on this machine."""

    def __init__(self, root: Path) -> None:
        self.source = str(root)
        self.labels = Labels()
        self._root = root

    def has(self, path: str) -> bool:
        return (self._root / path).is_file()

    def text(self, path: str) -> str:
        if not self.has(path):
            return ""
        with (self._root / path).open("rb") as file:
            return file.read(SMALL).decode(errors="replace")

    def copy(self, path: str, into: IO[bytes]) -> None:
        from shutil import copyfileobj

        if not self.has(path):
            raise NotFound(f'there is no file "{path}" in "{self.source}"')
        with (self._root / path).open("rb") as file:
            copyfileobj(file, into, 1 << 20)


class IsoTree:
    """An ISO image, read by the best names it has: Rock Ridge, else Joliet, else the capitals of plain ISO 9660."""

    def __init__(self, image: Path) -> None:
        import pycdlib
        from pycdlib.pycdlibexception import PyCdlibException

        self.source = str(image)
        self._iso: Any = pycdlib.PyCdlib()
        try:
            self._iso.open(str(image))
        except PyCdlibException as wrong:
            raise Corrupt(f'file "{image}" is not an ISO image, or not a whole one: {wrong}') from wrong
        head = self._iso.pvd
        self.labels = Labels(
            *(
                field.decode(errors="replace").strip(" \0")
                for field in (
                    head.volume_identifier,
                    head.system_identifier,
                    head.publisher_identifier.text,
                    head.application_identifier.text,
                )
            )
        )
        joliet, ridge = self._iso.has_joliet(), self._iso.has_rock_ridge()
        self._naming = "rr_path" if ridge else "joliet_path" if joliet else "iso_path"

    def close(self) -> None:
        self._iso.close()

    def has(self, path: str) -> bool:
        return self._find(path) is not None

    def text(self, path: str) -> str:
        from io import BytesIO

        found = self._find(path)
        if found is None:
            return ""
        content = BytesIO()
        self._iso.get_file_from_iso_fp(content, **{self._naming: found})
        return content.getvalue()[:SMALL].decode(errors="replace")

    def copy(self, path: str, into: IO[bytes]) -> None:
        found = self._find(path)
        if found is None:
            raise NotFound(f'there is no file "{path}" in "{self.source}"')
        self._iso.get_file_from_iso_fp(into, **{self._naming: found})

    def _find(self, path: str) -> str | None:
        """Give the name of a file as the image spells it; symbolic links are followed inside a directory only."""
        at = ""
        parts = path.split("/")
        for depth, part in enumerate(parts):
            is_last = depth == len(parts) - 1
            wanted = self._known(part)
            for child in self._iso.list_children(**{self._naming: at or "/"}):
                if child is None or child.is_dot() or child.is_dotdot() or child.is_dir() is is_last:
                    continue
                name = self._name(child)
                if self._known(name) == wanted:
                    at = f"{at}/{name}"
                    break
            else:
                return None
        return at

    def _name(self, child: Any) -> str:
        if self._naming == "rr_path":
            ridge: bytes = child.rock_ridge.name()
            return ridge.decode(errors="replace")
        spelled: bytes = child.file_identifier()
        return spelled.decode("utf-16-be" if self._naming == "joliet_path" else "ascii", "replace")

    def _known(self, name: str) -> str:
        """Reduce a name to what every naming keeps: plain ISO 9660 has capitals, `_` for `-`, a version and a dot."""
        if self._naming != "iso_path":
            return name.removesuffix(";1")
        return name.lower().removesuffix(";1").removesuffix(".").replace("-", "_")


class UrlTree:
    """A directory of a web server."""

    def __init__(self, url: str, pool: urllib3.PoolManager | None = None) -> None:
        import urllib3

        self.source = url.rstrip("/")
        self.labels = Labels()
        self._pool = pool or urllib3.PoolManager(
            timeout=urllib3.Timeout(connect=10, read=60),
            retries=urllib3.Retry(total=3, redirect=5, backoff_factor=0.5, status_forcelist=(502, 503, 504)),
        )

    def close(self) -> None:
        self._pool.clear()

    def has(self, path: str) -> bool:
        with self._answer("HEAD", path) as answer:
            if answer.status not in {405, 501}:
                return answer.status == 200
        with self._answer("GET", path) as answer:
            return answer.status == 200

    def text(self, path: str) -> str:
        with self._answer("GET", path) as answer:
            return answer.read(SMALL).decode(errors="replace") if answer.status == 200 else ""

    def copy(self, path: str, into: IO[bytes]) -> None:
        import urllib3

        with self._answer("GET", path) as answer:
            if answer.status != 200:
                raise NotFound(f'there is no "{self.source}/{path}" (HTTP {answer.status})')
            try:
                for piece in answer.stream(1 << 20):
                    into.write(piece)
            except urllib3.exceptions.HTTPError as broken:
                raise Unreachable(f'download of "{self.source}/{path}" broke off: {plainly(broken)}') from broken

    @contextmanager
    def _answer(self, method: str, path: str) -> Iterator[urllib3.BaseHTTPResponse]:
        import urllib3

        try:
            answer = self._pool.request(method, f"{self.source}/{path}", preload_content=False)
        except urllib3.exceptions.HTTPError as failure:
            raise Unreachable(
                f'"{self.source}" does not answer: {plainly(failure)}', hint="check the URL and the proxy"
            ) from failure
        try:
            if answer.status in {401, 403}:
                raise Denied(f'"{self.source}/{path}" may not be read (HTTP {answer.status})')
            if answer.status >= 500:
                raise Unreachable(f'"{self.source}" is in trouble (HTTP {answer.status})')
            yield answer
        finally:
            # What was not read to its end cannot serve the next request.
            if method == "HEAD":
                answer.release_conn()
            else:
                answer.close()


@contextmanager
def opened(source: str) -> Iterator[Tree]:
    """Open a directory, an ISO file or an http(s) URL as a tree. Raises NotFound, Corrupt or Unreachable."""
    if source.startswith(("http://", "https://")):
        web = UrlTree(source)
        try:
            yield web
        finally:
            web.close()
        return
    path = Path(source).expanduser()
    if path.is_dir():
        yield DirectoryTree(path)
    elif path.is_file():
        iso = IsoTree(path)
        try:
            yield iso
        finally:
            iso.close()
    else:
        raise NotFound(
            f'there is no installation medium "{source}"', hint="give an ISO file, a directory or an http(s) URL"
        )


def fetch(tree: Tree, path: str, into: Path) -> Path:
    """Copy one file of a tree to `into`: whole or not at all. Raises Exhausted when the disk is full."""
    import errno
    import os

    into.parent.mkdir(parents=True, exist_ok=True)
    part = into.with_name(f".{into.name}.{os.getpid()}")
    try:
        with part.open("wb") as file:
            tree.copy(path, file)
        part.replace(into)
    except OSError as failure:
        if failure.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        raise Exhausted(f'no space left in "{into.parent}" for "{path}"') from failure
    finally:
        part.unlink(missing_ok=True)
    return into
