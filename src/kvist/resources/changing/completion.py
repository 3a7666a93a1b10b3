"""What a wish about an existing VM must say, and what is said for it where it adds a device."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from kvist.errors import Problem
from kvist.resources.changing.rewriting import Device, devices
from kvist.specs.character import Channel
from kvist.specs.controller import Controller
from kvist.specs.disk import Disk
from kvist.specs.filesystem import Filesystem
from kvist.specs.hostdev import Hostdev
from kvist.specs.memory import MemoryModule
from kvist.specs.nic import Nic
from kvist.specs.rng import Rng
from kvist.specs.tpm import Tpm
from kvist.specs.vm import Vm
from kvist.specs.vsock import Vsock
from kvist.specs.watchdog import Watchdog
from kvist.xml.document import Document
from kvist.xml.lists import Many
from kvist.xml.spec import Spec

NEW: Final[dict[type[Spec], Spec]] = {
    Nic: Nic(model="virtio"),
    Disk: Disk(device="disk", driver="qemu"),
    Channel: Channel(type="unix", target="virtio"),
    Rng: Rng(model="virtio", backend="random", source="/dev/urandom"),
    Watchdog: Watchdog(model="i6300esb", action="reset"),
    Hostdev: Hostdev(mode="subsystem", managed=True),
    Filesystem: Filesystem(type="mount", access="passthrough"),
    MemoryModule: MemoryModule(model="dimm"),
    Controller: Controller(),
    Tpm: Tpm(backend="emulator"),
    Vsock: Vsock(model="virtio", auto=True),
}
"""What a new device is, where the wish does not say otherwise."""

BUSES: Final = {"vd": "virtio", "sd": "scsi", "hd": "ide", "fd": "fdc", "xv": "xen"}
"""The bus that the name of a disk speaks of."""

FIXED: Final = {
    "name": "kvist rename OLD NEW",
    "uuid": "a VM keeps its UUID; clone it for another",
    "arch": "a VM of another architecture is another VM: kvist create NAME --arch ARCH",
    "os_type": "a VM that is virtualised otherwise is another VM: kvist create NAME",
    "image": "a disk is made from an image when its VM is: kvist create NAME --image IMAGE",
}
"""What no VM changes once it is made, and the way out."""

ASIDES: Final = {
    (Nic, "ip"): "the network reserves addresses, not the VM",
    (Nic, "gateway"): "it is told to a guest when the VM is made",
    (Nic, "dns"): "it is told to a guest when the VM is made",
    (Disk, "path"): "say file= for an image or dev= for a block device",
    (Disk, "backing"): "a disk is made on top of an image when it is new",
    (Disk, "backing_format"): "a disk is made on top of an image when it is new",
}
"""What stands in no document and is not for a VM that exists."""


def problems(document: Document, wish: Vm) -> list[Problem]:
    """Find everything that is wrong with a wish, before anything is done."""
    have = Vm.read(document.root)
    wrong = [
        Problem(f".{name}", "does not change once a VM is made", hint)
        for name, hint in FIXED.items()
        if name in wish and wish.get(name) != have.get(name)
    ]
    for device in devices(document, wish):
        wrong += _wrong(device)
    return wrong


def _wrong(device: Device) -> Iterator[Problem]:
    field, item = device.field, device.wish
    where = f".{field.name}[{device.number}]"
    if device.element is None and isinstance(field, Many) and field.key and not _has_key(field, item):
        yield Problem(where, f"say which one: {' or '.join(f'{name}=' for name in field.key)}")
        return
    for name, value in item.items():
        told = item.DECLARED[name]
        if told.told:
            yield Problem(f"{where}.{name}", "is told by libvirt; nobody sets it")
        if value is not None and (hint := ASIDES.get((type(item), name))):
            yield Problem(f"{where}.{name}", hint)
    if device.element is None and not item.is_removed and isinstance(item, Disk):
        yield from _wrong_disk(item, where)


def _wrong_disk(disk: Disk, where: str) -> Iterator[Problem]:
    if disk.size is not None:
        yield Problem(f"{where}.size", f'there is no disk "{disk.target}" to grow; a new one is an image that exists')
    if disk.device in (None, "disk"):
        if disk.variant() is None:
            yield Problem(where, "say what holds its data: file=, dev= or pool= with volume=")
        elif disk.format is None and (disk.file or disk.dev or disk.volume):
            yield Problem(f"{where}.format", "say the image's format: read as another, its data would be garbage")


def _has_key(field: Many, item: Spec) -> bool:
    return any(part is not None for part in field.key_of(item)) or bool(
        item.UNION and item.UNION in field.key and item.variant()
    )


def completed(document: Document, wish: Vm, name: str) -> Vm:
    """Give the wish with everything said of its new devices that libvirt or the guest needs to be told."""
    whole: dict[str, tuple[Spec, ...] | Spec] = {}
    for device in devices(document, wish):
        item = device.wish
        if device.element is None and not item.is_removed:
            item = _complete(item, name)
        if isinstance(device.field, Many):
            listed = whole.get(device.field.name, ())
            assert isinstance(listed, tuple), "a list is gathered as one"
            whole[device.field.name] = (*listed, item)
        elif not item.is_removed:
            whole[device.field.name] = item
    return wish.replace(**{key: value for key, value in whole.items() if wish.get(key) is not None})


def _complete(item: Spec, name: str) -> Spec:
    given = {key: value for key, value in item.items() if value is not None}
    if isinstance(item, Vsock) and item.cid is not None:
        given.setdefault("auto", False)
    if isinstance(item, Rng) and item.backend not in (None, "random"):
        given.setdefault("source", None)
    if isinstance(item, Disk) and item.target:
        given.setdefault("bus", BUSES.get(item.target[:2], "virtio"))
        if item.device in (None, "disk"):
            # A disk is found by its serial number whatever the guest calls it.
            given.setdefault("serial", f"{name}-{item.target}"[:20])
    usual = NEW.get(type(item))
    merged = type(item)(**{**(dict(usual.items()) if usual else {}), **given})
    return merged.replace(**{item.UNION: merged.variant()}) if item.UNION and merged.variant() else merged
