"""What the policies of a host stand on: which back-ends there are, and how all policies are moved to another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, NamedTuple

from kvist.engine.ask import Ask
from kvist.engine.operation import operation
from kvist.engine.step import Step
from kvist.errors import KvistError
from kvist.host.firewall import choice
from kvist.resources.firewall.policies import Said, read
from kvist.resources.firewall.policing import must_be_possible, written
from kvist.resources.steps.firewall import Choose, Judge, knowing
from kvist.specs.policy import GROUP
from kvist.specs.vm import Vm

if TYPE_CHECKING:
    from kvist.resources.firewall.firewall import Firewall

WHAT: dict[choice.Name, str] = {
    choice.NFT: "nft tables of kvist's own",
    choice.NWFILTER: "a filter of libvirt's for each card, made from its policy",
}


class Row(NamedTuple):
    """One back-end: whether policies stand on it, and what keeps them from it."""

    backend: str
    chosen: str
    what: str
    state: str


def backends(self: Firewall) -> list[Row]:
    """List what policies can stand on, which of them they do, and why.

    Example: kvist fw backends
    """
    from kvist.resources.firewall.backends.backend import backend

    hand = self.site.hand
    now, said, lacking = choice.chosen(hand), choice.told(hand), choice.lacking(hand)
    rows = []
    for name in WHAT:
        trouble = lacking if name == choice.NFT else ""
        try:
            backend(name).check(self.site)
        except KvistError as wrong:
            trouble = trouble or wrong.what
        why = "" if name != now else "by you" if said is not None else "as usual"
        rows.append(Row(name, why, WHAT[name], trouble or "works"))
    return rows


@operation
def backend(self: Firewall, name: Annotated[choice.Name, Ask("nft or nwfilter", metavar="BACKEND")]) -> Iterator[Step]:
    """Let all policies of this host stand on nft tables, or on filters of libvirt's that are made from them.

    They are in force on both until the move is done. On nft, rules know who sent a packet; libvirt's filters know
    addresses only, take a second for each card, and need no nft.

    Example: kvist fw backend nwfilter
    """
    from kvist.resources.firewall.backends import backend as backends_of

    hand, have = self.site.hand, backends_of.backend(name)
    have.check(self.site)
    now, said = choice.chosen(hand), Said(self.site)
    texts = {guest.name: guest.lines for guest in said.guests.values()}
    texts |= {GROUP + one.name: one.policy for one in said.groups.values()}
    must_be_possible(have, [(one, read(lines)) for one, lines in texts.items()])
    told, standing = choice.told(hand), bool(said.in_force())
    # Where nothing stands on it, the usual one needs no word.
    after = None if name == choice.usual(hand) and not standing else name
    if now == name and (told == after or standing):
        return
    before = None if told is None and not standing else now
    if standing:
        yield from knowing(self.site)
    yield Judge(back=True, by=now)
    yield Choose(before=before, after=after, shown=(now, name))
    for guest in sorted(said.guests.values()):
        if guest.lines or guest.groups:
            yield from written(self.host, guest.name, Vm(), judged=True, by=name)
    yield Judge(by=name)
