"""Which cards of which VMs are plugged into a network, and how one is moved to another."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from typing import TYPE_CHECKING, NamedTuple

from kvist.xml.document import Document

if TYPE_CHECKING:
    from kvist.virt.connection import Connection
    from kvist.xml.document import Element

OF_THE_NETWORK = ("virtualport", "vlan", "port", "bandwidth", "mtu")
"""What the document of a running VM shows of a card though it is its network's."""


class Plug(NamedTuple):
    """A card of a VM on a network: in the VM that runs, in its definition, or in both."""

    vm: str
    mac: str
    running: bool
    stored: bool


def plugs(connection: Connection, *networks: str) -> list[Plug]:
    """List the cards on some networks, one look at all VMs."""
    found: dict[tuple[str, str], Plug] = {}
    for document in connection.domains.both():
        for xml, running in ((document.live, True), (document.stored, False)):
            # Most VMs are none of the network's: their documents need not be parsed.
            if xml and any(name in xml for name in networks):
                for element in cards(xml, networks):
                    key = (document.name, mac_of(element))
                    had = found.get(key, Plug(*key, False, False))
                    found[key] = had._replace(running=True) if running else had._replace(stored=True)
    return sorted(found.values())


def cards(xml: str, networks: Iterable[str]) -> list[Element]:
    """Give the cards in a VM's document that are on one of the networks."""
    named = set(networks)
    return [
        element
        for element in Document.parse(xml).root.iterfind("devices/interface")
        if (source := element.find("source")) is not None and source.get("network") in named
    ]


def owners(connection: Connection) -> dict[str, str]:
    """Tell whose each card is: VMs by MAC address."""
    found: dict[str, str] = {}
    for document in connection.domains.both():
        for xml in filter(None, (document.live, document.stored)):
            for element in Document.parse(xml).root.iterfind("devices/interface/mac"):
                found.setdefault(str(element.get("address")).lower(), document.name)
    return found


def names(found: Iterable[Plug]) -> str:
    """Name the VMs in a sentence."""
    return ", ".join(f'"{name}"' for name in dict.fromkeys(plug.vm for plug in found))


def mac_of(card: Element) -> str:
    """Give the MAC address of a card."""
    mac = card.find("mac")
    return "" if mac is None else str(mac.get("address")).lower()


def bridged(card: Element) -> bool:
    """Tell whether a card that runs is a port of a bridge, so that it can go from one to another while it is in use."""
    source = card.find("source")
    return source is not None and source.get("bridge") is not None


def moved(card: Element, network: str, stored: Element | None) -> Document:
    """Give a card of a running VM on another network, or on its own again.

    `stored` is the card in the VM's definition: it tells what is the card's own and what its network's.
    """
    copy = deepcopy(card)
    copy.tail = None
    source = copy.find("source")
    assert source is not None, "a card on a network has a source"
    group = source.get("portgroup")
    source.attrib.clear()
    source.set("network", network)
    if group is not None:
        source.set("portgroup", group)
    if stored is not None:
        for tag in OF_THE_NETWORK:
            for part in copy.findall(tag):
                copy.remove(part)
            copy.extend(deepcopy(stored.findall(tag)))
    return Document(copy)
