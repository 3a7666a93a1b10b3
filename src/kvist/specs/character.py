"""The tables of serial ports, consoles and channels: ways for characters in and out of a guest."""

from __future__ import annotations

from kvist.xml.codec import ALIAS, INT, ON_OFF, PATH, choice
from kvist.xml.field import REPLUG, RESTART, attr
from kvist.xml.spec import Spec

FILED = ("dev", "file", "pipe", "unix", "pty")


class Character(Spec):
    """What serial ports, consoles and channels have in common: the host's end."""

    PAGE = "https://libvirt.org/formatdomain.html#consoles-serial-parallel-channel-devices"
    UNION = "type"
    PARTS = ("source", "protocol")
    FIRST = ("type",)

    type: str | None = attr(
        "@type",
        choice("pty", "unix", "tcp", "file", "dev", "pipe", "null", "stdio", "vc", "spicevmc", "qemu-vdagent"),
        applies=RESTART,
        doc="What it is on the host.",
        default=None,
    )
    path: str | None = attr(
        "source/@path", PATH, when=FILED, applies=RESTART, doc="Device, file, pipe or socket.", default=None
    )
    append: bool | None = attr(
        "source/@append", ON_OFF, when="file", applies=RESTART, doc="The file goes on where it ended.", default=None
    )
    mode: str | None = attr(
        "source/@mode",
        choice("bind", "connect", "client", "server"),
        when=("unix", "tcp"),
        applies=RESTART,
        doc="Whether QEMU listens or connects.",
        default=None,
    )
    host: str | None = attr(
        "source/@host", when="tcp", applies=RESTART, doc="Address to listen on or connect to.", default=None
    )
    service: str | None = attr("source/@service", when="tcp", applies=RESTART, doc="Its port.", default=None)
    protocol: str | None = attr(
        "protocol/@type",
        choice("raw", "telnet", "telnets", "tls"),
        when="tcp",
        applies=RESTART,
        doc="What is spoken on it.",
        default=None,
    )
    log: str | None = attr("log/@file", PATH, applies=RESTART, doc="File that gets a copy.", default=None)
    log_append: bool | None = attr(
        "log/@append", ON_OFF, applies=RESTART, doc="The copy goes on where it ended.", default=None
    )
    alias: str | None = attr(
        "alias/@name",
        ALIAS,
        applies=RESTART,
        doc="Name of one's own for the device; ua- is put before it.",
        default=None,
    )


class Serial(Character):
    """A serial port of a VM."""

    TAG = "serial"

    port: int | None = attr("target/@port", INT, applies=RESTART, doc="Number of the port: 0 is ttyS0.", default=None)
    target: str | None = attr(
        "target/@type",
        choice("isa-serial", "pci-serial", "usb-serial", "system-serial", "spapr-vio-serial", "sclp-serial", open=True),
        applies=RESTART,
        doc="Bus it is on.",
        default=None,
    )
    model: str | None = attr("target/model/@name", applies=RESTART, doc="Model the guest sees.", default=None)


class Console(Character):
    """A console of a VM: the first stands for the first serial port."""

    TAG = "console"

    port: int | None = attr("target/@port", INT, applies=RESTART, doc="Number of the console.", default=None)
    target: str | None = attr(
        "target/@type",
        choice("serial", "virtio", "xen", "sclp", "sclplm", open=True),
        applies=RESTART,
        doc="What it is in the guest.",
        default=None,
    )


class Channel(Character):
    """A named line between host and guest, such as the guest agent's."""

    TAG = "channel"
    FIRST = ("name",)

    name: str | None = attr(
        "target/@name",
        choice("org.qemu.guest_agent.0", "com.redhat.spice.0", open=True),
        applies=REPLUG,
        doc="Name of its port in the guest.",
        default=None,
    )
    target: str | None = attr(
        "target/@type",
        choice("virtio", "xen"),
        applies=REPLUG,
        doc="What it is in the guest.",
        default=None,
    )
    state: str | None = attr(
        "target/@state",
        choice("connected", "disconnected"),
        told=True,
        doc="Whether somebody in the guest has it open.",
        default=None,
    )
