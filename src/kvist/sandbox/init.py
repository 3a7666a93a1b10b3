"""The first process of a sandbox: makes it, keeps its daemons running, and takes everything along when it ends.

Started by `kvist.sandbox.sandbox.up` through unshare(1) as `python -m kvist.sandbox.init NAME FLAGS`, with two
descriptors: the reservation (a bound socket, see kvist.sandbox.reservation) and, if the sandbox is tied to the process
that asked for it, the reading end of a pipe that closes when that process ends. Standard output tells the caller how it
goes, a JSON object a line.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sys
from types import FrameType

from kvist.errors import KvistError
from kvist.host import namespaces
from kvist.sandbox import tree
from kvist.sandbox.reservation import GREETING
from kvist.sandbox.services import Supervisor

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
READY_WITHIN = 25.0
"""Seconds that libvirtd may take; it needs about half a second when the machine is idle."""


def main(name: str, reservation: int, tether: int, kvm: bool, visible: list[str]) -> None:
    held = socket.socket(fileno=reservation)
    # From now on the kernel tells everyone who asks for the name which process this is.
    held.listen(64)
    woken, wake = socket.socketpair()
    for end in (woken, wake, held):
        end.setblocking(False)
    signal.signal(signal.SIGTERM, _power_off)
    signal.signal(signal.SIGCHLD, _noted)
    signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
    os.environ.clear()
    os.environ.update(PATH=PATH, HOME="/root", LANG="C.UTF-8")

    _tell(step="private root")
    tree.build(name, kvm=kvm, visible=visible)
    tree.furnish(name)
    namespaces.raise_loopback()
    _tell(step="libvirtd")
    supervisor = Supervisor("virtlogd", "libvirtd")
    supervisor.start()
    supervisor.wait_ready(READY_WITHIN)
    _tell(ready=True)
    _be_quiet()

    poll = select.poll()
    for watched in (woken.fileno(), held.fileno(), tether):
        if watched >= 0:
            poll.register(watched, select.POLLIN)
    while True:
        supervisor.collect()
        pause = supervisor.revive()
        for descriptor, _ in poll.poll(None if pause is None else pause * 1000):
            if descriptor == tether:
                return
            if descriptor == held.fileno():
                _greet(held)
            else:
                woken.recv(4096)


def _greet(held: socket.socket) -> None:
    try:
        visitor, _ = held.accept()
        with visitor:
            visitor.send(GREETING)
    except OSError:  # the visitor did not wait for the answer
        return


def _tell(**news: str | bool) -> None:
    try:
        os.write(1, json.dumps(news).encode() + b"\n")
    except BrokenPipeError:  # whoever asked is gone; the next one finds a finished sandbox
        return


def _be_quiet() -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (1, 2):
        os.dup2(nowhere, descriptor)
    os.close(nowhere)


def _power_off(number: int, frame: FrameType | None) -> None:
    os._exit(0)


def _noted(number: int, frame: FrameType | None) -> None:
    """The wake-up descriptor has it already; without a handler the kernel would not send the signal."""


if __name__ == "__main__":
    given = json.loads(sys.argv[2])
    try:
        main(sys.argv[1], given["reservation"], given["tether"], given["kvm"], given["visible"])
    except KvistError as failure:
        _tell(error=failure.what, hint=failure.hint)
        sys.exit(1)
    except OSError as failure:
        _tell(error=f'{failure.strerror}: "{failure.filename}"' if failure.filename else str(failure), hint="")
        sys.exit(1)
