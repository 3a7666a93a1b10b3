"""The table of a source of randomness."""

from __future__ import annotations

from kvist.xml.codec import COUNT, PATH, choice
from kvist.xml.field import REPLUG, attr, text
from kvist.xml.spec import Spec


class Rng(Spec):
    """A source of randomness for a guest, which boots slowly without."""

    TAG = "rng"
    PAGE = "https://libvirt.org/formatdomain.html#random-number-generator-device"
    FIRST = ("source",)

    model: str | None = attr(
        "@model",
        choice("virtio", "virtio-transitional", "virtio-non-transitional"),
        applies=REPLUG,
        doc="Model the guest sees.",
        default=None,
    )
    backend: str | None = attr(
        "backend/@model", choice("random", "builtin", "egd"), applies=REPLUG, doc="Where it comes from.", default=None
    )
    source: str | None = text("backend", PATH, applies=REPLUG, doc="Device of the host: /dev/urandom.", default=None)
    rate_bytes: int | None = attr("rate/@bytes", COUNT, applies=REPLUG, doc="Bytes in a period.", default=None)
    rate_period: int | None = attr("rate/@period", COUNT, applies=REPLUG, doc="Milliseconds of a period.", default=None)
