"""A guest's serial console: a terminal for a person, and send/expect for a script."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple, Protocol, TypeAlias

from kvist.errors import Conflict, Failed, GuestFailed, Interrupted, Invalid, TimedOut

LEAVE = b"\x1d"
"""Ctrl-], as in virsh console."""

SILENT = (
    "nothing has come from the guest so far: press Enter to wake a login prompt; if it stays silent, the guest has no "
    "getty on its serial port (systemctl enable --now serial-getty@ttyS0) or its kernel is not told to use it "
    "(console=ttyS0); Ctrl-] leaves"
)

_PATIENCE = 10.0
_TICK = 0.2
_KEPT = 256 << 10
_CONTROL = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[()][0-9A-Za-z]|[=>78cDEHM])")
_CUT_OFF = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|\][^\x07\x1b]*\x1b?|[()])?\Z")
"""The first half of such a sequence, at the very end."""
_ESCAPE = re.compile(rb"\\x[0-9a-fA-F]{2}|\\.?|\^.?", re.DOTALL)
_ESCAPES = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"e": b"\x1b", b"\\": b"\\", b"^": b"^"}


class Stream(Protocol):
    """Both directions of a console; `recv` gives b"" when nothing came in time, `send` says how much it took."""

    @property
    def closed(self) -> bool: ...
    def recv(self, timeout: float = ...) -> bytes: ...
    def send(self, data: bytes) -> int: ...
    def close(self) -> None: ...


class Send(NamedTuple):
    """A step of a script: type these bytes."""

    data: bytes


class Expect(NamedTuple):
    """A step of a script: wait until this appears."""

    pattern: re.Pattern[str]


Step: TypeAlias = Send | Expect


@contextmanager
def opening(vm: str) -> Iterator[None]:
    """Turn what libvirt says about a console that is taken into a Conflict with the way out."""
    try:
        yield
    except Failed as failure:
        if "cannot find character device" in failure.what:
            raise Conflict(
                f'VM "{vm}" has no such console', hint=f"kvist show {vm} tells what it has; kvist screenshot {vm}"
            ) from failure
        if "console session exists" not in failure.what:
            raise
        raise Conflict(
            f'another terminal is connected to the console of VM "{vm}"',
            hint=f"kvist console {vm} --force takes it over",
        ) from failure


def interact(
    stream: Stream, *, source: int = 0, sink: int = 1, notes: int = 2, silence: float = 5, settle: float = 3
) -> str:
    """Join the user's terminal to a console until Ctrl-] ("left") or until the guest goes away ("closed").

    The terminal is raw meanwhile, so Ctrl-C goes to the guest, and is put back whatever happens. After `silence`
    seconds without a byte a note says why that may be. Without a terminal the bytes of `source` are sent, and what the
    guest writes is shown until it has been silent for `settle` seconds after the last of them ("ended").
    Raises Interrupted on SIGTERM and SIGHUP.
    """
    import select
    import threading

    heard = threading.Event()
    latest = time.monotonic()
    done = threading.Event()
    wake_out, wake_in = os.pipe()
    failures: list[BaseException] = []

    def listen() -> None:
        nonlocal latest
        try:
            while not done.is_set():
                data = stream.recv(_TICK)
                if data:
                    heard.set()
                    _write(sink, data)
                    latest = time.monotonic()
                elif stream.closed:
                    break
        except (OSError, Failed) as failure:
            failures.append(failure)
        finally:
            os.write(wake_in, b".")

    listener = threading.Thread(target=listen, name="console", daemon=True)
    try:
        with _orderly(), _raw(source):
            _greet(source, notes)
            listener.start()
            noted = time.monotonic() + silence
            sources = [source, wake_out]
            while True:
                at_end = source not in sources
                ready, _, _ = select.select(sources, (), (), None if heard.is_set() and not at_end else _TICK)
                if wake_out in ready:
                    break
                if source in ready:
                    typed = os.read(source, 4096)
                    before, leave, _ = typed.partition(LEAVE)
                    _send(stream, before)
                    if leave:
                        return "left"
                    if not typed:
                        sources.remove(source)
                        latest = max(latest, time.monotonic())
                if at_end and time.monotonic() - latest >= settle:
                    return "ended"
                if noted and not heard.is_set() and time.monotonic() >= noted:
                    noted = 0
                    _note(notes, SILENT)
    finally:
        done.set()
        if listener.is_alive():
            listener.join(_TICK * 5)
        if not listener.is_alive():
            os.close(wake_out)
            os.close(wake_in)
    if failures:
        raise failures[0]
    return "closed"


def script(
    stream: Stream,
    steps: Sequence[Step],
    *,
    timeout: float = 60,
    echo: Callable[[bytes], None] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> str:
    """Type and wait in the given order, and give what the guest wrote.

    A pattern is looked for in what came after the previous match, with terminal control sequences and carriage returns
    taken out; ^ and $ hold at every line. `timeout` is for the whole, in seconds. Raises TimedOut with the last lines
    seen, GuestFailed when the console goes away.
    """
    from codecs import getincrementaldecoder

    decoder = getincrementaldecoder("utf-8")("replace")
    deadline = clock() + timeout
    seen: list[str] = []
    pending = ""

    def listen(wait: float) -> bool:
        nonlocal pending
        data = stream.recv(wait)
        if data:
            if echo is not None:
                echo(data)
            text = decoder.decode(data)
            seen.append(text)
            pending = plain(pending + text)[-_KEPT:]
        return bool(data)

    for number, step in enumerate(steps, 1):
        if isinstance(step, Send):
            _send(stream, step.data, max(0.0, deadline - clock()))
            continue
        while not (match := step.pattern.search(pending)):
            left = deadline - clock()
            if left <= 0:
                raise TimedOut(
                    f'step {number}: "{step.pattern.pattern}" did not appear within {timeout:g} s; {_last(seen)}',
                    hint=r"a prompt that is there already is written again after --send '\n'" if not seen else "",
                )
            if not listen(min(_TICK, left)) and stream.closed:
                raise GuestFailed(f'step {number}: the console ended before "{step.pattern.pattern}"; {_last(seen)}')
        pending = pending[match.end() :]
    if steps and isinstance(steps[-1], Send):
        # Hanging up at once could take back what libvirt has not passed on; the guest's echo shows that it arrived.
        quiet = min(deadline, clock() + 1)
        while clock() < quiet and listen(_TICK):
            continue
    return ended("".join(seen))


def parse_send(text: str) -> Send:
    r"""Read what `--send` was given: \n \r \t \e \\ \xNN, ^C and the other control keys, \^ for a plain ^."""

    def meant(match: re.Match[bytes]) -> bytes:
        found = match[0]
        if found.startswith(b"\\x") and len(found) == 4:
            return bytes((int(found[2:], 16),))
        if found[:1] == b"\\" and found[1:] in _ESCAPES:
            return _ESCAPES[found[1:]]
        key = found[1:].upper()
        if found[:1] == b"^" and (key == b"?" or b"@" <= key <= b"_"):
            return bytes((ord(key) ^ 0x40,))
        raise Invalid(
            f'"{found.decode(errors="replace")}" in "{text}" stands for nothing',
            hint=r"known are \n \r \t \e \xNN ^C and so on; write \\ and \^ for the characters themselves",
        )

    return Send(_ESCAPE.sub(meant, text.encode()))


def parse_expect(text: str) -> Expect:
    """Read what `--expect` was given: a regular expression of Python's re."""
    try:
        return Expect(re.compile(text, re.MULTILINE))
    except re.error as wrong:
        raise Invalid(
            f'"{text}" is not a regular expression: {wrong}', hint=r"write \( for a plain parenthesis"
        ) from wrong


def _send(stream: Stream, data: bytes, patience: float = _PATIENCE) -> None:
    deadline = time.monotonic() + patience
    while data:
        taken = stream.send(data)
        data = data[taken:]
        if taken or not data:
            continue
        if stream.closed:
            raise GuestFailed("the console ended")
        if time.monotonic() >= deadline:
            raise TimedOut(
                "the guest takes no more input from its console", hint="is it paused, or did its kernel stop?"
            )
        time.sleep(0.02)


def plain(text: str) -> str:
    """Take out what a terminal obeys instead of showing, and make every line break one character."""
    # A carriage return at the very end may be the first half of a line break: it waits for the rest.
    tail = "\r" if text.endswith("\r") else ""
    return _CONTROL.sub("", text).rstrip("\r").replace("\r\n", "\n").replace("\r", "\n").replace("\0", "") + tail


def ended(text: str) -> str:
    """Give what is `plain` of a text that nothing follows: half a sequence or line break at its end is left out."""
    return plain(_CUT_OFF.sub("", text.rstrip("\r")))


def _last(seen: list[str]) -> str:
    lines = [line for line in plain("".join(seen)[-4000:]).splitlines() if line.strip()]
    return f'last seen: "{" / ".join(lines[-3:])}"' if lines else "the guest wrote nothing"


@contextmanager
def _raw(source: int) -> Iterator[None]:
    if not os.isatty(source):
        yield
        return
    import termios
    import tty

    before = termios.tcgetattr(source)
    try:
        tty.setraw(source, termios.TCSANOW)
        yield
    finally:
        termios.tcsetattr(source, termios.TCSADRAIN, before)


@contextmanager
def _orderly() -> Iterator[None]:
    """Let a signal that would end the process end the session first, so that the terminal is put back."""
    import signal
    import threading

    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, _frame: object) -> None:
        raise Interrupted(f"stopped by {signal.Signals(number).name}")

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _greet(source: int, notes: int) -> None:
    if not os.isatty(source):
        return
    _note(notes, "connected; Ctrl-] leaves")
    size = os.get_terminal_size(source)
    if size.columns and size != (80, 24):
        # A serial line carries no window size, so the guest believes in 80x24.
        _note(notes, f"this window is larger or smaller than 80x24; tell the guest: stty cols {size[0]} rows {size[1]}")


def _note(notes: int, text: str) -> None:
    _write(notes, f"\r{text}\r\n".encode())


def _write(sink: int, data: bytes) -> None:
    while data:
        data = data[os.write(sink, data) :]
