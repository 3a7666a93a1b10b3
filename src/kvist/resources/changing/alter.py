"""Change a VM: the running one and the next boot at once."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from kvist.engine.step import Step
from kvist.errors import Invalid, Problem
from kvist.resources.changing.alteration import plan
from kvist.resources.changing.completion import completed, problems
from kvist.resources.changing.growing import growth
from kvist.resources.changing.restarting import restarting, waits
from kvist.resources.firewall.following import followed
from kvist.specs.vm import Vm
from kvist.values import Size
from kvist.xml.document import Document
from kvist.xml.spec import Spec

if TYPE_CHECKING:
    from kvist.resources.vms.vm import Machine


def alter(
    vm: Machine, wish: Vm, *, restart: bool = False, live_wish: Vm | None = None, told: Collection[str] = ()
) -> Iterator[Step]:
    """Work out what makes a VM as wished: calls on the running one, then one definition for the next boot.

    Devices are list items named by their key; an item that is `removed` goes. With `restart`, a running VM for which
    something would wait is shut down, defined and started instead. `live_wish` is what is wanted of the running VM
    where another step brings the rest, and tells of the paths in `told`.

    Example: `alter(host.vm("web"), Vm(memory=Size.parse("2G"), nics=(Nic(mac=mac, link="down"),)))`.
    Raises Invalid with every problem of the wish, NotFound, Conflict for what a transient VM cannot keep.
    """
    domains = vm.host.connection.domains
    running = vm.state.active
    persistent = domains.persistent(vm.name)
    live = Document.parse(domains.xml(vm.name, secure=True)) if running else None
    stored = Document.parse(domains.xml(vm.name, next_boot=True, secure=True)) if persistent else None
    current = stored or live
    assert current is not None, "what neither runs nor is stored does not exist"
    wrong = [*problems(current, wish), *_too_much(vm, current, wish)]
    if any(nic.filter is not None for nic in wish.nics or ()):
        from kvist.resources.filters.use import unknown

        wrong += unknown(vm.host, wish.nics)
    if wrong:
        raise Invalid(wrong)
    wish = completed(current, wish, vm.name)
    if wish.machine:
        wish = _with_machine(vm, current, wish)
    if wish.autostart is not None and domains.autostart(vm.name) != wish.autostart:
        from kvist.resources.steps.definition import SetAutostart

        yield SetAutostart(name=vm.name, on=wish.autostart)
    growing = list(growth(vm, wish, running=running))
    written = _written(wish)
    apart = None if live_wish is None else _written(completed(current, live_wish, vm.name))
    steps = list(plan(vm.name, live, stored, written, live_wish=apart, told=told))
    if restart and live is not None and stored is not None and waits(steps, live, stored, written):
        yield from growing
        yield from restarting(vm, stored, written)
        return
    steps += growing
    yield from followed(vm.site, steps) if _moves(current, written) else steps


def _moves(current: Document, wish: Vm) -> bool:
    """Tell whether the firewall would know the VM otherwise afterwards: by its groups, or by its cards."""
    if "tags" in wish:
        return True
    have = Vm.read(current.root) if wish.nics else Vm()
    return bool(have.firewall or have.groups or have.tags)


def _too_much(vm: Machine, current: Document, wish: Vm) -> Iterator[Problem]:
    """Find memory that the host does not have, as `kvist create` does: with it the VM would not start again."""
    have = Vm.read(current.root)
    for name in ("memory", "memory_max"):
        size = wish.get(name)
        if size is not None and size > (have.get(name) or 0) and size > (has := Size(vm.host.connection.memory)):
            yield Problem(f".{name}", f"{size} is more than the host has ({has.short})")


def _with_machine(vm: Machine, current: Document, wish: Vm) -> Vm:
    """Give the wish with the machine as libvirt stores it: pc-q35-7.2 where q35 is asked for."""
    have = Vm.read(current.root)
    if wish.machine == have.machine:
        return wish
    connection = vm.host.connection
    arch = wish.arch or have.arch or connection.capabilities.arch
    offer = connection.capabilities.offer(arch=arch, kind=wish.virt or have.virt or "qemu", machine=wish.machine)
    return wish.replace(machine=offer.machine or wish.machine)


def _written(wish: Vm) -> Vm:
    """Leave out what stands in no document."""
    kept = {name: value for name, value in wish.items() if not Vm.DECLARED[name].aside}
    for name, value in kept.items():
        if name in Vm.MANY and value:
            kept[name] = tuple(_bare(item) for item in value)
    return Vm(**kept)


def _bare(item: Spec) -> Spec:
    values = {name: value for name, value in item.items() if not item.DECLARED[name].aside}
    return item.removed(**values) if item.is_removed else type(item)(**values)
