"""The part of a VM's table that is about its memory, and the table of a memory module."""

from __future__ import annotations

from kvist.values import Size
from kvist.xml.codec import INT, PATH, choice, number
from kvist.xml.field import LIVE, REPLUG, RESTART, attr, ceiling, flag, level, size, text
from kvist.xml.spec import Spec

BACKING = "https://libvirt.org/formatdomain.html#memory-backing"
TUNING = "https://libvirt.org/formatdomain.html#memory-tuning"


class MemoryModule(Spec):
    """A module of memory that is plugged in."""

    TAG = "memory"
    PAGE = "https://libvirt.org/formatdomain.html#memory-devices"
    FIRST = ("capacity", "model")

    model: str | None = attr(
        "@model",
        choice("dimm", "nvdimm", "virtio-mem", "virtio-pmem", "sgx-epc"),
        applies=REPLUG,
        doc="Kind of module.",
        default=None,
    )
    capacity: Size | None = size("target/size", applies=REPLUG, doc="How much it holds.", default=None)
    node: int | None = text("target/node", INT, applies=REPLUG, doc="NUMA node of the guest it is in.", default=None)
    requested: Size | None = size(
        "target/requested", applies=LIVE, doc="How much of a virtio-mem module the guest is to use.", default=None
    )
    block: Size | None = size("target/block", applies=REPLUG, doc="Step of a virtio-mem module.", default=None)
    file: str | None = text("source/path", PATH, applies=REPLUG, doc="File behind a persistent module.", default=None)
    access: str | None = attr(
        "@access", choice("shared", "private"), applies=REPLUG, doc="Who else sees it.", default=None
    )


class Memory(Spec):
    """Memory: how much, from where, with what limits."""

    PAGE = "https://libvirt.org/formatdomain.html#memory-allocation"

    memory_max: Size | None = ceiling(
        size("memory", default=None),
        size("currentMemory", default=None),
        applies=RESTART,
        doc="Memory that the balloon may give the guest while it runs.",
        default=None,
    )
    memory: Size | None = level(
        size("currentMemory", default=None),
        size("memory", default=None),
        applies=LIVE,
        up_to="memory_max",
        doc="Memory the guest has.",
        default=None,
    )
    memory_limit: Size | None = size(
        "maxMemory", applies=RESTART, doc="Memory it may have with every module plugged in.", default=None
    )
    memory_slots: int | None = attr(
        "maxMemory/@slots", number(0, 256, "slots"), applies=RESTART, doc="Slots for modules.", default=None
    )
    hugepages: bool | None = flag(
        "memoryBacking/hugepages", applies=RESTART, doc="It lies in huge pages of the host.", page=BACKING, default=None
    )
    memory_locked: bool | None = flag(
        "memoryBacking/locked", applies=RESTART, doc="The host never swaps it out.", page=BACKING, default=None
    )
    memory_private_pages: bool | None = flag(
        "memoryBacking/nosharepages",
        applies=RESTART,
        doc="The host does not merge equal pages of VMs.",
        page=BACKING,
        default=None,
    )
    memory_source: str | None = attr(
        "memoryBacking/source/@type",
        choice("anonymous", "file", "memfd"),
        applies=RESTART,
        doc="What the host takes it from.",
        page=BACKING,
        default=None,
    )
    memory_access: str | None = attr(
        "memoryBacking/access/@mode",
        choice("shared", "private"),
        applies=RESTART,
        doc="Shared is what virtiofs and vhost-user need.",
        page=BACKING,
        default=None,
    )
    memory_allocation: str | None = attr(
        "memoryBacking/allocation/@mode",
        choice("immediate", "ondemand"),
        applies=RESTART,
        doc="Whether all of it is taken at the start.",
        page=BACKING,
        default=None,
    )
    memory_discard: bool | None = flag(
        "memoryBacking/discard", applies=RESTART, doc="Its content is dropped at stop.", page=BACKING, default=None
    )
    memory_hard_limit: Size | None = size(
        "memtune/hard_limit", applies=LIVE, doc="Most that its QEMU may use.", page=TUNING, default=None
    )
    memory_soft_limit: Size | None = size(
        "memtune/soft_limit",
        applies=LIVE,
        doc="What it is kept to when the host runs short.",
        page=TUNING,
        default=None,
    )
    memory_swap_limit: Size | None = size(
        "memtune/swap_hard_limit", applies=LIVE, doc="Most memory and swap together.", page=TUNING, default=None
    )
