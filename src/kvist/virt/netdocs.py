"""Calls on the stored documents of networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import libvirt

from kvist.virt.errors import calling

if TYPE_CHECKING:
    from kvist.virt.connection import Connection


def stored(connection: Connection) -> list[tuple[str, str]]:
    """Read the stored documents of all networks: name and XML of each."""
    with calling("read the definitions of the networks"):
        return [
            # A network that is not kept has no other document than the one in force.
            (net.name(), net.XMLDesc(libvirt.VIR_NETWORK_XML_INACTIVE if net.isPersistent() else 0))
            for net in connection.handle.listAllNetworks(0)
        ]


def define(connection: Connection, name: str, xml: str) -> None:
    """Store the document of a network; one that runs goes on as it is."""
    with calling(f'define network "{name}"'):
        connection.handle.networkDefineXML(xml)
