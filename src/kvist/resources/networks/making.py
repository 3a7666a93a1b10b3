"""Make a network; when it is there already as asked for, there is nothing to do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any
from uuid import uuid4

from kvist.engine.ask import Ask
from kvist.engine.operation import operation
from kvist.engine.step import Step
from kvist.errors import Conflict, Invalid, Problem
from kvist.resources.networks import proxying
from kvist.resources.networks.around import around
from kvist.resources.networks.changes import differences, told, written
from kvist.resources.networks.wish import Shaping, mode_of
from kvist.resources.networks.words import DNS_HOST, DNS_SRV, DNS_TXT, FORWARDER, PORTGROUP, ROUTE, WISH
from kvist.resources.steps.network import AutostartNetwork, DefineNetwork, StartNetwork
from kvist.specs.network import DnsHost, DnsSrv, DnsTxt, Forwarder, Network, PortGroup, Route
from kvist.values import Name
from kvist.xml.document import Document

if TYPE_CHECKING:
    from kvist.resources.networks.network import Networks


@operation
def create(
    self: Networks,
    name: Annotated[str, Ask("what to call it", metavar="NAME")],
    settings: Annotated[Network, WISH] = Network(),  # noqa: B008 - immutable
    *,
    portgroup: Annotated[tuple[PortGroup, ...], PORTGROUP] = (),
    dns_host: Annotated[tuple[DnsHost, ...], DNS_HOST] = (),
    dns_txt: Annotated[tuple[DnsTxt, ...], DNS_TXT] = (),
    dns_srv: Annotated[tuple[DnsSrv, ...], DNS_SRV] = (),
    forwarder: Annotated[tuple[Forwarder, ...], FORWARDER] = (),
    route: Annotated[tuple[Route, ...], ROUTE] = (),
    proxy_arp: Annotated[
        str, Ask("interface of the host on whose own network the guests appear, without a bridge", metavar="INTERFACE")
    ] = "",
    start: Annotated[bool, Ask("only define it, do not start it")] = True,
    autostart: Annotated[bool, Ask("do not start it with the host")] = True,
) -> Iterator[Step]:
    """Make a network and start it, now and with the host; when it is there as asked for, there is nothing to do.

    Without --subnet a free one is chosen, and DHCP gives out all of it. Modes: nat (guests reach the world, by the
    host's address), route and open (and the world reaches them; open: libvirt makes no firewall rules), isolated,
    bridge and ovs (a bridge of the host's), macvtap (an interface of the host's), hostdev (virtual functions).
    With --proxy-arp the guests have addresses of the host's own network, of which --subnet names a part that is free:
    the host answers for them there. It works where a bridge cannot, on wireless interfaces.

    Example: kvist net create lab --mode route --subnet 10.10.0.0/24 --dhcp 10.10.0.100-200 --domain lab
    """
    wish = gathered(settings, portgroup, dns_host, dns_txt, dns_srv, forwarder, route)
    wrong: list[Problem] = []
    if proxy_arp:
        wrong += proxying.problems(self.site, proxy_arp, wish)
        wish = wish.replace(mode=wish.mode or "route", proxy_arp=proxy_arp)
    if self.host.connection.networks.exists(name):
        yield from _existing(self, name, wish, start=start, autostart=autostart)
        return
    surroundings = around(self.host, switches=wish.mode == "ovs", zones=bool(wish.zone))
    shaping = Shaping(wish, proxying.lent(surroundings, proxy_arp, wish) if proxy_arp else surroundings)
    shaped = shaping.shaped()
    problems = [*shaping.problems, *wrong]
    try:
        Name.parse(name)
    except ValueError as wrong:
        problems.insert(0, Problem("NAME", str(wrong)))
    if problems:
        raise Invalid(problems, hint="kvist net create --help")
    uuid = str(uuid4())
    document = Document.new("network")
    Network(name=name, uuid=uuid, made_by="kvist").write(document.root)
    shaped.write(document.root)
    net = Network.read(document.root)
    shown = tuple((field, str(value)) for field, value in told(net).items() if field != "name")
    yield DefineNetwork(name=name, uuid=uuid, xml=document.text(), shown=shown)
    if proxy_arp:
        yield from proxying.answering(self.site, proxy_arp)
    if start:
        yield StartNetwork(name=name)
    if autostart:
        yield AutostartNetwork(name=name, on=True)


def gathered(
    settings: Network,
    portgroups: tuple[PortGroup, ...],
    dns_hosts: tuple[DnsHost, ...],
    dns_txts: tuple[DnsTxt, ...],
    dns_srvs: tuple[DnsSrv, ...],
    forwarders: tuple[Forwarder, ...],
    routes: tuple[Route, ...],
) -> Network:
    """Give settings and lists as one wish."""
    lists: dict[str, Any] = {
        "portgroups": portgroups,
        "dns_hosts": dns_hosts,
        "dns_txts": dns_txts,
        "dns_srvs": dns_srvs,
        "forwarders": forwarders,
        "routes": routes,
    }
    return settings.replace(**{key: value for key, value in lists.items() if value})


def _existing(self: Networks, name: str, wish: Network, *, start: bool, autostart: bool) -> Iterator[Step]:
    networks = self.host.connection.networks
    state = self.state(name)
    document = Document.parse(networks.xml(name, stored=state.persistent))
    have = Network.read(document.root)
    if wish.mode is not None and wish.mode != mode_of(have):
        raise _other(name, f"mode is {mode_of(have)}, not {wish.mode}")
    kept = Network(**{key: value for key, value in wish.items() if key != "mode"})
    surroundings = around(self.host, besides=name, switches=wish.mode == "ovs", zones=bool(wish.zone))
    if wish.proxy_arp:
        surroundings = proxying.lent(surroundings, wish.proxy_arp, wish)
    shaping = Shaping(kept, surroundings, have)
    shaped = shaping.shaped()
    if shaping.problems:
        raise Invalid(shaping.problems, hint="kvist net create --help")
    new = written(document, shaped)
    assert new is not None, "there is a document"
    if other := differences(have, Network.read(new.root)):
        said = "; ".join(
            f"{field} is {before or 'not set'}, {f'not {after}' if after else 'and was not asked for'}"
            for field, before, after in other
        )
        raise _other(name, said)
    if wish.proxy_arp:
        yield from proxying.answering(self.site, wish.proxy_arp)
    if start and not state.active:
        yield StartNetwork(name=name)
    if autostart and state.persistent and not state.autostart:
        yield AutostartNetwork(name=name, on=True)


def _other(name: str, said: str) -> Conflict:
    return Conflict(f'network "{name}" exists and is another: {said}', hint=f"kvist net show {name}")


class Maker:
    """Base of `Networks`, from which a type checker learns the signature of `host.networks.create`."""

    create = create
