"""Set what is to be otherwise of a network, and unset what nobody should have said."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

from kvist.engine.ask import Ask
from kvist.engine.operation import operation
from kvist.engine.step import Step
from kvist.errors import Invalid, Problem
from kvist.resources.networks.around import around
from kvist.resources.networks.changes import plan
from kvist.resources.networks.making import gathered
from kvist.resources.networks.wish import Shaping, mode_of
from kvist.resources.networks.words import DNS_HOST, DNS_SRV, DNS_TXT, FORWARDER, KEPT, NAME, PORTGROUP, ROUTE, WISH
from kvist.specs.network import DnsHost, DnsSrv, DnsTxt, Forwarder, Network, PortGroup, Route
from kvist.xml.diff import label
from kvist.xml.document import Document
from kvist.xml.options import nearest

if TYPE_CHECKING:
    from kvist.resources.hosts.host import Host
    from kvist.resources.networks.network import Networks

FIXED = ("mode", "subnet", "bridge", *KEPT)
"""What no network is without, or what makes it that one."""
PART = re.compile(r"([a-z_-]+)(?:\[([^\]]+)\])?")


@operation
def set(
    self: Networks,
    name: Annotated[str, NAME],
    settings: Annotated[Network, WISH] = Network(),  # noqa: B008 - immutable
    *,
    portgroup: Annotated[tuple[PortGroup, ...], PORTGROUP] = (),
    dns_host: Annotated[tuple[DnsHost, ...], DNS_HOST] = (),
    dns_txt: Annotated[tuple[DnsTxt, ...], DNS_TXT] = (),
    dns_srv: Annotated[tuple[DnsSrv, ...], DNS_SRV] = (),
    forwarder: Annotated[tuple[Forwarder, ...], FORWARDER] = (),
    route: Annotated[tuple[Route, ...], ROUTE] = (),
) -> Iterator[Step]:
    """Change a network: DHCP, names, port groups and interfaces while it runs, all else by restarting it.

    Guests that are plugged in are taken off before a restart and plugged in again after it, and keep their leases.
    Their network is gone for a moment: that needs --allow replug, and the answer names them.

    Example: kvist net set default --dhcp 192.168.122.10-200
    """
    wish = gathered(settings, portgroup, dns_host, dns_txt, dns_srv, forwarder, route)
    if not dict(wish.items()):
        raise Invalid("say what is to be otherwise", hint=f"kvist net set {name} --dhcp 192.168.122.10-200")
    yield from changed(self, name, wish)


@operation
def unset(
    self: Networks,
    name: Annotated[str, NAME],
    fields: Annotated[
        tuple[str, ...], Ask("settings: domain, zone, dhcp, portgroups[NAME], dns_hosts[ADDRESS]", metavar="FIELD")
    ],
) -> Iterator[Step]:
    """Take settings of a network away, so that libvirt's own default holds again.

    Example: kvist net unset lab domain portgroups[web]
    """
    state = self.state(name)
    have = Network.read(Document.parse(state.xml).root)
    values: dict[str, Any] = {}
    problems: list[Problem] = []
    for word in fields:
        found = PART.fullmatch(word)
        field = found[1].replace("-", "_") if found else word
        if field not in Network.DECLARED or field in ("ips", *FIXED):
            what = "is none that can be unset" if field in Network.DECLARED else "there is no such setting"
            problems.append(Problem(word, what + nearest(field, Network.DECLARED)))
        elif field not in Network.MANY or found is None or found[2] is None:
            values[field] = None
        elif item := next((each for each in have.get(field) if label(Network.MANY[field], each) == found[2]), None):
            key = {part: item.get(part) for part in Network.MANY[field].key}
            values[field] = (*values.get(field, ()), Network.MANY[field].spec.removed(**key))
    if problems:
        raise Invalid(problems, hint=f"kvist net show {name}")
    yield from changed(self, name, Network(**values))


def changed(self: Networks, name: str, wish: Network) -> Iterator[Step]:
    """Work out what makes a network as wished. Raises Invalid with every problem of the wish."""
    state = self.state(name)
    live, stored = documents(self.host, name, active=state.active, persistent=state.persistent)
    base = stored if stored is not None else live
    assert base is not None, "it was found"
    have = Network.read(base.root)
    if wish.mode is not None and wish.mode == mode_of(have):
        wish = Network(**{key: value for key, value in wish.items() if key != "mode"})
    others = around(self.host, besides=name, switches=mode_of(have) == "ovs", zones=bool(wish.zone))
    shaping = Shaping(wish, others, have)
    shaped = shaping.shaped()
    if shaping.problems:
        raise Invalid(shaping.problems, hint="kvist net set --help")
    yield from steps(self.host, name, live, stored, shaped)


def steps(host: Host, name: str, live: Document | None, stored: Document | None, wish: Network) -> Iterator[Step]:
    """Work out the steps that write a wish into a network's documents; running guests are looked for only if needed."""
    from kvist.resources.networks.guests import plugs
    from kvist.resources.steps.network import RemakeNetwork

    made = list(plan(name, live, stored, wish))
    if live is not None and any(isinstance(step, RemakeNetwork) for step in made):
        running = tuple(dict.fromkeys(plug.vm for plug in plugs(host.connection, name) if plug.running))
        made = list(plan(name, live, stored, wish, running))
    yield from made


def documents(host: Host, name: str, *, active: bool, persistent: bool) -> tuple[Document | None, Document | None]:
    """Read both documents of a network: what runs, and what its next start will use."""
    networks = host.connection.networks
    live = Document.parse(networks.xml(name)) if active else None
    return live, Document.parse(networks.xml(name, stored=True)) if persistent else None


class Setter:
    """Base of `Networks`, from which a type checker learns the signatures of these."""

    set = set
    unset = unset
