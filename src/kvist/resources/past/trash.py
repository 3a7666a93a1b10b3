"""VMs that were deleted and can come back."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

from kvist.engine.ask import Ask
from kvist.engine.journal import Entry, Journal
from kvist.engine.operation import operation
from kvist.engine.plan import Plan
from kvist.engine.step import Step
from kvist.engine.undo import Reversal
from kvist.errors import NotFound
from kvist.resources.hosts.holding import Holding
from kvist.resources.past.retiring import machine_of, name_of, volumes_of
from kvist.resources.steps.storage import DeleteVolume
from kvist.resources.steps.trash import Discard
from kvist.values import Duration, Size


class TrashRow(NamedTuple):
    """One deleted VM; `number` is that of the operation which deleted it."""

    name: str
    number: int
    deleted: str
    size: Size
    volumes: tuple[str, ...]


class Trash(Holding):
    """The trash of a host: what this user has deleted there."""

    kind = "vm"

    def ls(self) -> list[TrashRow]:
        """List the VMs in the trash: when they were deleted, and how much their disks take.

        Example: kvist trash ls
        """
        return [
            TrashRow(
                name=name_of(each),
                number=each.number,
                deleted=time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(each.began)),
                size=Size(sum(self._size(step.pool, step.name) for step in volumes_of(each))),
                volumes=tuple(step.label for step in volumes_of(each)),
            )
            for each in self.entries()
        ]

    @operation
    def restore(
        self, name: Annotated[str, Ask("the VM, or the number that `kvist trash ls` tells", complete="trashed")]
    ) -> Plan:
        """Bring a deleted VM back whole: definition, NVRAM, TPM state, snapshots, disks.

        Of several that had the name it is the one that was deleted last.

        Example: kvist trash restore web
        """
        entry = self._find(name)
        reversal = Reversal(entry, self.site)
        with Journal() as book:
            reversal.permit(book)
        return Plan(reversal.steps, "restore", objects=entry.objects, undoes=entry.number)

    @operation
    def empty(
        self,
        names: Annotated[tuple[str, ...], Ask("these VMs, or numbers, only", metavar="NAME", complete="trashed")] = (),
        *,
        older: Annotated[Duration | None, Ask("only what was deleted this long ago", metavar="TIME")] = None,
    ) -> Plan:
        """Remove deleted VMs for good, with their disks.

        Example: kvist trash empty --older 7d
        """
        from kvist.resources.devices.disk import used_by_others

        going = self._going(names, older)
        used = used_by_others(self.host, "") if going else set()
        steps: list[Step] = []
        for entry in going:
            for step in volumes_of(entry):
                state = self.site.connection.pools.volume(step.pool, step.name)
                if state is not None and state.path in used:
                    self.site.report(f'volume "{step.label}" stays: another VM has it as a disk by now', None)
                else:
                    steps.append(DeleteVolume(pool=step.pool, name=step.name, owner=step.owner))
            gone = machine_of(entry)
            if gone is not None:
                steps.append(Discard(name=gone.name, uuid=gone.uuid, xml=gone.xml, kept=gone.kept, tpm=gone.tpm))
        objects = [thing for entry in going for thing in entry.objects]
        return Plan(steps, "empty", objects=objects, empties=[entry.number for entry in going])

    def touched(self, given: Mapping[str, Any]) -> tuple[str, ...]:
        """Name the objects that an operation on the trash is about."""
        if "name" in given:
            return tuple(self._find(given["name"]).objects)
        return tuple(
            thing for entry in self._going(given.get("names", ()), given.get("older")) for thing in entry.objects
        )

    def entries(self) -> list[Entry]:
        """List the operations whose trash is still there, newest first."""
        if not Journal.exists():
            return []
        with Journal() as book:
            return book.trash(self.site.connection.uri)

    def _find(self, name: str) -> Entry:
        for each in self.entries():
            if name in (str(each.number), name_of(each)):
                return each
        raise NotFound(f'there is no VM "{name}" in the trash of {self.host.place.name}', hint="kvist trash ls")

    def _going(self, names: tuple[str, ...], older: Duration | None) -> list[Entry]:
        chosen = [self._find(name) for name in names] if names else self.entries()
        until = time.time() - (older or 0.0)
        return [each for each in chosen if (each.ended or each.began) <= until]

    def _size(self, pool: str, volume: str) -> int:
        state = self.site.connection.pools.volume(pool, volume)
        return state.allocation if state else 0
