"""The table of a keyboard, mouse or tablet."""

from __future__ import annotations

from kvist.xml.codec import PATH, choice
from kvist.xml.field import REPLUG, attr
from kvist.xml.spec import Spec


class Input(Spec):
    """A keyboard, mouse or tablet of a VM."""

    TAG = "input"
    PAGE = "https://libvirt.org/formatdomain.html#input-devices"
    FIRST = ("type", "bus")
    UNION = "type"
    PARTS = ("source",)

    type: str | None = attr(
        "@type",
        choice("tablet", "keyboard", "mouse", "passthrough", "evdev"),
        applies=REPLUG,
        doc="What it is.",
        default=None,
    )
    bus: str | None = attr(
        "@bus", choice("usb", "virtio", "ps2", "xen"), applies=REPLUG, doc="Bus it is plugged into.", default=None
    )
    passthrough: str | None = attr(
        "source/@evdev", PATH, when="passthrough", applies=REPLUG, doc="Device of the host.", default=None
    )
    evdev: str | None = attr(
        "source/@dev", PATH, when="evdev", applies=REPLUG, doc="Device of the host that is shared.", default=None
    )
