"""What somebody typed to have a VM made."""

from __future__ import annotations

from dataclasses import dataclass

from kvist.specs.disk import Disk
from kvist.specs.graphics import Graphics
from kvist.specs.nic import Nic
from kvist.specs.vm import Vm


@dataclass(frozen=True)
class Wish:
    """All that `kvist create` was told, as it was typed."""

    name: str
    settings: Vm
    image: str | None
    full: bool
    disks: tuple[Disk, ...]
    nics: tuple[Nic, ...]
    install: str | None
    extra_args: tuple[str, ...]
    cdrom: tuple[str, ...]
    pxe: bool
    system: str | None
    tpm: str | None
    graphics: Graphics | None
    user: str | None
    ssh_keys: tuple[str, ...]
    password: str | None
    user_data: str | None
    network_config: str | None
    packages: tuple[str, ...]
    run: tuple[str, ...]
    hostname: str | None
