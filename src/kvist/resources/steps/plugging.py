"""Devices go into a running VM and come out of it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from kvist.errors import Conflict, GuestFailed, TimedOut
from kvist.resources.changing.rewriting import move
from kvist.xml.document import Document

if TYPE_CHECKING:
    from kvist.engine.step import Site
    from kvist.xml.document import Element

LET_GO_WITHIN = 15.0
"""Seconds a guest has to let a device go; one that does takes 0.1 to 2, also when it is emulated."""


def plug(at: Site, name: str, xml: str) -> None:
    """Plug a device in again, at the place that it had unless that is another's by now."""
    device, running = Document.parse(xml), Document.parse(at.connection.domains.xml(name))
    move(device.root, running)
    at.connection.devices.attach(name, device.text())


def unplug(at: Site, name: str, alias: str, label: str) -> None:
    """Ask the guest to let a device go and wait until it has.

    Raises GuestFailed when the guest refuses, TimedOut when it does not answer, Conflict when it stops meanwhile.
    """

    def gone() -> bool:
        document = Document.parse(at.connection.domains.xml(name))
        return all(element.get("name") != alias for element in document.root.iterfind("devices/*/alias"))

    with at.connection.events.listening() as heard:
        at.connection.devices.detach(name, alias)
        end = time.monotonic() + LET_GO_WITHIN
        # An event may have come and gone with a device of libvirt's own making: the document has the last word.
        while not gone():
            left = end - time.monotonic()
            if left <= 0:
                raise TimedOut(
                    f'the guest of VM "{name}" did not let go of {label} within {LET_GO_WITHIN:g} s',
                    hint=f"kvist console {name}, and see whether it has started; or stop it and set this again",
                )
            event = heard.wait(lambda one: one.vm == name and one.what in (alias, "stopped"), min(left, 1.0))
            if event is not None and event.kind == "removal-failed":
                raise GuestFailed(f'the guest of VM "{name}" refuses to let go of {label}')
            if event is not None and event.what == "stopped":
                raise Conflict(f'VM "{name}" stopped while {label} was unplugged', hint=f"kvist start {name}")


def alias_of(element: Element) -> str:
    """Give the name that a device has in QEMU, or nothing where it has none."""
    alias = element.find("alias")
    return "" if alias is None else str(alias.get("name"))
