"""Whether the user that QEMU runs as comes to a file, and how to let it."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from kvist.host.run import need, run


def blocked(path: Path, user: str, root: Path = Path("/")) -> list[Path]:
    """List the directories between `root` and a file that the user may not pass, topmost first.

    The file's own mode does not matter: libvirt gives the file to QEMU's user for as long as it is used
    (https://libvirt.org/drvqemu.html#posix-users-groups), but never touches a directory.
    """
    uid, groups = _identity(user)
    if uid == 0:
        return []
    above = [parent for parent in reversed(path.parents) if parent.is_relative_to(root)]
    return [parent for parent in above if not _passes(parent, uid, groups)]


def grant(directories: list[Path], user: str) -> None:
    """Let the user pass through these directories (not list them), by an entry in their access lists; acl(5)."""
    setfacl = need("setfacl", "acl")
    run([setfacl, "-m", f"u:{user}:x", *map(str, directories)])


def revoke(directories: list[Path], user: str, *, plain: Collection[Path] = ()) -> None:
    """Take that entry away again, and the whole list from directories that had none (`plain`)."""
    setfacl = need("setfacl", "acl")
    there = [each for each in directories if each.exists() and listed(each)]
    if bare := [str(each) for each in there if each in plain]:
        run([setfacl, "-b", *bare])
    if rest := [str(each) for each in there if each not in plain]:
        run([setfacl, "-x", f"u:{user}", *rest])


def _identity(user: str) -> tuple[int, set[int]]:
    from grp import getgrall
    from pwd import getpwnam, getpwuid

    entry = getpwuid(int(user)) if user.isdigit() else getpwnam(user)
    return entry.pw_uid, {entry.pw_gid, *(group.gr_gid for group in getgrall() if entry.pw_name in group.gr_mem)}


def _passes(directory: Path, uid: int, groups: set[int]) -> bool:
    status = directory.stat()
    if status.st_uid == uid:
        return bool(status.st_mode & 0o100)
    if _lets_pass(directory, uid):
        return True
    return bool(status.st_mode & (0o010 if status.st_gid in groups else 0o001))


def listed(directory: Path) -> bytes:
    """Give the access list of a directory as the kernel stores it; empty when it has none."""
    try:
        return os.getxattr(directory, "system.posix_acl_access")
    except OSError:  # no list, or a file system without any
        return b""


def _lets_pass(directory: Path, uid: int) -> bool:
    """Whether the access list has an entry that lets the user pass; its form is that of linux/posix_acl_xattr.h."""
    from struct import iter_unpack

    user_entry = 0x02
    return any(
        tag == user_entry and who == uid and mode & 1 for tag, mode, who in iter_unpack("<HHI", listed(directory)[4:])
    )
