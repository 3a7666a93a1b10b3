"""A virtual machine: what can be asked of it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Annotated

from kvist.engine.ask import Ask
from kvist.engine.elsewhere import Elsewhere
from kvist.engine.operation import operation
from kvist.engine.step import Site, Step
from kvist.errors import Conflict, Invalid, NotFound, Refused
from kvist.resources.steps.definition import Rename, SetAutostart, Undefine
from kvist.resources.steps.power import ForceOff, Reboot, Resume, Shutdown, Start, Suspend
from kvist.resources.steps.storage import DeleteVolume
from kvist.specs.vm import Vm
from kvist.values import Duration, Name
from kvist.virt.words import State
from kvist.xml.document import Document

if TYPE_CHECKING:
    from kvist.resources.changing.pending import pending as _pending
    from kvist.resources.changing.pending import revert as _revert
    from kvist.resources.changing.setting import set as _set
    from kvist.resources.changing.setting import unset as _unset
    from kvist.resources.devices.cards import Cards
    from kvist.resources.devices.devices import Devices
    from kvist.resources.devices.disks import DiskList
    from kvist.resources.devices.drives import Drives
    from kvist.resources.hosts.host import Host
    from kvist.resources.netview.diagnose import diagnose as _diagnose
    from kvist.resources.reaching.address import ip as _ip
    from kvist.resources.reaching.screen import screenshot as _screenshot
    from kvist.resources.reaching.waiting import wait as _wait
    from kvist.resources.vms.saving import dump as _dump
    from kvist.resources.vms.saving import restore as _restore
    from kvist.resources.vms.saving import save as _save
    from kvist.resources.vms.show import show as _show

STOP_WITHIN = Duration(60)
"""How long a guest has to shut down: a Debian guest under TCG takes up to 30 s."""


class Machine:
    """One VM of a host. What changes something is an operation: `.stop()` does it, `.stop.plan()` tells."""

    kind = "vm"

    def __init__(self, host: Host, name: str) -> None:
        self.host = host
        self.name = name

    @property
    def site(self) -> Site:
        return self.host.site

    @property
    def state(self) -> State:
        """What it is doing now. Raises NotFound when there is no such VM."""
        try:
            return self.host.connection.domains.state(self.name)
        except NotFound:
            raise self._missing() from None

    def _missing(self) -> NotFound:
        from difflib import get_close_matches

        near = get_close_matches(self.name, self.host.connection.domains.names(), n=1)
        return NotFound(
            f'there is no VM "{self.name}" on {self.host.place.name}',
            hint=f"did you mean {near[0]}?" if near else f"kvist create {self.name} --image debian-12",
        )

    def document(self, *, next_boot: bool = False) -> Document:
        """Read its document: what runs now, or what the next boot will use."""
        try:
            return Document.parse(self.host.connection.domains.xml(self.name, next_boot=next_boot))
        except NotFound:
            raise self._missing() from None

    @cached_property
    def spec(self) -> Vm:
        """What its document says, field by field; read once."""
        return Vm.read(self.document().root)

    @operation
    def start(self) -> Iterator[Step]:
        """Boot it, or let it go on where it was suspended or saved.

        Example: kvist start web
        """
        state = self.state
        if state is State.PAUSED:
            yield Resume(name=self.name)
        elif not state.active and self._saved:
            from kvist.resources.steps.saving import Restore

            yield Restore(name=self.name)
        elif not state.active:
            yield Start(name=self.name)

    @operation
    def stop(
        self,
        *,
        force: Annotated[bool, Ask("pull the plug at once instead of asking the guest")] = False,
        timeout: Annotated[
            Duration | None, Ask("force it off when it has not shut down by then", metavar="TIME")
        ] = None,
    ) -> Iterator[Step]:
        """Ask the guest to shut down (by its agent, then the power button) and wait until it is off.

        It has 60 s. It is forced off only with --force, or after --timeout where that is given.

        Example: kvist stop web --timeout 2m
        """
        state = self.state
        if not state.active:
            return
        if force or state is State.PAUSED:
            if not force:
                raise Conflict(f'cannot shut down VM "{self.name}": it is suspended', hint=f"kvist resume {self.name}")
            yield ForceOff(name=self.name, before=state.value)
        else:
            yield Shutdown(
                name=self.name,
                timeout=float(STOP_WITHIN if timeout is None else timeout),
                agent=self.has_agent,
                force=timeout is not None,
            )

    @operation
    def reboot(self, *, agent: Annotated[bool, Ask("ask the agent in the guest only")] = False) -> Iterator[Step]:
        """Ask the guest to reboot.

        Example: kvist reboot web
        """
        self._must_run("reboot")
        yield Reboot(name=self.name, how="agent" if agent or self.has_agent else "acpi")

    @operation
    def reset(self) -> Iterator[Step]:
        """Press the reset button: the guest is not asked and loses what it did not write to disk.

        Example: kvist reset web
        """
        self._must_run("reset")
        yield Reboot(name=self.name, how="reset")

    @operation
    def suspend(self) -> Iterator[Step]:
        """Stop its processors; it stays in memory until it is resumed.

        Example: kvist suspend web
        """
        if self.state is not State.PAUSED:
            self._must_run("suspend")
            yield Suspend(name=self.name)

    @operation
    def resume(self) -> Iterator[Step]:
        """Let a suspended VM go on.

        Example: kvist resume web
        """
        state = self.state
        if state is State.PAUSED:
            yield Resume(name=self.name)
        elif not state.active:
            raise Conflict(f'cannot resume VM "{self.name}": it is {state.value}', hint=f"kvist start {self.name}")

    @operation
    def rename(self, new: Annotated[str, Ask("the name it is to have", metavar="NEW")]) -> Iterator[Step]:
        """Give a VM that is off another name.

        Example: kvist rename web www
        """
        try:
            Name.parse(new)
        except ValueError as wrong:
            raise Invalid(str(wrong), path="NEW") from wrong
        names = self.host.connection.domains.names()
        if self.name not in names and new in names:
            return
        state = self.state
        if new == self.name:
            return
        if new in names:
            raise Conflict(f'cannot rename VM "{self.name}": there is a VM "{new}" already', hint=f"kvist show {new}")
        if state.active:
            raise Conflict(f'cannot rename VM "{self.name}": it is {state.value}', hint=f"kvist stop {self.name}")
        if snapshots := self.host.connection.domains.snapshots(self.name):
            raise Conflict(
                f'cannot rename VM "{self.name}": libvirt renames no VM with snapshots, and it has {len(snapshots)}',
                hint=f"virsh snapshot-list {self.name}",
            )
        yield Rename(name=self.name, new=new)
        from kvist.resources.networks.reserving import renamed

        yield from renamed(self.host, self.spec.nics, self.name, new)

    @operation
    def autostart(self, on: Annotated[bool, Ask("on or off")] = True) -> Iterator[Step]:
        """Start it with the host, or not.

        Example: kvist autostart web off
        """
        _ = self.state
        domains = self.host.connection.domains
        if on and not domains.persistent(self.name):
            raise Conflict(
                f'cannot start VM "{self.name}" with the host: it is transient, and gone once it is off',
                hint=f"virsh dumpxml {self.name} > {self.name}.xml; virsh define {self.name}.xml",
            )
        if domains.autostart(self.name) != on:
            yield SetAutostart(name=self.name, on=on)

    @operation
    def delete(
        self,
        *,
        force: Annotated[bool, Ask("also when it runs: pull the plug first")] = False,
        keep_disks: Annotated[bool, Ask("leave all its disks")] = False,
        disk: Annotated[tuple[str, ...], Ask("also delete this disk, by its target: vdb", metavar="TARGET")] = (),
        purge: Annotated[bool, Ask("remove it at once and for good, not into the trash")] = False,
    ) -> Iterator[Step]:
        """Put a VM into the trash, with the disks that were made for it; `kvist undo` brings it back whole.

        A disk that kvist did not make, or that another VM uses, stays, unless --disk names it; one in use by another VM
        stays in any case. What is in the trash takes its space until `kvist trash empty`, or with --purge none at all.

        Example: kvist delete web --force
        """
        from kvist.resources.devices.disk import belongings
        from kvist.resources.networks.reserving import given_free

        if self.name not in self.host.connection.domains.names():
            return
        if self.spec.protected:
            raise Refused(f'cannot delete VM "{self.name}": it is protected', hint=f"kvist unprotect {self.name}")
        state = self.state
        if state.active and not force:
            raise Refused(
                f'cannot delete VM "{self.name}": it is {state.value}', hint=f"kvist delete {self.name} --force"
            )
        going = [] if keep_disks else belongings(self, named=disk)
        persistent = self.host.connection.domains.persistent(self.name)
        if self.spec.forwards:
            from kvist.resources.steps.crossing import Enforce

            # First, so that it is the last to be taken back: then the VM is there again.
            yield Enforce(gone=tuple((self.name, text) for text in self.spec.forwards))
        yield from given_free(self.host, self.spec.nics)
        if persistent and not purge:
            from kvist.resources.past.retiring import retire, retire_volumes

            steps: list[Step] = [ForceOff(name=self.name, before=state.value)] if state.active else []
            steps += (retire(self.host.connection, self.name), *retire_volumes(going, self.name))
            yield from self._followed(steps)
            return
        steps = [ForceOff(name=self.name, before=state.value)] if state.active else []
        # The definition goes last: it is what tells which volumes are left, should one of them refuse to go.
        steps += (DeleteVolume(pool=pool, name=volume, owner=self.name) for pool, volume in going)
        domains = self.host.connection.domains
        if persistent:
            xml = domains.xml(self.name, next_boot=True, secure=True)
            steps.append(Undefine(name=self.name, xml=xml, autostart=domains.autostart(self.name)))
        yield from self._followed(steps)

    def _followed(self, steps: list[Step]) -> Iterator[Step]:
        """Let the firewall forget, with these steps, a VM that it knows."""
        from kvist.resources.firewall.following import followed

        known = self.spec.firewall or self.spec.groups or self.spec.tags
        return followed(self.site, steps) if known else iter(steps)

    @operation
    def protect(self) -> Iterator[Step]:
        """Let it not be deleted by kvist until it is unprotected; the mark is kept in its metadata.

        Example: kvist protect db
        """
        if not self.spec.protected:
            yield from self._marked(protected=True)

    @operation
    def unprotect(self) -> Iterator[Step]:
        """Let it be deleted again.

        Example: kvist unprotect db
        """
        if self.spec.protected:
            yield from self._marked(protected=None)

    def _marked(self, *, protected: bool | None) -> Iterator[Step]:
        from kvist.resources.changing.alter import alter

        yield from alter(self, Vm(protected=protected))

    if TYPE_CHECKING:
        set = _set
        unset = _unset
        pending = _pending
        revert = _revert
        show = _show
        ip = _ip
        wait = _wait
        screenshot = _screenshot
        save = _save
        restore = _restore
        dump = _dump
        diagnose = _diagnose
    else:
        set = Elsewhere("kvist.resources.changing.setting:set")
        unset = Elsewhere("kvist.resources.changing.setting:unset")
        pending = Elsewhere("kvist.resources.changing.pending:pending")
        revert = Elsewhere("kvist.resources.changing.pending:revert")
        show = Elsewhere("kvist.resources.vms.show:show")
        ip = Elsewhere("kvist.resources.reaching.address:ip")
        wait = Elsewhere("kvist.resources.reaching.waiting:wait")
        screenshot = Elsewhere("kvist.resources.reaching.screen:screenshot")
        save = Elsewhere("kvist.resources.vms.saving:save")
        restore = Elsewhere("kvist.resources.vms.saving:restore")
        dump = Elsewhere("kvist.resources.vms.saving:dump")
        diagnose = Elsewhere("kvist.resources.netview.diagnose:diagnose")

    @property
    def nics(self) -> Cards:
        """Its network cards: listed, added, changed, removed."""
        from kvist.resources.devices.cards import Cards

        return Cards(self)

    @property
    def disks(self) -> DiskList:
        """Its disks: listed, added, changed, removed."""
        from kvist.resources.devices.disks import DiskList

        return DiskList(self)

    @property
    def drives(self) -> Drives:
        """Its drives for removable media."""
        from kvist.resources.devices.drives import Drives

        return Drives(self)

    @property
    def devices(self) -> Devices:
        """Its devices of every kind."""
        from kvist.resources.devices.devices import Devices

        return Devices(self)

    @property
    def has_agent(self) -> bool:
        """Whether it has the channel of a guest agent and one is connected to it."""
        channels = self.document().root.iterfind("devices/channel/target[@name='org.qemu.guest_agent.0']")
        return any(channel.get("state") == "connected" for channel in channels)

    @property
    def _saved(self) -> bool:
        domains = self.host.connection.domains
        return domains.persistent(self.name) and domains.has_managed_save(self.name)

    def _must_run(self, verb: str) -> None:
        state = self.state
        if state is not State.RUNNING:
            hint = f"kvist {'resume' if state is State.PAUSED else 'start'} {self.name}"
            raise Conflict(f'cannot {verb} VM "{self.name}": it is {state.value}', hint=hint)
