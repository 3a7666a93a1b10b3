"""Whether a VM that is there already is the one that is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kvist.resources.devices.disk import lies_on_host, sources
from kvist.resources.devices.nic import bare, nothing
from kvist.specs.disk import Disk
from kvist.specs.nic import Nic
from kvist.specs.vm import Vm
from kvist.values import Size
from kvist.xml.diff import diff

if TYPE_CHECKING:
    from kvist.resources.hosts.host import Host
    from kvist.resources.making.wish import Wish

BOARDS = {"q35": "pc-q35-", "pc": "pc-i440fx-", "virt": "virt-"}
"""Machine types without a version, and what libvirt makes of them."""
PLUGGED = ("network", "bridge", "dev")
TYPED_ONLY = ("size", "path", "file", "dev", "pool", "volume", "backing", "backing_format")


def differences(host: Host, wish: Wish) -> list[str]:
    """Say where the VM of this name is not as asked for; what the line does not mention may be anything."""
    have = Vm.read(host.vm(wish.name).document(next_boot=host.connection.domains.persistent(wish.name)).root)
    found = list(_settings(have, wish))
    if wish.image and have.made_from != wish.image:
        found.append(f'it was made from {have.made_from or "no image"}, not from image "{wish.image}"')
    if wish.user and have.user != wish.user:
        found.append(f'it was made for user "{have.user or "root"}", not for "{wish.user}"')
    if wish.tpm and (have.tpm is None or have.tpm.version != wish.tpm):
        found.append(f"tpm is {(have.tpm.version if have.tpm else None) or 'not set'}, not {wish.tpm}")
    if wish.graphics is not None:
        screens = [each.type for each in have.graphics]
        if screens != ([wish.graphics.type] if wish.graphics.type else []):
            found.append(f"graphics is {', '.join(map(str, screens)) or 'none'}, not {wish.graphics.type or 'none'}")
    found += _disks(host, have, wish)
    found += _nics(have.nics, wish.nics)
    return found


def _settings(have: Vm, wish: Wish) -> Iterator[str]:
    board = BOARDS.get(wish.settings.machine or "")
    left_out = {"autostart", "image"} | ({"machine"} if board and str(have.machine).startswith(board) else set())
    wanted = Vm(**{key: value for key, value in wish.settings.items() if key not in left_out})
    for change in diff(have, wanted):
        is_, wanted_ = (change.field.codec.show(each) if each is not None else "not set" for each in change[1:3])
        yield f"{change.path} is {is_}, not {wanted_}"


def _disks(host: Host, have: Vm, wish: Wish) -> Iterator[str]:
    """Compare disks that lie somewhere by that place, and the others, in order, with those made for the VM."""
    there = set(sources(have))
    media = [Disk(device="cdrom", path=path) for path in wish.cdrom]
    places = [(each, _place(host, each)) for each in (*wish.disks, *media)]
    taken = {place for _, place in places if place}
    if missing := taken - there:
        yield f"it has no disk on {', '.join(sorted(missing))}"
    # A medium of this machine was brought to the host as a volume of the VM's, named after both.
    brought = {str(each.path) for each, place in places if place is None and each in media}
    held = [str(disk.file) for disk in have.disks if disk.device == "cdrom"]
    for path in sorted(brought):
        if not any(file.endswith(f"/{wish.name}-{Path(path).name}") for file in held):
            yield f"it has no CD-ROM with {path}"
    made = [disk for disk in have.disks if disk.device in (None, "disk") and disk.file not in taken]
    wanted = [each for each, place in places if place is None and each not in media]
    if wish.image and not (wish.disks and not _has_source(wish.disks[0])):
        wanted.insert(0, Disk())
    if len(wanted) > len(made):
        yield f"it has {len(made)} disks of its own, not {len(wanted)}"
    for disk, ask in _paired(made, wanted):
        for key, value in ask.items():
            if key == "size" and (size := _size(host, disk)) != value:
                yield f"disk {disk.target} has {size or 'an unknown size'}, not {value}"
            elif key in disk.DECLARED and key not in TYPED_ONLY and disk.get(key) != value:
                yield f"{key} of disk {disk.target} is {disk.get(key) or 'not set'}, not {value}"


def _paired(made: Sequence[Disk], wanted: Sequence[Disk]) -> Iterator[tuple[Disk, Disk]]:
    """Put disks and wishes together: by target where one is typed, the others in order."""
    by_target = {disk.target: disk for disk in made}
    typed = {ask.target for ask in wanted}
    rest = iter([disk for disk in made if disk.target not in typed])
    for ask in wanted:
        disk = by_target.get(ask.target) if ask.target else next(rest, None)
        if disk is not None:
            yield disk, ask


def _has_source(disk: Disk) -> bool:
    return bool(disk.path or disk.file or disk.dev or disk.volume)


def _place(host: Host, wish: Disk) -> str | None:
    """Give the path on the host that a typed disk means; None for one that is made, or brought there."""
    if wish.volume:
        state = host.connection.pools.volume(wish.pool or "default", wish.volume)
        return state.path if state else f"{wish.pool}/{wish.volume}"
    path = wish.path or wish.file or wish.dev
    if path is None or not lies_on_host(host, path):
        return None
    return str(Path(path).expanduser().absolute())


def _size(host: Host, disk: Disk) -> Size | None:
    place = host.connection.pools.volume_of(str(disk.file or disk.dev))
    state = host.connection.pools.volume(*place) if place else None
    return Size(state.capacity) if state else None


def _nics(have: tuple[Nic, ...], wishes: tuple[Nic, ...]) -> Iterator[str]:
    wanted = [bare(wish) for wish in wishes if not nothing(wish)]
    if wishes and len(have) != len(wanted):
        yield f"it has {len(have)} cards, not {len(wanted)}"
    for nic, ask in zip(have, wanted, strict=False):
        for key, value in ask.items():
            had = next((nic.get(each) for each in PLUGGED if nic.get(each)), None) if key == "network" else nic.get(key)
            if had != value:
                yield f"{key} of card {nic.mac} is {had or 'not set'}, not {value}"
