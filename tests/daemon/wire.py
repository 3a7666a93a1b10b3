"""What really reaches guests: a process in the sandbox that sees every packet on its interfaces, and sends the host's.

It is run there by the interpreter alone: it reads what to send from standard input, a line each, and writes
a line for each packet that it sees. Imported, it is the test's end of that process.
"""

from __future__ import annotations

import json
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from kvist.sandbox.sandbox import Sandbox

ALL = 0x0003
OUTGOING = 4
"""What the kernel says of a packet that leaves by an interface: it goes to the guest behind the tap."""


class Seen(NamedTuple):
    """A packet that went to a guest, or (not `to`) came from one."""

    tap: str
    to: bool
    kind: str
    """icmp4, icmp6, tcp4, tcp6, udp4, udp6, arp, frag4 ..."""
    source: str
    target: str
    number: int
    """The port it is for, or the type of ICMP."""
    syn: bool


def main() -> None:
    """See packets and send them, until nobody reads any more."""
    threading.Thread(target=_see, daemon=True).start()
    for line in sys.stdin:
        kind, address, number = line.split()
        # What a rule rejects on its way out is not sent, and the sender is told so: then nothing is seen of it.
        with suppress(PermissionError):
            _send(kind, address, int(number))


def _see() -> None:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ALL)) as wire:
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        while True:
            frame, (tap, _, direction, *_) = wire.recvfrom(65535)
            if (seen := _read(frame, tap, direction == OUTGOING)) is not None:
                sys.stdout.write(json.dumps(seen) + "\n")
                sys.stdout.flush()


def _read(frame: bytes, tap: str, to: bool) -> Seen | None:
    kind = struct.unpack("!H", frame[12:14])[0]
    body = frame[14:]
    if kind == 0x0806:
        return Seen(tap, to, "arp", socket.inet_ntoa(body[14:18]), socket.inet_ntoa(body[24:28]), body[7], False)
    if kind == 0x0800:
        head = (body[0] & 15) * 4
        source, target, protocol = socket.inet_ntoa(body[12:16]), socket.inet_ntoa(body[16:20]), body[9]
        if struct.unpack("!H", body[6:8])[0] & 0x1FFF:
            return Seen(tap, to, "frag4", source, target, protocol, False)
        return _carried(tap, to, "4", source, target, protocol, body[head:])
    if kind == 0x86DD:
        source, target = (socket.inet_ntop(socket.AF_INET6, body[at : at + 16]) for at in (8, 24))
        return _carried(tap, to, "6", source, target, body[6], body[40:])
    return None


def _carried(tap: str, to: bool, version: str, source: str, target: str, protocol: int, rest: bytes) -> Seen | None:
    if protocol in (1, 58):
        return Seen(tap, to, f"icmp{version}", source, target, rest[0], False)
    if protocol == 6:
        return Seen(tap, to, f"tcp{version}", source, target, struct.unpack("!H", rest[2:4])[0], rest[13] & 0x12 == 2)
    if protocol == 17:
        return Seen(tap, to, f"udp{version}", source, target, struct.unpack("!H", rest[2:4])[0], False)
    return None


def _send(kind: str, address: str, number: int) -> None:
    """Send one packet of the host's own and wait for nothing."""
    if kind == "icmp":
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as raw:
            bare = struct.pack("!BBHHH", 8, 0, 0, number, 1)
            total = sum(struct.unpack("!4H", bare))
            total = (total & 0xFFFF) + (total >> 16)
            raw.sendto(struct.pack("!BBHHH", 8, 0, ~total & 0xFFFF, number, 1), (address, 0))
    elif kind == "udp":
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
            plain.sendto(b"x", (address, number))
    else:
        stream = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        stream.setblocking(False)
        stream.connect_ex((address, number))
        threading.Timer(0.4, stream.close).start()


class Wire:
    """The test's end."""

    def __init__(self, stdin: IO[bytes], stdout: IO[bytes]) -> None:
        self._stdin, self._stdout = stdin, stdout
        self._seen: list[Seen] = []
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        for line in self._stdout:
            told: list[Any] = json.loads(line)
            self._seen.append(Seen(*told))

    def send(self, kind: str, address: str, number: int = 0) -> None:
        """Let the host send a packet: icmp, udp or tcp."""
        self._stdin.write(f"{kind} {address} {number}\n".encode())
        self._stdin.flush()

    def forget(self) -> None:
        """Begin anew."""
        self._seen.clear()

    def seen(self) -> list[Seen]:
        """Give what was seen since."""
        return list(self._seen)

    def saw(self, *, within: float = 3.0, **like: Any) -> bool:
        """Wait for a packet that is like this."""
        end = time.monotonic() + within
        while True:
            if any(all(getattr(one, key) == value for key, value in like.items()) for one in self.seen()):
                return True
            if time.monotonic() > end:
                return False
            time.sleep(0.02)


@contextmanager
def wire(sandbox: Sandbox) -> Iterator[Wire]:
    """Look at the wires of a sandbox until the end of the block."""
    from subprocess import PIPE

    from kvist.host.run import spawn

    # Its files are not seen in there: the program goes along as an argument.
    process = spawn(sandbox.enter(["python3", "-c", Path(__file__).read_text("utf-8")]), stdin=PIPE, stdout=PIPE)
    assert process.stdin is not None and process.stdout is not None
    try:
        yield Wire(process.stdin, process.stdout)
    finally:
        # What was started in there goes on when nsenter is killed, and ends when nobody tells it anything any more.
        process.stdin.close()
        process.wait(5)


if __name__ == "__main__":
    main()
