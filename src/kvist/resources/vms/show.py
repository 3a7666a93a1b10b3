"""All that is known about one VM."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kvist.errors import Conflict, Unsupported
from kvist.resources.reaching.address import Where, addresses
from kvist.resources.vms.memory import given, untaken
from kvist.resources.vms.uptime import uptimes
from kvist.values import Size

if TYPE_CHECKING:
    from kvist.resources.vms.vm import Machine
    from kvist.specs.disk import Disk
    from kvist.specs.graphics import Graphics
    from kvist.specs.nic import Nic
    from kvist.specs.vm import Vm
    from kvist.virt.domains import Snapshot

EMULATED_BUSES = ("ide", "sata", "fdc")
EMULATED_CARDS = ("e1000", "e1000e", "rtl8139", "ne2k_pci", "pcnet", "usb-net", "vmxnet3", "igb")
WITHOUT_VIRTIO = ("win", "msdos", "freedos", "solaris", "netware", "macos", "osx")
"""Systems, by the beginning of their osinfo name, that know virtio only once its drivers are installed, or never."""


def show(self: Machine) -> dict[str, Any]:
    """Show all that is known about a VM: what it is, what it does, its disks and cards, and what waits for a restart.

    Example: kvist show web -o json
    """
    domains = self.host.connection.domains
    state = self.state
    from kvist.resources.changing.pending import pending

    spec = self.spec
    shot = next((shot for shot in domains.snapshot() if shot.name == self.name), None)
    persistent = domains.persistent(self.name)
    saved = persistent and domains.has_managed_save(self.name)
    found: list[Where] = _addresses(self) if state.active else []
    return {
        "name": self.name,
        "state": "saved" if saved and not state.active else state.value,
        "uptime": uptimes(self.host, [shot]).get(self.name) if shot and state.active else None,
        "uuid": spec.uuid,
        "title": spec.title,
        "description": spec.description,
        "os": spec.os or spec.osinfo,
        "user": spec.user,
        "made_from": spec.made_from,
        "made_by": spec.made_by,
        "tags": list(spec.tags or ()),
        "memory": given(self.host, shot) if shot and shot.memory else spec.memory,
        "memory_max": spec.memory_max if spec.memory_max is not None else spec.memory,
        "cpus": shot.cpus if shot and shot.cpus else spec.cpus,
        "cpus_max": spec.cpus_max if spec.cpus_max is not None else spec.cpus,
        "cpu_mode": spec.cpu_mode,
        "arch": spec.arch,
        "machine": spec.machine,
        "firmware": _firmware(spec),
        "virt": spec.virt,
        "persistent": persistent,
        "autostart": domains.autostart(self.name) if persistent else False,
        "saved": saved,
        "snapshots": _snapshots(self),
        "agent": self.has_agent if state.active else None,
        "console": next((each.type for each in (*spec.consoles, *spec.serials) if each.type), None),
        "graphics": [_graphics(each) for each in spec.graphics],
        "addresses": [where.address for where in found],
        "disks": [_disk(each, shot, self) for each in spec.disks],
        "nics": [_nic(each, found) for each in spec.nics],
        "pending": [each._asdict() for each in pending(self)] if state.active and persistent else [],
        "advice": [*untaken(self.host, shot), *advice(spec)] if shot else advice(spec),
    }


def advice(spec: Vm) -> list[str]:
    """Say which devices are emulated although the guest's system most likely knows their faster virtio kin."""
    if (spec.os or "").startswith(WITHOUT_VIRTIO) or "microsoft" in (spec.osinfo or ""):
        return []
    told = [
        f"disk {disk.target} is on an emulated {disk.bus} bus; bus=virtio is faster, where the guest has the driver"
        for disk in spec.disks
        if disk.bus in EMULATED_BUSES and disk.device in (None, "disk")
    ]
    told += [
        f"card {nic.mac or index} is an emulated {nic.model}; model=virtio is faster, where the guest has the driver"
        for index, nic in enumerate(spec.nics)
        if nic.model in EMULATED_CARDS
    ]
    return told


def _addresses(vm: Machine) -> list[Where]:
    try:
        return addresses(vm)
    except Conflict:
        # It went off since its state was read.
        return []


def _snapshots(vm: Machine) -> int | None:
    try:
        return len(vm.host.connection.domains.snapshots(vm.name))
    except Unsupported:
        return None


def _firmware(spec: Vm) -> str:
    if spec.firmware == "efi" or spec.loader_type == "pflash":
        return "efi"
    return "bios" if spec.arch in (None, "x86_64", "i686") else "none"


def _graphics(graphics: Graphics) -> str:
    """Give the address of a screen as a viewer wants it."""
    if graphics.socket:
        return f"{graphics.type}+unix://{graphics.socket}"
    port = graphics.port if graphics.port and graphics.port > 0 else graphics.tls_port
    if not port or port < 0:
        return str(graphics.type)
    return f"{graphics.type}://{graphics.listen or '127.0.0.1'}:{port}"


def _disk(disk: Disk, shot: Snapshot | None, vm: Machine) -> dict[str, Any]:
    from kvist.resources.devices.disk import chain

    at_host = disk.file or disk.dev
    capacity = next((one.capacity for one in shot.disks if one.target == disk.target), None) if shot else None
    pools = vm.host.connection.pools
    if at_host and capacity is None and (place := pools.volume_of(at_host)) and (volume := pools.volume(*place)):
        capacity = volume.capacity
    return {
        "target": disk.target,
        "device": disk.device or "disk",
        "bus": disk.bus,
        "source": at_host or _elsewhere(disk),
        "format": disk.format,
        "size": None if capacity is None else Size(capacity),
        "backing": next(chain(vm.host, at_host), None) if at_host else None,
    }


def _elsewhere(disk: Disk) -> str | None:
    if disk.pool and disk.volume:
        return f"{disk.pool}/{disk.volume}"
    return f"{disk.protocol}://{disk.host or ''}/{disk.export or ''}" if disk.protocol else disk.dir


def _nic(nic: Nic, found: list[Where]) -> dict[str, Any]:
    mac = (nic.mac or "").lower()
    return {
        "mac": nic.mac,
        "type": nic.type,
        "source": nic.network or nic.bridge or nic.dev,
        "model": nic.model,
        "address": next((where.address for where in found if where.mac == mac), None),
    }
