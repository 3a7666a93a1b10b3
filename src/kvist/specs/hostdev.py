"""The table of a device of the host that is handed to a guest."""

from __future__ import annotations

from typing import Final

from kvist.values import PciAddress
from kvist.xml.codec import ALIAS, COUNT, INT, ON_OFF, PATH, UUID, YES_NO, choice, shaped
from kvist.xml.field import REPLUG, attr, pci
from kvist.xml.spec import Spec

USB_ID: Final = shaped("usb-id", r"0x[0-9a-fA-F]{1,4}", "0x046d")


class Hostdev(Spec):
    """A PCI, USB or mediated device of the host that is handed to a guest."""

    TAG = "hostdev"
    PAGE = "https://libvirt.org/formatdomain.html#usb-pci-scsi-devices"
    FIRST = ("pci",)
    UNION = "type"
    PARTS = ("source",)
    ORDER = ("driver", "source", "vendor", "product", "boot", "rom", "alias", "address")

    mode: str | None = attr(
        "@mode", choice("subsystem"), applies=REPLUG, doc="A whole device; libvirt wants the word.", default=None
    )
    type: str | None = attr(
        "@type",
        choice("pci", "usb", "mdev"),
        applies=REPLUG,
        doc="Kind of device; pci, vendor and the like imply it.",
        default=None,
    )
    managed: bool | None = attr(
        "@managed", YES_NO, applies=REPLUG, doc="Libvirt takes it off its host driver and gives it back.", default=None
    )
    pci: PciAddress | None = pci(
        "source/address", when="pci", applies=REPLUG, doc="Address of a PCI device: 0000:03:00.0.", default=None
    )
    vendor: str | None = attr(
        "source/vendor/@id", USB_ID, when="usb", applies=REPLUG, doc="Vendor of a USB device: 0x046d.", default=None
    )
    product: str | None = attr(
        "source/product/@id", USB_ID, when="usb", applies=REPLUG, doc="Product of a USB device: 0x082d.", default=None
    )
    usb_bus: int | None = attr(
        "source/address/@bus", INT, when="usb", applies=REPLUG, doc="Bus of a USB device.", default=None
    )
    usb_device: int | None = attr(
        "source/address/@device", INT, when="usb", applies=REPLUG, doc="Its number on that bus.", default=None
    )
    mdev: str | None = attr(
        "source/address/@uuid", UUID, when="mdev", applies=REPLUG, doc="Identity of a mediated device.", default=None
    )
    model: str | None = attr(
        "@model",
        choice("vfio-pci", "vfio-ccw", "vfio-ap"),
        when="mdev",
        applies=REPLUG,
        doc="How a mediated device is handed over.",
        default=None,
    )
    driver: str | None = attr(
        "driver/@name",
        choice("vfio", "kvm", "xen"),
        when="pci",
        applies=REPLUG,
        doc="Driver on the host.",
        default=None,
    )
    boot_order: int | None = attr(
        "boot/@order", COUNT, applies=REPLUG, doc="Its turn among the devices that are booted from.", default=None
    )
    rom: bool | None = attr("rom/@bar", ON_OFF, applies=REPLUG, doc="The guest sees its boot ROM.", default=None)
    rom_file: str | None = attr(
        "rom/@file", PATH, applies=REPLUG, doc="Boot ROM to use instead of its own.", default=None
    )
    alias: str | None = attr(
        "alias/@name",
        ALIAS,
        applies=REPLUG,
        doc="Name of one's own for the device; ua- is put before it.",
        default=None,
    )
