"""The part of a VM's table that is about its machine type, firmware and the way it starts."""

from __future__ import annotations

from kvist.xml.codec import PATH, YES_NO, choice, number
from kvist.xml.field import RECREATE, RESTART, attr, items, text
from kvist.xml.spec import Spec


class Boot(Spec):
    """Machine type, firmware, and what is booted from."""

    PAGE = "https://libvirt.org/formatdomain.html#operating-system-booting"

    os_type: str | None = text(
        "os/type", choice("hvm", open=True), applies=RECREATE, doc="Fully virtual (hvm) or not.", default=None
    )
    arch: str | None = attr(
        "os/type/@arch",
        choice("x86_64", "aarch64", "riscv64", "ppc64le", "s390x", "i686", "armv7l", open=True),
        applies=RECREATE,
        doc="Architecture of its processor.",
        default=None,
    )
    machine: str | None = attr(
        "os/type/@machine",
        choice("q35", "pc", "virt", "microvm", open=True),
        applies=RESTART,
        doc="Board that QEMU builds.",
        default=None,
    )
    firmware: str | None = attr(
        "os/@firmware",
        choice("bios", "efi"),
        applies=RESTART,
        doc="Firmware that libvirt picks for it.",
        default=None,
    )
    secure_boot: bool | None = attr(
        "os/firmware/feature[@name='secure-boot']/@enabled",
        YES_NO,
        applies=RESTART,
        doc="The firmware starts signed systems only.",
        default=None,
    )
    enrolled_keys: bool | None = attr(
        "os/firmware/feature[@name='enrolled-keys']/@enabled",
        YES_NO,
        applies=RESTART,
        doc="The firmware comes with the usual keys.",
        default=None,
    )
    loader: str | None = text("os/loader", PATH, applies=RESTART, doc="Firmware image to use.", default=None)
    loader_type: str | None = attr(
        "os/loader/@type", choice("rom", "pflash"), applies=RESTART, doc="How it is mapped.", default=None
    )
    loader_readonly: bool | None = attr(
        "os/loader/@readonly", YES_NO, applies=RESTART, doc="The guest cannot write to it.", default=None
    )
    loader_secure: bool | None = attr(
        "os/loader/@secure", YES_NO, applies=RESTART, doc="It is built for secure boot.", default=None
    )
    nvram: str | None = text("os/nvram", PATH, applies=RESTART, doc="File of the firmware's settings.", default=None)
    nvram_template: str | None = attr(
        "os/nvram/@template", PATH, applies=RESTART, doc="File they are first copied from.", default=None
    )
    kernel: str | None = text("os/kernel", PATH, applies=RESTART, doc="Kernel to start without firmware.", default=None)
    initrd: str | None = text("os/initrd", PATH, applies=RESTART, doc="Its first file system.", default=None)
    cmdline: str | None = text("os/cmdline", applies=RESTART, doc="Its arguments.", default=None)
    dtb: str | None = text("os/dtb", PATH, applies=RESTART, doc="Its device tree.", default=None)
    boot: tuple[str, ...] | None = items(
        "os/boot/@dev",
        choice("hd", "cdrom", "network", "fd"),
        applies=RESTART,
        doc="Kinds of devices to boot from, in this order.",
        default=None,
    )
    boot_menu: bool | None = attr(
        "os/bootmenu/@enable", YES_NO, applies=RESTART, doc="The firmware offers a menu.", default=None
    )
    boot_menu_timeout: int | None = attr(
        "os/bootmenu/@timeout",
        number(0, 65535, "milliseconds"),
        applies=RESTART,
        doc="Milliseconds it is offered.",
        default=None,
    )
    reboot_timeout: int | None = attr(
        "os/bios/@rebootTimeout",
        number(-1, 65535, "milliseconds"),
        applies=RESTART,
        doc="Milliseconds before a failed boot is tried again; -1 never.",
        default=None,
    )
    bios_serial: bool | None = attr(
        "os/bios/@useserial", YES_NO, applies=RESTART, doc="SeaBIOS speaks on the serial port.", default=None
    )
    smbios: str | None = attr(
        "os/smbios/@mode",
        choice("emulate", "host", "sysinfo"),
        applies=RESTART,
        doc="Where the board's names come from.",
        default=None,
    )
