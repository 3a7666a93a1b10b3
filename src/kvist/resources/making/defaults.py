"""What a new VM has when nobody says: the reasons are in docs/defaults.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from kvist.specs.balloon import Balloon
from kvist.specs.behaviour import Timer
from kvist.specs.character import Channel, Console, Serial
from kvist.specs.controller import Controller
from kvist.specs.graphics import Graphics
from kvist.specs.rng import Rng
from kvist.specs.tpm import Tpm
from kvist.specs.video import Video
from kvist.specs.vm import Vm
from kvist.values import Size

if TYPE_CHECKING:
    from kvist.guest.osinfo import Os
    from kvist.virt.capabilities import Offer

MEMORY = Size(1 << 30)
CPUS = 2
MORE_CPUS = 4
MORE_MEMORY = 2
"""How many times as many processors, and as much memory, a running VM can get: nothing that waits for a restart.

A processor that is not plugged in costs nothing. Of memory that its balloon holds, the guest pays 1.6 % in page tables,
and one without a driver for the balloon would have all of it: so only guests that are known to have it get room there.
"""
SPARE_PORTS = 6
"""PCIe ports kept free on q35 and virt, which otherwise have a single one for hot-plug; a port costs nothing."""
STATS = 5
"""Seconds between two questions to the balloon how much memory the guest uses: `kvist top` shows the answer."""
AGENT = "org.qemu.guest_agent.0"


class Board(NamedTuple):
    """The choices that all devices of a VM follow from."""

    arch: str
    kind: str
    machine: str
    disk_bus: str
    cdrom_bus: str
    nic_model: str

    @property
    def pcie(self) -> bool:
        return self.machine.startswith(("q35", "pc-q35", "virt"))


def board(arch: str, kind: str, machine: str | None, system: Os | None) -> Board:
    """Choose the board and the kinds of its devices, by what the guest's system has drivers for."""
    modern = system is None or system.supports("virtio-block")
    if machine is None:
        old = system is not None and not modern and not system.supports("q35")
        machine = "virt" if arch == "aarch64" else "pc" if old else "q35" if arch == "x86_64" else ""
    # A CD-ROM on SATA, the board's own, is invisible to the kernels that clouds use (no AHCI); virtio-scsi is not.
    plain_bus = "ide" if machine.startswith("pc") and "q35" not in machine else "sata"
    network = system is None or system.supports("virtio-net")
    return Board(
        arch=arch,
        kind=kind,
        machine=machine,
        disk_bus="virtio" if modern else plain_bus,
        cdrom_bus="scsi" if modern else plain_bus,
        nic_model="virtio" if network else "e1000e" if system is not None and system.supports("e1000e") else "rtl8139",
    )


def serial_log(uri: str, name: str, uuid: str) -> str | None:
    """Give the file of the host that gets a copy of what the guest writes on its serial port.

    It has a part of the UUID in it: virtlogd writes no file for two VMs, and a name may be another's after a rename.
    """
    path = uri.partition("://")[2].partition("?")[0]
    if not (uri.startswith("qemu") and path.endswith("/system")):
        return None
    return f"/var/log/libvirt/qemu/{name}-{uuid[:8]}-serial0.log"


def firmware(arch: str) -> str | None:
    """Choose the firmware: libvirt's name for it, None for the board's own (a BIOS)."""
    return "efi" if arch == "aarch64" else None


def machine(
    chosen: Board,
    offer: Offer | None,
    system: Os | None,
    *,
    graphics: Graphics | None,
    tpm: str | None,
    log: str | None = None,
) -> Vm:
    """Give everything a VM has besides what is asked for: board, clock, features, ports, screen, agent, randomness."""
    x86 = chosen.arch in ("x86_64", "i686")
    windows = system is not None and system.family.startswith("win")
    vm = Vm(
        virt=chosen.kind,
        os_type="hvm",
        arch=chosen.arch,
        machine=chosen.machine or None,
        firmware=firmware(chosen.arch),
        acpi=True,
        apic=True if x86 else None,
        clock="localtime" if windows else "utc",
        timers=_timers(windows=windows) if x86 and chosen.kind != "test" else (),
        controllers=_controllers(chosen),
        serials=(Serial(type="pty", log=log, log_append=True) if log else Serial(type="pty"),),
        consoles=(Console(type="pty"),),
        channels=(Channel(type="unix", target="virtio", name=AGENT),),
        balloon=Balloon(model="virtio", stats_period=STATS),
    )
    if chosen.kind == "kvm":
        vm = vm.replace(cpu_mode="host-passthrough", cpu_check="none", cpu_migratable=True if x86 else None)
    elif chosen.arch == "aarch64" and chosen.kind == "qemu":
        # One that is real, and that kernels of every age know; libvirt would leave it to QEMU: a 32-bit cortex-a15.
        vm = vm.replace(cpu_mode="custom", cpu_model="cortex-a57")
    if chosen.arch == "aarch64" and chosen.machine.startswith("virt") and chosen.kind != "test":
        # libvirt's own choice for emulated guests is version 2, which ends at eight processors.
        vm = vm.replace(gic="host" if chosen.kind == "kvm" else "3")
    if offer is None or offer.rng:
        vm = vm.replace(rngs=(Rng(model="virtio", backend="random", source="/dev/urandom"),))
    if tpm is not None:
        # The newer interface is TPM 2.0's and x86's only.
        model = "tpm-crb" if x86 and tpm == "2.0" else "tpm-tis"
        vm = vm.replace(tpm=Tpm(model=model, backend="emulator", version=tpm))
    if graphics is not None:
        vm = vm.replace(graphics=(graphics,), videos=(Video(model="vga" if x86 else "virtio"),))
    return vm


def _timers(*, windows: bool) -> tuple[Timer, ...]:
    # https://libvirt.org/formatdomain.html#time-keeping: late ticks are caught up, and the costly HPET is left out.
    common = (Timer(name="rtc", tickpolicy="catchup"), Timer(name="pit", tickpolicy="delay"))
    return (
        *common,
        Timer(name="hpet", present=False),
        *((Timer(name="hypervclock", present=True),) if windows else ()),
    )


def _controllers(chosen: Board) -> tuple[Controller, ...]:
    ports: tuple[Controller, ...] = ()
    if chosen.pcie:
        root = Controller(type="pci", index=0, model="pcie-root")
        ports = (root, *(Controller(type="pci", model="pcie-root-port") for _ in range(_ports(chosen))))
    scsi = (Controller(type="scsi", index=0, model="virtio-scsi"),) if chosen.cdrom_bus == "scsi" else ()
    return (*ports, *scsi)


def _ports(chosen: Board) -> int:
    # libvirt adds a port for each device it places itself (card, disk, scsi, serial, balloon, rng: six with the usual
    # devices) only where none is free, so these are taken first.
    return SPARE_PORTS + 6
