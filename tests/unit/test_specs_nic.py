"""A card on a network that libvirt has borrowed from somebody: what runs tells of the bridge, and is of the network."""

from __future__ import annotations

import pytest

from kvist.specs.nic import Nic
from kvist.xml.diff import diff
from kvist.xml.document import Document

ON_BRIDGE = """<interface type='bridge'>
  <mac address='52:54:00:00:00:01'/>
  <source network='lan' portgroup='fast' portid='52009bd0-1839-4ae3-928f-667e0791bc53' bridge='br0'/>
  <target dev='vnet2'/>
</interface>"""
ON_MACVTAP = """<interface type='direct'>
  <mac address='52:54:00:00:00:01'/>
  <source network='lan' portid='52009bd0-1839-4ae3-928f-667e0791bc53' dev='eth1' mode='bridge'/>
</interface>"""


@pytest.mark.parametrize("text", [ON_BRIDGE, ON_MACVTAP], ids=["bridge", "macvtap"])
def test_a_running_card_is_on_the_network_that_was_asked_for(text: str) -> None:
    document = Document.parse(text)
    nic = Nic.read(document.root)
    assert (nic.type, nic.network, nic.bridge, nic.dev, nic.mode) == ("network", "lan", None, None, None)
    assert list(diff(nic, Nic(network="lan", type="network"))) == []
    assert document.text() == Document.parse(text).text(), "reading changes nothing"


@pytest.mark.parametrize("text", [ON_BRIDGE, ON_MACVTAP], ids=["bridge", "macvtap"])
def test_what_is_written_to_it_leaves_it_on_the_network(text: str) -> None:
    document = Document.parse(text)
    Nic().write(document.root)
    assert document.text() == Document.parse(text).text(), "nothing wished, nothing written"
    Nic(link="down").write(document.root)
    source = document.root.find("source")
    assert source is not None
    assert document.root.get("type") == "network"
    assert {name: value for name, value in source.items() if name not in ("portid", "portgroup")} == {"network": "lan"}
    assert Nic.read(document.root).link == "down"


def test_a_card_on_a_bridge_by_itself_stays_one() -> None:
    nic = Nic.read(Document.parse("<interface type='bridge'><source bridge='br0'/></interface>").root)
    assert (nic.type, nic.bridge, nic.network) == ("bridge", "br0", None)
