"""Cards of running guests wait while their network is restarted, and are plugged in again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from kvist.errors import KvistError, Unsupported
from kvist.host.firewall import restoring
from kvist.resources.networks import guests
from kvist.specs.network import Network
from kvist.xml.document import Document

if TYPE_CHECKING:
    from kvist.engine.step import Site
    from kvist.xml.document import Element

PARKED = "kvist-park-"
"""Begins the name of the network that cards wait on while theirs is restarted."""


@contextmanager
def parked(at: Site, name: str, *, replug: bool = False) -> Iterator[None]:
    """Take the running guests' cards off a network while the block runs, and plug them in again.

    A card on a bridge waits on a network made for that, so that the guest sees no more than lost packets. With
    `replug`, and where there is no bridge, the guest sees its card go and come.
    """
    park = PARKED + name
    _plug_in_again(at, name, park, out=True, replug=replug)
    try:
        yield
    finally:
        _plug_in_again(at, name, park, out=False, replug=replug)
        if at.connection.networks.exists(park):
            at.connection.networks.stop(park)
        _in_force_again(at)


def _in_force_again(at: Site) -> None:
    """See to what forwards need of a port: one that is plugged in anew lacks it, and libvirt calls no hook for that."""
    try:
        hand = at.hand
    except Unsupported:
        # Nobody can look there, so kvist has put nothing there either.
        return
    if hand.read(restoring.RESTORE) is not None:
        hand.run([restoring.RESTORE], input=b"")


def _plug_in_again(at: Site, name: str, park: str, *, out: bool, replug: bool) -> None:
    connection = at.connection
    for document in connection.domains.both():
        if not document.live or (name not in document.live):
            continue
        kept = {guests.mac_of(card): card for card in guests.cards(document.stored, [name])} if document.stored else {}
        for card in guests.cards(document.live, [name, park]):
            own = kept.get(guests.mac_of(card))
            if out:
                _out(at, document.name, card, own, park)
            else:
                _in(at, document.name, card, own, name, park, replug=replug)


def _out(at: Site, vm: str, card: Element, own: Element | None, park: str) -> None:
    source = card.find("source")
    if not guests.bridged(card) or (source is not None and source.get("network") == park):
        return
    networks = at.connection.networks
    if not networks.exists(park):
        place = Document.new("network")
        Network(name=park).write(place.root)
        networks.create(place.text(), name=park)
    away = guests.moved(card, park, own)
    at.connection.devices.update(vm, away.text())


def _in(at: Site, vm: str, card: Element, own: Element | None, name: str, park: str, *, replug: bool) -> None:
    from kvist.resources.steps.plugging import unplug

    back = guests.moved(card, name, own)
    source = card.find("source")
    waits = source is not None and source.get("network") == park
    alias = card.find("alias")
    if replug or not waits:
        try:
            if alias is not None:
                unplug(at, vm, str(alias.get("name")), f"card {guests.mac_of(card)}")
        except KvistError:
            if waits:
                # A guest that does not let go of its card is left with the card as it was.
                at.connection.devices.update(vm, back.text())
            raise
        at.connection.devices.attach(vm, back.text())
        return
    at.connection.devices.update(vm, back.text())
