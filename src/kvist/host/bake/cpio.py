"""Write an initramfs: a cpio archive of the `newc` kind, which every Linux kernel unpacks.

https://docs.kernel.org/driver-api/early-userspace/buffer-format.html
"""

from __future__ import annotations

import stat
from pathlib import PurePosixPath


class Archive:
    """Files by path; parent directories come by themselves, everything belongs to root.

    >>> archive = Archive()
    >>> archive.file("etc/hostname", b"micro", 0o644)
    >>> archive.link("lib64", "lib")
    """

    def __init__(self) -> None:
        self._entries: dict[str, tuple[int, bytes]] = {}

    def __contains__(self, path: str) -> bool:
        return path in self._entries

    def file(self, path: str, content: bytes, mode: int) -> None:
        self._add(path, stat.S_IFREG | mode, content)

    def link(self, path: str, target: str) -> None:
        self._add(path, stat.S_IFLNK | 0o777, target.encode())

    def directory(self, path: str, mode: int = 0o755) -> None:
        self._add(path, stat.S_IFDIR | mode, b"")

    def _add(self, path: str, mode: int, content: bytes) -> None:
        for parent in reversed(PurePosixPath(path).parents[:-1]):
            self._entries.setdefault(str(parent), (stat.S_IFDIR | 0o755, b""))
        self._entries[path] = (mode, content)

    def pack(self) -> bytes:
        """Give the archive's bytes; the same files always give the same ones."""
        entries = [(path, *self._entries[path]) for path in sorted(self._entries)]
        packed = bytearray()
        for inode, (path, mode, content) in enumerate([*entries, ("TRAILER!!!", 0, b"")]):
            name = path.encode() + b"\0"
            links = 2 if stat.S_ISDIR(mode) else 1
            fields = (inode, mode, 0, 0, links, 0, len(content), 0, 0, 0, 0, len(name), 0)
            packed += b"070701" + b"".join(b"%08X" % field for field in fields) + name
            packed += bytes(-len(packed) % 4)
            packed += content
            packed += bytes(-len(packed) % 4)
        return bytes(packed)
