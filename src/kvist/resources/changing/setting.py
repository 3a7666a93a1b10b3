"""Set what is to be otherwise of a VM, and unset what nobody should have said."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

from kvist.engine.ask import Ask
from kvist.engine.operation import operation
from kvist.engine.step import Step
from kvist.errors import Invalid, Problem
from kvist.resources.changing.alter import alter
from kvist.resources.changing.fieldpath import is_field, is_item, merged, normal, wish_at
from kvist.resources.changing.restarting import RESTART_NOW
from kvist.specs.vm import Vm

if TYPE_CHECKING:
    from kvist.resources.vms.vm import Machine

COMMON: tuple[str, ...] = (
    *("memory", "cpus", "title", "description", "tags", "autostart", "memory_max", "cpus_max", "machine", "firmware"),
    *("boot", "cpu_mode", "cpu_model", "cpu_shares", "on_crash", "clock"),
)
"""What people change most."""

NEEDED = {"memory": "--memory 2G", "memory_max": "--memory-max 4G", "cpus": "--cpus 2", "cpus_max": "--cpus-max 4"}
"""What no VM is without, and how it becomes another."""


@operation
def set(
    self: Machine,
    settings: Annotated[
        Vm, Ask("what is to be otherwise", group="Settings", common=COMMON, without=("forwards", "firewall", "groups"))
    ] = Vm(),  # noqa: B008 - immutable
    *,
    restart_now: Annotated[bool, RESTART_NOW] = False,
) -> Iterator[Step]:
    """Change settings of a VM: in the running one where that can be, and for its next boot.

    The answer says for each field when it reaches the guest: live, replug, restart, or at the next boot. What waits for
    the next boot is listed by `kvist pending`.

    Example: kvist set web --memory 2G --title "the shop"
    """
    if not dict(settings.items()):
        raise Invalid("say what is to be otherwise", hint=f"kvist set {self.name} --memory 2G, or kvist set --help")
    yield from alter(self, settings, restart=restart_now)


@operation
def unset(
    self: Machine,
    fields: Annotated[
        tuple[str, ...],
        Ask("settings, as `kvist get` prints them: cpu_shares, nics[MAC].filter", metavar="FIELD", apart=is_field),
    ],
    *,
    restart_now: Annotated[bool, RESTART_NOW] = False,
) -> Iterator[Step]:
    """Take settings of VMs away, so that libvirt's own default holds again.

    Example: kvist unset web title cpu_shares
    """
    wish = Vm()
    have = _union(self)
    if needed := [name for name in map(normal, fields) if name in NEEDED]:
        raise Invalid(
            Problem(f".{name}", "every VM has one", f"kvist set {self.name} {NEEDED[name]}") for name in needed
        )
    for field in map(normal, fields):
        if is_item(field):
            raise Invalid(f'"{field}" is a device, not a setting', hint=f"kvist device remove {self.name} DEVICE")
        wish = merged(wish, wish_at(have, field, None))
    yield from alter(self, wish, restart=restart_now)


def _union(vm: Machine) -> Vm:
    """Give what is stored of a VM, or where nothing is, what runs: the devices that a path may name."""
    return Vm.read(vm.document(next_boot=vm.host.connection.domains.persistent(vm.name)).root)
