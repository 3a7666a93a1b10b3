"""Another name for a filter that is in use: libvirt gives it none, so that another filter takes its place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING
from uuid import uuid4

from kvist.engine.step import Step
from kvist.resources.changing.alteration import plan
from kvist.resources.filters.editing import Editing
from kvist.resources.steps.filters import UndefineFilter
from kvist.specs.nic import Nic
from kvist.specs.nwfilter import Filter, Include
from kvist.specs.vm import Vm
from kvist.xml.document import Document

if TYPE_CHECKING:
    from kvist.resources.filters.library import Library
    from kvist.virt.connection import Connection


def replaced(connection: Connection, library: Library, old: str, new: str) -> Iterator[Step]:
    """Define the filter under its new name, let all that use it use that, and remove the old one.

    No card is without a filter meanwhile: libvirt puts the rules of the new one in the place of the old one's.
    """
    document = library.get(old).copy()
    Filter(name=new, uuid=str(uuid4())).write(document.root)
    yield from Editing(library, new, document).steps()
    for name, over in library.documents.items():
        if any(one.filter == old for one in library.includes(name)):
            edited = Editing(library, name, over.copy())
            for node in edited.root.iterfind(Include.TAG):
                if node.get("filter") == old:
                    Include(filter=new).write(node)
            yield from edited.steps()
    for vm in dict.fromkeys(card.vm for card in library.cards if card.filter == old):
        yield from _pointed(connection, vm, old, new)
    yield UndefineFilter(name=old, xml=library.texts[old])


def _pointed(connection: Connection, vm: str, old: str, new: str) -> Iterator[Step]:
    """Let the cards of a VM that have the old filter have the new one: now and at its next boot, each as it was."""
    domains, told = connection.domains, set[str]()
    for stored in (False, True):
        if not (domains.persistent(vm) if stored else domains.state(vm).active):
            continue
        document = Document.parse(domains.xml(vm, next_boot=stored, secure=True))
        cards = [nic for nic in Vm.read(document.root).nics if nic.filter == old]
        wish = Vm(nics=tuple(Nic(mac=nic.mac, filter=new) for nic in cards))
        if cards:
            yield from plan(vm, None if stored else document, document if stored else None, wish, told=told)
            told |= {f"nics[{nic.mac}].filter" for nic in cards}
