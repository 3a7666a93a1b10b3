"""Sandboxes: a private libvirt host in namespaces of this machine, from which nothing leaks."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple

from kvist.errors import Conflict, Denied, Invalid, NotFound, TimedOut
from kvist.sandbox import reservation
from kvist.sandbox.reservation import UP_WITHIN
from kvist.values import Name

if TYPE_CHECKING:
    import socket

    from kvist.values import Size

DOWN_WITHIN = 15.0


class Sandbox(NamedTuple):
    """A private libvirt host: its name and its first process."""

    name: str
    pid: int

    @property
    def uri(self) -> str:
        """The libvirt connection to it, for this machine's root."""
        return f"qemu+unix:///system?socket={self.root}/run/libvirt/libvirt-sock"

    @property
    def root(self) -> Path:
        """Its file system, seen from the machine."""
        return Path(f"/proc/{self.pid}/root")

    @property
    def network_prefix(self) -> list[str]:
        """What to put before a command so that it runs in the sandbox's network but among the machine's own files."""
        return ["nsenter", f"--target={self.pid}", "--net", "--"]

    def enter(self, argv: Sequence[str]) -> list[str]:
        """Give the command line that runs `argv` inside, in all its namespaces, in the directory /."""
        return ["nsenter", f"--target={self.pid}", "-m", "-u", "-i", "-n", "-p", "-C", "--", *argv]

    def connect(self, address: str, port: int, *, timeout: float = 10) -> socket.socket:
        """Open a TCP connection to a guest of the sandbox from a socket in its network."""
        import socket

        from kvist.host.namespaces import socket_in

        wire = socket_in(self.pid, socket.AF_INET6 if ":" in address else socket.AF_INET)
        wire.settimeout(timeout)
        try:
            wire.connect((address, port))
        except OSError:
            wire.close()
            raise
        return wire

    @property
    def since(self) -> float:
        """When it was started, in seconds since 1970."""
        return Path(f"/proc/{self.pid}").stat().st_ctime

    @property
    def memory(self) -> Size:
        """What its processes and the files written in it occupy."""
        from kvist.values import Size

        kib = sum(_proportional_kib(process) for process in self._processes())
        files = os.statvfs(self.root)
        return Size(kib * 1024 + (files.f_blocks - files.f_bfree) * files.f_frsize)

    @property
    def guests(self) -> int:
        """How many VMs run in it."""
        return sum(b"\0guest=" in _read(process / "cmdline") for process in self._processes())

    def _processes(self) -> list[Path]:
        return [entry for entry in (self.root / "proc").iterdir() if entry.name.isdigit()]


def up(name: str = "default", *, on_progress: Callable[[str], None] | None = None, tether: bool = False) -> Sandbox:
    """Start a sandbox, or find it when it is up already.

    It is ready when this returns: libvirt answers, network "default" (192.168.122.0/24, NAT) and pool "default" are
    active. It takes about 0.3 s.
    With `tether` a sandbox started here ends with the calling process, however that ends.
    Raises Denied for others than root, Unsupported when a program is missing, Failed when the kernel refuses, TimedOut.
    """
    from kvist.sandbox.launch import launch

    _check(name)
    deadline = time.monotonic() + UP_WITHIN
    while True:
        held = reservation.reserve(name)
        if held is not None:
            with held:
                return Sandbox(name, launch(name, held, on_progress or (lambda _: None), tether=tether))
        left = deadline - time.monotonic()
        found = reservation.holder(name, wait=max(left, 0.5))
        if found and found.ready:
            return Sandbox(name, found.pid)
        if left <= 0:
            raise TimedOut(
                f'sandbox "{name}" did not become ready within {UP_WITHIN:g} s', hint=f"kvist sandbox down {name}"
            )
        time.sleep(0.02)


def find(name: str = "default") -> Sandbox:
    """Give the sandbox of that name; one that is just starting is waited for."""
    _check(name)
    found = reservation.holder(name, wait=UP_WITHIN)
    if found is None or not found.ready:
        raise NotFound(f'sandbox "{name}" is not up', hint=f"kvist sandbox up {name}")
    return Sandbox(name, found.pid)


def ls() -> list[Sandbox]:
    """List the sandboxes that are up, by name."""
    _check_root()
    asked = ((name, _holder_if_ours(name)) for name in reservation.names())
    return [Sandbox(name, found.pid) for name, found in asked if found and found.ready]


def down(name: str = "default") -> bool:
    """Switch a sandbox off, with everything in it; False when it was not up.

    Returns when its first process and everyone else in its namespaces are gone. Raises TimedOut when somebody stays.
    """
    from kvist.host import namespaces
    from kvist.sandbox.launch import collect

    _check(name)
    found = reservation.holder(name)
    if found is None:
        collect()
        return False
    with ExitStack() as watched:
        try:
            first = watched.enter_context(_hold(found.pid))
            # A descriptor means one process for ever. If that still holds the name, it is the one that was asked about.
            again = reservation.holder(name)
            if again is None or again.pid != found.pid:
                return False
            inside = namespaces.identities(found.pid) - namespaces.identities()
            outer = namespaces.parent(found.pid)
            to_end = [first]
            if not inside.isdisjoint(namespaces.identities(outer)):
                to_end.append(watched.enter_context(_hold(outer)))
            signal.pidfd_send_signal(first.fileno(), signal.SIGKILL)
        except ProcessLookupError:  # it went while we looked
            return False
        # The first process has ended when all others of its namespace have, and unshare(1), its parent, ends with it.
        deadline = time.monotonic() + DOWN_WITHIN
        ended = all(_ended(process, DOWN_WITHIN) for process in to_end)
    collect()
    patience = time.monotonic() + 0.5
    while (left := namespaces.inhabitants(inside)) or not ended:
        now = time.monotonic()
        if now > deadline:
            raise TimedOut(f'sandbox "{name}" does not end: processes {", ".join(map(str, left))} are still in it')
        if now > patience:
            # Somebody from outside is in its namespaces, a forgotten nsenter for instance, and keeps them alive.
            for pid in left:
                _kill(pid)
        time.sleep(0.01)
    return True


def execute(name: str, argv: Sequence[str]) -> int:
    """Run a command inside on the user's own terminal and give its exit code; 128 + N when signal N ended it."""
    from kvist.host.run import attach

    code = attach(find(name).enter(argv))
    return code if code >= 0 else 128 - code


def shell(name: str) -> int:
    """Open the user's shell inside; its prompt shows the name of the sandbox as host name."""
    wanted = os.environ.get("SHELL", "")
    inside = find(name)
    return execute(name, [wanted if (inside.root / wanted.lstrip("/")).is_file() else "/bin/sh"])


def _holder_if_ours(name: str) -> reservation.Holder | None:
    try:
        return reservation.holder(name)
    except Conflict:  # a name that somebody else took; only who wants that name has to know
        return None


def _check(name: str) -> None:
    try:
        Name.parse(name)
    except ValueError as wrong:
        raise Invalid(str(wrong)) from wrong
    _check_root()


def _check_root() -> None:
    if os.geteuid() != 0:
        what = "a sandbox is made of namespaces and mounts, which only root may make and look into"
        raise Denied(what, hint="sudo kvist sandbox ...")


def _hold(pid: int) -> IO[bytes]:
    return os.fdopen(os.pidfd_open(pid), "rb", buffering=0)


def _ended(process: IO[bytes], seconds: float) -> bool:
    """Wait for the end of a process that may be another's child; a descriptor of it can be read from then on."""
    import select

    return bool(select.select([process], [], [], seconds)[0])


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:  # it went by itself
        return


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # the process ended meanwhile
        return b""


def _proportional_kib(process: Path) -> int:
    for line in _read(process / "smaps_rollup").splitlines():
        if line.startswith(b"Pss:"):
            return int(line.split()[1])
    return 0
