"""Bytes to and from libvirt: consoles, screenshots, volumes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import BinaryIO

import libvirt

from kvist.virt.errors import calling

CHUNK = 256 << 10
"""Bytes moved at a time; libvirt's own packets carry up to 256 KiB (VIR_NET_MESSAGE_LEGACY_PAYLOAD_MAX)."""


def drain(stream: libvirt.virStream) -> bytes:
    """Read a stream to its end."""
    parts: list[bytes] = []
    while chunk := stream.recv(CHUNK):
        parts.append(chunk)
    stream.finish()
    return b"".join(parts)


def pour(source: BinaryIO, stream: libvirt.virStream, on_bytes: Callable[[int], None] | None = None) -> None:
    """Send a file into a stream, to its end; the stream is aborted on any failure."""
    sent = 0
    try:
        while chunk := source.read(CHUNK):
            view = memoryview(chunk)
            while view:
                done = stream.send(bytes(view))
                view = view[done:]
            sent += len(chunk)
            if on_bytes is not None:
                on_bytes(sent)
        stream.finish()
    except BaseException:
        stream.abort()
        raise


class ConsoleStream:
    """A console as two directions of bytes; needs the event loop, which libvirt fills it from."""

    def __init__(self, stream: libvirt.virStream) -> None:
        self._stream = stream
        self._arrived = threading.Condition()
        self._buffer = bytearray()
        self.closed = False
        self._stream.eventAddCallback(
            libvirt.VIR_STREAM_EVENT_READABLE | libvirt.VIR_STREAM_EVENT_HANGUP | libvirt.VIR_STREAM_EVENT_ERROR,
            self._on_event,
            None,
        )

    def _on_event(self, stream: libvirt.virStream, events: int, _opaque: object) -> None:
        with self._arrived:
            try:
                if events & libvirt.VIR_STREAM_EVENT_READABLE:
                    chunk = stream.recv(CHUNK)
                    if isinstance(chunk, bytes):
                        self._buffer += chunk
                        self.closed = self.closed or not chunk
                if events & (libvirt.VIR_STREAM_EVENT_HANGUP | libvirt.VIR_STREAM_EVENT_ERROR):
                    self.closed = True
            except libvirt.libvirtError:
                # The guest went away under us: for a console that is its end, not a failure.
                self.closed = True
            if self.closed:
                stream.eventRemoveCallback()
            self._arrived.notify_all()

    def recv(self, timeout: float = 0.1) -> bytes:
        """Give what has arrived, waiting up to `timeout` seconds for it; b"" when nothing did (see `closed`)."""
        with self._arrived:
            if not self._buffer and not self.closed:
                self._arrived.wait(timeout)
            taken = bytes(self._buffer)
            self._buffer.clear()
            return taken

    def send(self, data: bytes) -> int:
        """Send bytes to the guest and give how many were taken; 0 when the line is full just now."""
        with calling("write to the console"):
            return max(0, int(self._stream.send(data)))

    def close(self) -> None:
        """Hang up."""
        with self._arrived:
            if not self.closed:
                self.closed = True
                self._stream.eventRemoveCallback()
                self._stream.abort()
