"""Calls on network filters, and on the cards that they are bound to."""

from __future__ import annotations

from typing import NamedTuple

import libvirt

from kvist.errors import NotFound
from kvist.virt.errors import calling


class FilterState(NamedTuple):
    """One filter as libvirt stores it."""

    name: str
    uuid: str
    xml: str


class BindingState(NamedTuple):
    """One running card that a filter is bound to; `xml` tells whose it is."""

    port: str
    """The card's interface on the host."""
    filter: str
    xml: str


class Nwfilters:
    """Network filters of one host."""

    def __init__(self, handle: libvirt.virConnect) -> None:
        self._handle = handle

    def _find(self, name: str) -> libvirt.virNWFilter:
        with calling(f'find filter "{name}"'):
            return self._handle.nwfilterLookupByName(name)

    def names(self) -> list[str]:
        """List the names of all filters, sorted."""
        with calling("list the filters"):
            return sorted(each.name() for each in self._handle.listAllNWFilters(0))

    def all(self) -> list[FilterState]:
        """Read all filters, sorted by name."""
        with calling("list the filters"):
            return sorted(
                FilterState(each.name(), each.UUIDString(), each.XMLDesc(0))
                for each in self._handle.listAllNWFilters(0)
            )

    def bindings(self) -> list[BindingState]:
        """Read all bindings, sorted by the card's interface."""
        with calling("list the filter bindings"):
            return sorted(
                BindingState(each.portDev(), each.filterName(), each.XMLDesc(0))
                for each in self._handle.listAllNWFilterBindings(0)
            )

    def uuid(self, name: str) -> str:
        """Give the UUID of a filter. Raises NotFound."""
        return str(self._find(name).UUIDString())

    def xml(self, name: str) -> str:
        """Read the document of a filter. Raises NotFound."""
        found = self._find(name)
        with calling(f'read the definition of filter "{name}"'):
            return str(found.XMLDesc(0))

    def stored(self, name: str) -> str:
        """Read the document of a filter, which is empty where there is none."""
        try:
            return self.xml(name)
        except NotFound:
            return ""

    def define(self, xml: str, *, name: str) -> None:
        """Store a filter. One of that name is replaced if the document has its UUID, on all running cards as well."""
        with calling(f'define filter "{name}"'):
            self._handle.nwfilterDefineXML(xml)

    def undefine(self, name: str) -> None:
        """Remove a filter, which libvirt refuses while it is in use."""
        found = self._find(name)
        with calling(f'remove filter "{name}"'):
            found.undefine()
