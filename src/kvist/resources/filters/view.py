"""All that is known about one network filter."""

from __future__ import annotations

from typing import Any

from kvist.resources.filters.library import BUILT_IN, Library
from kvist.resources.filters.words import option, told_include
from kvist.specs.nwfilter import chain_of


class FilterView:
    """A filter as it is shown: a record, or its document."""

    def __init__(self, record: dict[str, Any], xml: str) -> None:
        self._record = record
        self.xml = xml

    def as_dict(self) -> dict[str, Any]:
        """Give the record: plain settings, rules in the order in which they count, who uses it."""
        return self._record


def view(library: Library, name: str) -> FilterView:
    """Look at a filter. Raises NotFound."""
    document = library.get(name)
    chain, priority = chain_of(document.root)
    rules = [
        {
            "number": number,
            "priority": rule.said.priority,
            "action": rule.said.action,
            "direction": rule.said.direction,
            "protocol": rule.said.protocol or None,
            "conditions": ", ".join(f"{option(key)[2:]} {term}" for key, term in rule.said.terms.items()) or None,
            "stateless": None if rule.said.stateful else "stateless",
            "chain": rule.chain if rule.chain != "root" else None,
            "filter": rule.filter if rule.filter != name else None,
        }
        for number, rule in enumerate(library.evaluated(name), 1)
    ]
    record = {
        "name": name,
        "uuid": library.uuids[name],
        "chain": chain,
        "priority": priority,
        "built_in": name in BUILT_IN,
        "includes": [told_include(each).removeprefix("include ") for each in library.includes(name)],
        "variables": [*library.needs(name, set())],
        "used_by": library.users(name),
        "running_cards": library.reached(name),
        "rules": rules,
    }
    return FilterView(record, library.texts[name])
