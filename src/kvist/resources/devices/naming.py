"""What a person may call a device of a VM, and which device is meant."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from kvist.errors import Conflict, Invalid, NotFound
from kvist.resources.changing.fieldpath import placed
from kvist.resources.changing.rewriting import one_field
from kvist.specs.vm import Vm
from kvist.xml.diff import label
from kvist.xml.kinds import One
from kvist.xml.lists import Many
from kvist.xml.spec import Spec

if TYPE_CHECKING:
    from kvist.engine.step import Site, Step
    from kvist.resources.vms.vm import Machine

KINDS: Final = {
    "nic": "nics",
    "disk": "disks",
    "controller": "controllers",
    "serial": "serials",
    "console": "consoles",
    "channel": "channels",
    "graphics": "graphics",
    "video": "videos",
    "sound": "sounds",
    "input": "inputs",
    "hostdev": "hostdevs",
    "filesystem": "filesystems",
    "rng": "rngs",
    "watchdog": "watchdogs",
    "panic": "panics",
    "memory": "memory_modules",
    "balloon": "balloon",
    "tpm": "tpm",
    "vsock": "vsock",
}
"""The kinds of devices, and the setting of a VM that each is listed in."""

CALLED_BY: Final = {
    "nics": ("mac", "network", "bridge", "dev", "tap"),
    "disks": ("target", "serial", "file", "dev", "volume"),
    "hostdevs": ("pci", "mdev"),
    "filesystems": ("target", "source"),
    "channels": ("name",),
    "graphics": ("type",),
    "inputs": ("type",),
    "controllers": ("type", "model"),
}
"""The settings of a device that it may be called by, besides its alias, key and number."""

BY_NUMBER: Final = ("serial", "console")
"""The kinds whose keys are numbers themselves, or are the names of another kind."""


class Found(NamedTuple):
    """A device of a VM: as it is stored, as it runs, or both."""

    kind: str
    field: Many | One
    number: int
    stored: Spec | None
    running: Spec | None
    place: int
    """How many of the same key stand before it: the number of one without a key among those."""

    @property
    def item(self) -> Spec:
        """What is known of it: as it is stored, else as it runs."""
        known = self.stored if self.stored is not None else self.running
        assert known is not None, "what is found is in one of the documents"
        return known

    @property
    def label(self) -> str:
        """The name that means it and no other: its key, or its kind and number."""
        key = label(self.field, self.item) if isinstance(self.field, Many) and self.kind not in BY_NUMBER else ""
        return key or (self.kind if isinstance(self.field, One) else f"{self.kind}:{self.number}")

    @property
    def alias(self) -> str | None:
        """Its name in QEMU, or the one it was given."""
        names = [each.get("alias") for each in (self.stored, self.running) if each and "alias" in each.DECLARED]
        return next((str(name) for name in names if name), None)

    @property
    def aliases(self) -> tuple[str, ...]:
        """Its alias, and what was typed for it before libvirt's `ua-` came in front."""
        return (self.alias, self.alias.removeprefix("ua-")) if self.alias else ()

    @property
    def state(self) -> str:
        """Whether it is plugged in now, comes at the next boot, or goes with the next stop."""
        if self.running is None:
            return "stored"
        return "plugged in" if self.stored is not None else "until it stops"

    @property
    def names(self) -> Iterator[str]:
        """All that it may be called by."""
        yield self.label
        yield f"{self.kind}:{self.number}"
        yield from self.aliases
        for name in CALLED_BY.get(self.field.name, self.field.spec.FIRST):
            for each in (self.stored, self.running):
                if each is not None and each.get(name) is not None:
                    yield str(each.get(name))
        if self.item.get("pool") if "pool" in self.item.DECLARED else None:
            yield f"{self.item.get('pool')}/{self.item.get('volume')}"

    def wish(self, wish: Spec) -> Vm:
        """Give the wish about a VM that something be wished of this device."""
        if isinstance(self.field, One):
            return one_field(self.field.name, None if wish.is_removed else wish)
        return one_field(self.field.name, placed(self.field, self.item, self.place, wish))


def listed(vm: Machine, kinds: Iterable[str] = KINDS) -> list[Found]:
    """List devices of a VM, stored and running ones matched. Raises NotFound when there is no such VM."""
    running = vm.state.active
    persistent = vm.host.connection.domains.persistent(vm.name)
    live = Vm.read(vm.document().root) if running else Vm()
    stored = Vm.read(vm.document(next_boot=True).root) if persistent else Vm()
    return [found for kind in kinds for found in matched(kind, stored, live)]


def matched(kind: str, stored: Vm, live: Vm) -> Iterator[Found]:
    """Go through the devices of one kind, each as it is stored together with how it runs."""
    name = KINDS[kind]
    if name in Vm.ONE:
        one = Vm.ONE[name]
        if stored.get(name) is not None or live.get(name) is not None:
            yield Found(kind, one, 0, stored.get(name), live.get(name), 0)
        return
    field = Vm.MANY[name]
    left = list(live.get(name))
    number = 0
    seen: list[tuple[object, ...]] = []
    for item in stored.get(name):
        twin = next((each for each in left if field.key_of(each) == field.key_of(item)), None)
        if twin is not None:
            left.remove(twin)
        key = field.key_of(item)
        yield Found(kind, field, number, item, twin, seen.count(key))
        seen.append(key)
        number += 1
    for item in left:
        key = field.key_of(item)
        yield Found(kind, field, number, None, item, seen.count(key))
        seen.append(key)
        number += 1


def pick(vm: Machine, word: str, kinds: Sequence[str], noun: str) -> Found:
    """Find the device that is meant: by alias, target, MAC address, network, kind or number.

    Raises NotFound with those there are, Invalid when the word means several, Conflict for one that only its number
    tells and that has another number at the next boot.
    """
    devices = listed(vm, kinds)
    found = matching(devices, word, kinds)
    listing = f"kvist {noun} ls {vm.name}" if noun != "cdrom" else f"kvist disk ls {vm.name}"
    if not found:
        there = ", ".join(each.label for each in devices) or "none"
        raise NotFound(f'VM "{vm.name}" has no {noun} "{word}"; it has {there}', hint=listing)
    if len(found) > 1:
        several = ", ".join(each.label for each in found)
        raise Invalid(f'"{word}" means {len(found)} devices of VM "{vm.name}": {several}', hint=listing)
    chosen = found[0]
    if isinstance(chosen.field, Many) and not label(chosen.field, chosen.item):
        same = [each for each in devices if each.field is chosen.field]
        if len({(each.stored is None, each.running is None) for each in same}) > 1:
            raise Conflict(
                f'{word} of VM "{vm.name}" is not the same now and at the next boot', hint=f"kvist pending {vm.name}"
            )
    return chosen


def matching(devices: Sequence[Found], word: str, kinds: Sequence[str]) -> list[Found]:
    """Give the devices that a word may mean; what names one exactly comes before what several may share."""
    wanted = word.lower()
    if word.isdecimal() and len(kinds) == 1:
        return [each for each in devices if each.number == int(word)]
    exact = [each for each in devices if wanted in (name.lower() for name in (each.label, *each.aliases))]
    if exact:
        return exact
    if wanted in kinds:
        return [each for each in devices if each.kind == wanted]
    return [each for each in devices if wanted in (name.lower() for name in each.names)]


def as_typed(steps: Iterator[Step], where: str) -> Iterator[Step]:
    """Pass steps on; what is wrong with the device is told by what was typed: `--filter`, not `.nics[0].filter`."""
    try:
        yield from steps
    except Invalid as wrong:
        told = [
            problem._replace(path=where + at[1].replace("_", "-"))
            if (at := re.fullmatch(r"\.\w+\[[^]]*\]\.(\w+)", problem.path))
            else problem
            for problem in wrong.problems
        ]
        raise Invalid(told, hint=wrong.hint) from None


class Part:
    """A part of a VM that has operations of its own: its cards, its disks."""

    kind = "vm"

    def __init__(self, vm: Machine) -> None:
        self.vm = vm

    @property
    def name(self) -> str:
        """The VM's name: it is what is locked while something of it changes."""
        return self.vm.name

    @property
    def site(self) -> Site:
        return self.vm.site

    def alter(
        self, wish: Vm, *, restart: bool = False, live_wish: Vm | None = None, told: Collection[str] = ()
    ) -> Iterator[Step]:
        """Work out what makes the VM as wished."""
        from kvist.resources.changing.alter import alter

        return alter(self.vm, wish, restart=restart, live_wish=live_wish, told=told)
