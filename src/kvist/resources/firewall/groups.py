"""Groups of VMs that rules of the firewall may name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

from kvist.engine.ask import Ask
from kvist.engine.operation import operation
from kvist.engine.step import Step
from kvist.errors import Conflict, Invalid, NotFound, Problem
from kvist.resources.firewall.policies import Said, read
from kvist.resources.firewall.policing import written
from kvist.resources.steps.firewall import WriteGroup, judges
from kvist.specs.policy import GROUP
from kvist.specs.vm import Vm
from kvist.values import Name

if TYPE_CHECKING:
    from kvist.resources.firewall.firewall import Firewall


class Row(NamedTuple):
    """A group, who is in it, and the rules that name it."""

    group: str
    tag: str | None
    members: str
    policy: str
    named_by: str


@operation
def group(
    self: Firewall,
    act: Annotated[Literal["create", "add", "remove", "delete"], Ask("what is to be done", metavar="ACT")],
    group: Annotated[str, Ask("name of the group", metavar="GROUP", complete="group")],
    names: Annotated[tuple[str, ...], Ask("VMs that come into it, or leave it", metavar="VM", complete="vm")] = (),
    *,
    tag: Annotated[str | None, Ask("VMs with this tag are members too", metavar="TAG")] = None,
) -> Iterator[Step]:
    """Make a group that rules can name as group:NAME, change who is in it, or delete it.

    Members are VMs that were named and those with the group's tag. Rules follow at once when members come and go, and
    when their addresses change: the kernel knows them by their cards.

    Example: kvist fw group create web-tier web1 web2
    """
    said = Said(self.site)
    _check(said, act, group, names, tag)
    have = said.groups.get(group)
    before = None if have is None else (have.tag, *have.policy)
    after = None
    if act != "delete":
        after = (tag if tag is not None else have.tag if have else "", *(have.policy if have else ()))
    steps: list[Step] = [] if before == after else [WriteGroup(name=group, before=before, after=after)]
    for name in names if act != "delete" else sorted(said.guests):
        spec = self.host.vm(name).spec
        inside = spec.groups or ()
        wished = tuple(one for one in inside if one != group) + ((group,) if act in ("create", "add") else ())
        if set(wished) != set(inside):
            judged = bool(wished or spec.firewall)
            steps += written(self.host, name, Vm(groups=wished or None), judged=judged)
    if steps:
        back, forth = judges(self.site)
        yield from (back, *steps, forth)


def groups(self: Firewall) -> list[Row]:
    """List the groups: their members, what holds for all of them, and whose rules name them.

    Example: kvist fw groups
    """
    said = Said(self.site)
    rows = []
    for name, one in sorted(said.groups.items()):
        members = sorted(guest.name for guest in said.members(name))
        rows.append(
            Row(name, one.tag or None, ", ".join(members), "; ".join(one.policy), ", ".join(named_by(said, name)))
        )
    return rows


def named_by(said: Said, group: str) -> list[str]:
    """Name the VMs and groups whose rules name a group."""
    texts = {guest.name: guest.lines for guest in said.guests.values()}
    texts |= {GROUP + name: one.policy for name, one in said.groups.items()}
    return sorted(
        name for name, lines in texts.items() if any(rule.peer == GROUP + group for rule in read(lines).rules)
    )


def _check(said: Said, act: str, group: str, names: tuple[str, ...], tag: str | None) -> None:
    problems: list[Problem] = []
    try:
        Name.parse(group)
    except ValueError as wrong:
        problems.append(Problem("GROUP", str(wrong)))
    problems += [Problem("VM", f'there is no VM "{name}"', "kvist ls") for name in names if name not in said.guests]
    if tag is not None and (not tag or len(tag.split()) != 1):
        problems.append(Problem("--tag", f'"{tag}" is no tag'))
    if act in ("add", "remove") and not names and tag is None:
        problems.append(Problem("VM", "no VM is named"))
    if act in ("delete", "remove") and tag is not None:
        problems.append(Problem("--tag", "a tag is said where a group is made: kvist fw group create"))
    if act == "delete" and names:
        problems.append(Problem("VM", f"the whole group goes: to let VMs leave it, kvist fw group remove {group}"))
    if problems:
        raise Invalid(problems)
    if act in ("add", "remove") and group not in said.groups:
        raise NotFound(f'there is no group "{group}"', hint=f"kvist fw group create {group}")
    if act == "delete" and (users := named_by(said, group)):
        raise Conflict(f'cannot delete group "{group}": rules of {", ".join(users)} name it',
                       hint=f"kvist fw show {users[0]}")  # fmt: skip
