"""What a VM leaves when it goes to the trash, and which volumes of a host lie there."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from kvist.engine.journal import Entry, Journal
from kvist.engine.step import Step
from kvist.errors import Unsupported
from kvist.resources.steps.trash import Retire, RetireVolume
from kvist.xml.document import Document

if TYPE_CHECKING:
    from kvist.virt.connection import Connection
    from kvist.xml.document import Element

NVRAM = "/var/lib/libvirt/qemu/nvram"
KEEPS_TPM = 8_009_000
"""The first libvirt that removes a definition without the state of its TPM."""


def retire(connection: Connection, name: str) -> Retire:
    """Give the step that puts a VM into the trash, with all that brings it back. Raises Unsupported."""
    domains = connection.domains
    xml = domains.xml(name, next_boot=True, secure=True)
    root = Document.parse(xml).root
    tpm = root.find("devices/tpm/backend[@type='emulator']") is not None
    if tpm and connection.version < KEEPS_TPM:
        raise Unsupported(
            f'cannot put VM "{name}" into the trash: this libvirt removes the state of its TPM with it',
            hint=f"kvist delete {name} --purge",
        )
    return Retire(
        name=name,
        uuid=domains.uuid(name),
        xml=xml,
        autostart=domains.autostart(name),
        snapshots=tuple((mark.xml, mark.current) for mark in connection.snapshots.snapshots(name)),
        checkpoints=tuple(mark.xml for mark in connection.snapshots.checkpoints(name)),
        nvram=_nvram(connection, name, root),
        tpm=tpm,
        saved=domains.has_managed_save(name),
    )


def _nvram(connection: Connection, name: str, root: Element) -> tuple[str, ...]:
    """Tell where the NVRAM of a VM is: where it says, or where libvirt puts it when it is left to that."""
    stated = root.findtext("os/nvram")
    if stated:
        return (stated,)
    system = root.find("os")
    if system is None or system.get("firmware") != "efi":
        return ()
    directory = NVRAM
    if connection.uri.partition("?")[0].endswith("/session"):
        config = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
        directory = f"{config}/libvirt/qemu/nvram"
    return tuple(f"{directory}/{name}_VARS.{suffix}" for suffix in ("fd", "qcow2"))


def retire_volumes(volumes: Iterable[tuple[str, str]], owner: str) -> Iterator[Step]:
    """Give the steps that put volumes into the trash."""
    for pool, volume in volumes:
        yield RetireVolume(pool=pool, name=volume, owner=owner)


def in_trash(uri: str) -> dict[tuple[str, str], Entry]:
    """Find the volumes of a host that lie in the trash, by pool and name, each with the operation that put it there."""
    if not Journal.exists():
        return {}
    with Journal() as book:
        return {(step.pool, step.name): entry for entry in book.trash(uri) for step in volumes_of(entry)}


def volumes_of(entry: Entry) -> list[RetireVolume]:
    """List the volumes that an operation has put into the trash."""
    return [step for step in entry.steps() if isinstance(step, RetireVolume)]


def name_of(entry: Entry) -> str:
    """Give the name of the VM that an operation has put into the trash."""
    gone = machine_of(entry)
    return gone.name if gone else ", ".join(step.owner or step.label for step in volumes_of(entry))


def machine_of(entry: Entry) -> Retire | None:
    """Give what an operation has put into the trash of a VM, less its disks."""
    return next((step for step in entry.steps() if isinstance(step, Retire)), None)
