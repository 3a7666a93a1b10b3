"""Calls on the stored documents of networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import libvirt

from kvist.virt.errors import calling

if TYPE_CHECKING:
    from kvist.virt.connection import Connection


def stored(connection: Connection) -> list[tuple[str, str]]:
    """Read the stored documents of all networks: name and XML of each."""
    # The test driver knows one document of a network; one that is not kept has none but the one in force.
    knows = connection.handle.getType() != "TEST"
    with calling("read the definitions of the networks"):
        return [
            (net.name(), net.XMLDesc(libvirt.VIR_NETWORK_XML_INACTIVE if knows and net.isPersistent() else 0))
            for net in connection.handle.listAllNetworks(0)
        ]


def define(connection: Connection, name: str, xml: str) -> None:
    """Store the document of a network; one that runs goes on as it is."""
    with calling(f'define network "{name}"'):
        connection.handle.networkDefineXML(xml)
