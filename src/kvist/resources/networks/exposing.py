"""Networks whose guests other hosts may reach."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

from kvist.engine.ask import Ask
from kvist.engine.operation import operation
from kvist.engine.step import Site, Step
from kvist.errors import Invalid, Problem, Unsupported
from kvist.host.firewall import enforcement
from kvist.host.net.links import Link, links
from kvist.resources.forwards.crossings import Network, network, wanted
from kvist.resources.hosts.setting import forwarding
from kvist.resources.steps.crossing import Enforce, MarkExposed
from kvist.specs.network import Network as Described
from kvist.xml.document import Document

if TYPE_CHECKING:
    from kvist.resources.networks.network import Networks

NAME = Ask("name of the network", complete="network")
MODES = ("nat", "route", "open")


@operation
def expose(
    self: Networks,
    name: Annotated[str, NAME],
    *,
    from_: Annotated[tuple[str, ...], Ask("interface of this host that leads to them", metavar="INTERFACE")],
) -> Iterator[Step]:
    """Let other hosts, who come in by an interface of this one, reach the guests of a network.

    The answer has the route that those hosts need. Their connections reach the guests with their own addresses, and
    also those of a NAT network; the guests' own way out stays as it is.

    Example: kvist net expose lab --from eth0
    """
    at = self.site
    found = network(at, name)
    if found.mode not in MODES:
        raise Unsupported(
            f'cannot expose network "{name}": {_reason(found)}', hint="kvist net ls, or kvist forward add 8080 web:80"
        )
    known = {link.name: link for link in links(at.hand)}
    if problems := _problems(found, from_, known):
        raise Invalid(problems)
    enforcement.check_tools(at.hand)
    yield from forwarding(at)
    after = tuple(dict.fromkeys((*found.exposed, *from_)))
    new = [uplink for uplink in after if uplink not in found.exposed]
    if new:
        yield MarkExposed(name=name, before=found.exposed, after=after, told=route_to(found, known[new[0]]))
    if new or enforcement.intact(at.hand, wanted(at)):
        yield Enforce(exposed=tuple((name, uplink) for uplink in new))


@operation
def unexpose(
    self: Networks,
    name: Annotated[str, NAME],
    *,
    from_: Annotated[
        tuple[str, ...], Ask("this interface only; all of them when none is named", metavar="INTERFACE")
    ] = (),
) -> Iterator[Step]:
    """Let other hosts reach the guests of a network no longer. Connections that are open go on.

    Example: kvist net unexpose lab
    """
    found = network(self.site, name)
    going = tuple(uplink for uplink in found.exposed if not from_ or uplink in from_)
    if going:
        after = tuple(uplink for uplink in found.exposed if uplink not in going)
        yield MarkExposed(name=name, before=found.exposed, after=after)
        yield Enforce(hidden=tuple((name, uplink) for uplink in going))


def hidden(at: Site, name: str) -> Iterator[Step]:
    """Give the step that takes the rules away by which others reach a network that goes: its bridge comes free."""
    said = Described.read(Document.parse(at.connection.networks.stored()[name]).root)
    if said.exposed:
        yield Enforce(hidden=tuple((name, uplink) for uplink in said.exposed))


def route_to(net: Network, link: Link) -> str:
    """Give the line that other hosts behind an interface need to reach a network."""
    here = next((one.address for one in link.addresses if ":" not in one.address), "ADDRESS-OF-THIS-HOST")
    return "; ".join(f"ip route add {subnet} via {here}" for subnet in net.subnets)


def _reason(net: Network) -> str:
    if not net.mode:
        return "it is isolated, and its guests have no gateway to answer by"
    return f"in mode {net.mode} its guests are no guests behind this host"


def _problems(net: Network, uplinks: tuple[str, ...], known: dict[str, Link]) -> list[Problem]:
    found: list[Problem] = []
    for uplink in uplinks:
        if uplink not in known:
            found.append(Problem("--from", f'the host has no interface "{uplink}"', "ip link"))
        elif uplink in (net.bridge, "lo"):
            found.append(Problem("--from", f'"{uplink}" is the network itself, or the host'))
        elif known[uplink].master:
            master = known[uplink].master
            found.append(Problem("--from", f'"{uplink}" is a port of "{master}": packets come in by that one'))
    return found
