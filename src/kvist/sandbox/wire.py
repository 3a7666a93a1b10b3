"""Join standard input and output to a port of a guest: what ssh's ProxyCommand wants, for guests of a sandbox.

Example: ssh -o ProxyCommand='python -m kvist.sandbox.wire default %h %p' root@192.168.122.7
"""

from __future__ import annotations

import os
import select
import socket
import sys

from kvist.errors import KvistError
from kvist.sandbox.sandbox import find

PIECE = 64 << 10


def join(wire: socket.socket, source: int, sink: int) -> None:
    """Carry bytes both ways until the guest has said its last."""
    wire.settimeout(None)
    ends: list[socket.socket | int] = [wire, source]
    while True:
        ready, _, _ = select.select(ends, (), ())
        if source in ready:
            piece = os.read(source, PIECE)
            if piece:
                wire.sendall(piece)
            else:
                wire.shutdown(socket.SHUT_WR)
                ends.remove(source)
        if wire in ready:
            piece = wire.recv(PIECE)
            if not piece:
                return
            while piece:
                piece = piece[os.write(sink, piece) :]


def main(name: str, address: str, port: str) -> int:
    """Join the streams of this process to `address`:`port` in the network of sandbox `name`."""
    try:
        with find(name).connect(address, int(port)) as wire:
            join(wire, sys.stdin.fileno(), sys.stdout.fileno())
    except (KvistError, OSError) as failure:
        sys.stderr.write(f"cannot reach {address} port {port} in sandbox {name}: {failure}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
