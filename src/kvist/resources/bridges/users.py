"""Who uses the bridges of a host."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kvist.virt.connection import Connection


def users(connection: Connection) -> dict[str, list[str]]:
    """Name who uses each bridge: networks, and the VMs whose cards are plugged into it directly."""
    from kvist.specs.vm import Vm
    from kvist.xml.document import Document

    found: dict[str, list[str]] = {}
    for net in connection.networks.all():
        if net.bridge:
            found.setdefault(net.bridge, []).append(f"network {net.name}")
    for name, text in connection.domains.documents():
        bridges = [nic.get("bridge") for nic in Vm.read(Document.parse(text).root).nics]
        for bridge in dict.fromkeys(str(each) for each in bridges if each):
            found.setdefault(bridge, []).append(f"vm {name}")
    return found
