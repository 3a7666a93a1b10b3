"""The table of a watchdog."""

from __future__ import annotations

from kvist.xml.codec import choice
from kvist.xml.field import REPLUG, attr
from kvist.xml.spec import Spec


class Watchdog(Spec):
    """A clock that acts when the guest no longer winds it."""

    TAG = "watchdog"
    PAGE = "https://libvirt.org/formatdomain.html#watchdog-devices"
    FIRST = ("model",)

    model: str | None = attr(
        "@model",
        choice("i6300esb", "ib700", "diag288", "itco"),
        applies=REPLUG,
        doc="Model the guest sees.",
        default=None,
    )
    action: str | None = attr(
        "@action",
        choice("reset", "shutdown", "poweroff", "pause", "none", "dump", "inject-nmi"),
        applies=REPLUG,
        doc="What it does.",
        default=None,
    )
