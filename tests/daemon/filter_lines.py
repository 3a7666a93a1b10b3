"""From the document of a filter to the lines of kvist that make it anew."""

from __future__ import annotations

from collections.abc import Iterator

from kvist.specs.nwfilter import Include, Meaning, Rule, chain_of, entries, meaning, same, values
from kvist.xml.document import Document


def lines(name: str, document: Document) -> Iterator[list[str]]:
    """Give the lines that make a filter like this one, under another name."""
    chain, priority = chain_of(document.root)
    yield ["filter", "create", name, "--chain", chain, "--priority", str(priority)]
    seen = set()
    for node in entries(document.root):
        # A rule that stands there twice does nothing the second time, and is added once.
        if same(node) in seen:
            continue
        seen.add(same(node))
        if node.tag == Rule.TAG:
            yield ["filter", "add", name, *_rule(meaning(node))]
        else:
            include = Include.read(node)
            given = [f"{variable}={','.join(each)}" for variable, each in values(include).items()]
            yield ["filter", "include", name, str(include.filter), *given]


def _rule(said: Meaning) -> Iterator[str]:
    assert said.strange == (), "every attribute is known"
    yield from (said.action, said.direction, *([said.protocol] if said.protocol else []))
    for field, term in said.terms.items():
        yield from (f"--{field.replace('_', '-')}", str(term))
    yield from ("--priority", str(said.priority))
    if not said.stateful:
        yield "--stateless"
