"""One kvist at a time on one object of a host; those that come later wait, and look again when it is their turn.

A lock is a file that is held by `flock`: the kernel drops it with its process, however that ends.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from kvist.errors import Failed, TimedOut

PATIENCE = 600.0
"""Seconds to wait for another kvist: a Debian installation is started in less."""
TELL_AFTER = 1.0
LOOK_EVERY = 0.02
GRACE = 0.05
"""Seconds that even the impatient wait: who looks whether a lock is left over holds it for a moment."""

_mine = threading.local()


def directory() -> Path:
    """Where the locks are: /run/kvist/locks for root, else $XDG_RUNTIME_DIR/kvist/locks, else in kvist's state."""
    if os.geteuid() == 0:
        return Path("/run/kvist/locks")
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        return Path(runtime) / "kvist" / "locks"
    from kvist.engine.journal import directory as state

    return state() / "locks"


@contextmanager
def holding(
    uri: str,
    things: Iterable[str],
    *,
    patience: float = PATIENCE,
    tell: Callable[[str, float | None], None] | None = None,
    look: Callable[[], None] | None = None,
) -> Iterator[None]:
    """Hold some objects of a host (`vm web`) while the block runs; what this thread holds already, it may.

    Raises TimedOut when another kvist does not let go in `patience` seconds. `tell` hears of a wait after one second,
    and `look` may raise what is to end it.
    """
    have: set[tuple[str, str]] = getattr(_mine, "held", set())
    _mine.held = have
    with ExitStack() as stack:
        # In one order for everybody, or two could wait for each other.
        for thing in sorted(set(things)):
            if (uri, thing) in have:
                continue
            stack.enter_context(_held(uri, thing, time.monotonic() + max(patience, GRACE), tell, look))
            have.add((uri, thing))
            stack.callback(have.discard, (uri, thing))
        yield


@contextmanager
def _held(
    uri: str,
    thing: str,
    end: float,
    tell: Callable[[str, float | None], None] | None,
    look: Callable[[], None] | None,
) -> Iterator[None]:
    path = directory() / _file_name(f"{uri} {thing}")
    began = time.monotonic()
    while (lock := _try(path)) is None:
        now = time.monotonic()
        if now >= end:
            raise TimedOut(
                f"another kvist{_holder(path)} is busy with {_said(thing)}",
                hint="wait for it, or give --lock-timeout a longer time",
            )
        if tell and now - began > TELL_AFTER:
            tell(f"waiting for another kvist{_holder(path)}, which is busy with {_said(thing)}", None)
            tell = None
        if look:
            look()
        time.sleep(min(LOOK_EVERY, end - now))
    try:
        yield
    finally:
        # The name goes while it is still held: whoever opened the file meanwhile sees that it has lost its name.
        path.unlink(missing_ok=True)
        os.close(lock)
        _sweep(path.parent)


def _try(path: Path) -> int | None:
    """Take a lock if it is free: the open file that holds it."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise Failed(f'cannot make a lock in "{path.parent}": {error.strerror}') from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if path.stat().st_ino == os.fstat(file).st_ino:
            os.ftruncate(file, 0)
            os.pwrite(file, str(os.getpid()).encode(), 0)
            return file
    except (BlockingIOError, FileNotFoundError):
        # Held by another, or let go by another in this very moment: the next try will tell.
        os.close(file)
        return None
    os.close(file)
    return None


def _sweep(where: Path) -> None:
    """Remove what killed kvists left: files that nobody holds. Who is about to take one of them makes another."""
    for path in where.iterdir():
        lock = _try(path)
        if lock is not None:
            path.unlink(missing_ok=True)
            os.close(lock)


def _holder(path: Path) -> str:
    try:
        number = path.read_text()
    except OSError:
        return ""
    return f" (process {number})" if number else ""


def _said(thing: str) -> str:
    kind, _, name = thing.partition(" ")
    return f'{"VM" if kind == "vm" else kind} "{name}"'


def _file_name(words: str) -> str:
    plain = words.replace("%", "%25").replace("/", "%2F")
    if len(plain) < 200:
        return plain
    from hashlib import sha256

    return sha256(words.encode()).hexdigest()
