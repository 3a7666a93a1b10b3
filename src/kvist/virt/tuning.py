"""Calls that change a value of a VM: memory, processors, shares, limits, words about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import libvirt

from kvist.virt.errors import calling

Values = Mapping[str, Any]
"""Values by the names of their fields; None asks for libvirt's own default."""

SCHEDULER: Final = {"cpu_shares": "cpu_shares", "cpu_period": "vcpu_period", "cpu_quota": "vcpu_quota"}
MEMORY_LIMITS: Final = {
    "memory_hard_limit": "hard_limit",
    "memory_soft_limit": "soft_limit",
    "memory_swap_limit": "swap_hard_limit",
}
IOTUNE: Final = {
    "total_bytes": "total_bytes_sec",
    "read_bytes": "read_bytes_sec",
    "write_bytes": "write_bytes_sec",
    "total_iops": "total_iops_sec",
    "read_iops": "read_iops_sec",
    "write_iops": "write_iops_sec",
    "total_bytes_max": "total_bytes_sec_max",
    "total_iops_max": "total_iops_sec_max",
}
"""Names of fields and of libvirt's parameters."""
UNLIMITED: Final = (2**63 - 1) >> 10
"""VIR_DOMAIN_MEMORY_PARAM_UNLIMITED, in KiB, which libvirt-python leaves out."""
DEFAULTS: Final = {"cpu_shares": 1024, "cpu_period": 100000, "cpu_quota": -1}
"""What the kernel does with a VM that says nothing."""


class Tuning:
    """Values of the VMs of one host: of those that run, or of what their next boot will use."""

    def __init__(self, handle: libvirt.virConnect) -> None:
        self._handle = handle

    def set(self, name: str, call: str, values: Values, target: str = "", *, next_boot: bool = False) -> None:
        """Change values by one of the CALLS; `target` is the disk, processor or namespace that the call is about.

        libvirt changes what is stored for the `next_boot` as one act, in which nobody else can come in between.
        """
        where = libvirt.VIR_DOMAIN_AFFECT_CONFIG if next_boot else libvirt.VIR_DOMAIN_AFFECT_LIVE
        with calling(f'find VM "{name}"'):
            domain = self._handle.lookupByName(name)
        with calling(f'change {", ".join(values)} of VM "{name}"'):
            CALLS[call](domain, values, target, where)


def _memory(domain: libvirt.virDomain, values: Values, _target: str, where: int) -> None:
    domain.setMemoryFlags(int(values["memory"]) >> 10, where)


def _cpus(domain: libvirt.virDomain, values: Values, _target: str, where: int) -> None:
    domain.setVcpusFlags(int(values["cpus"]), where)


def _scheduler(domain: libvirt.virDomain, values: Values, _target: str, where: int) -> None:
    given = {name: DEFAULTS[name] if value is None else value for name, value in values.items()}
    domain.setSchedulerParametersFlags({SCHEDULER[name]: int(value) for name, value in given.items()}, where)


def _memory_limits(domain: libvirt.virDomain, values: Values, _target: str, where: int) -> None:
    kib = {MEMORY_LIMITS[name]: UNLIMITED if value is None else int(value) >> 10 for name, value in values.items()}
    domain.setMemoryParameters(kib, where)


def _iotune(domain: libvirt.virDomain, values: Values, target: str, where: int) -> None:
    given: dict[str, Any] = {IOTUNE[name]: int(value or 0) for name, value in values.items() if name in IOTUNE}
    if values.get("iotune_group"):
        given[libvirt.VIR_DOMAIN_BLOCK_IOTUNE_GROUP_NAME] = values["iotune_group"]
    domain.setBlockIoTune(target, given, where)


def _stats_period(domain: libvirt.virDomain, values: Values, _target: str, where: int) -> None:
    domain.setMemoryStatsPeriod(int(values["stats_period"] or 0), where)


def _cpu_pin(domain: libvirt.virDomain, values: Values, target: str, where: int) -> None:
    domain.pinVcpuFlags(int(target), _mask(domain, values["cpuset"]), where)


def _emulator_pin(domain: libvirt.virDomain, values: Values, _target: str, where: int) -> None:
    domain.pinEmulator(_mask(domain, values["emulator_cpuset"]), where)


def _mask(domain: libvirt.virDomain, cpuset: str | None) -> tuple[bool, ...]:
    from kvist.values import CpuSet

    here = domain.connect().getInfo()[2]
    wanted = set(range(here)) if cpuset is None else CpuSet.parse(cpuset).members
    return tuple(cpu in wanted for cpu in range(max(here, max(wanted, default=0) + 1)))


def _title(domain: libvirt.virDomain, values: Values, _target: str, where: int) -> None:
    domain.setMetadata(libvirt.VIR_DOMAIN_METADATA_TITLE, values["title"], None, None, where)


def _description(domain: libvirt.virDomain, values: Values, _target: str, where: int) -> None:
    domain.setMetadata(libvirt.VIR_DOMAIN_METADATA_DESCRIPTION, values["description"], None, None, where)


def _metadata(domain: libvirt.virDomain, values: Values, target: str, where: int) -> None:
    prefix, _, namespace = target.partition(" ")
    domain.setMetadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, values["metadata"], prefix, namespace, where)


CALLS: Final[Mapping[str, Callable[[libvirt.virDomain, Values, str, int], None]]] = {
    "memory": _memory,
    "cpus": _cpus,
    "scheduler": _scheduler,
    "memory-limits": _memory_limits,
    "iotune": _iotune,
    "stats-period": _stats_period,
    "cpu-pin": _cpu_pin,
    "emulator-pin": _emulator_pin,
    "title": _title,
    "description": _description,
    "metadata": _metadata,
}
