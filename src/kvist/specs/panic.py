"""The table of a device by which a guest tells of its crash."""

from __future__ import annotations

from kvist.xml.codec import choice
from kvist.xml.field import RESTART, attr
from kvist.xml.spec import Spec


class Panic(Spec):
    """A device by which a guest tells the host that its kernel crashed."""

    TAG = "panic"
    PAGE = "https://libvirt.org/formatdomain.html#panic-device"
    FIRST = ("model",)

    model: str | None = attr(
        "@model",
        choice("isa", "hyperv", "pseries", "s390", "pvpanic"),
        applies=RESTART,
        doc="Model the guest sees.",
        default=None,
    )
