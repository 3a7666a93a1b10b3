"""What kvist lets cross on a host, worked out from what VMs and networks say of themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from kvist.errors import NotFound, Unsupported
from kvist.host.firewall.apart import check_apart
from kvist.host.firewall.crossing import Card, Crossing, Exposure, Opening
from kvist.resources.networks.wish import network_of
from kvist.specs.forward import Forward
from kvist.specs.network import Network as Described
from kvist.values import Cidr, Mac
from kvist.xml.document import Document

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kvist.engine.step import Site
    from kvist.xml.document import Element

KNOWN = "<kvist:forward"
MASKED = ("", "bridge")
"""Networks whose guests have no gateway, or another one than this host: they answer this host only."""


class Network(NamedTuple):
    """A network, as far as packets that cross its edge are concerned."""

    name: str
    mode: str
    """nat, route, open, bridge ...; empty where it is isolated."""
    bridge: str
    subnets: tuple[Cidr, ...]
    """Its IPv4 networks."""
    gateways: tuple[str, ...]
    """The host's own addresses on it."""
    exposed: tuple[str, ...]


class Led(NamedTuple):
    """A forward and the VM that it leads to."""

    vm: str
    forward: Forward


def networks(at: Site) -> dict[str, Network]:
    """Read the networks of a host, by name."""
    active = {net.name: net.bridge for net in at.connection.networks.all()}
    return {
        name: _network(name, Described.read(Document.parse(xml).root), active.get(name, ""))
        for name, xml in at.connection.networks.stored().items()
    }


def _network(name: str, said: Described, bridge: str) -> Network:
    given = [(ip, net) for ip in said.ips if (net := network_of(ip)) is not None and net.version == 4]
    return Network(
        name,
        said.forward or "",
        # Rules may name a bridge that is not there: its network is started later.
        bridge or said.bridge or "",
        tuple(Cidr(str(net.network_address), net.prefixlen) for _, net in given),
        tuple(str(ip.address) for ip, _ in given),
        said.exposed or (),
    )


def led(documents: Iterable[tuple[str, str]]) -> list[Led]:
    """List the forwards that VMs have in their metadata, by port."""
    found = [
        Led(name, Forward.parse(text))
        for name, xml in documents
        if KNOWN in xml
        for text in _said(Document.parse(xml).root)
    ]
    return sorted(found, key=_turn)


def _turn(one: Led) -> tuple[object, ...]:
    return (one.forward.ports, one.vm, one.forward.on, one.forward.source)


def _said(root: Element) -> list[str]:
    return [str(one.text) for one in root.iterfind("metadata/{urn:kvist:1}vm/{urn:kvist:1}forward") if one.text]


Leases = dict[tuple[str, str], str]
"""Addresses by network and card."""


def card_of(name: str, root: Element, known: dict[str, Network], leases: Leases) -> Card:
    """Choose the card of a VM that a forward leads to: the first one that the host reaches.

    Raises Unsupported, with what each card is, when there is none.
    """
    reasons: list[str] = []
    for element in root.iterfind("devices/interface"):
        mac, source = element.find("mac"), element.find("source")
        if mac is None or source is None:
            reasons.append(f"a card of type {element.get('type')} is no part of the host's networks")
            continue
        address = str(mac.get("address")).lower()
        net = known.get(str(source.get("network", "")))
        bridge = str(source.get("bridge") or (net.bridge if net else ""))
        if element.get("type") == "network" and net is None:
            reasons.append(f'network "{source.get("network")}" of card {address} is not there')
        elif net is not None and not net.bridge:
            reasons.append(f'the host does not reach card {address}: network "{net.name}" is of mode {net.mode}')
        elif not bridge:
            reasons.append(f"the host does not reach card {address}: it is of type {element.get('type')}")
        else:
            masked = net is None or net.mode in MASKED
            told = leases.get((net.name, address), "") if net else ""
            return Card(Mac.parse(address), bridge, told, masked)
    raise Unsupported(
        f'cannot forward to VM "{name}": {"; ".join(reasons) or "it has no network card"}',
        hint=f"kvist nic add {name} default",
    )


def leased(at: Site) -> Leases:
    """Give the newest IPv4 lease of each card on each network."""
    given = sorted(at.connection.networks.leases(), key=lambda lease: lease.expiry)
    return {(lease.network, lease.mac.lower()): lease.address for lease in given if ":" not in lease.address}


def wanted(
    at: Site,
    *,
    come: Iterable[Led] = (),
    gone: Iterable[Led] = (),
    told: dict[str, str] | None = None,
    exposed: Iterable[tuple[str, str]] = (),
    hidden: Iterable[tuple[str, str]] = (),
) -> Crossing:
    """Work out what is to cross: what is written down, with what comes and without what goes.

    `told` are addresses of VMs that somebody knows better than their leases; `exposed` and `hidden` are networks with
    interfaces. A VM that has gone, or has lost its card, has no forward.
    """
    documents = dict(at.connection.domains.documents())
    known = networks(at)
    going = set(gone)
    listed = [one for one in led(documents.items()) if one not in going]
    # In the order in which they are read when they are written down: the table is the same text then as now.
    listed = sorted((*listed, *(one for one in come if one not in listed)), key=_turn)
    leases = leased(at) if listed else {}
    openings: list[Opening] = []
    owners: list[tuple[str, str]] = []
    for one in listed:
        try:
            card = card_of(one.vm, Document.parse(documents[one.vm]).root, known, leases)
        except (Unsupported, KeyError):
            # It was refused when it was made: what it led to has changed since, and leads nowhere until it is back.
            continue
        card = card._replace(told=(told or {}).get(one.vm) or card.told)
        way = one.forward
        owners.append((card.mac, one.vm))
        openings.append(Opening(card, way.ports, way.to, way.source, way.address, way.interface))
    check_apart(owners, "forwards")
    pairs = {(net.name, uplink) for net in known.values() for uplink in net.exposed} | set(exposed)
    exposures = [
        Exposure(known[name].bridge, uplink)
        for name, uplink in sorted(pairs - set(hidden))
        if name in known and known[name].bridge
    ]
    spared = [gateway for net in known.values() if net.bridge for gateway in net.gateways]
    return Crossing(tuple(openings), tuple(exposures), tuple(sorted(spared)))


def network(at: Site, name: str) -> Network:
    """Find one network. Raises NotFound."""
    found = networks(at).get(name)
    if found is None:
        raise NotFound(f'there is no network "{name}"', hint="kvist net ls")
    return found
