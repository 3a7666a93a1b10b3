"""The part of a VM's table that is about its processor."""

from __future__ import annotations

from kvist.xml.codec import COUNT, CPUSET, INT, ON_OFF, choice, number
from kvist.xml.field import LIVE, RESTART, attr, ceiling, level, many, text
from kvist.xml.spec import Spec


class CpuFeature(Spec):
    """A feature of the guest's processor."""

    TAG = "feature"
    PAGE = "https://libvirt.org/formatdomain.html#cpu-model-and-topology"
    VALUE = "policy"

    name: str | None = attr("@name", applies=RESTART, doc="Name of the feature: vmx.", default=None)
    policy: str | None = attr(
        "@policy",
        choice("force", "require", "optional", "disable", "forbid"),
        applies=RESTART,
        doc="Whether the guest has it.",
        default=None,
    )


class CpuPin(Spec):
    """The host processors that one virtual processor may run on."""

    TAG = "vcpupin"
    PAGE = "https://libvirt.org/formatdomain.html#cpu-tuning"
    VALUE = "cpuset"

    vcpu: int | None = attr("@vcpu", INT, applies=LIVE, doc="Number of the virtual processor.", default=None)
    cpuset: str | None = attr("@cpuset", CPUSET, applies=LIVE, doc="Host processors: 0-3,^2.", default=None)


class Processor(Spec):
    """Processors: how many, of what kind, with what share of the host's."""

    PAGE = "https://libvirt.org/formatdomain.html#cpu-model-and-topology"

    cpus_max: int | None = ceiling(
        text("vcpu", COUNT, default=None),
        attr("vcpu/@current", COUNT, default=None),
        applies=RESTART,
        doc="Processors that may be plugged in while it runs.",
        page="https://libvirt.org/formatdomain.html#cpu-allocation",
        default=None,
    )
    cpus: int | None = level(
        attr("vcpu/@current", COUNT, default=None),
        text("vcpu", COUNT, default=None),
        applies=LIVE,
        up_to="cpus_max",
        growing=True,
        doc="Processors the guest has.",
        page="https://libvirt.org/formatdomain.html#cpu-allocation",
        default=None,
    )
    cpuset: str | None = attr(
        "vcpu/@cpuset",
        CPUSET,
        applies=RESTART,
        doc="Host processors that it may run on: 0-3,^2.",
        page="https://libvirt.org/formatdomain.html#cpu-allocation",
        default=None,
    )
    cpu_mode: str | None = attr(
        "cpu/@mode",
        choice("host-passthrough", "host-model", "custom", "maximum"),
        applies=RESTART,
        doc="Whether the guest's processor is the host's, like the host's, or a named model.",
        default=None,
    )
    cpu_model: str | None = text(
        "cpu/model", applies=RESTART, doc="Named model of processor: Skylake-Client.", default=None
    )
    cpu_fallback: str | None = attr(
        "cpu/model/@fallback",
        choice("allow", "forbid"),
        applies=RESTART,
        doc="Whether a lesser model may stand in for it.",
        default=None,
    )
    cpu_match: str | None = attr(
        "cpu/@match",
        choice("minimum", "exact", "strict"),
        applies=RESTART,
        doc="How closely the guest's processor must be the one asked for.",
        default=None,
    )
    cpu_check: str | None = attr(
        "cpu/@check",
        choice("none", "partial", "full"),
        applies=RESTART,
        doc="How the processor is checked before a start.",
        default=None,
    )
    cpu_migratable: bool | None = attr(
        "cpu/@migratable", ON_OFF, applies=RESTART, doc="Features that cannot migrate are left out.", default=None
    )
    sockets: int | None = attr(
        "cpu/topology/@sockets", COUNT, applies=RESTART, doc="Sockets on the board.", default=None
    )
    dies: int | None = attr("cpu/topology/@dies", COUNT, applies=RESTART, doc="Dies in each socket.", default=None)
    cores: int | None = attr("cpu/topology/@cores", COUNT, applies=RESTART, doc="Cores in each die.", default=None)
    threads: int | None = attr(
        "cpu/topology/@threads", COUNT, applies=RESTART, doc="Threads of each core.", default=None
    )
    cpu_features: tuple[CpuFeature, ...] = many(
        "cpu/feature",
        CpuFeature,
        key="name",
        applies=RESTART,
        doc="Features that differ from the model's.",
        default=(),
    )
    iothreads: int | None = text(
        "iothreads",
        number(0, 2**31 - 1, "iothreads"),
        applies=RESTART,
        doc="Threads that serve disks.",
        page="https://libvirt.org/formatdomain.html#iothreads-allocation",
        default=None,
    )
    cpu_shares: int | None = text(
        "cputune/shares",
        number(1, 262144, "shares"),
        applies=LIVE,
        doc="Its weight when VMs compete for the host's processors.",
        page="https://libvirt.org/formatdomain.html#cpu-tuning",
        default=None,
    )
    cpu_period: int | None = text(
        "cputune/period",
        number(1000, 1000000, "period"),
        applies=LIVE,
        doc="Microseconds in which each processor may use its quota.",
        page="https://libvirt.org/formatdomain.html#cpu-tuning",
        default=None,
    )
    cpu_quota: int | None = text(
        "cputune/quota",
        number(-1, 2**44, "quota"),
        applies=LIVE,
        doc="Microseconds each processor may run in a period; -1 is without limit.",
        page="https://libvirt.org/formatdomain.html#cpu-tuning",
        default=None,
    )
    cpu_pins: tuple[CpuPin, ...] = many(
        "cputune/vcpupin",
        CpuPin,
        key="vcpu",
        applies=LIVE,
        doc="Host processors for single virtual ones.",
        page="https://libvirt.org/formatdomain.html#cpu-tuning",
        default=(),
    )
    emulator_cpuset: str | None = attr(
        "cputune/emulatorpin/@cpuset",
        CPUSET,
        applies=LIVE,
        doc="Host processors for QEMU's own threads.",
        page="https://libvirt.org/formatdomain.html#cpu-tuning",
        default=None,
    )
