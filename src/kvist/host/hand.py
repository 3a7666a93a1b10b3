"""A hand on a host: its programs run and its files are read and written, wherever that host is."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from kvist.errors import CommandFailed, Denied, Failed, Unsupported
from kvist.host.run import Result, run

READ = 'test -e "$0" || exit 44; exec cat "$0"'
WRITE = 'mkdir -p "$(dirname "$0")" && cat > "$0.kvist-new" && chmod "$1" "$0.kvist-new" && mv "$0.kvist-new" "$0"'
MISSING = 44
ABSENT = 127
"""What a shell and nsenter say of a program that is not there. Source: POSIX, 2.8.2, exit status for commands."""


class Hand:
    """The programs and files of one host.

    `prefix` stands before a command that is to run there (nsenter for a sandbox); `root` is where its files are seen
    from here. Where `ssh` has words, the host is another machine and these log in to it; its files go by the same way.

    Example: `Hand().run(["ip", "-json", "link"]).text`, `Hand().read("/proc/sys/net/ipv4/ip_forward")`.
    """

    def __init__(self, *, prefix: Sequence[str] = (), root: str = "/", ssh: Sequence[str] = ()) -> None:
        self._prefix, self._root, self._ssh = tuple(prefix), Path(root), tuple(ssh)

    @property
    def here(self) -> bool:
        """Whether its files are seen from here."""
        return not self._ssh

    def argv(self, argv: Sequence[str]) -> list[str]:
        """Give the command line that runs a program there."""
        if not self._ssh:
            return [*self._prefix, *argv]
        from shlex import join

        # ssh hands one line to the login shell of the other side: quoted whole, it is the same words there.
        return ["ssh", "-o", "BatchMode=yes", *self._ssh, join(["env", "LC_ALL=C.UTF-8", *argv])]

    def run(
        self, argv: Sequence[str], *, input: bytes | None = None, timeout: float = 60, check: bool = True
    ) -> Result:
        """Run a program there to its end.

        Raises CommandFailed when `check` is on and its exit code is not 0, TimedOut after `timeout` seconds,
        Unsupported when the host has no such program.
        """
        done = run(self.argv(argv), input=input, timeout=timeout, check=False)
        if check and done.code == ABSENT and self.argv([]):
            raise Unsupported(f'program "{argv[0]}" is not installed on the host')
        if check and done.code:
            raise CommandFailed(f'program "{argv[0]}" failed: {done.complaint}')
        return done

    def has(self, program: str) -> bool:
        """Tell whether the host has a program, in the administrators' directories too."""
        if not self._ssh and not self._prefix:
            from kvist.host.run import which

            return which(program) is not None
        return self.run(["sh", "-c", 'PATH="$PATH:/usr/sbin:/sbin"; command -v "$0"', program], check=False).code == 0

    def read(self, path: str) -> str | None:
        """Give what a file of the host says; None when there is no such file."""
        if self.here and not self._kernels(path):
            try:
                return self._seen(path).read_text(encoding="utf-8", errors="replace")
            except (FileNotFoundError, NotADirectoryError):
                return None
            except OSError as wrong:
                raise _refused("read", path, wrong) from wrong
        done = self.run(["sh", "-c", READ, path], check=False)
        if done.code == MISSING:
            return None
        if done.code:
            raise CommandFailed(f'cannot read "{path}": {done.complaint}')
        return done.text

    def write(self, path: str, text: str, *, mode: int = 0o644) -> None:
        """Write a file whole or not at all; its directory is made. A file of the kernel's is written in place."""
        if self._kernels(path):
            self.run(["tee", path], input=text.encode())
            return
        if not self.here:
            self.run(["sh", "-c", WRITE, path, f"{mode:o}"], input=text.encode())
            return
        place = self._seen(path)
        new_file = place.with_name(f".{place.name}.kvist-{os.getpid()}")
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            new_file.write_text(text, encoding="utf-8")
            new_file.chmod(mode)
            new_file.replace(place)
        except OSError as wrong:
            raise _refused("write", path, wrong) from wrong

    def remove(self, path: str) -> None:
        """Remove a file; one that is not there is removed already."""
        if not self.here:
            self.run(["rm", "-f", path])
            return
        try:
            self._seen(path).unlink(missing_ok=True)
        except OSError as wrong:
            raise _refused("remove", path, wrong) from wrong

    def names(self, directory: str) -> list[str]:
        """List what is in a directory, sorted; nothing where there is no such directory."""
        if self.here:
            try:
                return sorted(entry.name for entry in self._seen(directory).iterdir())
            except (FileNotFoundError, NotADirectoryError):
                return []
            except OSError as wrong:
                raise _refused("list", directory, wrong) from wrong
        return self.run(["ls", "-A", directory], check=False).text.split()

    def _kernels(self, path: str) -> bool:
        """Tell whether a file is the kernel's: what /proc/sys says depends on who looks, so a program there does."""
        return any(PurePosixPath(path).is_relative_to(top) for top in ("/proc", "/sys"))

    def _seen(self, path: str) -> Path:
        return self._root / path.lstrip("/")


def _refused(act: str, path: str, wrong: OSError) -> Failed:
    kind = Denied if isinstance(wrong, PermissionError) else Failed
    return kind(f'cannot {act} "{path}": {wrong.strerror}')
