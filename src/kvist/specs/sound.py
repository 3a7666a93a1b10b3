"""The table of a sound card."""

from __future__ import annotations

from kvist.xml.codec import choice
from kvist.xml.field import RESTART, attr
from kvist.xml.spec import Spec


class Sound(Spec):
    """A sound card of a VM."""

    TAG = "sound"
    PAGE = "https://libvirt.org/formatdomain.html#sound-devices"
    FIRST = ("model",)

    model: str | None = attr(
        "@model",
        choice("ich9", "ich6", "ac97", "es1370", "sb16", "usb", "ich7", open=True),
        applies=RESTART,
        doc="Model the guest sees.",
        default=None,
    )
