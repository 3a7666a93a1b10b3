"""What is seen of long work: on a terminal only while it goes on, elsewhere line by line."""

from __future__ import annotations

import io
import os
import sys

import pytest

from kvist.cli.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        raise OSError("none")


@pytest.fixture(autouse=True)
def plain_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)


def reported(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch, *, fleeting: bool) -> str:
    monkeypatch.setattr(sys, "stderr", stream)
    progress = Progress()
    progress.report("warning: slow", 1.0)
    progress.fleeting = fleeting
    progress.report('start VM "web"', None)
    progress.report('start VM "web"', None)
    progress.report("open the console", 1.0)
    progress.end()
    return stream.getvalue()


def test_without_a_terminal_each_act_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    said = reported(io.StringIO(), monkeypatch, fleeting=True)
    assert said == 'warning: slow\nstart VM "web"\nopen the console\n'


def test_on_a_terminal_an_act_that_an_answer_will_tell_of_is_wiped_out(monkeypatch: pytest.MonkeyPatch) -> None:
    said = reported(Terminal(), monkeypatch, fleeting=True)
    assert said == (
        "\x1b[2mwarning: slow\x1b[0m\n" + '\x1b[2mstart VM "web"\x1b[0m' + "\r\x1b[2K\x1b[2mopen the console\x1b[0m\n"
    )


def test_an_act_is_not_cut_where_the_terminal_does_not_know_its_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "get_terminal_size", lambda _fd: os.terminal_size((0, 0)))
    monkeypatch.setattr(Terminal, "fileno", lambda _self: 2)
    assert 'start VM "web"\x1b[0m' in reported(Terminal(), monkeypatch, fleeting=True)


def test_on_a_terminal_an_act_without_an_answer_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    assert '\x1b[2mstart VM "web"\x1b[0m\n' in reported(Terminal(), monkeypatch, fleeting=False)


def test_who_wants_no_colour_gets_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    said = reported(Terminal(), monkeypatch, fleeting=True)
    assert said == 'warning: slow\nstart VM "web"\r\x1b[2Kopen the console\n'


def test_a_dumb_terminal_gets_lines_without_escapes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    assert "\x1b" not in reported(Terminal(), monkeypatch, fleeting=True)
