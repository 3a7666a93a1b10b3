"""The part of a VM's table that is about its clock, its hypervisor features and what it does when it ends."""

from __future__ import annotations

from typing import Final

from kvist.xml.codec import INT, ON_OFF, YES_NO, choice, number, shaped
from kvist.xml.field import RESTART, attr, flag, many, text
from kvist.xml.spec import Spec

TIME = "https://libvirt.org/formatdomain.html#time-keeping"
EVENTS = "https://libvirt.org/formatdomain.html#events-configuration"
TIMEZONE: Final = shaped("timezone", r"[A-Za-z0-9_.+\-/]+", "Europe/Stockholm")
POWER = "https://libvirt.org/formatdomain.html#power-management"


class Timer(Spec):
    """One of the guest's timers."""

    TAG = "timer"
    PAGE = TIME
    VALUE = "present"

    name: str | None = attr(
        "@name",
        choice("rtc", "pit", "hpet", "tsc", "kvmclock", "hypervclock", "platform", "armvtimer"),
        applies=RESTART,
        doc="Which timer.",
        default=None,
    )
    present: bool | None = attr("@present", YES_NO, applies=RESTART, doc="The guest has it.", default=None)
    tickpolicy: str | None = attr(
        "@tickpolicy",
        choice("delay", "catchup", "merge", "discard"),
        applies=RESTART,
        doc="What becomes of ticks the guest missed.",
        default=None,
    )
    track: str | None = attr(
        "@track", choice("boot", "guest", "wall"), applies=RESTART, doc="What it follows.", default=None
    )
    frequency: int | None = attr("@frequency", INT, applies=RESTART, doc="Hertz of the TSC.", default=None)
    mode: str | None = attr(
        "@mode",
        choice("auto", "native", "emulate", "paravirt", "smpsafe"),
        applies=RESTART,
        doc="How the TSC is made.",
        default=None,
    )


class Behaviour(Spec):
    """Clock, hypervisor features, and what happens at its end."""

    PAGE = "https://libvirt.org/formatdomain.html#hypervisor-features"

    clock: str | None = attr(
        "clock/@offset",
        choice("utc", "localtime", "timezone", "variable", "absolute"),
        applies=RESTART,
        doc="What the guest's clock shows at its start.",
        page=TIME,
        default=None,
    )
    timezone: str | None = attr(
        "clock/@timezone", TIMEZONE, applies=RESTART, doc="Time zone of that clock.", page=TIME, default=None
    )
    timers: tuple[Timer, ...] = many(
        "clock/timer", Timer, key="name", applies=RESTART, doc="Its timers.", page=TIME, default=()
    )
    on_poweroff: str | None = text(
        "on_poweroff",
        choice("destroy", "restart", "preserve", "rename-restart"),
        applies=RESTART,
        doc="What follows when the guest powers off.",
        page=EVENTS,
        default=None,
    )
    on_reboot: str | None = text(
        "on_reboot",
        choice("restart", "destroy", "preserve", "rename-restart"),
        applies=RESTART,
        doc="What follows when the guest reboots.",
        page=EVENTS,
        default=None,
    )
    on_crash: str | None = text(
        "on_crash",
        choice("destroy", "restart", "preserve", "rename-restart", "coredump-destroy", "coredump-restart"),
        applies=RESTART,
        doc="What follows when the guest crashes.",
        page=EVENTS,
        default=None,
    )
    suspend_to_mem: bool | None = attr(
        "pm/suspend-to-mem/@enabled", YES_NO, applies=RESTART, doc="The guest may sleep.", page=POWER, default=None
    )
    suspend_to_disk: bool | None = attr(
        "pm/suspend-to-disk/@enabled", YES_NO, applies=RESTART, doc="The guest may hibernate.", page=POWER, default=None
    )
    acpi: bool | None = flag("features/acpi", applies=RESTART, doc="It has ACPI, so a power button.", default=None)
    apic: bool | None = flag("features/apic", applies=RESTART, doc="It has an APIC.", default=None)
    pae: bool | None = flag("features/pae", applies=RESTART, doc="A 32-bit guest reaches past 4 GiB.", default=None)
    smm: bool | None = attr(
        "features/smm/@state", ON_OFF, applies=RESTART, doc="System management mode, for secure boot.", default=None
    )
    ioapic: str | None = attr(
        "features/ioapic/@driver", choice("kvm", "qemu"), applies=RESTART, doc="Who is the I/O APIC.", default=None
    )
    gic: str | None = attr(
        "features/gic/@version",
        choice("2", "3", "host", open=True),
        applies=RESTART,
        doc="Interrupt controller of an ARM board.",
        default=None,
    )
    vmport: bool | None = attr(
        "features/vmport/@state", ON_OFF, applies=RESTART, doc="VMware's I/O port.", default=None
    )
    pmu: bool | None = attr("features/pmu/@state", ON_OFF, applies=RESTART, doc="Performance counters.", default=None)
    vmcoreinfo: bool | None = attr(
        "features/vmcoreinfo/@state", ON_OFF, applies=RESTART, doc="Dumps tell about the guest's kernel.", default=None
    )
    kvm_hidden: bool | None = attr(
        "features/kvm/hidden/@state", ON_OFF, applies=RESTART, doc="The guest does not see KVM.", default=None
    )
    hyperv_relaxed: bool | None = attr(
        "features/hyperv/relaxed/@state", ON_OFF, applies=RESTART, doc="Windows tolerates late timers.", default=None
    )
    hyperv_vapic: bool | None = attr(
        "features/hyperv/vapic/@state", ON_OFF, applies=RESTART, doc="A virtual APIC for Windows.", default=None
    )
    hyperv_spinlocks: bool | None = attr(
        "features/hyperv/spinlocks/@state", ON_OFF, applies=RESTART, doc="Windows tells when it spins.", default=None
    )
    hyperv_retries: int | None = attr(
        "features/hyperv/spinlocks/@retries",
        number(4095, 2**32 - 1, "retries"),
        applies=RESTART,
        doc="Spins before it tells.",
        default=None,
    )
    hyperv_vpindex: bool | None = attr(
        "features/hyperv/vpindex/@state", ON_OFF, applies=RESTART, doc="Processors know their number.", default=None
    )
    hyperv_runtime: bool | None = attr(
        "features/hyperv/runtime/@state", ON_OFF, applies=RESTART, doc="Windows sees time truly run.", default=None
    )
    hyperv_synic: bool | None = attr(
        "features/hyperv/synic/@state", ON_OFF, applies=RESTART, doc="Synthetic interrupt controller.", default=None
    )
    hyperv_stimer: bool | None = attr(
        "features/hyperv/stimer/@state", ON_OFF, applies=RESTART, doc="Synthetic timers.", default=None
    )
    hyperv_reset: bool | None = attr(
        "features/hyperv/reset/@state", ON_OFF, applies=RESTART, doc="Windows resets by the hypervisor.", default=None
    )
    hyperv_frequencies: bool | None = attr(
        "features/hyperv/frequencies/@state", ON_OFF, applies=RESTART, doc="Clock rates are told.", default=None
    )
    hyperv_tlbflush: bool | None = attr(
        "features/hyperv/tlbflush/@state", ON_OFF, applies=RESTART, doc="Faster flushes between CPUs.", default=None
    )
    hyperv_ipi: bool | None = attr(
        "features/hyperv/ipi/@state", ON_OFF, applies=RESTART, doc="Faster calls between CPUs.", default=None
    )
