"""Network filters: libvirt's own rules for the packets of a card, listed, made, changed and removed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, NamedTuple
from uuid import uuid4

from kvist.engine.ask import Ask
from kvist.engine.operation import operation
from kvist.engine.step import Step
from kvist.errors import Conflict, Corrupt, Invalid, Problem, Refused
from kvist.host.firewall.choice import OF_FILTER
from kvist.resources.filters.editing import Editing
from kvist.resources.filters.library import BUILT_IN, Library
from kvist.resources.filters.view import FilterView, view
from kvist.resources.filters.words import differences, parameters, problems, typed
from kvist.resources.hosts.holding import Holding
from kvist.resources.steps.filters import RenameFilter, UndefineFilter
from kvist.specs.nwfilter import PRIORITY, Action, Conditions, Direction, Filter, Rule, chain_of
from kvist.specs.nwfilter_protocols import PROTOCOLS, ProtocolName
from kvist.specs.nwfilter_values import CHAIN, FILTER_NAME
from kvist.xml.document import Document
from kvist.xml.options import nearest

WHICH = Ask("name of the filter", metavar="NAME", complete="filter")
OTHER = Ask("name of the filter that is included", metavar="OTHER", complete="filter")
INCLUDED = OTHER._replace(complete="included")
NEW = Ask("the name it is to have", metavar="NEW")
COMMON = ("source_ip", "dest_ip", "sport", "dport", "source_mac", "state", "comment")
CONDITIONS = Ask(
    "what the packet is like; ! in front of a value: what it is not like", group="Conditions", common=COMMON
)
ACTION = Ask("what is done with the packet: accept, drop, reject, return or continue", metavar="ACTION")
DIRECTION = Ask("towards the VM (in), from the VM (out), or both (inout)", metavar="DIRECTION")
PROTOCOL = Ask(f"protocol of the packets: {', '.join(PROTOCOLS)}; every packet without one", metavar="PROTOCOL")


class FilterRow(NamedTuple):
    """One filter in a list."""

    name: str
    uuid: str
    chain: str
    priority: int
    rules: int
    built_in: bool
    of_policy: bool
    """It is made from what `kvist fw` says of a card."""
    used_by: tuple[str, ...]


class Filters(Holding):
    """The network filters of a host."""

    kind = "filter"

    @property
    def library(self) -> Library:
        """All filters as they are now."""
        return Library(self.host.connection)

    def ls(self) -> list[FilterRow]:
        """List the filters: chain, priority, number of rules, and who uses each.

        Example: kvist filter ls
        """
        library = self.library
        return [
            FilterRow(
                name,
                library.uuids[name],
                *chain_of(document.root),
                rules=len(document.root.findall(Rule.TAG)),
                built_in=name in BUILT_IN,
                of_policy=name.startswith(OF_FILTER),
                used_by=tuple(library.users(name)),
            )
            for name, document in library.documents.items()
        ]

    def show(self, name: Annotated[str, WHICH]) -> FilterView:
        """Show a filter: its rules with those it includes, in the order in which a packet meets them; who uses it.

        With `-o xml`, its document.

        Example: kvist filter show clean-traffic
        """
        return view(self.library, name)

    @operation
    def create(
        self,
        name: Annotated[str, Ask("name of the filter", metavar="NAME")],
        *,
        chain: Annotated[
            str, Ask("where its rules for the Ethernet stand: root, mac, stp, vlan, arp, rarp, ipv4, ipv6, ipv4-mine")
        ] = "",
        priority: Annotated[int | None, Ask("when its chain is entered: -1000 to 1000", metavar="N")] = None,
        from_xml: Annotated[str, Ask("make it of a document of libvirt's; - reads it here", metavar="FILE")] = "",
    ) -> Iterator[Step]:
        """Make a filter, without rules or as a document says; `kvist filter add` gives it rules.

        One that is there already and says the same is left; one that says something else is a conflict.

        Example: kvist filter create web --chain root
        """
        wrong = [*_named(name), *_chained(chain, priority)]
        library = self.library
        document = _read(from_xml, wrong) if from_xml else Document.new(Filter.TAG)
        wrong += _includable(library, name, document)
        if wrong:
            raise Invalid(wrong, hint="kvist filter create --help")
        made = Filter(name=name, uuid=self._identity(library, name, document))
        if chain or not from_xml or priority is not None:
            made = made.replace(chain=chain or document.root.get("chain") or "root")
        made.replace(**({} if priority is None else {"priority": priority})).write(document.root)
        if name in library.documents:
            if other := differences(document.root, library.get(name).root, "asked for", "stored"):
                raise Conflict(
                    f'there is a filter "{name}" already: {"; ".join(other)}', hint=f"kvist filter show {name}"
                )
            return
        yield from Editing(library, name, document).steps()

    @operation
    def set(
        self,
        name: Annotated[str, WHICH],
        *,
        chain: Annotated[str, Ask("where its rules for the Ethernet are to stand: root, ipv4, arp-mine ...")] = "",
        priority: Annotated[int | None, Ask("when its chain is to be entered: -1000 to 1000", metavar="N")] = None,
    ) -> Iterator[Step]:
        """Change where the rules of a filter stand, and when they have their turn; live on running cards.

        Example: kvist filter set web --chain ipv4 --priority -650
        """
        if not chain and priority is None:
            raise Invalid("say what is to be otherwise", hint=f"kvist filter set {name} --priority -650")
        if wrong := _chained(chain, priority):
            raise Invalid(wrong)
        edited = self._edit(name)
        had, had_priority = chain_of(edited.root)
        if (chain or had) != had:
            # The priority goes with the chain, unless it is told.
            Filter(chain=chain, priority=None).write(edited.root)
        if priority is not None and (priority, chain or had) != (had_priority, had):
            Filter(chain=chain or had, priority=priority).write(edited.root)
        yield from edited.steps()

    @operation
    def delete(
        self, names: Annotated[tuple[str, ...], Ask("names of filters", metavar="NAME", complete="filter")]
    ) -> Iterator[Step]:
        """Remove filters that nobody uses. One that is not there is no mistake.

        Example: kvist filter delete web
        """
        library = self.library
        for name in names:
            _own(name, "delete")
        going = [name for name in dict.fromkeys(names) if name in library.documents]
        # Those that include others of them go first.
        going.sort(key=lambda name: len(library.above(name)))
        for name in going:
            users = [user for user in library.users(name) if user not in {f'filter "{each}"' for each in going}]
            if users:
                raise Refused(
                    f'cannot delete filter "{name}": it is used by {", ".join(users)}', hint=f"kvist filter show {name}"
                )
            yield UndefineFilter(name=name, xml=library.texts[name])

    @operation
    def rename(self, name: Annotated[str, WHICH], new: Annotated[str, NEW]) -> Iterator[Step]:
        """Give a filter another name.

        libvirt gives one that is in use no other name: then another filter, with an identity of its own, takes its
        place on all cards and in all filters at once. One that nobody uses keeps its identity.

        Example: kvist filter rename web www
        """
        library = self.library
        if wrong := _named(new, "NEW"):
            raise Invalid(wrong)
        if (name not in library.documents and new in library.documents) or name == new:
            return
        _own(name, "rename")
        document = library.get(name).copy()
        if new in library.documents:
            raise Conflict(
                f'cannot rename filter "{name}": there is a filter "{new}" already', hint=f"kvist filter show {new}"
            )
        if users := library.users(name):
            if strays := [user for user in users if user.startswith("running card")]:
                raise Refused(
                    f'cannot rename filter "{name}": it is used by {", ".join(strays)}, which no VM has',
                    hint=f"kvist filter copy {name} {new}",
                )
            from kvist.resources.filters.renaming import replaced

            yield from replaced(self.host.connection, library, name, new)
            return
        Filter(name=new).write(document.root)
        yield RenameFilter(name=name, new=new, before=library.texts[name], after=document.text())

    @operation
    def copy(self, name: Annotated[str, WHICH], new: Annotated[str, NEW]) -> Iterator[Step]:
        """Make a filter that says the same as another, to be changed: a built-in one, say.

        Example: kvist filter copy clean-traffic my-clean
        """
        library = self.library
        document = library.get(name).copy()
        if wrong := _named(new, "NEW"):
            raise Invalid(wrong)
        if new in library.documents:
            if other := differences(document.root, library.get(new).root, name, new):
                raise Conflict(
                    f'there is a filter "{new}" already: {"; ".join(other)}', hint=f"kvist filter show {new}"
                )
            return
        Filter(name=new, uuid=str(uuid4())).write(document.root)
        yield from Editing(library, new, document).steps()

    @operation
    def add(
        self,
        name: Annotated[str, WHICH],
        action: Annotated[Action, ACTION],
        direction: Annotated[Direction, DIRECTION],
        packets: Annotated[ProtocolName | None, PROTOCOL] = None,
        conditions: Annotated[Conditions, CONDITIONS] = Conditions(),  # noqa: B008 - immutable
        *,
        priority: Annotated[int | None, Ask("its turn, the smallest first: -1000 to 1000 [500]", metavar="N")] = None,
        stateless: Annotated[bool, Ask("do not look at the state of connections")] = False,
    ) -> Iterator[Step]:
        """Add a rule to a filter; at once on all running cards that have the filter.

        A rule that is there already is not added again. Values with $ or ! need single quotes: `--source-ip '!$IP'`.

        Example: kvist filter add web drop in tcp --dport 22 --priority 500
        """
        wrong = _ranked(priority)
        said = typed(
            action, direction, packets or "", conditions, priority=priority, stateful=not stateless, wrong=wrong
        )
        if wrong:
            raise Invalid(wrong, hint="kvist filter add --help")
        edited = self._edit(name)
        edited.add(said)
        yield from edited.steps()

    @operation
    def remove(
        self,
        name: Annotated[str, WHICH],
        rule: Annotated[
            str,
            Ask(
                "number of the rule in `kvist filter show`, or the rule itself",
                metavar="N|ACTION",
                complete="filter-rule",
            ),
        ],
        direction: Annotated[Direction | None, DIRECTION] = None,
        packets: Annotated[ProtocolName | None, PROTOCOL] = None,
        conditions: Annotated[Conditions, CONDITIONS] = Conditions(),  # noqa: B008 - immutable
        *,
        priority: Annotated[int | None, Ask("its turn [500]", metavar="N")] = None,
        stateless: Annotated[bool, Ask("it does not look at the state of connections")] = False,
    ) -> Iterator[Step]:
        """Take a rule out of a filter: the one with a number, or the one that is typed as it was added.

        A rule that is typed and not there is no mistake.

        Example: kvist filter remove web 2
        """
        wrong = _ranked(priority)
        edited = self._edit(name)
        if rule.isdigit():
            if direction is not None or dict(conditions.items()):
                wrong.append(Problem("N", "a number says which rule; nothing more is needed"))
                raise Invalid(wrong)
            edited.remove_number(int(rule))
        else:
            if rule not in Rule.DECLARED["action"].codec.choices or direction is None:
                line = f"kvist filter remove {name} 2, or kvist filter remove {name} drop in tcp --dport 22"
                raise Invalid([Problem("N|ACTION", f'"{rule}" is neither a number nor a rule', line)])
            said = typed(
                rule, direction, packets or "", conditions, priority=priority, stateful=not stateless, wrong=wrong
            )
            if wrong:
                raise Invalid(wrong, hint="kvist filter remove --help")
            edited.remove(said)
        yield from edited.steps()

    @operation
    def include(
        self,
        name: Annotated[str, WHICH],
        other: Annotated[str, OTHER],
        values: Annotated[
            tuple[str, ...], Ask("values for its variables: IP=10.0.0.5,10.0.0.6", metavar="VAR=VALUE")
        ] = (),
    ) -> Iterator[Step]:
        """Make the rules of another filter rules of this one, too; with values for its variables.

        One that is included already gets these values.

        Example: kvist filter include web no-ip-spoofing IP=10.0.0.5
        """
        wrong: list[Problem] = []
        given = parameters(values, wrong)
        edited = self._edit(name)
        library = edited.library
        if other not in library.documents:
            wrong.append(
                Problem("OTHER", f'there is no filter "{other}"{nearest(other, library.documents)}', "kvist filter ls")
            )
        elif way := library.way(other, name):
            wrong.append(Problem("OTHER", f"filters would include one another: {' -> '.join((name, *way))}"))
        if wrong:
            raise Invalid(wrong)
        edited.include(other, given)
        yield from edited.steps()

    @operation
    def exclude(self, name: Annotated[str, WHICH], other: Annotated[str, INCLUDED]) -> Iterator[Step]:
        """Let a filter not include another any more. One that is not included is no mistake.

        Example: kvist filter exclude web no-ip-spoofing
        """
        edited = self._edit(name)
        edited.exclude(other)
        yield from edited.steps()

    def _edit(self, name: str) -> Editing:
        library = self.library
        document = library.get(name).copy()
        _own(name, "change")
        return Editing(library, name, document)

    def _identity(self, library: Library, name: str, document: Document) -> str:
        """Give the UUID of the filter: that of its name, else of its document, unless another filter has it."""
        told = Filter.read(document.root).uuid
        if name in library.uuids:
            return library.uuids[name]
        return str(uuid4()) if told is None or told in library.uuids.values() else told


def _own(name: str, verb: str) -> None:
    """Raise Refused for a filter of libvirt's own, which others lean on, and for one that is made from a policy."""
    if name in BUILT_IN:
        raise Refused(
            f'cannot {verb} filter "{name}": it is one of libvirt\'s own', hint=f"kvist filter copy {name} my-{name}"
        )
    if name.startswith(OF_FILTER):
        raise Refused(f'cannot {verb} filter "{name}": it is made from the policy of a VM', hint="kvist fw ls")


def _named(name: str, where: str = "NAME") -> list[Problem]:
    if name in BUILT_IN:
        return [Problem(where, f'"{name}" is the name of a filter of libvirt\'s own', f"kvist filter show {name}")]
    if name.startswith(OF_FILTER):
        return [Problem(where, f"names that begin with {OF_FILTER} are of filters that kvist fw makes", "kvist fw ls")]
    try:
        FILTER_NAME.parse(name)
    except ValueError as wrong:
        return [Problem(where, str(wrong))]
    return []


def _ranked(priority: int | None) -> list[Problem]:
    if priority is not None and not -1000 <= priority <= 1000:
        return [Problem("--priority", f"{priority} is not between {PRIORITY.least} and {PRIORITY.most}")]
    return []


def _chained(chain: str, priority: int | None) -> list[Problem]:
    wrong = _ranked(priority)
    if chain:
        try:
            CHAIN.parse(chain)
        except ValueError as complaint:
            wrong.append(Problem("--chain", str(complaint)))
    return wrong


def _read(place: str, wrong: list[Problem]) -> Document:
    """Read a document and find what is wrong with it; an empty one where it cannot be read."""
    try:
        text = sys.stdin.read() if place == "-" else Path(place).expanduser().read_text(encoding="utf-8")
        document = Document.parse(text)
    except (OSError, UnicodeDecodeError) as error:
        wrong.append(Problem("--from-xml", f'cannot read "{place}": {getattr(error, "strerror", None) or error}'))
    except Corrupt as error:
        wrong.append(Problem("--from-xml", error.what))
    else:
        wrong += [
            problem._replace(path=f"--from-xml: {problem.path}".rstrip(": ")) for problem in problems(document.root)
        ]
        if document.root.tag == Filter.TAG:
            return document
    return Document.new(Filter.TAG)


def _includable(library: Library, name: str, document: Document) -> Iterator[Problem]:
    """Find includes that lead nowhere, or back."""
    for node in document.root.iterfind("filterref"):
        other = node.get("filter") or ""
        if other == name:
            yield Problem("--from-xml", f"filters would include one another: {name} -> {name}")
        elif other and other not in library.documents:
            yield Problem("--from-xml", f'there is no filter "{other}" to include{nearest(other, library.documents)}')
        elif way := library.way(other, name) if other else []:
            yield Problem("--from-xml", f"filters would include one another: {' -> '.join((name, *way))}")
