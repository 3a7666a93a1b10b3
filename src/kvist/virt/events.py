"""What happens on a host while kvist looks: lifecycle of VMs, devices that left, agents that came."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any, NamedTuple

import libvirt

from kvist.virt.errors import calling

_LIFECYCLE = {
    libvirt.VIR_DOMAIN_EVENT_DEFINED: "defined",
    libvirt.VIR_DOMAIN_EVENT_UNDEFINED: "undefined",
    libvirt.VIR_DOMAIN_EVENT_STARTED: "started",
    libvirt.VIR_DOMAIN_EVENT_SUSPENDED: "suspended",
    libvirt.VIR_DOMAIN_EVENT_RESUMED: "resumed",
    libvirt.VIR_DOMAIN_EVENT_STOPPED: "stopped",
    libvirt.VIR_DOMAIN_EVENT_SHUTDOWN: "shutdown",
    libvirt.VIR_DOMAIN_EVENT_PMSUSPENDED: "pmsuspended",
    libvirt.VIR_DOMAIN_EVENT_CRASHED: "crashed",
}

_WATCHDOG = {
    libvirt.VIR_DOMAIN_EVENT_WATCHDOG_NONE: "nothing was done",
    libvirt.VIR_DOMAIN_EVENT_WATCHDOG_PAUSE: "paused",
    libvirt.VIR_DOMAIN_EVENT_WATCHDOG_RESET: "reset",
    libvirt.VIR_DOMAIN_EVENT_WATCHDOG_POWEROFF: "forced off",
    libvirt.VIR_DOMAIN_EVENT_WATCHDOG_SHUTDOWN: "asked to shut down",
    libvirt.VIR_DOMAIN_EVENT_WATCHDOG_DEBUG: "reported",
    libvirt.VIR_DOMAIN_EVENT_WATCHDOG_INJECTNMI: "sent an NMI",
}
_IO_ERROR = {
    libvirt.VIR_DOMAIN_EVENT_IO_ERROR_NONE: "ignored",
    libvirt.VIR_DOMAIN_EVENT_IO_ERROR_PAUSE: "paused",
    libvirt.VIR_DOMAIN_EVENT_IO_ERROR_REPORT: "reported to the guest",
}


class Event(NamedTuple):
    """One thing that happened.

    `kind` is `lifecycle`, `device-added`, `device-removed`, `removal-failed`, `agent`, `reboot`, `watchdog`, `io-error`
    or `tray`; `what` says more: the device, the disk, what the watchdog did.
    """

    kind: str
    vm: str
    what: str


_loop_started = threading.Event()


def run_loop() -> None:
    """Run libvirt's event loop in a thread of its own, once in a process."""
    if _loop_started.is_set():
        return
    _loop_started.set()

    def spin() -> None:
        # A timer, for the loop would otherwise sleep for ever on descriptors added later by another thread.
        libvirt.virEventAddTimeout(250, lambda _timer, _opaque: None, None)
        while True:
            libvirt.virEventRunDefaultImpl()

    threading.Thread(target=spin, name="libvirt-events", daemon=True).start()


class Heard:
    """What has been heard since listening began."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[Event] = SimpleQueue()

    def put(self, event: Event) -> None:
        """Add an event; called from the event loop's thread."""
        self._queue.put(event)

    def wait(self, wanted: Callable[[Event], bool], timeout: float) -> Event | None:
        """Give the first event that is wanted, or None after `timeout` seconds."""
        end = monotonic() + timeout
        while (left := end - monotonic()) > 0:
            try:
                event = self._queue.get(timeout=left)
            except Empty:
                return None
            if wanted(event):
                return event
        return None

    def __iter__(self) -> Iterator[Event]:
        while True:
            yield self._queue.get()


class Events:
    """Events of one host."""

    def __init__(self, handle: libvirt.virConnect) -> None:
        self._handle = handle

    @contextmanager
    def listening(self) -> Iterator[Heard]:
        """Listen to all VMs inside the block: begin before the act, so that its answer cannot be missed."""
        heard = Heard()
        callbacks: list[int] = []

        def on(event: int, callback: Callable[..., None]) -> None:
            callbacks.append(self._handle.domainEventRegisterAny(None, event, callback, None))

        def lifecycle(_conn: object, domain: libvirt.virDomain, event: int, _detail: int, _opaque: Any) -> None:
            heard.put(Event("lifecycle", domain.name(), _LIFECYCLE.get(event, str(event))))

        def removed(_conn: object, domain: libvirt.virDomain, alias: str, _opaque: Any) -> None:
            heard.put(Event("device-removed", domain.name(), alias))

        def kept(_conn: object, domain: libvirt.virDomain, alias: str, _opaque: Any) -> None:
            heard.put(Event("removal-failed", domain.name(), alias))

        def agent(_conn: object, domain: libvirt.virDomain, state: int, _reason: int, _opaque: Any) -> None:
            connected = state == libvirt.VIR_CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_STATE_CONNECTED
            heard.put(Event("agent", domain.name(), "connected" if connected else "disconnected"))

        def added(_conn: object, domain: libvirt.virDomain, alias: str, _opaque: Any) -> None:
            heard.put(Event("device-added", domain.name(), alias))

        def rebooted(_conn: object, domain: libvirt.virDomain, _opaque: Any) -> None:
            heard.put(Event("reboot", domain.name(), "by the guest"))

        def watched(_conn: object, domain: libvirt.virDomain, action: int, _opaque: Any) -> None:
            heard.put(Event("watchdog", domain.name(), _WATCHDOG.get(action, str(action))))

        def failed(_conn: object, domain: libvirt.virDomain, path: str, alias: str, action: int, _opaque: Any) -> None:
            heard.put(Event("io-error", domain.name(), f"{path or alias}: {_IO_ERROR.get(action, str(action))}"))

        def tray(_conn: object, domain: libvirt.virDomain, alias: str, reason: int, _opaque: Any) -> None:
            opened = reason == libvirt.VIR_DOMAIN_EVENT_TRAY_CHANGE_OPEN
            heard.put(Event("tray", domain.name(), f"{alias} {'opened' if opened else 'closed'}"))

        with calling("listen to events"):
            on(libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, lifecycle)
            if self._handle.getType() != "TEST":
                on(libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED, removed)
                on(libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVAL_FAILED, kept)
                on(libvirt.VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE, agent)
                on(libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_ADDED, added)
                on(libvirt.VIR_DOMAIN_EVENT_ID_REBOOT, rebooted)
                on(libvirt.VIR_DOMAIN_EVENT_ID_WATCHDOG, watched)
                on(libvirt.VIR_DOMAIN_EVENT_ID_IO_ERROR, failed)
                on(libvirt.VIR_DOMAIN_EVENT_ID_TRAY_CHANGE, tray)
        try:
            yield heard
        finally:
            with calling("stop listening to events"):
                for callback in callbacks:
                    self._handle.domainEventDeregisterAny(callback)
