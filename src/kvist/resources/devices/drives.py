"""Drives for removable media of a VM: what is put in, and taken out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from kvist.engine.ask import Ask
from kvist.engine.operation import operation
from kvist.engine.step import Step
from kvist.errors import Conflict, Invalid, Problem
from kvist.resources.devices.disk import lies_on_host
from kvist.resources.devices.disks import owned, planner, source_of
from kvist.resources.devices.naming import Found, Part, listed, pick
from kvist.specs.disk import Disk
from kvist.specs.vm import Vm
from kvist.xml.options import from_mapping

SOURCES = ("file", "dev", "pool", "volume", "dir", "protocol", "export", "host", "port")
REMOVABLE = ("cdrom", "floppy")
SEED = "-seed.iso"
DRIVE = Ask("which drive, by its target, where there are several: sda", metavar="TARGET", complete="drive")


class Drives(Part):
    """The drives for removable media of one VM."""

    @operation
    def insert(
        self,
        medium: Annotated[str, Ask("ISO file, or POOL/VOLUME", metavar="ISO")],
        *,
        drive: Annotated[str | None, DRIVE] = None,
    ) -> Iterator[Step]:
        """Put a medium into a drive, in place of the one that is in it; a VM that has no free drive gets one.

        The drive that holds cloud-init's seed is taken only when --drive names it. A file that is not on the host is
        brought there, once for each VM, name and size.

        Example: kvist cdrom insert web /srv/debian-12.iso
        """
        there = listed(self.vm, ("disk",))
        found = self._drive(there, drive)
        problems: list[Problem] = []
        planned = planner(self, there if found is None else [], problems)
        wish = self._medium(medium).replace(device="cdrom", readonly=True)
        if found is not None:
            item = found.item
            wish = wish.replace(device=item.get("device"), target=item.get("target"), bus=item.get("bus"))
        planned.add(wish, "ISO")
        if problems:
            raise Invalid(problem._replace(path="ISO") for problem in problems)
        yield from planned.steps()
        placed = planned.devices()[0]
        if found is None:
            change = Vm(disks=(placed,))
        else:
            change = found.wish(Disk(**{name: placed.get(name) for name in ("file", "dev") if placed.get(name)}))
        if planned.volumes():
            change = change.replace(volumes=(*owned(self), *planned.volumes()))
        yield from self.alter(change)

    def _medium(self, word: str) -> Disk:
        at = source_of(self, word) or {"path": str(Path(word).expanduser().absolute())}
        path = Path(at.get("path", "/"))
        if "path" in at and not lies_on_host(self.vm.host, str(path)) and path.is_file():
            brought = re.compile(rf"{re.escape(f'{self.name}-{path.stem}')}(\.\d+)?{re.escape(path.suffix)}")
            for label in owned(self):
                pool, _, volume = label.partition("/")
                state = self.vm.host.connection.pools.volume(pool, volume)
                if state and brought.fullmatch(volume) and state.capacity == path.stat().st_size:
                    return Disk(pool=pool, volume=volume)
        return from_mapping(Disk, at)

    @operation
    def eject(self, *, drive: Annotated[str | None, DRIVE] = None) -> Iterator[Step]:
        """Take the medium out of a drive; the drive stays.

        Example: kvist cdrom eject web
        """
        found = self._drive(listed(self.vm, ("disk",)), drive)
        if found is None:
            return
        inside = {
            name for each in (found.stored, found.running) if each is not None for name in SOURCES if each.get(name)
        }
        if inside:
            yield from self.alter(found.wish(Disk(**dict.fromkeys(sorted(inside)))))

    def _drive(self, there: list[Found], target: str | None) -> Found | None:
        if target is not None:
            found = pick(self.vm, target, ("disk",), "cdrom")
            if found.item.get("device") not in REMOVABLE:
                raise Conflict(
                    f'"{found.label}" of VM "{self.name}" is a disk, not a drive for media',
                    hint=f"kvist disk ls {self.name}",
                )
            return found
        drives = [each for each in there if each.item.get("device") in REMOVABLE]
        free = [each for each in drives if not str(each.item.get("file") or "").endswith(SEED)]
        if len(free) > 1:
            raise Invalid(
                f'VM "{self.name}" has several drives: {", ".join(each.label for each in free)}',
                hint=f"kvist disk ls {self.name}, and add --drive {free[0].label}",
            )
        return free[0] if free else None
