"""One filter that is being edited: rules and includes come and go, and a step stores what came of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from kvist.engine.step import Step
from kvist.errors import NotFound, Refused
from kvist.resources.filters.library import Library
from kvist.resources.filters.words import told_entry
from kvist.resources.steps.filters import DefineFilter
from kvist.specs.nic import FilterParameter
from kvist.specs.nwfilter import Include, Meaning, Rule, chain_of, entries, meaning, rule_of, same, same_filter
from kvist.xml.document import Document
from kvist.xml.path import add, drop, move, parse

if TYPE_CHECKING:
    from kvist.xml.document import Element


class Editing:
    """A copy of a filter's document, and what it is to become."""

    def __init__(self, library: Library, name: str, document: Document) -> None:
        self.library, self.name, self.document = library, name, document

    @property
    def root(self) -> Element:
        return self.document.root

    def add(self, said: Meaning) -> None:
        """Append a rule, unless there is one that says the same."""
        if all(node.tag != Rule.TAG or meaning(node).same != said.same for node in entries(self.root)):
            rule_of(said).write(self._append(Rule.TAG))

    def remove(self, said: Meaning) -> None:
        """Take out the rules that say this."""
        for node in list(entries(self.root)):
            if node.tag == Rule.TAG and meaning(node).same == said.same:
                drop(node)

    def remove_number(self, number: int) -> None:
        """Take out the rule that `kvist filter show` gives a number. Raises NotFound; Refused for another filter's."""
        rows = self.library.evaluated(self.name)
        if not 1 <= number <= len(rows):
            raise NotFound(
                f'filter "{self.name}" has no rule {number}; it has {len(rows)}', hint=f"kvist filter show {self.name}"
            )
        row = rows[number - 1]
        if row.filter != self.name:
            raise Refused(
                f'cannot remove rule {number} of filter "{self.name}": it is a rule of filter "{row.filter}"',
                hint=f"kvist filter exclude {self.name} {self.library.way(self.name, row.filter)[1]}",
            )
        drop(list(entries(self.root))[row.at])

    def include(self, other: str, given: Sequence[FilterParameter]) -> None:
        """Include a filter with these values, or give them to the include that is there: afterwards there is one."""
        there = [node for node in self.root.iterfind(Include.TAG) if node.get("filter") == other]
        wanted = Include(filter=other, parameters=tuple(given))
        fresh = Document.new(Include.TAG)
        wanted.write(fresh.root)
        alike = [node for node in there if same(node) == same(fresh.root)]
        kept = next(iter((*alike, *there)), None)
        if kept is None:
            wanted.write(self._append(Include.TAG))
        elif not alike:
            Include(parameters=None).write(kept)  # type: ignore[arg-type]
            wanted.write(kept)
        for node in there:
            # Included twice, it would still have the values from before as well.
            if node is not kept:
                drop(node)

    def exclude(self, other: str) -> None:
        """Take out every include of a filter."""
        for node in list(self.root.iterfind(Include.TAG)):
            if node.get("filter") == other:
                drop(node)

    def _append(self, tag: str) -> Element:
        """Put a new element behind all others: rules of the same priority count in their order."""
        steps, _ = parse(tag)
        made = add(self.root, steps[0])
        if self.root[-1] is not made:
            move(made, self.root[-1])
        return made

    def steps(self) -> Iterator[Step]:
        """Give the step that stores it; none where it says what is stored."""
        library, name = self.library, self.name
        stored = library.documents.get(name)
        if stored is not None and same_filter(stored.root) == same_filter(self.root):
            return
        yield DefineFilter(
            name=name,
            uuid=self.root.findtext("uuid") or "",
            before=library.texts.get(name, ""),
            xml=self.document.text(),
            shown=tuple(_shown(stored, self.document)),
            reaches=library.reached(name) if stored is not None else 0,
        )


def _shown(before: Document | None, after: Document) -> Iterator[tuple[str, str | None, str | None]]:
    """Tell what changes: chain, priority, rules and includes that come and go."""
    if before is None:
        yield "filter", None, "present"
        if chain_of(after.root)[0] != "root":
            yield "chain", None, chain_of(after.root)[0]
    else:
        for field, had, has in zip(("chain", "priority"), chain_of(before.root), chain_of(after.root), strict=True):
            if had != has:
                yield field, str(had), str(has)
    old = {} if before is None else {same(node): node for node in entries(before.root)}
    new = {same(node): node for node in entries(after.root)}
    yield from (
        ("rule" if key[0] == "rule" else "include", told_entry(old[key]), None) for key in old if key not in new
    )
    yield from (
        ("rule" if key[0] == "rule" else "include", None, told_entry(new[key])) for key in new if key not in old
    )
