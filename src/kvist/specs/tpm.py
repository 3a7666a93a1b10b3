"""The table of a trusted platform module."""

from __future__ import annotations

from kvist.xml.codec import PATH, YES_NO, choice
from kvist.xml.field import RESTART, attr
from kvist.xml.spec import Spec


class Tpm(Spec):
    """A trusted platform module, which Windows 11 wants."""

    TAG = "tpm"
    PAGE = "https://libvirt.org/formatdomain.html#tpm-device"
    FIRST = ("version",)

    model: str | None = attr(
        "@model",
        choice("tpm-crb", "tpm-tis", "tpm-spapr", "spapr-tpm-proxy"),
        applies=RESTART,
        doc="Model the guest sees.",
        default=None,
    )
    backend: str | None = attr(
        "backend/@type",
        choice("emulator", "passthrough", "external"),
        applies=RESTART,
        doc="Emulated, or the host's own.",
        default=None,
    )
    version: str | None = attr(
        "backend/@version", choice("2.0", "1.2"), applies=RESTART, doc="Version of an emulated one.", default=None
    )
    persistent: bool | None = attr(
        "backend/@persistent_state", YES_NO, applies=RESTART, doc="A transient VM keeps its state.", default=None
    )
    device: str | None = attr(
        "backend/device/@path", PATH, applies=RESTART, doc="The host's own: /dev/tpm0.", default=None
    )
