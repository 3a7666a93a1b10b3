"""The daemons of a sandbox: started, and started again when they die."""

from __future__ import annotations

import os
import socket
import struct
import time
from pathlib import Path
from typing import TYPE_CHECKING

from kvist.errors import Failed, TimedOut
from kvist.host.run import spawn

if TYPE_CHECKING:
    import subprocess

SOCKET = "/run/libvirt/libvirt-sock"
NETWORK_STATE = Path("/run/libvirt/network/default.xml")
"""The file that libvirtd keeps while the network is active: the part of the start that the kernel may refuse."""

STEADY = 5.0
"""Seconds after which a daemon counts as running well; one that dies sooner waits longer each time."""


class Service:
    """A daemon that has to run for as long as the sandbox does."""

    def __init__(self, program: str) -> None:
        self.program = program
        self.log = Path(f"/var/log/libvirt/{program}.log")
        self.due = 0.0
        self._pause = 0.05
        self._started = 0.0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        return self._process.pid if self._process else 0

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = spawn([self.program], stdout=log, stderr=log, cwd="/")
        self._started = time.monotonic()

    def died(self) -> None:
        """Take note of its end: it is due again after a pause, which doubles up to 5 s while it keeps dying."""
        if self._process:
            self._process.wait()
            self._process = None
        now = time.monotonic()
        self._pause = 0.05 if now - self._started > STEADY else min(self._pause * 2, 5.0)
        self.due = now + self._pause

    def last_words(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines() if self.log.exists() else []
        return " / ".join(lines[-3:]) or "no word in its log"


class Supervisor:
    """Keep the services running and collect the dead: what the first process of a system does."""

    def __init__(self, *programs: str) -> None:
        self.services = [Service(program) for program in programs]

    def start(self) -> None:
        for service in self.services:
            service.start()

    def collect(self) -> None:
        """Reap whatever has ended; a service among it is to be started again."""
        while True:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if ended is None:
                return
            for service in self.services:
                if service.pid == ended.si_pid:
                    service.died()
                    break
            else:
                os.waitpid(ended.si_pid, 0)

    def revive(self) -> float | None:
        """Start what is due; give the seconds until the next one is, None when all run."""
        waiting = []
        for service in self.services:
            if service.pid:
                continue
            left = service.due - time.monotonic()
            if left <= 0:
                service.start()
            else:
                waiting.append(left)
        return min(waiting, default=None)

    def wait_ready(self, seconds: float) -> None:
        """Wait until libvirtd answers, and see that it has brought up what it should."""
        deadline = time.monotonic() + seconds
        libvirtd = next(service for service in self.services if service.program == "libvirtd")
        while not answers():
            self.collect()
            if not libvirtd.pid:
                raise Failed(f"libvirtd of the sandbox ended: {libvirtd.last_words()}")
            if time.monotonic() > deadline:
                raise TimedOut(f"libvirtd of the sandbox does not answer within {seconds:g} s: {libvirtd.last_words()}")
            time.sleep(0.01)
        if not NETWORK_STATE.exists():
            raise Failed(f'libvirtd of the sandbox could not start network "default": {libvirtd.last_words()}')


def answers(path: str = SOCKET) -> bool:
    """Ask a libvirtd which ways to log in it knows, the first call of every client.

    libvirtd listens from its start, but answers only when all its drivers are ready.
    Source: https://libvirt.org/kbase/internals/rpc.html (length, program, version, procedure, type, serial, status).
    """
    program, version, list_of_logins, call = 0x20008086, 1, 66, 0
    question = struct.pack(">7I", 28, program, version, list_of_logins, call, 0, 0)
    with socket.socket(socket.AF_UNIX) as wire:
        wire.settimeout(0.5)
        try:
            wire.connect(path)
            wire.sendall(question)
            return bool(wire.recv(28))
        except OSError:  # not there yet, or there and not ready: the answer is no
            return False
