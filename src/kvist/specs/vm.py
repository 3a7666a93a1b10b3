"""The table of a VM."""

from __future__ import annotations

from kvist.specs.balloon import Balloon
from kvist.specs.behaviour import Behaviour
from kvist.specs.boot import Boot
from kvist.specs.character import Channel, Console, Serial
from kvist.specs.controller import Controller
from kvist.specs.disk import Disk
from kvist.specs.filesystem import Filesystem
from kvist.specs.graphics import Graphics
from kvist.specs.hostdev import Hostdev
from kvist.specs.input import Input
from kvist.specs.memory import Memory, MemoryModule
from kvist.specs.nic import Nic
from kvist.specs.panic import Panic
from kvist.specs.processor import Processor
from kvist.specs.rng import Rng
from kvist.specs.sound import Sound
from kvist.specs.tpm import Tpm
from kvist.specs.video import Video
from kvist.specs.vsock import Vsock
from kvist.specs.watchdog import Watchdog
from kvist.xml.codec import BOOL, LINE, NAME, PATH, UUID, YES_NO, choice
from kvist.xml.field import LIVE, RECREATE, RESTART, aside, attr, items, many, one, text
from kvist.xml.spec import Spec

METADATA = "https://libvirt.org/formatdomain.html#general-metadata"


class Identity(Spec):
    """What a VM is called, what it is for, and who made it."""

    PAGE = METADATA

    virt: str | None = attr(
        "@type",
        choice("kvm", "qemu", open=True),
        applies=RESTART,
        doc="Run by the processor (kvm) or emulated (qemu).",
        page="https://libvirt.org/formatdomain.html#element-and-attribute-overview",
        default=None,
    )
    name: str | None = text("name", NAME, applies=RECREATE, doc="Name of the VM.", default=None)
    uuid: str | None = text("uuid", UUID, applies=RECREATE, doc="Identity of the VM, for ever.", default=None)
    title: str | None = text("title", LINE, applies=LIVE, doc="A few words about it.", default=None)
    description: str | None = text("description", applies=LIVE, doc="What it is for.", default=None)
    osinfo: str | None = attr(
        "metadata/libosinfo:libosinfo/libosinfo:os/@id",
        applies=LIVE,
        doc="Its operating system, as an identity of the osinfo database.",
        default=None,
    )
    os: str | None = attr(
        "metadata/kvist:vm/@os", applies=LIVE, doc="Its operating system, in short: debian12.", default=None
    )
    user: str | None = attr("metadata/kvist:vm/@user", applies=LIVE, doc="User to log in as.", default=None)
    made_by: str | None = attr(
        "metadata/kvist:vm/@made-by", applies=LIVE, doc="Who made it, and by what.", default=None
    )
    made_from: str | None = attr(
        "metadata/kvist:vm/@made-from", applies=LIVE, doc="Image it was made from.", default=None
    )
    protected: bool | None = attr(
        "metadata/kvist:vm/@protected",
        YES_NO,
        applies=LIVE,
        doc="It is not to be deleted: kvist refuses.",
        default=None,
    )
    tags: tuple[str, ...] | None = items(
        "metadata/kvist:vm/kvist:tag", applies=LIVE, doc="Words to find it by.", default=None
    )
    volumes: tuple[str, ...] | None = items(
        "metadata/kvist:vm/kvist:volume",
        applies=LIVE,
        doc="Volumes that were made for it and go with it, as POOL/VOLUME.",
        default=None,
    )
    forwards: tuple[str, ...] | None = items(
        "metadata/kvist:vm/kvist:forward",
        applies=LIVE,
        doc="Ports of the host that lead to it; kvist forward adds and removes them.",
        default=None,
    )
    firewall: tuple[str, ...] | None = items(
        "metadata/kvist:vm/kvist:fw",
        applies=LIVE,
        doc="Policy of its firewall, line by line; kvist fw writes them.",
        default=None,
    )
    groups: tuple[str, ...] | None = items(
        "metadata/kvist:vm/kvist:group",
        applies=LIVE,
        doc="Groups that rules of the firewall call it by; kvist fw group adds and removes it.",
        default=None,
    )


class Vm(Identity, Memory, Processor, Boot, Behaviour):
    """A virtual machine."""

    TAG = "domain"
    PAGE = "https://libvirt.org/formatdomain.html"
    ORDER = (
        *("name", "uuid", "title", "description", "metadata", "maxMemory", "memory", "currentMemory", "memoryBacking"),
        *("vcpu", "iothreads", "blkiotune", "memtune", "cputune", "numatune", "resource", "sysinfo", "os", "features"),
        *("cpu", "clock", "on_poweroff", "on_reboot", "on_crash", "pm", "devices"),
    )

    emulator: str | None = text(
        "devices/emulator",
        PATH,
        applies=RESTART,
        doc="Program that runs it.",
        page="https://libvirt.org/formatdomain.html#devices",
        default=None,
    )
    nics: tuple[Nic, ...] = many(
        "devices/interface", Nic, key="mac", applies=LIVE, doc="Its network cards.", default=()
    )
    disks: tuple[Disk, ...] = many(
        "devices/disk",
        Disk,
        key="target",
        cold_for=("bus", ("sata", "ide", "fdc", "sd")),
        applies=LIVE,
        doc="Its disks.",
        default=(),
    )
    controllers: tuple[Controller, ...] = many(
        "devices/controller",
        Controller,
        key=("type", "index"),
        live_for=("type", ("scsi",)),
        applies=RESTART,
        doc="Its controllers.",
        default=(),
    )
    serials: tuple[Serial, ...] = many(
        "devices/serial",
        Serial,
        key="port",
        live_for=("target", ("usb-serial", "pci-serial")),
        applies=RESTART,
        doc="Its serial ports.",
        default=(),
    )
    consoles: tuple[Console, ...] = many(
        "devices/console", Console, key=("target", "port"), applies=RESTART, doc="Its consoles.", default=()
    )
    channels: tuple[Channel, ...] = many(
        "devices/channel", Channel, key="name", applies=LIVE, doc="Named lines to the host.", default=()
    )
    graphics: tuple[Graphics, ...] = many(
        "devices/graphics", Graphics, key="type", applies=RESTART, doc="Ways to see its screen.", default=()
    )
    videos: tuple[Video, ...] = many("devices/video", Video, applies=RESTART, doc="Its graphics cards.", default=())
    sounds: tuple[Sound, ...] = many("devices/sound", Sound, applies=RESTART, doc="Its sound cards.", default=())
    inputs: tuple[Input, ...] = many(
        "devices/input",
        Input,
        key=("type", "bus"),
        cold_for=("bus", ("ps2", "xen")),
        applies=LIVE,
        doc="Its keyboards and mice.",
        default=(),
    )
    hostdevs: tuple[Hostdev, ...] = many(
        "devices/hostdev",
        Hostdev,
        key=("pci", "vendor", "product", "usb_bus", "usb_device", "mdev"),
        applies=LIVE,
        doc="Devices of the host handed to it.",
        default=(),
    )
    filesystems: tuple[Filesystem, ...] = many(
        "devices/filesystem",
        Filesystem,
        key="target",
        live_for=("driver", ("virtiofs",)),
        applies=RESTART,
        doc="Directories of the host.",
        default=(),
    )
    rngs: tuple[Rng, ...] = many("devices/rng", Rng, applies=LIVE, doc="Sources of randomness.", default=())
    watchdogs: tuple[Watchdog, ...] = many(
        "devices/watchdog",
        Watchdog,
        cold_for=("model", ("ib700", "diag288", "itco")),
        applies=LIVE,
        doc="Its watchdogs.",
        default=(),
    )
    panics: tuple[Panic, ...] = many(
        "devices/panic", Panic, key="model", applies=RESTART, doc="Ways to tell of a crash.", default=()
    )
    balloon: Balloon | None = one("devices/memballoon", Balloon, applies=RESTART, doc="Its balloon.", default=None)
    tpm: Tpm | None = one("devices/tpm", Tpm, applies=RESTART, doc="Its trusted platform module.", default=None)
    vsock: Vsock | None = one("devices/vsock", Vsock, applies=LIVE, doc="A socket to the host.", default=None)
    memory_modules: tuple[MemoryModule, ...] = many(
        "devices/memory", MemoryModule, applies=LIVE, doc="Modules of memory plugged in.", default=()
    )
    qemu_args: tuple[str, ...] | None = items(
        "qemu:commandline/qemu:arg/@value",
        words=True,
        applies=RESTART,
        doc="Arguments added to QEMU's command line as they are.",
        page="https://libvirt.org/kbase/qemu-passthrough-security.html",
        default=None,
    )
    autostart: bool | None = aside(BOOL, applies=LIVE, doc="It starts with the host.", default=None)
    image: str | None = aside(applies=RECREATE, doc="Image its first disk is made from.", default=None)
