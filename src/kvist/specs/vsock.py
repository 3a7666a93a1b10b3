"""The table of a socket between host and guest."""

from __future__ import annotations

from kvist.xml.codec import YES_NO, choice, number
from kvist.xml.field import REPLUG, attr
from kvist.xml.spec import Spec


class Vsock(Spec):
    """A socket between host and guest that needs no network."""

    TAG = "vsock"
    PAGE = "https://libvirt.org/formatdomain.html#vsock"
    FIRST = ("cid",)

    model: str | None = attr(
        "@model",
        choice("virtio", "virtio-transitional", "virtio-non-transitional"),
        applies=REPLUG,
        doc="Model the guest sees.",
        default=None,
    )
    auto: bool | None = attr("cid/@auto", YES_NO, applies=REPLUG, doc="Libvirt picks a free number.", default=None)
    cid: int | None = attr(
        "cid/@address", number(3, 2**32 - 2, "cid"), applies=REPLUG, doc="Its number on the host.", default=None
    )
