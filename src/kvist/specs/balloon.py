"""The table of a balloon."""

from __future__ import annotations

from kvist.xml.codec import COUNT, ON_OFF, choice
from kvist.xml.field import LIVE, RESTART, attr
from kvist.xml.spec import Spec


class Balloon(Spec):
    """The device that takes memory from a guest and gives it back."""

    TAG = "memballoon"
    PAGE = "https://libvirt.org/formatdomain.html#memory-balloon-device"
    FIRST = ("model",)

    model: str | None = attr(
        "@model",
        choice("virtio", "virtio-transitional", "virtio-non-transitional", "xen", "none"),
        applies=RESTART,
        doc="Model the guest sees.",
        default=None,
    )
    deflate_on_oom: bool | None = attr(
        "@autodeflate", ON_OFF, applies=RESTART, doc="A guest out of memory takes some back.", default=None
    )
    report_free_pages: bool | None = attr(
        "@freePageReporting", ON_OFF, applies=RESTART, doc="Unused memory returns to the host.", default=None
    )
    stats_period: int | None = attr(
        "stats/@period", COUNT, applies=LIVE, doc="Seconds between two looks at the guest's memory.", default=None
    )
