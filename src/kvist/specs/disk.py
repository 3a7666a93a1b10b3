"""The table of a disk, CD-ROM, floppy or LUN."""

from __future__ import annotations

from typing import Final

from kvist.values import Size
from kvist.xml.codec import ALIAS, COUNT, HERE, INT, ON_OFF, PATH, SIZE, choice, shaped
from kvist.xml.field import LIVE, REPLUG, aside, attr, flag, text
from kvist.xml.spec import Spec

FORMATS: Final = choice("qcow2", "raw", "vmdk", "vdi", "vpc", "vhdx", "qed", "luks", open=True)
TARGET: Final = shaped("target", r"(fd|hd|sd|vd|xvd|ubd)[a-zA-Z0-9_]+", "vda")
WWN: Final = shaped("wwn", r"[0-9a-fA-F]{16}", "5000c50015ea71ad")
MEDIA: Final = ("device", ("cdrom", "floppy"))
"""Drives whose medium is changed while the guest runs."""


class Disk(Spec):
    """A disk of a VM, or a drive for removable media."""

    TAG = "disk"
    PAGE = "https://libvirt.org/formatdomain.html#hard-drives-floppy-disks-cdroms"
    UNION = "type"
    FIRST = ("size", "path")
    PARTS = ("source", "backingStore", "mirror")
    ORDER = (
        *("driver", "auth", "source", "backingStore", "mirror", "target", "iotune", "readonly", "shareable"),
        *("transient", "serial", "wwn", "vendor", "product", "encryption", "boot", "alias", "address"),
    )

    type: str | None = attr(
        "@type",
        choice("file", "block", "volume", "network", "dir"),
        applies=REPLUG,
        live_for=MEDIA,
        doc="What holds its data; file, dev and the like imply it.",
        default=None,
    )
    device: str | None = attr(
        "@device",
        choice("disk", "cdrom", "floppy", "lun"),
        applies=REPLUG,
        doc="What the guest takes it for.",
        default=None,
    )
    file: str | None = attr(
        "source/@file", PATH, when="file", applies=REPLUG, live_for=MEDIA, doc="Image file on the host.", default=None
    )
    dev: str | None = attr(
        "source/@dev", PATH, when="block", applies=REPLUG, live_for=MEDIA, doc="Block device of the host.", default=None
    )
    pool: str | None = attr(
        "source/@pool", when="volume", applies=REPLUG, live_for=MEDIA, doc="Pool its volume is in.", default=None
    )
    volume: str | None = attr(
        "source/@volume", when="volume", applies=REPLUG, live_for=MEDIA, doc="Volume of that pool.", default=None
    )
    dir: str | None = attr(
        "source/@dir",
        PATH,
        when="dir",
        applies=REPLUG,
        live_for=MEDIA,
        doc="Directory shown as a FAT disk.",
        default=None,
    )
    protocol: str | None = attr(
        "source/@protocol",
        choice("nbd", "iscsi", "rbd", "gluster", "http", "https", "ftp", "ftps", "ssh", "nfs", "sheepdog", "vxhs"),
        when="network",
        applies=REPLUG,
        live_for=MEDIA,
        doc="How data on another host is reached.",
        default=None,
    )
    export: str | None = attr(
        "source/@name",
        when="network",
        applies=REPLUG,
        live_for=MEDIA,
        doc="Name of the data there: an export, image or path.",
        default=None,
    )
    host: str | None = attr(
        "source/host/@name", when="network", applies=REPLUG, live_for=MEDIA, doc="Host that has it.", default=None
    )
    port: int | None = attr(
        "source/host/@port", INT, when="network", applies=REPLUG, live_for=MEDIA, doc="Port of that host.", default=None
    )
    startup_policy: str | None = attr(
        "source/@startupPolicy",
        choice("mandatory", "requisite", "optional"),
        when=("file", "block", "volume", "dir"),
        applies=LIVE,
        doc="Whether the VM starts when the source is missing.",
        default=None,
    )
    target: str | None = attr(
        "target/@dev", TARGET, applies=REPLUG, doc="Its name on the bus, a hint to the guest: vda.", default=None
    )
    bus: str | None = attr(
        "target/@bus",
        choice("virtio", "scsi", "sata", "ide", "usb", "fdc", "sd", "xen", open=True),
        applies=REPLUG,
        doc="Bus it is plugged into.",
        default=None,
    )
    tray: str | None = attr(
        "target/@tray", choice("open", "closed"), applies=REPLUG, doc="Whether the drive's tray is open.", default=None
    )
    removable: bool | None = attr(
        "target/@removable", ON_OFF, applies=REPLUG, doc="The guest takes it for a removable disk.", default=None
    )
    rotation_rate: int | None = attr(
        "target/@rotation_rate", COUNT, applies=REPLUG, doc="Turns a minute; 1 says solid state.", default=None
    )
    driver: str | None = attr(
        "driver/@name", choice("qemu", open=True), applies=REPLUG, doc="Backend of the hypervisor.", default=None
    )
    format: str | None = attr(
        "driver/@type", FORMATS, applies=REPLUG, live_for=MEDIA, doc="Format of the image.", default=None
    )
    cache: str | None = attr(
        "driver/@cache",
        choice("none", "writeback", "writethrough", "directsync", "unsafe", "default"),
        applies=REPLUG,
        doc="How the host caches it.",
        default=None,
    )
    io: str | None = attr(
        "driver/@io", choice("native", "threads", "io_uring"), applies=REPLUG, doc="How QEMU reads it.", default=None
    )
    discard: str | None = attr(
        "driver/@discard",
        choice("unmap", "ignore"),
        applies=REPLUG,
        doc="What the guest frees is given back to the host.",
        default=None,
    )
    detect_zeroes: str | None = attr(
        "driver/@detect_zeroes",
        choice("off", "on", "unmap"),
        applies=REPLUG,
        doc="Blocks of zeros take no space.",
        default=None,
    )
    copy_on_read: bool | None = attr(
        "driver/@copy_on_read",
        ON_OFF,
        applies=REPLUG,
        doc="What is read from the backing image is kept.",
        default=None,
    )
    error_policy: str | None = attr(
        "driver/@error_policy",
        choice("stop", "report", "ignore", "enospace"),
        applies=REPLUG,
        doc="What happens when the host cannot write.",
        default=None,
    )
    iothread: int | None = attr(
        "driver/@iothread", COUNT, applies=REPLUG, doc="I/O thread that serves it.", default=None
    )
    queues: int | None = attr("driver/@queues", COUNT, applies=REPLUG, doc="Queues of a virtio disk.", default=None)
    serial: str | None = text("serial", applies=REPLUG, doc="Serial number by which the guest finds it.", default=None)
    wwn: str | None = text("wwn", WWN, applies=REPLUG, doc="World wide name: 16 hexadecimal digits.", default=None)
    vendor: str | None = text("vendor", applies=REPLUG, doc="Vendor the guest reads, on a SCSI disk.", default=None)
    product: str | None = text("product", applies=REPLUG, doc="Product the guest reads, on a SCSI disk.", default=None)
    readonly: bool | None = flag("readonly", applies=REPLUG, doc="The guest cannot write to it.", default=None)
    shareable: bool | None = flag("shareable", applies=REPLUG, doc="Several VMs may write to it.", default=None)
    transient: bool | None = flag("transient", applies=REPLUG, doc="What is written is lost at stop.", default=None)
    snapshot: str | None = attr(
        "@snapshot",
        choice("no", "internal", "external", "manual"),
        applies=LIVE,
        doc="What a snapshot does with it when not told.",
        default=None,
    )
    boot_order: int | None = attr(
        "boot/@order", COUNT, applies=REPLUG, doc="Its turn among the devices that are booted from.", default=None
    )
    alias: str | None = attr(
        "alias/@name",
        ALIAS,
        applies=REPLUG,
        doc="Name of one's own for the device; ua- is put before it.",
        default=None,
    )
    total_bytes: Size | None = text(
        "iotune/total_bytes_sec", SIZE, applies=LIVE, doc="Bytes a second, both ways together.", default=None
    )
    read_bytes: Size | None = text(
        "iotune/read_bytes_sec", SIZE, applies=LIVE, doc="Bytes a second that are read.", default=None
    )
    write_bytes: Size | None = text(
        "iotune/write_bytes_sec", SIZE, applies=LIVE, doc="Bytes a second that are written.", default=None
    )
    total_iops: int | None = text(
        "iotune/total_iops_sec", INT, applies=LIVE, doc="Requests a second, both ways together.", default=None
    )
    read_iops: int | None = text("iotune/read_iops_sec", INT, applies=LIVE, doc="Reads a second.", default=None)
    write_iops: int | None = text("iotune/write_iops_sec", INT, applies=LIVE, doc="Writes a second.", default=None)
    total_bytes_max: Size | None = text(
        "iotune/total_bytes_sec_max", SIZE, applies=LIVE, doc="Bytes a second in a burst.", default=None
    )
    total_iops_max: int | None = text(
        "iotune/total_iops_sec_max", INT, applies=LIVE, doc="Requests a second in a burst.", default=None
    )
    iotune_group: str | None = text(
        "iotune/group_name", applies=LIVE, doc="Group of disks that share these limits.", default=None
    )
    path: str | None = aside(
        HERE, applies=REPLUG, doc="Image file or block device on the host, whichever it is.", default=None
    )
    size: Size | None = aside(SIZE, applies=LIVE, doc="Size to make it, or to let it grow to.", default=None)
    backing: str | None = aside(
        applies=REPLUG, doc="Image it is made on top of; only changes are stored.", default=None
    )
    backing_format: str | None = aside(FORMATS, applies=REPLUG, doc="Format of that image.", default=None)
