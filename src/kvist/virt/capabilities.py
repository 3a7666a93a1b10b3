"""What a host's libvirt and QEMU offer, read once in a process for each question."""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import NamedTuple
from xml.etree import ElementTree

import libvirt

from kvist.virt.errors import calling


class Offer(NamedTuple):
    """Domain capabilities of one architecture, machine and virtualisation type."""

    emulator: str
    machine: str
    firmwares: frozenset[str]
    secure_boot: bool
    loaders: tuple[str, ...]
    tpm: bool
    rng: bool
    graphics: frozenset[str]
    cpu_modes: frozenset[str]
    disk_buses: frozenset[str]
    max_cpus: int


class Capabilities:
    """Capabilities of one host; https://libvirt.org/formatcaps.html and formatdomaincaps.html."""

    def __init__(self, handle: libvirt.virConnect) -> None:
        self._handle = handle
        self._offer = lru_cache(maxsize=None)(self._read_offer)

    @cached_property
    def _host(self) -> ElementTree.Element:
        with calling("read the host's capabilities"):
            return ElementTree.fromstring(self._handle.getCapabilities())  # noqa: S314 - libvirt's own answer

    @cached_property
    def arch(self) -> str:
        """Architecture of the host as libvirt names it: x86_64, aarch64."""
        return self._host.findtext("host/cpu/arch") or "x86_64"

    @cached_property
    def architectures(self) -> dict[str, frozenset[str]]:
        """Architectures of guests that can run here, each with its virtualisation types (`kvm`, `qemu`, `test`)."""
        return {
            guest.get("name", ""): frozenset(domain.get("type", "") for domain in guest.findall("domain"))
            for guest in self._host.findall("guest/arch")
            if guest.get("name")
        }

    def offer(self, *, arch: str, kind: str, machine: str | None = None) -> Offer:
        """Read what VMs of this architecture, type (`kvm` or `qemu`) and machine can have."""
        return self._offer(arch, kind, machine)

    def _read_offer(self, arch: str, kind: str, machine: str | None) -> Offer:
        with calling(f"read what {arch} VMs can have"):
            root = ElementTree.fromstring(  # noqa: S314 - libvirt's own answer
                self._handle.getDomainCapabilities(None, arch, machine, kind, 0)
            )

        def values(path: str, name: str) -> frozenset[str]:
            enum = root.find(f"{path}/enum[@name='{name}']")
            return frozenset(value.text or "" for value in enum) if enum is not None else frozenset()

        def offered(path: str) -> bool:
            element = root.find(path)
            return element is not None and element.get("supported") == "yes"

        return Offer(
            emulator=root.findtext("path") or "",
            machine=root.findtext("machine") or "",
            firmwares=values("os", "firmware"),
            secure_boot="yes" in values("os/loader", "secure"),
            loaders=tuple(value.text or "" for value in root.findall("os/loader/value")),
            tpm=offered("devices/tpm"),
            rng=offered("devices/rng"),
            graphics=values("devices/graphics", "type"),
            cpu_modes=frozenset(
                mode.get("name", "") for mode in root.findall("cpu/mode") if mode.get("supported") == "yes"
            ),
            disk_buses=values("devices/disk", "bus"),
            max_cpus=int((element.get("max") if (element := root.find("vcpu")) is not None else None) or 0),
        )
