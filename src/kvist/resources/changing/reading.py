"""Read single settings of VMs: as they are now, and as the next boot will have them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from kvist.engine.ask import Ask
from kvist.errors import Invalid
from kvist.resources.changing.fieldpath import is_field, normal, settings, under
from kvist.specs.vm import Vm

if TYPE_CHECKING:
    from kvist.resources.vms.machines import Machines
    from kvist.resources.vms.vm import Machine


class Value(NamedTuple):
    """One setting of one VM: now, where it runs, and from the next boot on, where it is stored."""

    name: str
    field: str
    now: Any
    next_boot: Any


def get(
    self: Machines,
    words: Annotated[
        tuple[str, ...],
        Ask("names of VMs or patterns, then settings; all settings when none is named", metavar="WORD", complete="vm"),
    ],
) -> list[Value]:
    """Print settings of VMs: as they are now, and as the next boot will have them.

    A setting is named as in `kvist set`; one of a device by the path that kvist prints: nics[MAC].network. A VM that is
    off has no "now". A VM whose name is that of a setting is named first.

    Example: kvist get web memory cpus nics
    """
    from kvist.resources.vms.selection import select

    names = [word for at, word in enumerate(words) if at == 0 or not is_field(word)]
    asked = [normal(word) for word in words[1:] if is_field(word)]
    if not names:
        raise Invalid("no VM is named", hint="kvist get web memory")
    return [
        value for name in select(self.host, tuple(names), tags=()) for value in values(self.host.vm(name), tuple(asked))
    ]


def values(vm: Machine, fields: tuple[str, ...] = ()) -> list[Value]:
    """Read settings of one VM; a plain setting that is asked for and that nobody set is told as None."""
    domains = vm.host.connection.domains
    running, persistent = vm.state.active, domains.persistent(vm.name)
    now = _flat(Vm.read(vm.document().root)) if running else {}
    later = _flat(Vm.read(vm.document(next_boot=True).root)) if persistent else {}
    if persistent:
        later["autostart"] = domains.autostart(vm.name)
        if running:
            now["autostart"] = later["autostart"]
    known = list(dict.fromkeys((*later, *now)))
    chosen: list[str] = []
    for field in fields:
        found = [path for path in known if under(path, field)]
        chosen += found or [field]
    return [Value(vm.name, path, now.get(path), later.get(path)) for path in dict.fromkeys(chosen or known)]


def _flat(spec: Vm) -> dict[str, Any]:
    return {each.path: each.value for each in settings(spec)}
