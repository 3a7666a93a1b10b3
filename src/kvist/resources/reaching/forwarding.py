"""The way to guests with user-mode network: a port of the host that QEMU forwards to a port of the guest.

libvirt has no word for it (its passt would, where it is built in), so QEMU itself is asked, over its monitor. A forward
is made when somebody wants to go that way, on the loopback address alone, and is gone when the guest is off.
"""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING

from kvist.errors import Exhausted, Unsupported

if TYPE_CHECKING:
    from kvist.resources.vms.vm import Machine
    from kvist.specs.nic import Nic

LOOPBACK = "127.0.0.1"
_TRIES = 20
_FIRST, _COUNT = 20000, 12000
"""Ports below those that Linux gives to outgoing connections (32768 and up)."""
_FORWARD = re.compile(r"^\s*TCP\[HOST_FORWARD\]\s+\S+\s+127\.0\.0\.1\s+(\d+)\s+\S+\s+(\d+)\s", re.MULTILINE)
_HUB = re.compile(r"^(?:Hub \S+ \()?(\S+?)\)?:$", re.MULTILINE)
_PLACE = re.compile(rf"{re.escape(LOOPBACK)}:(\d+)")


def is_forwarded(nic: Nic) -> bool:
    """Tell whether a card has user-mode network, which nobody reaches from outside."""
    return nic.type == "user"


def forwarded(vm: Machine, nic: Nic, port: int = 22) -> str:
    """Give the way to a port of a running guest by this card, as `127.0.0.1:PORT` of its host; it is made if needed.

    Raises Unsupported when QEMU forwards nothing for this card, Exhausted when it finds no free port.
    """
    domains = vm.host.connection.domains
    if (have := found(domains.monitor(vm.name, "info usernet"), f"host{nic.alias}", port)) is not None:
        return f"{LOOPBACK}:{have}"
    said = ""
    for _ in range(_TRIES):
        free = _FIRST + secrets.randbelow(_COUNT)
        said = domains.monitor(vm.name, f"hostfwd_add host{nic.alias} tcp:{LOOPBACK}:{free}-:{port}").strip()
        if not said:
            return f"{LOOPBACK}:{free}"
        if "could not set up host forwarding rule" not in said.lower():
            raise Unsupported(f'QEMU forwards no port to VM "{vm.name}": {said}', hint=f"kvist console {vm.name}")
    raise Exhausted(f'QEMU found no free port to forward to VM "{vm.name}": {said}')


def found(usernet: str, netdev: str, port: int) -> int | None:
    """Find the forward to a guest's port in what QEMU's `info usernet` says of one card, None when there is none.

    Source: qemu, net/slirp.c, net_slirp_hostfwd_add; libslirp, slirp_connection_info.
    """
    usernet = usernet.replace("\r", "")
    heads = list(_HUB.finditer(usernet))
    for at, head in enumerate(heads):
        if head.group(1) != netdev:
            continue
        end = heads[at + 1].start() if at + 1 < len(heads) else len(usernet)
        for outer, inner in _FORWARD.findall(usernet[head.end() : end]):
            if int(inner) == port:
                return int(outer)
    return None


def split(address: str, port: int) -> tuple[str, int]:
    """Give host and port of an address: of a forwarded one its own, of any other the port that is asked for."""
    match = _PLACE.fullmatch(address)
    return (LOOPBACK, int(match.group(1))) if match else (address, port)
