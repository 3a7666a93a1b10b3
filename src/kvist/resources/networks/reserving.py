"""Addresses that come and go with a VM's cards: `--nic lab,ip=10.10.0.5`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import ip_address
from typing import TYPE_CHECKING

from kvist.engine.step import Step
from kvist.errors import Conflict, Invalid, Problem
from kvist.resources.networks.names import Who, amended, released, reservation
from kvist.resources.networks.wish import network_of
from kvist.specs.network import DhcpHost, Ip, Network
from kvist.values import Name
from kvist.xml.document import Document

if TYPE_CHECKING:
    from kvist.resources.hosts.host import Host
    from kvist.specs.nic import Nic
    from kvist.xml.spec import Spec


def reserved(host: Host, vm: str, nics: Sequence[Nic], problems: list[Problem], where: str) -> list[Step]:
    """Work out the reservations for cards with an address. What is wrong with one is added to `problems`."""
    steps: list[Step] = []
    taken: set[tuple[str, str]] = set()
    for nic in nics:
        if nic.ip is None or nic.network is None:
            if nic.ip is not None and "/" not in nic.ip:
                problems.append(_set_by_guest(nic, where))
            continue
        address, slash, _ = nic.ip.partition("/")
        state = host.connection.networks.get(nic.network)
        if not _gives_out(Network.read(Document.parse(state.xml).root), address):
            if not slash:
                problems.append(_set_by_guest(nic, where))
            continue
        if (nic.network, address) in taken:
            problems.append(Problem(where, f'two cards are to have {address} on network "{nic.network}"'))
            continue
        # Of several cards on one network the first has the name.
        first = not any(network == nic.network for network, _ in taken)
        taken.add((nic.network, address))
        who = Who(str(nic.mac).lower(), Name(vm).hostname if first else None)
        try:
            steps += reservation(host, nic.network, who, address, xml=state.xml)
        except Invalid as wrong:
            problems += [each._replace(path=where) for each in wrong.problems]
        except Conflict as wrong:
            problems.append(Problem(where, wrong.what, wrong.hint))
    return steps


def given_free(host: Host, cards: Iterable[Spec]) -> Iterator[Step]:
    """Work out the steps that give free what is reserved for cards which go."""
    for name, gone in _of_cards(host, cards):
        yield from amended(host, name, released(gone))


def renamed(host: Host, cards: Iterable[Spec], old: str, new: str) -> Iterator[Step]:
    """Work out the steps by which a VM with these cards is found by its new name."""
    was, name = Name(old).hostname, Name(new).hostname
    for network, there in _of_cards(host, cards):
        mine = [(ip, one) for ip, one in there if one.name == was]
        if mine and was != name:
            wish = Network(ips=tuple(Ip(address=ip.address, hosts=(one.replace(name=name),)) for ip, one in mine))
            yield from amended(host, network, wish)


def _of_cards(host: Host, cards: Iterable[Spec]) -> Iterator[tuple[str, list[tuple[Ip, DhcpHost]]]]:
    wanted = {str(card.get("mac")).lower() for card in cards if card.get("network") and card.get("mac")}
    if not wanted:
        return
    for state in host.connection.networks.all():
        # Most networks have no reservation for them: their documents need not be parsed.
        if any(mac in state.xml.lower() for mac in wanted):
            net = Network.read(Document.parse(state.xml).root)
            if found := [(ip, one) for ip in net.ips for one in ip.hosts if str(one.mac) in wanted]:
                yield state.name, found


def _gives_out(net: Network, address: str) -> bool:
    parsed = ip_address(address)
    if not any(ip.ranges or ip.hosts for ip in net.ips):
        return False
    # An address that lies in no subnet with DHCP is complained of there, unless the guest sets it itself.
    return parsed.version == 4 and any((found := network_of(ip)) is not None and found.version == 4 for ip in net.ips)


def _set_by_guest(nic: Nic, where: str) -> Problem:
    there = nic.network or nic.bridge or nic.dev or "that"
    return Problem(
        where,
        f'"{there}" gives out no addresses by DHCP that {nic.ip} could be reserved with',
        f"{there},ip={nic.ip}/24 lets the guest set it itself",
    )
