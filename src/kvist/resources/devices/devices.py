"""Devices of a VM of every kind: listed, added, changed, removed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, NamedTuple

from kvist.engine.ask import Ask
from kvist.engine.operation import operation
from kvist.engine.step import Step
from kvist.errors import Conflict, Invalid
from kvist.resources.changing.fieldpath import settings
from kvist.resources.changing.restarting import RESTART_NOW
from kvist.resources.changing.rewriting import one_field
from kvist.resources.devices.naming import KINDS, Found, Part, as_typed, listed, matching, pick
from kvist.specs.disk import Disk
from kvist.specs.hostdev import Hostdev
from kvist.specs.nic import Nic
from kvist.specs.vm import Vm
from kvist.specs.watchdog import Watchdog
from kvist.values import PciAddress
from kvist.xml.diff import diff
from kvist.xml.kinds import Field, One
from kvist.xml.lists import Many
from kvist.xml.options import nearest, parse_options
from kvist.xml.spec import Spec

EVERY = tuple(KINDS)
KIND = Ask(
    "what it is: rng, watchdog, vsock, tpm, memory ..., or the PCI address of a device of the host",
    metavar="KIND",
    complete="device-kind",
)
WHICH = Ask(
    "which device: alias, MAC address, target, kind (where there is one) or kind:number",
    metavar="DEVICE",
    complete="device",
)


class Row(NamedTuple):
    """One device of one VM."""

    device: str
    kind: str
    what: str
    alias: str | None
    state: str


class Devices(Part):
    """The devices of one VM."""

    def ls(
        self, kind: Annotated[str, Ask("only those of this kind", metavar="KIND", complete="device-kind")] = ""
    ) -> list[Row]:
        """List the devices of a VM, each with the name by which it is set and removed.

        Example: kvist device ls web
        """
        kinds = (self._kind(kind),) if kind else EVERY
        return [Row(each.label, each.kind, _said(each.item), each.alias, each.state) for each in listed(self.vm, kinds)]

    @operation
    def add(
        self,
        kind: Annotated[str, KIND],
        spec: Annotated[
            str, Ask("its settings: i6300esb,action=reset; network for a nic, size for a disk", metavar="SPEC")
        ] = "",
        *,
        restart_now: Annotated[bool, RESTART_NOW] = False,
    ) -> Iterator[Step]:
        """Plug a device in: into the running VM where that can be, and for its next boot.

        One that has a name of its own (a channel's, a screen's type, an address) is added only once; of a kind without
        names, such as rng, each line adds another.

        Example: kvist device add web watchdog i6300esb,action=reset
        """
        chosen, item = self._read(kind, spec)
        if isinstance(item, Nic):
            from kvist.resources.devices.cards import Cards, add_card

            yield from add_card(Cards(self.vm), item, restart=restart_now)
        elif isinstance(item, Disk):
            from kvist.resources.devices.disks import DiskList, add_disk

            yield from add_disk(DiskList(self.vm), item, restart=restart_now)
        else:
            yield from self._add(chosen, item, restart=restart_now)

    @operation
    def set(
        self,
        device: Annotated[str, WHICH],
        spec: Annotated[str, Ask("what is to be otherwise: password=x,listen=127.0.0.1", metavar="SPEC")],
        *,
        restart_now: Annotated[bool, RESTART_NOW] = False,
    ) -> Iterator[Step]:
        """Change a device: each setting live, by plugging it in again, or at the next boot, as the answer says.

        Example: kvist device set web vnc listen=127.0.0.1
        """
        found = pick(self.vm, device, EVERY, "device")
        wish = parse_options(found.field.spec, spec, first=(), path="SPEC")
        yield from as_typed(self.alter(found.wish(wish), restart=restart_now), "SPEC.")

    @operation
    def remove(
        self,
        device: Annotated[str, WHICH],
        *,
        restart_now: Annotated[bool, RESTART_NOW] = False,
    ) -> Iterator[Step]:
        """Unplug a device and wait until the guest has let it go. One that is not there is no mistake.

        Example: kvist device remove web watchdog
        """
        if not matching(listed(self.vm), device, EVERY):
            return
        found = pick(self.vm, device, EVERY, "device")
        if found.kind == "disk":
            from kvist.resources.devices.disks import DiskList, remove_disk

            yield from remove_disk(DiskList(self.vm), found, delete=False, restart=restart_now)
        else:
            yield from self.alter(found.wish(found.field.spec.removed()), restart=restart_now)

    def _kind(self, word: str) -> str:
        if word not in KINDS:
            raise Invalid(
                f'there is no kind of device "{word}"{nearest(word, KINDS)}', hint=f"kinds: {', '.join(KINDS)}"
            )
        return word

    def _read(self, word: str, text: str) -> tuple[str, Spec]:
        if word not in KINDS:
            try:
                address = PciAddress.parse(word)
            except ValueError:
                self._kind(word)
                raise
            return "hostdev", parse_options(Hostdev, text, path="SPEC").replace(pci=address)
        return word, parse_options(_field(word).spec, text, path="SPEC")

    def _add(self, kind: str, item: Spec, *, restart: bool) -> Iterator[Step]:
        field = _field(kind)
        there = listed(self.vm, (kind,))
        if isinstance(field, One):
            known = next(iter(there), None)
            wish = one_field(field.name, item)
        else:
            known = next((each for each in there if _is(field, each.item, item)), None)
            wish = one_field(field.name, (*(field.spec() for _ in range(_place(field, known, there, item))), item))
        if known is not None and (other := list(diff(known.item, item))):
            said = ", ".join(f"{change.path} is {change.before}, not {change.after}" for change in other)
            raise Conflict(
                f'VM "{self.name}" has a {kind} {known.label} already: {said}',
                hint=f"kvist device set {self.name} {known.label} KEY=VALUE",
            )
        yield from self.alter(wish, restart=restart)


def _is(field: Many, have: Spec, wish: Spec) -> bool:
    """Tell whether what is to be added is there already; of watchdogs a VM has one of each model."""
    if isinstance(have, Watchdog):
        return have.model == (wish.get("model") or have.model)
    return any(part is not None for part in field.key_of(wish)) and field.key_of(have) == field.key_of(wish)


def _place(field: Many, known: Found | None, there: list[Found], wish: Spec) -> int:
    """Count the devices of the same key that come before it; one that is new comes after them."""
    return known.place if known else sum(field.key_of(each.item) == field.key_of(wish) for each in there)


def _field(kind: str) -> Many | One:
    field: Field = Vm.DECLARED[KINDS[kind]]
    assert isinstance(field, Many | One), "a kind of device is a list or a single spec"
    return field


def _said(item: Spec) -> str:
    parts = [
        f"{each.path}={each.field.codec.show(each.value) if not isinstance(each.value, str) else each.value}"
        for each in settings(item)
        if each.value is not None and each.path != "alias"
    ]
    return " ".join(parts)
