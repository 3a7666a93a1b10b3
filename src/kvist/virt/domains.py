"""Calls on domains (libvirt's word for VMs)."""

from __future__ import annotations

from typing import Any, NamedTuple

import libvirt

from kvist.virt.errors import calling
from kvist.virt.streams import ConsoleStream, drain
from kvist.virt.words import State as State

_STATES = {
    libvirt.VIR_DOMAIN_NOSTATE: State.UNKNOWN,
    libvirt.VIR_DOMAIN_RUNNING: State.RUNNING,
    libvirt.VIR_DOMAIN_BLOCKED: State.RUNNING,
    libvirt.VIR_DOMAIN_PAUSED: State.PAUSED,
    libvirt.VIR_DOMAIN_SHUTDOWN: State.STOPPING,
    libvirt.VIR_DOMAIN_SHUTOFF: State.OFF,
    libvirt.VIR_DOMAIN_CRASHED: State.CRASHED,
    libvirt.VIR_DOMAIN_PMSUSPENDED: State.SUSPENDED,
}


class DiskFigures(NamedTuple):
    """One disk in a snapshot, sizes in bytes; None where libvirt does not know."""

    target: str
    source: str
    capacity: int | None
    allocation: int | None


class Snapshot(NamedTuple):
    """One VM in one moment. Memory in bytes, CPU time in seconds; `id` is -1 when it is off."""

    name: str
    uuid: str
    id: int
    state: State
    cpus: int
    memory: int
    memory_max: int
    cpu_time: float
    disks: tuple[DiskFigures, ...]
    saved: bool = False
    """Its memory is on disk (libvirt's managed save), and its next start goes on from there."""
    unasked: bool = False
    """The guest's balloon driver has not run since its boot: `memory` is all there is, whatever it was given."""

    @property
    def doing(self) -> str:
        """The word for what it does: its state, or `saved`."""
        return "saved" if self.saved and not self.state.active else self.state.value


class Documents(NamedTuple):
    """The documents of one VM: what runs, and what its next boot will use; empty where there is none."""

    name: str
    live: str
    stored: str


class Address(NamedTuple):
    """An address of a guest's card, as one source of libvirt's reports it."""

    device: str
    mac: str
    address: str
    prefix: int


class Domains:
    """VMs of one host."""

    def __init__(self, handle: libvirt.virConnect) -> None:
        self._handle = handle

    def _find(self, name: str) -> libvirt.virDomain:
        with calling(f'find VM "{name}"'):
            return self._handle.lookupByName(name)

    def exists(self, name: str) -> bool:
        """Tell whether there is a VM of this name."""
        return any(domain.name() == name for domain in self._all())

    def names(self) -> list[str]:
        """List the names of all VMs, running or not, sorted."""
        return sorted(domain.name() for domain in self._all())

    def _all(self) -> list[libvirt.virDomain]:
        with calling("list the VMs"):
            return list(self._handle.listAllDomains(0))

    def snapshot(self) -> list[Snapshot]:
        """Read the state and the figures of all VMs in one call, sorted by name."""
        groups = (
            libvirt.VIR_DOMAIN_STATS_STATE
            | libvirt.VIR_DOMAIN_STATS_CPU_TOTAL
            | libvirt.VIR_DOMAIN_STATS_BALLOON
            | libvirt.VIR_DOMAIN_STATS_VCPU
            | libvirt.VIR_DOMAIN_STATS_BLOCK
        )
        flags = libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT
        with calling("read the state of the VMs"):
            try:
                records = self._handle.getAllDomainStats(groups, flags)
            except libvirt.libvirtError as error:
                if error.get_error_code() not in (libvirt.VIR_ERR_NO_SUPPORT, libvirt.VIR_ERR_INVALID_ARG):
                    raise
                records = self._handle.getAllDomainStats(libvirt.VIR_DOMAIN_STATS_STATE, 0)
            # The figures do not tell it, and only what is off can be saved.
            off = any(_STATES[figures["state.state"]] is State.OFF for _, figures in records)
            kept = self._handle.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_MANAGEDSAVE) if off else ()
            saved = {domain.UUID() for domain in kept}
            shots = (_snapshot(domain, figures, domain.UUID() in saved) for domain, figures in records)
            return sorted(shots, key=lambda one: one.name)

    def state(self, name: str) -> State:
        """Read the state of one VM."""
        domain = self._find(name)
        with calling(f'read the state of VM "{name}"'):
            return _STATES[domain.state()[0]]

    def uuid(self, name: str) -> str:
        """Give the UUID of one VM."""
        return str(self._find(name).UUIDString())

    def xml(self, name: str, *, next_boot: bool = False, secure: bool = False) -> str:
        """Read the document of a VM: what runs now, or what the next boot will use; `secure` keeps passwords in it."""
        flags = (libvirt.VIR_DOMAIN_XML_INACTIVE if next_boot else 0) | (libvirt.VIR_DOMAIN_XML_SECURE if secure else 0)
        domain = self._find(name)
        with calling(f'read the definition of VM "{name}"'):
            return str(domain.XMLDesc(flags))

    def documents(self, *, active: bool = False) -> list[tuple[str, str]]:
        """Read the documents of all VMs, or of those that run: name and XML of each."""
        found: list[tuple[str, str]] = []
        with calling("list the VMs"):
            domains = self._handle.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE if active else 0)
        for domain in domains:
            try:
                found.append((domain.name(), domain.XMLDesc(0)))
            except libvirt.libvirtError as error:
                # Gone between the listing and the look: then it uses nothing any more.
                if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
                    with calling("read the definitions of the VMs"):
                        raise
        return found

    def both(self) -> list[Documents]:
        """Read the documents of all VMs: what runs, and what the next boot will use."""
        found: list[Documents] = []
        for domain in self._all():
            try:
                live = domain.XMLDesc(0) if domain.isActive() else ""
                stored = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE) if domain.isPersistent() else ""
                found.append(Documents(domain.name(), live, stored))
            except libvirt.libvirtError as error:
                # Gone between the listing and the look: then it uses nothing any more.
                if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
                    with calling("read the definitions of the VMs"):
                        raise
        return found

    def persistent(self, name: str) -> bool:
        """Tell whether the VM is still there after it is stopped."""
        return bool(self._find(name).isPersistent())

    def define(self, xml: str, *, name: str, validate: bool = True) -> None:
        """Store the document as what the next boot will use; libvirt validates it against its schema.

        That takes it some milliseconds: what was read from libvirt a moment ago need not be validated.
        """
        with calling(f'define VM "{name}"'):
            check = validate and self._handle.getType() != "TEST"
            self._handle.defineXMLFlags(xml, libvirt.VIR_DOMAIN_DEFINE_VALIDATE if check else 0)

    def undefine(self, name: str, *, keep_tpm: bool = False) -> None:
        """Remove the definition, with NVRAM, managed save, TPM state and the metadata of snapshots and checkpoints."""
        domain = self._find(name)
        flags = libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
        if self._handle.getType() != "TEST":
            flags |= libvirt.VIR_DOMAIN_UNDEFINE_NVRAM | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
            if self._handle.getLibVersion() >= 8_009_000:
                flags |= libvirt.VIR_DOMAIN_UNDEFINE_KEEP_TPM if keep_tpm else libvirt.VIR_DOMAIN_UNDEFINE_TPM
        with calling(f'remove the definition of VM "{name}"'):
            domain.undefineFlags(flags)

    def start(self, name: str) -> None:
        """Boot a VM that is off, or bring back a saved one."""
        domain = self._find(name)
        with calling(f'start VM "{name}"'):
            domain.create()

    def create(self, xml: str, *, name: str) -> None:
        """Boot a VM by a document of its own; the definition that is stored under its UUID, if any, stays as it is."""
        with calling(f'start VM "{name}"'):
            self._handle.createXML(xml, libvirt.VIR_DOMAIN_START_VALIDATE)

    def shutdown(self, name: str, *, agent: bool = False) -> None:
        """Ask the guest to shut down, by its agent or by the power button."""
        domain = self._find(name)
        flags = libvirt.VIR_DOMAIN_SHUTDOWN_GUEST_AGENT if agent else libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN
        with calling(f'ask VM "{name}" to shut down'):
            if self._handle.getType() == "TEST":
                domain.shutdown()
            else:
                domain.shutdownFlags(flags)

    def reboot(self, name: str, *, agent: bool = False) -> None:
        """Ask the guest to reboot, by its agent or by the power button."""
        domain = self._find(name)
        flags = libvirt.VIR_DOMAIN_REBOOT_GUEST_AGENT if agent else libvirt.VIR_DOMAIN_REBOOT_ACPI_POWER_BTN
        with calling(f'ask VM "{name}" to reboot'):
            domain.reboot(0 if self._handle.getType() == "TEST" else flags)

    def destroy(self, name: str) -> None:
        """Pull the plug."""
        domain = self._find(name)
        with calling(f'force VM "{name}" off'):
            domain.destroy()

    def reset(self, name: str) -> None:
        """Press the reset button."""
        domain = self._find(name)
        with calling(f'reset VM "{name}"'):
            domain.reset(0)

    def suspend(self, name: str) -> None:
        """Stop the VM's processors; it stays in memory."""
        domain = self._find(name)
        with calling(f'suspend VM "{name}"'):
            domain.suspend()

    def resume(self, name: str) -> None:
        """Let the VM's processors go on."""
        domain = self._find(name)
        with calling(f'resume VM "{name}"'):
            domain.resume()

    def rename(self, name: str, new: str) -> None:
        """Give a VM that is off another name."""
        domain = self._find(name)
        with calling(f'rename VM "{name}" to "{new}"'):
            domain.rename(new, 0)

    def autostart(self, name: str) -> bool:
        """Tell whether the VM starts with its host."""
        domain = self._find(name)
        with calling(f'read the autostart mark of VM "{name}"'):
            return bool(domain.autostart())

    def set_autostart(self, name: str, on: bool) -> None:
        """Start the VM with its host, or not."""
        domain = self._find(name)
        with calling(f'set the autostart mark of VM "{name}"'):
            domain.setAutostart(int(on))

    def has_managed_save(self, name: str) -> bool:
        """Tell whether the VM was saved to disk and will come back where it was."""
        domain = self._find(name)
        with calling(f'look for a saved state of VM "{name}"'):
            return bool(domain.hasManagedSaveImage(0))

    def snapshots(self, name: str) -> list[str]:
        """List the names of the VM's snapshots."""
        domain = self._find(name)
        with calling(f'list the snapshots of VM "{name}"'):
            return sorted(snapshot.getName() for snapshot in domain.listAllSnapshots(0))

    def agent(self, name: str, command: str, timeout: float = 10) -> str:
        """Send one command (JSON) to the guest's agent and give its answer (JSON)."""
        import libvirt_qemu

        domain = self._find(name)
        with calling(f'ask the agent of VM "{name}"'):
            return str(libvirt_qemu.qemuAgentCommand(domain, command, max(1, int(timeout)), 0))

    def monitor(self, name: str, command: str) -> str:
        """Send one command of a person's to QEMU's monitor and give what it prints; libvirt notes that in its log."""
        import libvirt_qemu

        domain = self._find(name)
        with calling(f'ask the monitor of VM "{name}"'):
            flags = libvirt_qemu.VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP
            return str(libvirt_qemu.qemuMonitorCommand(domain, command, flags))

    def addresses(self, name: str, source: str) -> list[Address]:
        """Ask one source (`agent`, `lease`, `arp`) for the addresses of a running guest."""
        sources = {
            "agent": libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT,
            "lease": libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE,
            "arp": libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_ARP,
        }
        domain = self._find(name)
        with calling(f'ask for the addresses of VM "{name}"'):
            cards: dict[str, dict[str, Any]] = domain.interfaceAddresses(sources[source], 0)
        return [
            Address(device, card.get("hwaddr") or "", one["addr"], one["prefix"])
            for device, card in cards.items()
            for one in card.get("addrs") or ()
        ]

    def screenshot(self, name: str) -> tuple[str, bytes]:
        """Give what the VM's screen shows: its MIME type and the picture."""
        domain = self._find(name)
        with calling(f'take a screenshot of VM "{name}"'):
            stream = self._handle.newStream(0)
            kind = domain.screenshot(stream, 0, 0)
            return str(kind), drain(stream)

    def console(self, name: str, *, device: str | None = None, force: bool = False) -> ConsoleStream:
        """Open a console of a running VM; `force` takes it over from whoever has it."""
        domain = self._find(name)
        with calling(f'open the console of VM "{name}"'):
            stream = self._handle.newStream(libvirt.VIR_STREAM_NONBLOCK)
            flags = libvirt.VIR_DOMAIN_CONSOLE_FORCE if force else libvirt.VIR_DOMAIN_CONSOLE_SAFE
            domain.openConsole(device, stream, flags)
            return ConsoleStream(stream)


def _snapshot(domain: libvirt.virDomain, figures: dict[str, Any], saved: bool) -> Snapshot:
    state = _STATES[figures["state.state"]]
    if "balloon.maximum" not in figures and "vcpu.current" not in figures:
        # The test driver has no figures but those of virDomainGetInfo.
        _, memory_max, memory, cpus, spent = domain.info()
        figures |= {"balloon.maximum": memory_max, "balloon.current": memory, "vcpu.current": cpus, "cpu.time": spent}
    maximum = int(figures.get("balloon.maximum", 0)) << 10
    return Snapshot(
        name=domain.name(),
        uuid=domain.UUIDString(),
        id=domain.ID(),
        state=state,
        cpus=int(figures.get("vcpu.current", 0)),
        memory=(int(figures.get("balloon.current", 0)) << 10) or maximum,
        memory_max=maximum,
        cpu_time=int(figures.get("cpu.time", 0)) / 1e9,
        disks=tuple(
            DiskFigures(
                target=figures[f"block.{index}.name"],
                source=figures.get(f"block.{index}.path", ""),
                capacity=figures.get(f"block.{index}.capacity"),
                allocation=figures.get(f"block.{index}.physical"),
            )
            for index in range(int(figures.get("block.count", 0)))
            if f"block.{index}.name" in figures
        ),
        saved=saved,
        # What the driver says of the guest when it begins is what sets this clock.
        unasked=figures.get("balloon.last-update") == 0,
    )
