"""The table of a graphics card."""

from __future__ import annotations

from kvist.values import Size
from kvist.xml.codec import COUNT, KIB, PATH, YES_NO, choice
from kvist.xml.field import RESTART, attr
from kvist.xml.spec import Spec


class Video(Spec):
    """A graphics card of a VM."""

    TAG = "video"
    PAGE = "https://libvirt.org/formatdomain.html#video-devices"
    FIRST = ("model",)

    model: str | None = attr(
        "model/@type",
        choice("virtio", "vga", "qxl", "cirrus", "bochs", "ramfb", "vmvga", "gop", "none", open=True),
        applies=RESTART,
        doc="Model the guest sees.",
        default=None,
    )
    heads: int | None = attr("model/@heads", COUNT, applies=RESTART, doc="Screens it drives.", default=None)
    primary: bool | None = attr("model/@primary", YES_NO, applies=RESTART, doc="It is the first card.", default=None)
    vram: Size | None = attr("model/@vram", KIB, applies=RESTART, doc="Video memory.", default=None)
    ram: Size | None = attr("model/@ram", KIB, applies=RESTART, doc="Main memory of QXL.", default=None)
    vgamem: Size | None = attr("model/@vgamem", KIB, applies=RESTART, doc="Frame buffer of QXL.", default=None)
    accel3d: bool | None = attr(
        "model/acceleration/@accel3d", YES_NO, applies=RESTART, doc="The host draws in 3D.", default=None
    )
    render_node: str | None = attr(
        "model/acceleration/@rendernode", PATH, applies=RESTART, doc="GPU of the host that does.", default=None
    )
    width: int | None = attr("model/resolution/@x", COUNT, applies=RESTART, doc="Pixels across.", default=None)
    height: int | None = attr("model/resolution/@y", COUNT, applies=RESTART, doc="Pixels down.", default=None)
