"""The table of a controller: a bus that devices are plugged into."""

from __future__ import annotations

from kvist.xml.codec import ALIAS, COUNT, INT, ON_OFF, choice, number
from kvist.xml.field import REPLUG, RESTART, attr
from kvist.xml.spec import Spec


class Controller(Spec):
    """A controller of a VM, such as a spare PCIe port to plug a card into."""

    TAG = "controller"
    PAGE = "https://libvirt.org/formatdomain.html#controllers"
    FIRST = ("type", "model")

    type: str | None = attr(
        "@type",
        choice("pci", "usb", "scsi", "sata", "ide", "fdc", "virtio-serial", "ccid", "xenbus", "isa"),
        applies=RESTART,
        doc="Kind of bus.",
        default=None,
    )
    index: int | None = attr("@index", INT, applies=RESTART, doc="Its number among its kind.", default=None)
    model: str | None = attr(
        "@model",
        choice("pcie-root-port", "pcie-root", "pcie-to-pci-bridge", "virtio-scsi", "qemu-xhci", "lsilogic", open=True),
        applies=RESTART,
        doc="Model the guest sees.",
        default=None,
    )
    ports: int | None = attr("@ports", COUNT, applies=RESTART, doc="Ports it has.", default=None)
    chassis: int | None = attr(
        "target/@chassis", number(0, 255, "chassis"), applies=RESTART, doc="Chassis of a PCIe port.", default=None
    )
    port: int | None = attr(
        "target/@port", number(0, 255, "port"), applies=RESTART, doc="Number of a PCIe port.", default=None
    )
    hotplug: bool | None = attr(
        "target/@hotplug", ON_OFF, applies=RESTART, doc="Cards come and go while the guest runs.", default=None
    )
    queues: int | None = attr("driver/@queues", COUNT, applies=RESTART, doc="Queues of virtio-scsi.", default=None)
    iothread: int | None = attr(
        "driver/@iothread", COUNT, applies=RESTART, doc="I/O thread that serves it.", default=None
    )
    alias: str | None = attr(
        "alias/@name",
        ALIAS,
        applies=REPLUG,
        doc="Name of one's own for the device; ua- is put before it.",
        default=None,
    )
