"""Where guests are: their addresses, from whoever knows them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from kvist.errors import CommandFailed, Conflict, GuestFailed, NotFound, TimedOut, Unsupported
from kvist.xml.document import Document

if TYPE_CHECKING:
    from kvist.resources.hosts.host import Host
    from kvist.resources.vms.vm import Machine
    from kvist.virt.domains import Snapshot
    from kvist.virt.networks import Lease


class Where(NamedTuple):
    """One address of a guest, and who says so: its `agent`, a `lease` of the network, a `neighbour` of the host,
    or QEMU itself, which makes a `forward`.
    """

    address: str
    mac: str
    card: str
    source: str


def addresses_of_all(host: Host, running: Iterable[Snapshot]) -> dict[str, str]:
    """Give the best address of each running VM, from the leases and the host's neighbours, one look for all."""
    by_mac = {lease.mac.lower(): lease.address for lease in _newest(host.connection.networks.leases())}
    for mac, address in _neighbours(host):
        by_mac.setdefault(mac, address)
    if not by_mac:
        return {}
    found: dict[str, str] = {}
    for shot in running:
        try:
            root = Document.parse(host.connection.domains.xml(shot.name)).root
        except NotFound:
            # A transient VM that has stopped since the look at all.
            continue
        for element in root.iterfind("devices/interface/mac"):
            known = by_mac.get(str(element.get("address")).lower())
            if known is not None:
                found.setdefault(shot.name, known)
    return found


def addresses(vm: Machine) -> list[Where]:
    """Give the addresses of a running guest, best first: what its agent says, else the leases, else the neighbours.

    Link-local addresses and those of the guest's own loopback are left out. Cards with user-mode network, where there
    are no others, are reached by a port of the host that is forwarded: `127.0.0.1:PORT`.
    """
    from kvist.resources.reaching.forwarding import forwarded, is_forwarded

    if not vm.state.active:
        raise Conflict(f'VM "{vm.name}" has no address: it is {vm.state.value}', hint=f"kvist start {vm.name}")
    cards = vm.spec.nics or ()
    if cards and all(map(is_forwarded, cards)):
        # What the guest calls its address is known inside of it alone.
        return [Where(forwarded(vm, cards[0]), str(cards[0].mac).lower(), "eth0", "forward")]
    macs = {nic.mac.lower(): str(index) for index, nic in enumerate(vm.spec.nics) if nic.mac and not is_forwarded(nic)}
    if vm.has_agent:
        try:
            told = vm.host.connection.domains.addresses(vm.name, "agent")
        except (GuestFailed, TimedOut, Unsupported, Conflict):
            # It came and went, or is too old to tell: the others know too.
            told = []
        if said := [
            Where(one.address, one.mac.lower(), one.device, "agent")
            for one in told
            if one.mac.lower() in macs and _useful(one.address)
        ]:
            return sorted(said, key=lambda one: (":" in one.address, macs[one.mac]))
    leased = [
        Where(lease.address, lease.mac.lower(), f"eth{macs[lease.mac.lower()]}", "lease")
        for lease in _newest(vm.host.connection.networks.leases())
        if lease.mac.lower() in macs
    ]
    seen = [Where(address, mac, f"eth{macs[mac]}", "neighbour") for mac, address in _neighbours(vm.host) if mac in macs]
    found = leased + [one for one in seen if one.address not in {lease.address for lease in leased}]
    return sorted(found, key=lambda one: (":" in one.address, macs[one.mac]))


def ip(self: Machine) -> list[Where]:
    """Print the addresses of a running VM, best first, and who says so.

    Example: kvist ip web -o name
    """
    found = addresses(self)
    if not found:
        raise NotFound(
            f'VM "{self.name}" has no address yet',
            hint=f"kvist wait {self.name} ip, or look: kvist console {self.name}",
        )
    return found


def _useful(address: str) -> bool:
    from ipaddress import ip_address

    parsed = ip_address(address)
    return not (parsed.is_loopback or parsed.is_link_local)


def _newest(leases: Sequence[Lease]) -> list[Lease]:
    return sorted(leases, key=lambda lease: lease.expiry, reverse=True)


def _neighbours(host: Host) -> list[tuple[str, str]]:
    from kvist.host.net.neighbours import neighbours

    if host.place.sandbox is not None:
        prefix = host.place.sandbox.network_prefix
    elif host.place.local:
        prefix = []
    else:
        return []
    try:
        return [(mac, address) for mac, address in neighbours(prefix) if _useful(address)]
    except (CommandFailed, Unsupported, TimedOut):
        # Without iproute2 on this machine the leases have to do.
        return []
