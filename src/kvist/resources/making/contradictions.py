"""What a new VM cannot be, however its parts are planned: words that do not go together, and what its host lacks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from kvist.errors import Problem

if TYPE_CHECKING:
    from kvist.resources.images.image import Image
    from kvist.resources.making.wish import Wish
    from kvist.virt.capabilities import Offer


def contradictions(wish: Wish, offer: Offer | None) -> Iterator[Problem]:
    """Find options that are nothing without another one, and devices that this host's QEMU does not have."""
    if wish.full and not wish.image:
        yield Problem("--full", "there is nothing to copy without --image")
    if wish.extra_args and not wish.install:
        yield Problem("--extra-args", "they are for an installer's kernel: --install, or --cmdline")
    if offer is None:
        return
    if wish.settings.secure_boot and not offer.secure_boot:
        yield Problem("--secure-boot", f"this host has no firmware with it for board {offer.machine}")
    if wish.tpm and not offer.tpm:
        yield Problem("--tpm", "this host emulates none", "apt install swtpm swtpm-tools")
    for disk in wish.disks:
        if disk.bus and offer.disk_buses and disk.bus not in offer.disk_buses:
            there = ", ".join(sorted(offer.disk_buses))
            yield Problem("--disk", f'board {offer.machine} has no bus "{disk.bus}", but {there}')


def ignored(wish: Wish, image: Image | None) -> list[str]:
    """List the options that nobody in the guest carries out; name and keys even kvist's smallest image takes."""
    if image is None or image.cloud_init:
        return []
    given = {
        "--user": wish.user not in (None, image.user),
        "--password": wish.password is not None,
        "--user-data": wish.user_data is not None,
        "--network-config": wish.network_config is not None,
        "--packages": bool(wish.packages),
        "--run": bool(wish.run),
        # An address alone is reserved on the network, where every guest gets it.
        "--nic ip=ADDRESS/PREFIX": any(nic.ip and "/" in nic.ip for nic in wish.nics),
    }
    return [option for option, is_given in given.items() if is_given]
