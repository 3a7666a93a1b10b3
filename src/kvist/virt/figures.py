"""How much VMs use: counters that libvirt keeps of all of them, read in one call."""

from __future__ import annotations

from typing import Any, NamedTuple

import libvirt

from kvist.virt.errors import calling

GROUPS = (
    libvirt.VIR_DOMAIN_STATS_STATE
    | libvirt.VIR_DOMAIN_STATS_CPU_TOTAL
    | libvirt.VIR_DOMAIN_STATS_BALLOON
    | libvirt.VIR_DOMAIN_STATS_VCPU
    | libvirt.VIR_DOMAIN_STATS_INTERFACE
    | libvirt.VIR_DOMAIN_STATS_BLOCK
)
RUNNING = libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_RUNNING
FLAGS = RUNNING | libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT
"""Of running VMs only, and without waiting for one that is busy: it is told with what is known without QEMU."""


class Figures(NamedTuple):
    """Counters of one running VM since its boot: seconds and bytes. Memory is what it has at this moment."""

    name: str
    cpus: int
    cpu_time: float
    memory: int
    """What the guest may use now."""
    used: int | None
    """What it uses, where its balloon tells."""
    resident: int | None
    """What the host has given for it."""
    read: int
    written: int
    received: int
    sent: int


class Counters:
    """Counters of one host."""

    def __init__(self, handle: libvirt.virConnect) -> None:
        self._handle = handle

    def read(self) -> list[Figures]:
        """Read the counters of all running VMs, sorted by name."""
        with calling("read the counters of the VMs"):
            if self._handle.getType() == "TEST":
                # It refuses these groups, or leaves them empty: it knows the rest VM by VM only.
                states = self._handle.getAllDomainStats(libvirt.VIR_DOMAIN_STATS_STATE, RUNNING)
                records = [(domain, _of_info(domain)) for domain, _ in states]
            else:
                records = self._handle.getAllDomainStats(GROUPS, FLAGS)
            return sorted(_figures(domain.name(), found) for domain, found in records)


def _of_info(domain: libvirt.virDomain) -> dict[str, Any]:
    _, _, memory, cpus, spent = domain.info()
    return {"balloon.current": memory, "vcpu.current": cpus, "cpu.time": spent}


def _figures(name: str, found: dict[str, Any]) -> Figures:
    available, unused = found.get("balloon.available"), found.get("balloon.unused")
    resident = found.get("balloon.rss")
    return Figures(
        name=name,
        cpus=int(found.get("vcpu.current", 0)),
        cpu_time=int(found.get("cpu.time", 0)) / 1e9,
        memory=int(found.get("balloon.current", 0)) << 10,
        used=(available - unused) << 10 if available and unused is not None else None,
        resident=resident << 10 if resident is not None else None,
        read=_sum(found, "block", "rd.bytes"),
        written=_sum(found, "block", "wr.bytes"),
        received=_sum(found, "net", "rx.bytes"),
        sent=_sum(found, "net", "tx.bytes"),
    )


def _sum(found: dict[str, Any], group: str, counter: str) -> int:
    return sum(int(found.get(f"{group}.{index}.{counter}", 0)) for index in range(int(found.get(f"{group}.count", 0))))
