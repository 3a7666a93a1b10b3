"""Talk to the QEMU guest agent: run programs, move files and read addresses without any network.

One JSON command, one JSON answer: https://qemu.readthedocs.io/en/latest/interop/qemu-ga-ref.html.
libvirt carries strings of 4 MiB at most, so whatever may be larger goes through files in the guest, piece by piece.
"""

from __future__ import annotations

import json
import re
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from kvist.errors import Failed, GuestFailed, KvistError, TimedOut, Unsupported
from kvist.values import Cidr

Ask = Callable[[str, float], str]
"""Sends one JSON command, waits at most so many seconds, gives the JSON answer."""

OnOutput = Callable[[bytes, bool], None]
"""Takes what a program wrote, as it comes; the flag says that it was standard error."""

READ = 512 << 10
WRITE = 48 << 10
"""Bytes of a file in one answer and in one command: 64 KiB of base64 pass even old agents."""

SPOOLED = 'exec "$@" <"$0/in" >"$0/out" 2>"$0/err"'
"""Run by `sh -c`: its first word is the directory, the rest is the program."""

_CHORE = 30.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 0.5
_REASON = re.compile(
    r"unable to execute QEMU agent command '[^']*': (?:Guest agent command failed, error was ')?(.*?)'?$"
)


class Done(NamedTuple):
    """How a program in the guest ended. A signal gives 128 plus its number, as in a shell."""

    code: int
    out: bytes
    err: bytes
    truncated: bool = False


class Interface(NamedTuple):
    """A network interface as the guest sees it."""

    name: str
    mac: str
    addresses: tuple[Cidr, ...]


class _Refusal(GuestFailed):
    """The agent is there and answered that it cannot do this."""


class Agent:
    """The agent of one VM; `ask` reaches it and `vm` is the name that errors tell."""

    def __init__(
        self,
        vm: str,
        ask: Ask,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._vm = vm
        self._send = ask
        self._clock = clock
        self._sleep = sleep

    def ping(self, timeout: float = 5) -> None:
        """Return when the agent answers. Raises GuestFailed when there is none, TimedOut when it stays silent."""
        self._ask("guest-ping", timeout=timeout)

    def interfaces(self) -> list[Interface]:
        """Read the guest's network interfaces and their addresses."""
        found = []
        for one in self._ask("guest-network-get-interfaces"):
            addresses = tuple(Cidr(at["ip-address"], int(at["prefix"])) for at in one.get("ip-addresses", ()))
            found.append(Interface(one["name"], one.get("hardware-address", "").lower(), addresses))
        return found

    def exec(
        self,
        argv: Sequence[str],
        *,
        input: bytes = b"",
        timeout: float = 60,
        env: Sequence[str] = (),
        on_output: OnOutput | None = None,
    ) -> Done:
        """Run a program in the guest, as the agent's user (root), and wait for its end.

        `env` is NAME=VALUE words and replaces the agent's environment. With `on_output`, or with much input, the
        streams go through files in the guest: output comes as it is written and has no limit; `out` and `err` are
        empty when `on_output` took them. A guest without a shell gives its output at the end.
        Raises TimedOut after `timeout` seconds, GuestFailed when the program does not start. A program that is given
        up is killed.
        """
        deadline = self._clock() + timeout
        small = len(input) <= WRITE
        directory = None if on_output is None and small else self._spool(optional=small)
        if directory is not None:
            with self._removing(directory):
                return self._spooled(directory, argv, input, env, deadline, timeout, on_output)
        done = self._captured(argv, input, env, deadline, timeout)
        if on_output is None:
            return done
        for piece, is_error in ((done.out, False), (done.err, True)):
            if piece:
                on_output(piece, is_error)
        return done._replace(out=b"", err=b"")

    def read_file(self, path: str) -> Iterator[bytes]:
        """Read a file of the guest, piece by piece."""
        with self._open(path, "r") as handle:
            while piece := self._read(handle):
                yield piece

    def write_file(self, path: str, pieces: Iterable[bytes], *, append: bool = False) -> int:
        """Write a file in the guest and give the number of bytes; a copy that breaks leaves the part that arrived."""
        written = 0
        with self._open(path, "a" if append else "w") as handle:
            for piece in pieces:
                for start in range(0, len(piece), WRITE):
                    rest = piece[start : start + WRITE]
                    while rest:
                        done = self._ask("guest-file-write", {"handle": handle, "buf-b64": _coded(rest)})["count"]
                        if not done:
                            raise GuestFailed(
                                f'VM "{self._vm}" took no more bytes for file "{path}"', hint="is its disk full?"
                            )
                        written += done
                        rest = rest[done:]
            self._ask("guest-file-flush", {"handle": handle})
        return written

    def _captured(self, argv: Sequence[str], input: bytes, env: Sequence[str], deadline: float, timeout: float) -> Done:
        pid = self._start(argv, env, capture=True, input=input)
        status = self._await(pid, argv, deadline, timeout)
        return Done(
            _code(status),
            b64decode(status.get("out-data", "")),
            b64decode(status.get("err-data", "")),
            bool(status.get("out-truncated") or status.get("err-truncated")),
        )

    def _spooled(
        self,
        directory: str,
        argv: Sequence[str],
        input: bytes,
        env: Sequence[str],
        deadline: float,
        timeout: float,
        on_output: OnOutput | None,
    ) -> Done:
        kept: tuple[list[bytes], list[bytes]] = ([], [])
        self.write_file(f"{directory}/in", [input])
        for name in ("out", "err"):
            self.write_file(f"{directory}/{name}", [])
        with self._open(f"{directory}/out", "r") as out, self._open(f"{directory}/err", "r") as err:

            def drain() -> bool:
                any_came = False
                for handle, is_error in ((out, False), (err, True)):
                    while piece := self._read(handle):
                        any_came = True
                        if on_output is None:
                            kept[is_error].append(piece)
                        else:
                            on_output(piece, is_error)
                return any_came

            pid = self._start(["sh", "-c", SPOOLED, directory, *argv], env, capture=False)
            status = self._await(pid, argv, deadline, timeout, drain)
            drain()
        return Done(_code(status), b"".join(kept[0]), b"".join(kept[1]))

    def _start(self, argv: Sequence[str], env: Sequence[str], *, capture: bool, input: bytes = b"") -> int:
        order: dict[str, Any] = {"path": argv[0], "arg": list(argv[1:]), "capture-output": capture}
        if input:
            order["input-data"] = _coded(input)
        if env:
            order["env"] = list(env)
        try:
            return int(self._ask("guest-exec", order)["pid"])
        except _Refusal as refusal:
            raise GuestFailed(
                f'cannot run "{argv[0]}" in VM "{self._vm}": {refusal.what}', hint=refusal.hint
            ) from refusal

    def _await(
        self,
        pid: int,
        argv: Sequence[str],
        deadline: float,
        timeout: float,
        meanwhile: Callable[[], bool] | None = None,
    ) -> dict[str, Any]:
        pause = _FIRST_PAUSE
        try:
            while True:
                status: dict[str, Any] = self._ask("guest-exec-status", {"pid": pid})
                if status["exited"]:
                    return status
                if meanwhile is not None and meanwhile():
                    pause = _FIRST_PAUSE
                left = deadline - self._clock()
                if left <= 0:
                    raise TimedOut(
                        f'program "{argv[0]}" in VM "{self._vm}" did not end within {timeout:g} s and was killed',
                        hint="give it more time with --timeout",
                    )
                self._sleep(min(pause, left))
                pause = min(pause * 1.5, _LONGEST_PAUSE)
        except BaseException:
            # Nobody waits for it any more; that the agent may be gone as well is why we are here.
            with suppress(KvistError):
                self._start(["kill", "-KILL", str(pid)], (), capture=False)
            raise

    def _spool(self, *, optional: bool) -> str | None:
        """Make a directory for the streams of a program; None where that is optional and the guest has no mktemp."""
        try:
            made = self._captured(["mktemp", "-d"], b"", (), self._clock() + _CHORE, _CHORE)
        except GuestFailed:
            if optional:
                return None
            raise
        if made.code:
            raise GuestFailed(f'VM "{self._vm}" has no room for the streams of a program: {_line(made.err)}')
        return made.out.decode(errors="replace").strip()

    @contextmanager
    def _removing(self, directory: str) -> Iterator[None]:
        def remove() -> None:
            self._captured(["rm", "-rf", "--", directory], b"", (), self._clock() + _CHORE, _CHORE)

        try:
            yield
        except BaseException:
            # What went wrong first is what the user has to know.
            with suppress(KvistError):
                remove()
            raise
        remove()

    @contextmanager
    def _open(self, path: str, mode: str) -> Iterator[int]:
        try:
            handle = int(self._ask("guest-file-open", {"path": path, "mode": mode}))
        except _Refusal as refusal:
            raise GuestFailed(
                f'cannot open file "{path}" in VM "{self._vm}": {refusal.what}', hint=refusal.hint
            ) from refusal
        try:
            yield handle
        except BaseException:
            with suppress(KvistError):
                self._ask("guest-file-close", {"handle": handle})
            raise
        self._ask("guest-file-close", {"handle": handle})

    def _read(self, handle: int) -> bytes:
        return b64decode(self._ask("guest-file-read", {"handle": handle, "count": READ})["buf-b64"])

    def _ask(self, command: str, arguments: Mapping[str, object] | None = None, timeout: float = 10) -> Any:
        """Send one command and give what the agent's schema says comes back."""
        message: dict[str, object] = {"execute": command}
        if arguments:
            message["arguments"] = arguments
        try:
            answer = json.loads(self._send(json.dumps(message), timeout))
        except Unsupported as without:
            raise GuestFailed(
                f'VM "{self._vm}" has no channel for a guest agent',
                hint="a VM that kvist makes has one; into another it comes by virsh edit: a virtio channel named "
                "org.qemu.guest_agent.0",
            ) from without
        except Failed as failure:
            raise self._meaning(command, failure) from failure
        if "error" in answer:
            raise _Refusal(str(answer["error"].get("desc", answer["error"])))
        return answer["return"]

    def _meaning(self, command: str, failure: KvistError) -> KvistError:
        if isinstance(failure, GuestFailed):
            return GuestFailed(
                f'the guest agent of VM "{self._vm}" does not answer: {failure.what}',
                hint="install and start qemu-guest-agent in the guest; right after a boot, wait for it: "
                f"kvist wait {self._vm} agent",
            )
        told = _REASON.search(failure.what)
        if told is None:
            return failure
        if "disabled" in told[1] or "has not been found" in told[1]:
            return _Refusal(
                f'the guest agent of VM "{self._vm}" does not allow "{command}"',
                hint="in the guest, take it off the block list in /etc/sysconfig/qemu-ga or /etc/qemu/qemu-ga.conf",
            )
        return _Refusal(told[1])


def _code(status: dict[str, Any]) -> int:
    return int(status["exitcode"]) if "exitcode" in status else 128 + int(status.get("signal", 0))


def _coded(data: bytes) -> str:
    return b64encode(data).decode("ascii")


def _line(text: bytes) -> str:
    return text.decode(errors="replace").strip().splitlines()[-1] if text.strip() else "no reason given"
