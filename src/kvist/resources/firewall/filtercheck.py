"""What is wrong with libvirt's own filters on a host: nobody uses them, they are not there, or not in force."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from kvist.errors import Unsupported
from kvist.host.firewall.choice import OF_FILTER
from kvist.resources.filters.library import BUILT_IN, Library
from kvist.specs.vm import Vm
from kvist.xml.document import Document

if TYPE_CHECKING:
    from kvist.virt.connection import Connection


class Wrong(NamedTuple):
    """One thing that is wrong, or worth knowing, and what mends it."""

    object: str
    what: str
    hint: str


def wrong_filters(connection: Connection) -> Iterator[Wrong]:
    """Find filters that nobody uses, those that are named and not there, and bindings that are missing or left over."""
    try:
        library = Library(connection)
    except Unsupported:
        # A driver of libvirt's that has no filters has none that are wrong.
        return
    for name in library.documents:
        for include in library.includes(name):
            if include.filter not in library.documents:
                hint = f"kvist filter exclude {name} {include.filter}"
                yield Wrong(f"filter {name}", f'it includes filter "{include.filter}", which is not there', hint)
        if name not in BUILT_IN and not name.startswith(OF_FILTER) and not library.users(name):
            yield Wrong(f"filter {name}", "nobody uses it: no card and no other filter", f"kvist filter delete {name}")
    for card in library.cards:
        if card.filter not in library.documents:
            what = f'card {card.mac} has filter "{card.filter}", which is not there: the VM does not start'
            mended = "kvist fw restore" if card.filter.startswith(OF_FILTER) else ""
            yield Wrong(card.vm, what, mended or f"kvist nic set {card.vm} {card.mac} --filter none")
    yield from _bindings(connection, library)


def _bindings(connection: Connection, library: Library) -> Iterator[Wrong]:
    bound = {each.port: each.filter for each in library.bindings}
    running: set[str] = set()
    for vm, text in connection.domains.documents(active=True):
        for nic in Vm.read(Document.parse(text).root).nics:
            port = nic.tap or ""
            running.add(port)
            if nic.filter and bound.get(port) != nic.filter:
                again = f"kvist nic set {vm} {nic.mac} --filter"
                what = f'filter "{nic.filter}" of card {nic.mac} is not bound to its interface {port}: it does nothing'
                mended = "kvist fw restore" if nic.filter.startswith(OF_FILTER) else ""
                yield Wrong(vm, what, mended or f"{again} none; {again} {nic.filter}")
    for each in library.bindings:
        if each.port not in running:
            what = f'filter "{each.filter}" is bound to interface {each.port}, which is no running VM\'s'
            yield Wrong(each.vm or each.port, what, f"virsh nwfilter-binding-delete {each.port}")
