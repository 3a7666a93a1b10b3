"""A VM's memory on disk: saved to go on later, or dumped to be looked into."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from kvist.engine.ask import Ask
from kvist.engine.operation import operation
from kvist.engine.step import Step
from kvist.errors import Conflict, Invalid, Unsupported
from kvist.resources.steps.saving import DiscardSaved, Dump, Restore, Save

if TYPE_CHECKING:
    from kvist.resources.vms.vm import Machine


@operation
def save(
    self: Machine,
    *,
    discard: Annotated[bool, Ask("throw the saved memory away, so that the next start is a boot")] = False,
) -> Iterator[Step]:
    """Write the memory of a VM to disk and switch it off; `kvist start` lets it go on where it was.

    Example: kvist save web
    """
    domains = self.host.connection.domains
    state = self.state
    saved = domains.persistent(self.name) and domains.has_managed_save(self.name)
    if discard:
        if saved and not state.active:
            yield DiscardSaved(name=self.name)
        return
    if state.active:
        if not domains.persistent(self.name):
            raise Conflict(
                f'cannot save VM "{self.name}": it is not stored, so nothing would be left to start again',
                hint=f"kvist suspend {self.name}",
            )
        yield Save(name=self.name, before=state.value)
    elif not saved:
        raise Conflict(
            f'cannot save VM "{self.name}": it is {state.value}, there is no memory', hint=f"kvist start {self.name}"
        )


@operation
def restore(self: Machine) -> Iterator[Step]:
    """Let a saved VM go on where it was; `kvist start` does the same, but boots one that was not saved.

    Example: kvist restore web
    """
    state = self.state
    if state.active:
        return
    if not self.host.connection.domains.has_managed_save(self.name):
        raise Conflict(f'cannot restore VM "{self.name}": it was not saved', hint=f"kvist start {self.name}")
    yield Restore(name=self.name)


@operation
def dump(
    self: Machine,
    file: Annotated[Path, Ask("file of this machine to write", metavar="FILE", parse=Path, complete="file")],
    *,
    format: Annotated[
        Literal["elf", "kdump-zlib", "kdump-lzo", "kdump-snappy"], Ask("how it is written", metavar="FORMAT")
    ] = "elf",
) -> Iterator[Step]:
    """Write the memory of a running VM to a file, for crash(8) or gdb; the VM stands still meanwhile.

    The file is as large as the memory and holds every secret of the guest.

    Example: kvist dump web /tmp/web.core
    """
    state = self.state
    if not state.active:
        raise Conflict(
            f'cannot dump the memory of VM "{self.name}": it is {state.value}', hint=f"kvist start {self.name}"
        )
    place = self.host.place
    if not (place.local or place.sandbox or place.uri.startswith("test:")):
        raise Unsupported(
            f'the memory of VM "{self.name}" cannot be brought here: host "{place.name}" writes files of its own only',
            hint=f"run it there: kvist dump {self.name} {file.name}",
        )
    whole = file.expanduser().absolute()
    if whole.exists():
        raise Conflict(f'cannot write file "{whole}": it is there already')
    if not whole.parent.is_dir():
        raise Invalid(f'there is no directory "{whole.parent}"', path="FILE")
    if not os.access(whole.parent, os.W_OK):
        raise Invalid(f'you may not write to directory "{whole.parent}"', path="FILE")
    root = str(place.sandbox.root) if place.sandbox else ""
    yield Dump(name=self.name, file=str(whole), format=format, root=root)
