"""The table of a screen that is seen from elsewhere."""

from __future__ import annotations

from typing import Final

from kvist.xml.codec import PATH, PORT, YES_NO, choice, shaped
from kvist.xml.field import LIVE, RESTART, attr
from kvist.xml.spec import Spec

EXPIRY: Final = shaped("expiry", r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", "2030-12-31T23:59:59")
SERVED: Final = ("vnc", "spice")


class Graphics(Spec):
    """A way to see a VM's screen: VNC, SPICE or a window."""

    TAG = "graphics"
    PAGE = "https://libvirt.org/formatdomain.html#graphical-framebuffers"
    UNION = "type"
    PARTS = ("listen", "channel", "image", "streaming", "clipboard", "mouse", "gl")
    FIRST = ("type",)

    type: str | None = attr(
        "@type",
        choice("vnc", "spice", "sdl", "rdp", "desktop", "egl-headless", "dbus"),
        applies=RESTART,
        doc="Protocol the screen is shown by.",
        default=None,
    )
    listen: str | None = attr(
        "listen[@type='address']/@address",
        also="listen",
        when=SERVED,
        applies=RESTART,
        doc="Address of the host that it answers on.",
        default=None,
    )
    port: int | None = attr(
        "@port", PORT, when=SERVED, applies=RESTART, doc="Port; -1 lets libvirt pick.", default=None
    )
    tls_port: int | None = attr(
        "@tlsPort", PORT, when="spice", applies=RESTART, doc="Encrypted port; -1 lets libvirt pick.", default=None
    )
    websocket: int | None = attr(
        "@websocket", PORT, when="vnc", applies=RESTART, doc="Port for browsers; -1 lets libvirt pick.", default=None
    )
    autoport: bool | None = attr(
        "@autoport", YES_NO, when=SERVED, applies=RESTART, doc="Libvirt picks a free port at every start.", default=None
    )
    socket: str | None = attr(
        "@socket", PATH, when="vnc", applies=RESTART, doc="Unix socket it answers on.", default=None
    )
    password: str | None = attr(
        "@passwd",
        when=SERVED,
        applies=LIVE,
        secret=True,
        standing=True,
        doc="Password; eight characters count with VNC.",
        default=None,
    )
    password_valid_to: str | None = attr(
        "@passwdValidTo", EXPIRY, when=SERVED, applies=LIVE, doc="UTC time when the password expires.", default=None
    )
    connected: str | None = attr(
        "@connected",
        choice("keep", "disconnect", "fail"),
        when=SERVED,
        applies=LIVE,
        doc="What a new password does to those who look on.",
        default=None,
    )
    share: str | None = attr(
        "@sharePolicy",
        choice("allow-exclusive", "force-shared", "ignore"),
        when="vnc",
        applies=RESTART,
        doc="Whether several may look on.",
        default=None,
    )
    keymap: str | None = attr("@keymap", when=SERVED, applies=RESTART, doc="Layout of the keyboard: de.", default=None)
    default_mode: str | None = attr(
        "@defaultMode",
        choice("any", "secure", "insecure"),
        when="spice",
        applies=RESTART,
        doc="Whether its channels are encrypted.",
        default=None,
    )
    gl: bool | None = attr(
        "gl/@enable", YES_NO, when="spice", applies=RESTART, doc="The host's GPU draws.", default=None
    )
