"""One alteration of a VM: its documents and a wish become steps, each field by the call that it needs."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from kvist.engine.step import Step
from kvist.errors import Conflict
from kvist.resources.changing.rewriting import Device, changed, devices, move, one_field
from kvist.resources.steps.alter import Attach, Detach, Replug, Tune, Update
from kvist.resources.steps.redefine import Redefine
from kvist.specs.balloon import Balloon
from kvist.specs.disk import Disk
from kvist.specs.vm import Vm
from kvist.specs.watchdog import Watchdog
from kvist.xml.bounded import BOUND
from kvist.xml.diff import Change, diff, label
from kvist.xml.document import Document
from kvist.xml.kinds import Applies, Field
from kvist.xml.lists import Many
from kvist.xml.path import NAMESPACES
from kvist.xml.record import record
from kvist.xml.spec import Spec

if TYPE_CHECKING:
    from kvist.xml.document import Element


class Call(NamedTuple):
    """One of libvirt's calls on values: its name in `kvist.virt.tuning`, and the fields it takes at once.

    `whole` wants all of them, changed or not. What is not `removable` can be set while a VM runs, but unset only for
    its next boot.
    """

    name: str
    fields: tuple[str, ...]
    whole: bool = False
    removable: bool = True


IOTUNE: Final = tuple(name for name, field in Disk.DECLARED.items() if field.path.startswith("iotune/"))
CALLS: Final[dict[type[Spec], tuple[Call, ...]]] = {
    Vm: (
        Call("memory", ("memory",), removable=False),
        Call("cpus", ("cpus",), removable=False),
        Call("scheduler", ("cpu_shares", "cpu_period", "cpu_quota"), removable=False),
        Call("memory-limits", ("memory_hard_limit", "memory_soft_limit", "memory_swap_limit")),
        Call("emulator-pin", ("emulator_cpuset",), removable=False),
        Call("title", ("title",)),
        Call("description", ("description",)),
    ),
    Disk: (Call("iotune", IOTUNE, whole=True),),
    Balloon: (Call("stats-period", ("stats_period",)),),
}
"""The fields that have a call of their own. Metadata is set by namespace, all else of a device by updating it."""


def plan(
    name: str,
    live: Document | None,
    stored: Document | None,
    wish: Vm,
    *,
    live_wish: Vm | None = None,
    told: Collection[str] = (),
) -> Iterator[Step]:
    """Work out the steps from the documents alone: `live` where the VM runs, `stored` where it is kept.

    `live_wish` is what is wanted of the running VM where another step brings the rest; it tells of the paths in `told`.
    """
    told = set(told)
    steps = list(Running(name, live, live_wish or wish, stored).steps()) if live is not None else []
    for step in steps:
        yield step
        told |= {path for path, _, _ in step.shown}
    if stored is not None:
        later = _differences(stored, wish)
        if later:
            yield Redefine(
                name=name,
                wish=record(wish),
                before=stored.text(),
                shown=tuple(
                    _shown(change) for change in (*later, *_taken_along(stored, wish)) if change.path not in told
                ),
            )
    elif live is not None:
        waiting = [change.path for change in _differences(live, wish) if change.path not in told]
        if waiting:
            raise Conflict(
                f'cannot set {", ".join(waiting)} of VM "{name}": that waits for its next boot, and it has none, '
                "for nothing of it is stored",
                hint=f"virsh dumpxml {name} | virsh define /dev/stdin",
            )


class Running:
    """What a wish takes on a running VM."""

    def __init__(self, name: str, live: Document, wish: Vm, stored: Document | None = None) -> None:
        self.name, self.live, self.wish = name, live, wish
        twins = devices(stored, wish) if stored is not None else ()
        self.stored = {(each.field.name, each.number): each.element for each in twins if each.element is not None}
        """The elements of the devices that the wish names, as they are stored."""

    def steps(self) -> Iterator[Tune | Update | Attach | Detach | Replug]:
        """Work out the calls: values first, then what leaves, what changes and what comes."""
        yield from self._values()
        named = list(devices(self.live, self.wish))
        leaving = [device for device in named if device.wish.is_removed and device.element is not None]
        for device in leaving:
            yield from self._leave(device)
        for device in named:
            if not device.wish.is_removed and device.element is not None:
                yield from self._change(device)
        for device in named:
            if not device.wish.is_removed and device.element is None:
                yield from self._come(device, [_alias(each.element) for each in leaving])

    def _values(self) -> Iterator[Tune]:
        plain = Vm(**{name: value for name, value in self.wish.items() if name in Vm.FIELDS})
        changes = [change for change in diff(Vm.read(self.live.root), plain) if change.applies is Applies.LIVE]
        yield from self._tuned(Vm, Vm.read(self.live.root), changes, plain)
        yield from self._metadata([change for change in changes if change.field.path.startswith("metadata/")])
        yield from self._pins()

    def _tuned(
        self, spec: type[Spec], have: Spec, changes: list[Change], wish: Spec, device: Device | None = None
    ) -> Iterator[Tune]:
        for call in CALLS.get(spec, ()):
            ours = [
                change
                for change in changes
                if change.field.name in call.fields and (call.removable or change.after is not None)
            ]
            if not ours:
                continue
            names = call.fields if call.whole else tuple(change.field.name for change in ours)
            before = {name: have.get(name) for name in names}
            after = {**before, **{change.field.name: change.after for change in ours}}
            told = {change.field.name for change in ours}
            about = _only(wish, told)
            yield Tune(
                name=self.name,
                call=call.name,
                target=str(have.get("target") or "") if spec is Disk else "",
                before=_plain(before),
                after=_plain(after),
                wish=record(device.within(_keyed(device, about)) if device else Vm(**dict(about.items()))),
                shown=tuple(_shown(change) for change in ours),
            )

    def _metadata(self, changes: list[Change]) -> Iterator[Tune]:
        for tag in dict.fromkeys(change.field.path.split("/")[1] for change in changes):
            ours = [change for change in changes if change.field.path.split("/")[1] == tag]
            about = Vm(**{change.field.name: change.after for change in ours})
            new = self.live.copy()
            about.write(new.root)
            prefix = tag.partition(":")[0]
            yield Tune(
                name=self.name,
                call="metadata",
                target=f"{prefix} {NAMESPACES[prefix]}",
                before={"metadata": _inner(self.live, tag)},
                after={"metadata": _inner(new, tag)},
                wish=record(about),
                shown=tuple(_shown(change) for change in ours),
            )

    def _pins(self) -> Iterator[Tune]:
        for device in devices(self.live, _only(self.wish, {"cpu_pins"})):
            pin = device.wish
            changes = list(diff(Vm.read(self.live.root), device.within()))
            if pin.is_removed or not changes:
                continue
            have = device.have
            yield Tune(
                name=self.name,
                call="cpu-pin",
                target=str(pin.get("vcpu")),
                before={"cpuset": have.get("cpuset") if have else None},
                after={"cpuset": pin.get("cpuset")},
                wish=record(device.within()),
                shown=tuple(_shown(change) for change in changes),
            )

    def _leave(self, device: Device) -> Iterator[Detach]:
        changes = self._differences(device)
        if not _plugged(device.field) or any(change.applies is not Applies.LIVE for change in changes):
            return
        assert device.element is not None, "what leaves is there"
        yield Detach(
            name=self.name,
            label=_named(device),
            xml=_xml(device.element),
            alias=_alias(device.element),
            wish=record(device.within()),
            shown=tuple(_shown(change) for change in changes),
        )

    def _come(self, device: Device, leaving: list[str]) -> Iterator[Attach]:
        field = device.field
        changes = self._differences(device)
        fits = field.applies is Applies.LIVE if not isinstance(field, Many) else _all_live(changes)
        if not _plugged(field) or not changes or not fits or not _has_bus(self.live, device.wish):
            return
        twin = self.stored.get((field.name, device.number))
        if twin is None:
            new = Document.new(field.spec.TAG)
            device.wish.write(new.root)
        elif self._differences(device._replace(element=twin)):
            # It waits for the next boot itself, and what changes of it waits with it.
            return
        else:
            new = Document.parse(_xml(twin))
            move(new.root, self.live)
        yield Attach(
            name=self.name,
            label=_named(device),
            xml=new.text(),
            present=tuple(
                alias for each in self.live.root.iterfind(field.path) if (alias := _alias(each)) not in leaving
            ),
            wish=record(device.within()),
            shown=tuple(_shown(change) for change in changes),
        )

    def _change(self, device: Device) -> Iterator[Tune | Update | Replug]:
        field, element = device.field, device.element
        assert element is not None, "what changes is there"
        if not field.path.startswith("devices/"):
            return
        changes = self._differences(device)
        have = field.spec.read(element)
        yield_now = {_field_of(device, change): change for change in changes if change.applies is Applies.LIVE}
        again = {_field_of(device, change) for change in changes if change.applies is Applies.REPLUG}
        if again and _comes_live(device, have):
            names = again | yield_now.keys()
            about = _keyed(device, _only(device.wish, names))
            yield Replug(
                name=self.name,
                label=_named(device),
                before=_xml(element),
                after=_xml(changed(element, about)),
                wish=record(device.within(about)),
                shown=tuple(_shown(change) for change in changes if _field_of(device, change) in names),
            )
            return
        called = {name for call in CALLS.get(field.spec, ()) for name in call.fields}
        live = [change for change in changes if change.applies is Applies.LIVE]
        yield from self._tuned(field.spec, have, live, device.wish, device)
        names = yield_now.keys() - called
        if names:
            about = _keyed(device, _only(device.wish, names))
            yield Update(
                name=self.name,
                label=_named(device),
                before=_xml(element),
                after=_xml(changed(element, about)),
                wish=record(device.within(about)),
                shown=tuple(_shown(change) for change in live if _field_of(device, change) in names),
            )

    def _differences(self, device: Device) -> list[Change]:
        return _of_device(device)


def _differences(document: Document, wish: Vm) -> list[Change]:
    plain = Vm(**{name: value for name, value in wish.items() if name in Vm.FIELDS})
    found = list(diff(Vm.read(document.root), plain))
    for device in devices(document, wish):
        found += _of_device(device)
    return found


def _taken_along(document: Document, wish: Vm) -> Iterator[Change]:
    """Give what nobody named and becomes another all the same: a value with its maximum, or that with its value."""
    bound = {name: wish.get(name) for name, field in Vm.FIELDS.items() if isinstance(field, BOUND) and name in wish}
    if not bound:
        return
    new = document.copy()
    Vm(**bound).write(new.root)
    before, after = Vm.read(document.root), Vm.read(new.root)
    for name, field in Vm.FIELDS.items():
        was, becomes = before.get(name), after.get(name)
        if isinstance(field, BOUND) and name not in wish and was != becomes and None not in (was, becomes):
            yield Change(name, was, becomes, field.applies, field)


def _of_device(device: Device) -> list[Change]:
    """Give the differences of one device; one without a key is named by its number."""
    name, have = device.field.name, device.have
    if isinstance(device.field, Many):
        current = one_field(name, () if have is None else (have,))
        unnamed = not label(device.field, device.wish)
        return [
            change._replace(path=change.path.replace(f"{name}[0]", f"{name}[{device.number}]", 1))
            if unnamed
            else change
            for change in diff(current, device.within())
        ]
    return list(diff(one_field(name, have) if have is not None else Vm(), device.within()))


def _only(spec: Any, names: Any) -> Any:
    return type(spec)(**{name: value for name, value in spec.items() if name in names})


def _keyed(device: Device, about: Spec) -> Spec:
    """Give a wish about a device together with what the device is known by."""
    if not isinstance(device.field, Many):
        return about
    key = {name: device.wish.get(name) for name in device.field.key if name in device.wish}
    union = {name: device.wish.get(name) for name in (about.UNION,) if name and name in device.wish}
    return about.replace(**key, **{name: value for name, value in union.items() if name not in key})


def _field_of(device: Device, change: Change) -> str:
    """Give the field of a device that a difference is about, also where it is inside of that field."""
    rest = change.path.partition("]." if isinstance(device.field, Many) else ".")[2]
    return rest.split(".")[0].split("[")[0]


def _comes_live(device: Device, have: Spec) -> bool:
    """Tell whether such a device can be plugged in and out of a running VM."""
    if not isinstance(device.field, Many):
        return device.field.applies is Applies.LIVE
    name = device.field.name
    return _all_live(list(diff(one_field(name, (have,)), one_field(name, None))))


def _all_live(changes: list[Change]) -> bool:
    return all(change.applies is Applies.LIVE for change in changes)


def _plugged(field: Field) -> bool:
    return field.path.startswith("devices/")


def _has_bus(live: Document, wish: Spec) -> bool:
    """Tell whether a running VM has a bus for a device: one of old PCI is behind a bridge on a board of PCIe."""
    if not isinstance(wish, Watchdog) or wish.model != "i6300esb":
        return True
    models = {each.model for each in Vm.read(live.root).controllers if each.type == "pci"}
    return "pcie-root" not in models or bool(models & {"pcie-to-pci-bridge", "dmi-to-pci-bridge"})


def _named(device: Device) -> str:
    word = {"interface": "network card", "hostdev": "host device", "memory": "memory module"}.get(
        device.field.spec.TAG, device.field.spec.TAG
    )
    key = label(device.field, device.wish) if isinstance(device.field, Many) else ""
    return f'{word} "{key}"' if key else word


def _shown(change: Change) -> tuple[str, Any, Any]:
    return change.path, _told(change.field, change.before), _told(change.field, change.after)


def _told(field: Field, value: Any) -> Any:
    if value is None or isinstance(value, bool | int):
        return value
    if field.secret:
        return "********"
    if isinstance(value, Spec):
        return ",".join(
            f"{name}={'********' if value.DECLARED[name].secret else value.DECLARED[name].codec.show(each)}"
            for name, each in value.items()
            if each is not None and name not in value.MANY
        )
    return str(field.codec.show(value))


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {name: int(value) if isinstance(value, int) else value for name, value in values.items()}


def _alias(element: Element | None) -> str:
    alias = None if element is None else element.find("alias")
    return "" if alias is None else str(alias.get("name"))


def _xml(element: Element) -> str:
    from copy import deepcopy

    copy = deepcopy(element)
    copy.tail = None
    return Document(copy).text()


def _inner(document: Document, tag: str) -> str | None:
    """Print a metadata element as libvirt wants to be given it: its root without the namespace, its children with."""
    prefix, _, name = tag.partition(":")
    found = document.root.find(f"metadata/{{{NAMESPACES[prefix]}}}{name}")
    if found is None:
        return None
    bare = Document.new(name, **{str(key): str(value) for key, value in found.attrib.items()})
    bare.root.text = found.text
    from copy import deepcopy

    bare.root.extend(deepcopy(list(found)))
    return bare.text()
