"""The table of a directory that host and guest share."""

from __future__ import annotations

from kvist.xml.codec import COUNT, PATH, choice
from kvist.xml.field import RESTART, attr, flag
from kvist.xml.spec import Spec


class Filesystem(Spec):
    """A directory of the host that a guest mounts, by virtiofs or 9p."""

    TAG = "filesystem"
    PAGE = "https://libvirt.org/formatdomain.html#filesystems"
    FIRST = ("source", "target")
    ORDER = ("driver", "binary", "source", "target", "readonly", "alias", "address")

    type: str | None = attr(
        "@type", choice("mount", "template", "file", "block", "ram", "bind"), applies=RESTART, doc="Kind.", default=None
    )
    access: str | None = attr(
        "@accessmode",
        choice("passthrough", "mapped", "squash"),
        applies=RESTART,
        doc="Whose rights count for what the guest writes.",
        default=None,
    )
    driver: str | None = attr(
        "driver/@type",
        choice("virtiofs", "path", "handle", "loop", "nbd", "ploop", open=True),
        applies=RESTART,
        doc="The virtiofs protocol, or 9p (path).",
        default=None,
    )
    queue: int | None = attr("driver/@queue", COUNT, applies=RESTART, doc="Requests a queue holds.", default=None)
    source: str | None = attr("source/@dir", PATH, applies=RESTART, doc="Directory of the host.", default=None)
    socket: str | None = attr(
        "source/@socket", PATH, applies=RESTART, doc="Socket of a virtiofsd that runs already.", default=None
    )
    target: str | None = attr("target/@dir", applies=RESTART, doc="Tag that the guest mounts it by.", default=None)
    binary: str | None = attr("binary/@path", PATH, applies=RESTART, doc="Its virtiofsd program.", default=None)
    readonly: bool | None = flag("readonly", applies=RESTART, doc="The guest cannot write to it.", default=None)
