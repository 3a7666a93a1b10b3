"""Start programs on this machine: the one place where kvist does."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import IO, TYPE_CHECKING, NamedTuple

from kvist.errors import CommandFailed, TimedOut, Unsupported

if TYPE_CHECKING:
    import subprocess

SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin")
"""Where administrators' programs live; Debian leaves them out of an ordinary user's PATH."""


class Result(NamedTuple):
    """What a program left behind."""

    argv: tuple[str, ...]
    code: int
    out: bytes
    err: bytes

    @property
    def text(self) -> str:
        return self.out.decode(errors="replace")

    @property
    def complaint(self) -> str:
        """The last lines it wrote to standard error, or to standard output when that is empty."""
        lines = (self.err or self.out).decode(errors="replace").strip().splitlines()
        return " / ".join(lines[-3:]) if lines else f"exit code {self.code}"


def which(program: str) -> str | None:
    """Find a program, in the administrators' directories too."""
    from shutil import which as find

    return find(program, path=os.pathsep.join((os.environ.get("PATH", os.defpath), *SBIN)))


def need(program: str, package: str) -> str:
    """Give the path of a program, or say which package has it."""
    found = which(program)
    if found is None:
        raise Unsupported(f'program "{program}" is not installed', hint=f"apt install {package}")
    return found


def run(
    argv: Sequence[str],
    *,
    input: bytes | None = None,
    timeout: float = 60,
    check: bool = True,
    env: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
) -> Result:
    """Run a program to its end and give what it printed.

    `env` is added to kvist's own environment. Raises CommandFailed when `check` is on and the exit code is not 0,
    TimedOut after `timeout` seconds (the program is killed first), Unsupported when there is no such program.
    """
    import subprocess

    try:
        done = subprocess.run(
            _resolved(argv),
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True,
            timeout=timeout,
            env=_environment(env),
            cwd=cwd,
        )
    except subprocess.TimeoutExpired as slow:
        raise TimedOut(f'program "{argv[0]}" did not end within {timeout:g} s') from slow
    result = Result(tuple(argv), done.returncode, done.stdout, done.stderr)
    if check and result.code:
        raise CommandFailed(f'program "{argv[0]}" failed: {result.complaint}')
    return result


def follow(
    argv: Sequence[str],
    on_line: Callable[[str], None],
    *,
    timeout: float,
    env: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
) -> None:
    """Run a long program and hand each line it prints, on either stream, to `on_line` as it comes.

    Raises CommandFailed with its last lines when it fails, TimedOut when it takes longer than `timeout` seconds.
    """
    import subprocess
    import threading

    last: list[str] = []
    with spawn(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env, cwd=cwd) as process:
        late = threading.Event()

        def give_up() -> None:
            late.set()
            process.kill()

        clock = threading.Timer(timeout, give_up)
        clock.start()
        try:
            assert process.stdout is not None
            for raw in process.stdout:
                line = raw.decode(errors="replace").rstrip()
                last = [*last[-4:], line]
                on_line(line)
            code = process.wait()
        except BaseException:
            process.kill()
            raise
        finally:
            clock.cancel()
    if late.is_set():
        raise TimedOut(f'program "{argv[0]}" did not end within {timeout:g} s')
    if code:
        raise CommandFailed(f'program "{argv[0]}" failed: {" / ".join(last[-3:]) or f"exit code {code}"}')


def spawn(
    argv: Sequence[str],
    *,
    stdin: int | IO[bytes] | None = None,
    stdout: int | IO[bytes] | None = None,
    stderr: int | IO[bytes] | None = None,
    env: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
    detach: bool = False,
    keep: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start a program and leave it running.

    `detach` gives it a session of its own, so that it outlives kvist; `keep` are descriptors it inherits, under the
    same numbers.
    """
    import subprocess

    return subprocess.Popen(
        _resolved(argv),
        stdin=subprocess.DEVNULL if stdin is None else stdin,
        stdout=stdout,
        stderr=stderr,
        env=_environment(env),
        cwd=cwd,
        start_new_session=detach,
        pass_fds=keep,
    )


def attach(argv: Sequence[str], *, env: Mapping[str, str] | None = None) -> int:
    """Run a program on the user's own terminal and give its exit code."""
    import subprocess

    return subprocess.run(_resolved(argv), env=_environment(env)).returncode


def _resolved(argv: Sequence[str]) -> list[str]:
    found = which(argv[0])
    if found is None:
        raise Unsupported(f'program "{argv[0]}" is not installed')
    return [found, *argv[1:]]


def _environment(extra: Mapping[str, str] | None) -> dict[str, str] | None:
    return None if extra is None else {**os.environ, **extra}
