"""The console: a person at a pty, a script, and what each is told when the guest says nothing."""

from __future__ import annotations

import os
import pty
import re
import signal
import termios
import threading
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from kvist.errors import Conflict, Failed, GuestFailed, Interrupted, Invalid, LibvirtFailed, TimedOut
from kvist.guest.console import SILENT, Expect, Send, Step, interact, opening, parse_expect, parse_send, script


class Fake:
    """A guest that says what it is given, a piece at a time, and answers what is typed."""

    def __init__(self, *pieces: bytes, answers: dict[bytes, bytes] | None = None, ends: bool = False) -> None:
        self.pieces = list(pieces)
        self.answers = answers or {}
        self.ends = ends
        self.typed = b""
        self.hung_up = False
        self.appetite = 1 << 20

    @property
    def closed(self) -> bool:
        return self.hung_up or (self.ends and not self.pieces)

    def recv(self, timeout: float = 0.1) -> bytes:
        if self.pieces:
            return self.pieces.pop(0)
        time.sleep(min(timeout, 0.01))
        return b""

    def send(self, data: bytes) -> int:
        taken = data[: self.appetite]
        self.typed += taken
        for typed, answer in self.answers.items():
            if self.typed.endswith(typed):
                self.pieces.append(answer)
        return len(taken)

    def close(self) -> None:
        self.hung_up = True


class Terminal(NamedTuple):
    keyboard: int
    inside: int


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    keyboard, inside = pty.openpty()
    yield Terminal(keyboard, inside)
    os.close(keyboard)
    os.close(inside)


@pytest.fixture
def notes() -> Iterator[tuple[int, int]]:
    out, into = os.pipe()
    os.set_blocking(out, False)
    yield out, into
    os.close(out)
    os.close(into)


def later(seconds: float, act: Callable[[], object]) -> threading.Timer:
    timer = threading.Timer(seconds, act)
    timer.start()
    return timer


def everything(fd: int) -> bytes:
    try:
        return os.read(fd, 65536)
    except BlockingIOError:
        return b""


def test_keys_go_to_the_guest_until_the_leaving_key_and_the_terminal_is_as_before(
    terminal: Terminal, notes: tuple[int, int]
) -> None:
    before = termios.tcgetattr(terminal.inside)
    guest = Fake(b"login: ")
    # The terminal must be raw before the keys come, or it would eat Ctrl-C itself.
    later(0.2, lambda: os.write(terminal.keyboard, b"root\r\x03\x1dnot this"))
    assert interact(guest, source=terminal.inside, sink=notes[1], notes=notes[1]) == "left"
    assert guest.typed == b"root\r\x03"
    assert termios.tcgetattr(terminal.inside) == before
    assert b"login: " in everything(notes[0])


def test_a_guest_that_goes_away_ends_the_session(terminal: Terminal, notes: tuple[int, int]) -> None:
    guest = Fake(b"Power down\r\n", ends=True)
    assert interact(guest, source=terminal.inside, sink=notes[1], notes=notes[1]) == "closed"
    assert b"Power down\r\n" in everything(notes[0])


def test_a_silent_guest_is_explained_once(terminal: Terminal, notes: tuple[int, int]) -> None:
    later(1.0, lambda: os.write(terminal.keyboard, b"\x1d"))
    interact(Fake(), source=terminal.inside, sink=notes[1], notes=notes[1], silence=0.1)
    assert everything(notes[0]).count(SILENT.encode()) == 1


def test_a_guest_that_talks_is_not_called_silent(terminal: Terminal, notes: tuple[int, int]) -> None:
    later(0.8, lambda: os.write(terminal.keyboard, b"\x1d"))
    interact(Fake(b"hello"), source=terminal.inside, sink=notes[1], notes=notes[1], silence=0.3)
    assert SILENT.encode() not in everything(notes[0])


def test_without_a_terminal_the_session_ends_when_the_guest_falls_silent_after_the_last_byte(
    notes: tuple[int, int],
) -> None:
    source, into = os.pipe()
    os.write(into, b"id\n")
    guest = Fake(b"uid=0")
    # As long as more may come, silence ends nothing.
    later(0.6, lambda: os.close(into))
    begun = time.monotonic()
    assert interact(guest, source=source, sink=notes[1], notes=notes[1], silence=9, settle=0.3) == "ended"
    assert 0.8 < time.monotonic() - begun < 5
    assert guest.typed == b"id\n"
    assert everything(notes[0]) == b"uid=0"
    os.close(source)


def test_the_terminal_is_put_back_when_the_guest_fails(terminal: Terminal, notes: tuple[int, int]) -> None:
    class Broken(Fake):
        def recv(self, timeout: float = 0.1) -> bytes:
            raise LibvirtFailed("the connection is gone")

    before = termios.tcgetattr(terminal.inside)
    with pytest.raises(LibvirtFailed, match="gone"):
        interact(Broken(), source=terminal.inside, sink=notes[1], notes=notes[1])
    assert termios.tcgetattr(terminal.inside) == before


def test_the_terminal_is_put_back_when_the_process_is_told_to_end(terminal: Terminal, notes: tuple[int, int]) -> None:
    before = termios.tcgetattr(terminal.inside)
    handler = signal.getsignal(signal.SIGTERM)
    later(0.3, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(Interrupted, match="SIGTERM"):
        interact(Fake(), source=terminal.inside, sink=notes[1], notes=notes[1])
    assert termios.tcgetattr(terminal.inside) == before
    assert signal.getsignal(signal.SIGTERM) is handler


def test_a_window_of_another_size_than_the_guest_believes_is_noted(terminal: Terminal, notes: tuple[int, int]) -> None:
    termios.tcsetwinsize(terminal.inside, (50, 132))
    interact(Fake(ends=True), source=terminal.inside, sink=notes[1], notes=notes[1])
    assert b"stty cols 132 rows 50" in everything(notes[0])


def test_without_a_terminal_the_input_is_sent_and_the_output_shown_to_its_end(notes: tuple[int, int]) -> None:
    out, into = os.pipe()
    os.write(into, b"halt\n")
    os.close(into)
    guest = Fake(answers={b"halt\n": b"bye\r\n"})
    later(0.5, guest.close)
    assert interact(guest, source=out, sink=notes[1], notes=notes[1]) == "closed"
    os.close(out)
    assert everything(notes[0]) == b"bye\r\n"


def test_no_file_stays_open_after_a_session(terminal: Terminal, notes: tuple[int, int]) -> None:
    before = set(os.listdir("/proc/self/fd"))
    interact(Fake(ends=True), source=terminal.inside, sink=notes[1], notes=notes[1])
    assert set(os.listdir("/proc/self/fd")) == before


def test_a_taken_console_says_who_can_take_it_over() -> None:
    with pytest.raises(Conflict, match="another terminal") as taken, opening("web"):
        raise LibvirtFailed("operation failed: Active console session exists for this domain")
    assert taken.value.hint == "kvist console web --force takes it over"


def test_a_vm_without_a_console_says_so() -> None:
    with pytest.raises(Conflict, match='VM "web" has no such console'), opening("web"):
        raise Failed("internal error: cannot find character device <null>")


def test_other_failures_of_opening_pass_unchanged() -> None:
    with pytest.raises(Conflict, match="not running"), opening("web"):
        raise Conflict("domain is not running")


def test_a_script_types_and_waits_in_order() -> None:
    guest = Fake(b"\x1b[2J\x1b[1mweb log", b"in: \x1b[0m", answers={b"root\n": b"root\r\n# ", b"id\n": b"uid=0\r\n# "})
    echoed: list[bytes] = []
    steps: list[Step] = [
        parse_expect("login: $"),
        Send(b"root\n"),
        parse_expect("^# "),
        Send(b"id\n"),
        parse_expect(r"uid=\d+$"),
    ]
    wrote = script(guest, steps, timeout=5, echo=echoed.append)
    assert guest.typed == b"root\nid\n"
    assert wrote == "web login: root\n# uid=0\n# "
    assert b"".join(echoed).startswith(b"\x1b[2J")


def test_a_pattern_is_looked_for_after_the_previous_match_only() -> None:
    with pytest.raises(TimedOut):
        script(Fake(b"one # "), [parse_expect("# "), parse_expect("# ")], timeout=0.2)


def test_letters_and_line_breaks_that_come_in_two_pieces_are_put_together() -> None:
    guest = Fake("grü".encode()[:3], "grü".encode()[3:] + b"n\r", b"\nok")
    assert script(guest, [parse_expect("^grün$"), parse_expect("^ok$")], timeout=2) == "grün\nok"


@pytest.mark.parametrize("half", [b"\x1b", b"\x1b[", b"\x1b[6", b"\x1b]0;title", b"\x1b(", b"\x1b[6\r", b"\r"])
def test_the_half_of_what_a_terminal_is_told_is_not_shown(half: bytes) -> None:
    assert script(Fake(b"42\r\n# " + half), [parse_expect("# ")], timeout=2) == "42\n# "


def test_a_script_that_waits_in_vain_shows_the_last_lines() -> None:
    with pytest.raises(TimedOut, match=r'step 2: "login:" did not appear within 0.3 s; last seen: "b / c / d"'):
        script(Fake(b"a\r\nb\r\nc\r\n\r\nd"), [Send(b""), parse_expect("login:")], timeout=0.3)


def test_a_script_that_hears_nothing_is_told_to_press_enter() -> None:
    with pytest.raises(TimedOut, match="the guest wrote nothing") as late:
        script(Fake(), [parse_expect("login:")], timeout=0.1)
    assert r"--send '\n'" in late.value.hint


def test_a_script_whose_guest_goes_away_fails() -> None:
    with pytest.raises(GuestFailed, match=r'step 1: the console ended before "login:"; last seen: "panic"'):
        script(Fake(b"panic\r\n", ends=True), [parse_expect("login:")], timeout=5)


def test_what_a_guest_takes_in_small_bites_arrives_whole_and_a_full_line_is_not_waited_for_forever() -> None:
    guest = Fake()
    guest.appetite = 3
    script(guest, [Send(b"0123456789")], timeout=5)
    assert guest.typed == b"0123456789"
    guest.appetite = 0
    with pytest.raises(TimedOut, match="takes no more input"):
        script(guest, [Send(b"x")], timeout=0.1)


@pytest.mark.parametrize(
    ("text", "data"),
    [
        (r"root\n", b"root\n"),
        (r"\r\t\e\\\x41\xff", b"\r\t\x1b\\A\xff"),
        ("^C^d^[^?^@", b"\x03\x04\x1b\x7f\x00"),
        (r"a\^b", b"a^b"),
        ("grün", "grün".encode()),
    ],
)
def test_escapes_of_send_stand_for_keys(text: str, data: bytes) -> None:
    assert parse_send(text) == Send(data)


@pytest.mark.parametrize("text", [r"\q", "end\\", r"\x4", "^1", "^"])
def test_an_escape_that_stands_for_nothing_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="stands for nothing"):
        parse_send(text)


def test_a_broken_pattern_is_refused_with_its_reason() -> None:
    with pytest.raises(Invalid, match="not a regular expression"):
        parse_expect("login: (")
    assert parse_expect("a") == Expect(re.compile("a", re.MULTILINE))
