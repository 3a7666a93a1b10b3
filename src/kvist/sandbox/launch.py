"""The start of a sandbox: its first process, and what that tells until it is ready."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from kvist.errors import Failed, TimedOut
from kvist.sandbox import reservation
from kvist.sandbox.reservation import UP_WITHIN

if TYPE_CHECKING:
    import socket
    import subprocess

NAMESPACES = ("-m", "-u", "-i", "-n", "-p", "-C")
PRIVILEGES = "in a container, start that with --privileged: a sandbox needs CAP_SYS_ADMIN"


class Launched(NamedTuple):
    """A sandbox this process started: unshare(1), whose end it has to ask for, and the tether that closes with it."""

    process: subprocess.Popen[bytes]
    tether: int


_launched: list[Launched] = []


def launch(name: str, held: socket.socket, on_progress: Callable[[str], None], *, tether: bool) -> int:
    """Start the sandbox whose name is held and give its first process, once it is ready.

    Whatever goes wrong, Ctrl-C too, nothing of it stays. With `tether` it ends when this process does.
    """
    import subprocess

    from kvist.host.kvm import probe
    from kvist.host.run import need, spawn
    from kvist.sandbox.settings import PROGRAMS

    for program, package in PROGRAMS.items():
        need(program, package)
    kvm, visible = probe(own_node=True).usable, _visible()
    end, mine = os.pipe() if tether else (-1, -1)
    given = {"reservation": held.fileno(), "tether": end, "kvm": kvm, "visible": visible}
    inner = [sys.executable, "-P", "-m", "kvist.sandbox.init", name, json.dumps(given)]
    try:
        process = spawn(
            ["unshare", *NAMESPACES, "--fork", "--kill-child", "--", *inner],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd="/",
            detach=True,
            keep=[held.fileno(), *([end] if tether else [])],
        )
    finally:
        # From here on the name is held by the sandbox alone, and free as soon as that ends.
        held.close()
        if tether:
            os.close(end)
    started = Launched(process, mine)
    try:
        _follow(name, process, on_progress)
        found = reservation.holder(name, wait=5)
        if found is None:
            raise Failed(f'sandbox "{name}" ended as soon as it was ready')
    except BaseException:
        process.kill()
        _let_go(started)
        deadline = time.monotonic() + 5
        while name in reservation.names() and time.monotonic() < deadline:
            time.sleep(0.01)
        raise
    _launched.append(started)
    return found.pid


def collect() -> None:
    """Ask for the end of sandboxes that this process started and that are gone."""
    for one in [one for one in _launched if one.process.poll() is not None]:
        _launched.remove(one)
        _let_go(one)


def _let_go(one: Launched) -> None:
    one.process.wait()
    if one.tether >= 0:
        os.close(one.tether)


def _follow(name: str, process: subprocess.Popen[bytes], on_progress: Callable[[str], None]) -> None:
    """Listen to what the first process tells until it says that it is ready."""
    from threading import Timer

    assert process.stdout is not None
    clock = Timer(UP_WITHIN, process.kill)
    clock.start()
    stray: list[str] = []
    began = time.monotonic()
    try:
        with process.stdout:
            for line in process.stdout:
                try:
                    news = json.loads(line)
                except ValueError:  # not one of ours: unshare or Python itself complains
                    stray.append(line.decode(errors="replace").strip())
                    continue
                if news.get("ready"):
                    return
                if "error" in news:
                    raise Failed(f'cannot start sandbox "{name}": {news["error"]}', hint=news["hint"])
                on_progress(news["step"])
    finally:
        clock.cancel()
    if time.monotonic() - began >= UP_WITHIN:
        raise TimedOut(f'sandbox "{name}" did not become ready within {UP_WITHIN:g} s')
    complaint = " / ".join(stray[-3:]) or "it ended without a word"
    hint = PRIVILEGES if "not permitted" in complaint else ""
    raise Failed(f'cannot start sandbox "{name}": {complaint}', hint=hint)


def _visible() -> list[str]:
    """Name what of the machine stays visible inside as it changes: the user's image cache, made if there is none."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kvist"
    cache.mkdir(parents=True, exist_ok=True)
    return [str(cache)]
