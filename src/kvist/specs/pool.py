"""The table of a storage pool."""

from __future__ import annotations

from kvist.values import Size
from kvist.xml.codec import BOOL, INT, MODE, NAME, PATH, UUID, YES_NO, choice
from kvist.xml.field import LIVE, RECREATE, RESTART, aside, attr, items, size, text
from kvist.xml.spec import Spec

HOSTED = ("netfs", "iscsi", "iscsi-direct", "rbd", "gluster", "sheepdog")


class Pool(Spec):
    """A place that volumes are kept in."""

    TAG = "pool"
    PAGE = "https://libvirt.org/formatstorage.html#storage-pool-xml"
    FIRST = ("path",)
    ORDER = ("name", "uuid", "capacity", "allocation", "available", "features", "source", "target")

    type: str | None = attr(
        "@type",
        choice(
            "dir", "fs", "netfs", "logical", "disk", "iscsi", "iscsi-direct", "scsi", "rbd", "zfs", "gluster", open=True
        ),
        applies=RECREATE,
        doc="What it is made of.",
        default=None,
    )
    name: str | None = text("name", NAME, applies=RECREATE, doc="Name of the pool.", default=None)
    uuid: str | None = text("uuid", UUID, applies=RECREATE, doc="Identity of the pool.", default=None)
    capacity: Size | None = size("capacity", "bytes", told=True, doc="Space it has.", default=None)
    allocation: Size | None = size("allocation", "bytes", told=True, doc="Space that is used.", default=None)
    available: Size | None = size("available", "bytes", told=True, doc="Space that is free.", default=None)
    path: str | None = text("target/path", PATH, applies=RESTART, doc="Where its volumes are found.", default=None)
    mode: str | None = text(
        "target/permissions/mode", MODE, applies=RESTART, doc="Permissions of that directory: 0711.", default=None
    )
    owner: int | None = text("target/permissions/owner", INT, applies=RESTART, doc="Its owner.", default=None)
    group: int | None = text("target/permissions/group", INT, applies=RESTART, doc="Its group.", default=None)
    source_name: str | None = text(
        "source/name", applies=RESTART, doc="Volume group, or name at the other host.", default=None
    )
    source_dir: str | None = attr(
        "source/dir/@path", applies=RESTART, doc="Directory that is exported there.", default=None
    )
    source_devices: tuple[str, ...] | None = items(
        "source/device/@path", applies=RESTART, doc="Devices it lies on.", default=None
    )
    source_host: str | None = attr("source/host/@name", applies=RESTART, doc="Host it lies on.", default=None)
    source_port: int | None = attr("source/host/@port", INT, applies=RESTART, doc="Port of that host.", default=None)
    source_format: str | None = attr(
        "source/format/@type", applies=RESTART, doc="File system, partition table or protocol there.", default=None
    )
    cow: bool | None = attr(
        "features/cow/@state", YES_NO, applies=RESTART, doc="The file system copies on write.", default=None
    )
    autostart: bool | None = aside(BOOL, applies=LIVE, doc="It starts with the host.", default=None)
