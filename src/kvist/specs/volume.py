"""The table of a volume."""

from __future__ import annotations

from kvist.specs.disk import FORMATS
from kvist.values import Size
from kvist.xml.codec import INT, MODE, PATH, choice
from kvist.xml.field import LIVE, RECREATE, attr, flag, size, text
from kvist.xml.spec import Spec


class Volume(Spec):
    """A disk image, or what takes its place, in a pool."""

    TAG = "volume"
    PAGE = "https://libvirt.org/formatstorage.html#storage-volume-xml"
    FIRST = ("capacity",)
    ORDER = ("name", "key", "capacity", "allocation", "physical", "target", "backingStore")

    type: str | None = attr(
        "@type",
        choice("file", "block", "dir", "network", "netdir"),
        told=True,
        doc="What it is.",
        default=None,
    )
    name: str | None = text("name", applies=RECREATE, doc="Name of the volume.", default=None)
    key: str | None = text("key", told=True, doc="Identity on the host.", default=None)
    capacity: Size | None = size("capacity", "bytes", applies=LIVE, doc="Size that a guest sees.", default=None)
    allocation: Size | None = size("allocation", "bytes", applies=RECREATE, doc="Space that it takes.", default=None)
    physical: Size | None = size("physical", "bytes", told=True, doc="Length of its file.", default=None)
    path: str | None = text("target/path", PATH, applies=RECREATE, doc="Where it is on the host.", default=None)
    format: str | None = attr(
        "target/format/@type", FORMATS, applies=RECREATE, doc="Format of the image.", default=None
    )
    mode: str | None = text(
        "target/permissions/mode", MODE, applies=RECREATE, doc="Permissions of its file: 0600.", default=None
    )
    owner: int | None = text("target/permissions/owner", INT, applies=RECREATE, doc="Its owner.", default=None)
    group: int | None = text("target/permissions/group", INT, applies=RECREATE, doc="Its group.", default=None)
    compat: str | None = text(
        "target/compat", choice("1.1", "0.10"), applies=RECREATE, doc="Version of qcow2: 1.1.", default=None
    )
    cluster_size: Size | None = size(
        "target/clusterSize", "bytes", applies=RECREATE, doc="Size of its clusters.", default=None
    )
    nocow: bool | None = flag("target/nocow", applies=RECREATE, doc="Btrfs does not copy on write.", default=None)
    lazy_refcounts: bool | None = flag(
        "target/features/lazy_refcounts", applies=RECREATE, doc="Faster writes, slower repair.", default=None
    )
    extended_l2: bool | None = flag(
        "target/features/extended_l2", applies=RECREATE, doc="Clusters are given out in parts.", default=None
    )
    backing: str | None = text(
        "backingStore/path", PATH, applies=RECREATE, doc="Image it lies on top of.", default=None
    )
    backing_format: str | None = attr(
        "backingStore/format/@type", FORMATS, applies=RECREATE, doc="Format of that image.", default=None
    )
