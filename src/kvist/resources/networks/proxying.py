"""Guests that appear on an interface's own network without a bridge: the host answers ARP for them there.

That is what works where a bridge cannot, on wireless interfaces above all. Source: ip-sysctl of the kernel, proxy_arp.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_interface
from typing import TYPE_CHECKING

from kvist.engine.step import Site, Step
from kvist.errors import Problem
from kvist.host import sysctl
from kvist.resources.hosts.setting import forwarding, setting
from kvist.resources.steps.crossing import DropSysctl
from kvist.specs.network import Network
from kvist.xml.document import Document

if TYPE_CHECKING:
    from kvist.resources.networks.wish import Surroundings


def key_of(dev: str) -> str:
    """Give the kernel's name of the switch of an interface."""
    return f"net.ipv4.conf.{dev}.proxy_arp"


def lent(around: Surroundings, dev: str, wish: Network) -> Surroundings:
    """Give the surroundings in which a part of the interface's own network is not taken."""
    if wish.subnet is None:
        return around
    mine = ip_interface(str(wish.subnet)).network
    whose = (f'interface "{dev}"', f'the route by "{dev}"')
    left = [
        (subnet, owner)
        for subnet, owner in around.subnets
        if owner not in whose or subnet.version != mine.version or subnet.prefixlen >= mine.prefixlen
    ]
    return around._replace(subnets=left)


def problems(at: Site, dev: str, wish: Network) -> Iterator[Problem]:
    """Find what is wrong with guests that are to appear on an interface's network."""
    from kvist.host.net.links import links

    where = "--proxy-arp"
    found = {link.name: link for link in links(at.hand)}
    if wish.mode not in (None, "route"):
        yield Problem(where, f"it is for mode route, not {wish.mode}")
    if dev not in found or "." in dev:
        there = ", ".join(name for name in found if name != "lo" and "." not in name)
        yield Problem(where, f'there is no interface "{dev}" that could answer; there is {there}', "ip -brief link")
        return
    own = [ip_interface(str(cidr)) for cidr in found[dev].addresses if ":" not in cidr.address]
    if wish.subnet is None:
        yield Problem("--subnet", f'say which part of the network of "{dev}" is the guests\'', f"{dev} has {own[0]}"
                      if own else "")  # fmt: skip
        return
    mine = ip_interface(str(wish.subnet)).network
    around = [one for one in own if one.network.overlaps(mine) and mine.prefixlen > one.network.prefixlen]
    if not around:
        said = ", ".join(str(one.network) for one in own) or "no address"
        yield Problem("--subnet", f'{mine} is no part of the network of "{dev}", which has {said}')
    if taken := [str(one.ip) for one in own if one.ip in mine]:
        yield Problem("--subnet", f"{taken[0]} is the host's own address there")


def answering(at: Site, dev: str) -> Iterator[Step]:
    """Give the steps by which the host answers for its guests on an interface, where it does not."""
    yield from forwarding(at)
    yield from setting(at, key_of(dev), "1")


def silent(at: Site, name: str, net: Network) -> Iterator[Step]:
    """Give the step by which the host answers no longer, once no other network needs it."""
    if not net.proxy_arp:
        return
    others = (
        Network.read(Document.parse(state.xml).root)
        for state in at.connection.networks.all()
        if state.name != name and net.proxy_arp in state.xml
    )
    if any(other.proxy_arp == net.proxy_arp for other in others):
        return
    key = key_of(net.proxy_arp)
    now, kept = sysctl.read(at.hand, key), sysctl.kept(at.hand).get(key)
    if kept is not None:
        yield DropSysctl(key=key, before=now, kept=kept, after="0")
