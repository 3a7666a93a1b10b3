"""What cloud-init is told about the cards of a new VM."""

from __future__ import annotations

from kvist.resources.making.seeding import _cards
from kvist.specs.nic import Nic
from kvist.values import Mac

FIRST, SECOND = Mac("52:54:00:00:00:01"), Mac("52:54:00:00:00:02")


def test_one_card_with_dhcp_is_left_to_cloud_init() -> None:
    assert _cards([Nic(network="default", mac=FIRST)]) == ()


def test_of_several_cards_each_is_told_to_ask_for_an_address() -> None:
    cards = _cards([Nic(network="default", mac=FIRST), Nic(network="lab", mac=SECOND)])
    assert [(card.mac, card.addresses) for card in cards] == [(FIRST, ()), (SECOND, ())]
