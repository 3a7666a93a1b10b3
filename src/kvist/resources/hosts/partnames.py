"""Names of what is a part of something that a line has named, or is told by its number: cards, rules, reservations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kvist.resources.hosts.host import Host
    from kvist.specs.network import Network

DEVICES = {"nic": ("nic",), "disk": ("disk",), "drive": ("disk",)}


def names(kind: str, host: Host, of: str) -> Iterable[str]:
    """Give the names of one kind; those of the parts of `of`, where it is a part."""
    match kind:
        case "nic" | "disk" | "drive" | "device":
            return _devices(kind, host, of)
        case "policed" | "group" | "fw-rule":
            return _firewall(kind, host, of)
        case "filter-rule" | "included":
            return _filter(kind, host, of)
        case "reservation":
            given = [one for ip in _network(host, of).ips for one in ip.hosts]
            return {str(one.name or one.mac or one.ip) for one in given}
        case "hostname":
            return [name for one in _network(host, of).dns_hosts for name in one.names or ()]
        case "forward":
            return {str(one.forward.ports) for one in host.forwards.all()}
        case "link":
            from kvist.host.net.links import links

            return [
                link.name
                for link in links(host.hand)
                if not link.master and link.kind != "bridge" and link.name != "lo"
            ]
        case "port":
            from kvist.host.net.bridges import Wiring

            return Wiring(host.hand).bridges[of].ports if of in Wiring(host.hand) else ()
        case "operation":
            return [str(row.number) for row in host.history.log()]
        case "trashed":
            return {row.name for row in host.trash.ls()}
    return ()


def _devices(kind: str, host: Host, vm: str) -> Sequence[str]:
    from kvist.resources.devices.drives import REMOVABLE
    from kvist.resources.devices.naming import KINDS, listed

    found = listed(host.vm(vm), DEVICES.get(kind, tuple(KINDS)))
    return [each.label for each in found if kind != "drive" or each.item.get("device") in REMOVABLE]


def _firewall(kind: str, host: Host, of: str) -> Iterable[str]:
    from kvist.host.firewall.groups import groups
    from kvist.resources.firewall.policing import Target

    if kind == "fw-rule":
        return [str(number) for number, _ in enumerate(Target(host, of).policy.rules, 1)]
    known = groups(host.hand)
    return known if kind == "group" else [*host.connection.domains.names(), *(f"group:{name}" for name in known)]


def _filter(kind: str, host: Host, name: str) -> Iterable[str]:
    from kvist.resources.filters.library import Library

    library = Library(host.connection)
    if kind == "included":
        return {one.filter for one in library.includes(name) if one.filter}
    return [str(number) for number, _ in enumerate(library.evaluated(name), 1)]


def _network(host: Host, name: str) -> Network:
    from kvist.specs.network import Network
    from kvist.xml.document import Document

    return Network.read(Document.parse(host.networks.state(name).xml).root)
