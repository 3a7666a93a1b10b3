"""Addresses and names on a network: reservations, leases, and names that are no guest's."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from ipaddress import ip_address
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

from kvist.engine.ask import Ask
from kvist.engine.operation import operation
from kvist.engine.step import Step
from kvist.errors import Conflict, Invalid, NotFound, Problem
from kvist.resources.networks.wish import network_of, subnets
from kvist.resources.networks.words import NAME
from kvist.specs.network import HOSTNAME, DhcpHost, DnsHost, Ip, Network
from kvist.values import Mac, Name
from kvist.xml.codec import ADDRESS
from kvist.xml.document import Document

if TYPE_CHECKING:
    from kvist.resources.hosts.host import Host
    from kvist.resources.networks.network import Networks
    from kvist.virt.connection import Connection
    from kvist.virt.networks import Lease

WHO: Final = Ask("whose address: a VM, or the MAC address of a card", metavar="VM|MAC", complete="vm")
HOST: Final = Ask("the name", metavar="HOSTNAME")
GIVEN: Final = HOST._replace(complete="hostname")


class LeaseRow(NamedTuple):
    """An address of a network, whose it is, and why: reserved, leased, or both."""

    address: str
    mac: str
    vm: str | None
    hostname: str | None
    network: str
    kind: str
    expires: str | None


class Who(NamedTuple):
    """Whose an address is to be: a card, and the name its guest is found by."""

    mac: str
    name: str | None


def leased(connection: Connection, names: Sequence[str]) -> list[Lease]:
    """List the leases on some networks that have not run out."""
    return [lease for lease in connection.networks.leases() if lease.network in names and lease.expiry > time.time()]


def leases(
    self: Networks, name: Annotated[str, Ask("only this network", metavar="NAME", complete="network")] = ""
) -> list[LeaseRow]:
    """List the addresses that networks have reserved and given out, and which VM has each.

    Example: kvist net leases lab
    """
    from kvist.resources.networks.guests import owners

    states = [self.state(name)] if name else self.host.connection.networks.all()
    given = leased(self.host.connection, [state.name for state in states])
    whose = owners(self.host.connection)
    rows: list[LeaseRow] = []
    for state in states:
        net = Network.read(Document.parse(state.xml).root)
        reserved = {(str(host.mac), str(host.ip)): host for ip in net.ips for host in ip.hosts}
        there = subnets(net)
        mine = {
            (lease.mac.lower(), lease.address): lease
            for lease in given
            # What was leased before the network had another subnet is nobody's any more.
            if lease.network == state.name and any(ip_address(lease.address) in subnet for subnet in there)
        }
        for key in dict.fromkeys((*reserved, *mine)):
            host, lease = reserved.get(key), mine.get(key)
            mac, address = key
            rows.append(
                LeaseRow(
                    address=address,
                    mac=mac if mac != "None" else "",
                    vm=whose.get(mac),
                    hostname=(host.name if host else None) or (lease.hostname if lease else None) or None,
                    network=state.name,
                    kind="reserved, leased" if host and lease else "reserved" if host else "leased",
                    expires=time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(lease.expiry)) if lease else None,
                )
            )
    return sorted(rows, key=lambda row: (row.network, ip_address(row.address).version, int(ip_address(row.address))))


@operation
def reserve(
    self: Networks,
    name: Annotated[str, NAME],
    who: Annotated[str, WHO],
    address: Annotated[str, Ask("the address; the one it has now when not given", metavar="ADDRESS")] = "",
) -> Iterator[Step]:
    """Reserve an address on a network for a VM, which is then also found by its name; one it had is given up.

    A guest that runs asks for it when its lease is renewed, at its next boot at the latest.

    Example: kvist net reserve lab web 10.10.0.5
    """
    state = self.state(name)
    card = _who(self.host, name, who)
    if not address:
        now = [lease.address for lease in leased(self.host.connection, [name]) if lease.mac.lower() == card.mac]
        if not now:
            raise Invalid(f'"{who}" has no address on network "{name}" yet: say which', hint=f"kvist net leases {name}")
        address = now[0]
    try:
        wanted = ADDRESS.parse(address)
    except ValueError as wrong:
        raise Invalid(str(wrong), path="ADDRESS") from wrong
    yield from reservation(self.host, name, card, wanted, xml=state.xml)


@operation
def unreserve(
    self: Networks,
    name: Annotated[str, NAME],
    who: Annotated[
        str, Ask("whose: a VM, a MAC address, or the address itself", metavar="VM|MAC|ADDRESS", complete="reservation")
    ],
) -> Iterator[Step]:
    """Give reserved addresses of a VM free again.

    Example: kvist net unreserve lab web
    """
    net = Network.read(Document.parse(self.state(name).xml).root)
    there = [(ip, host) for ip in net.ips for host in ip.hosts]
    gone = [(ip, host) for ip, host in there if who.lower() in (str(host.mac), host.ip, str(host.name).lower())]
    if not gone and any(who == document.name for document in self.host.connection.domains.both()):
        macs = _macs(self.host, name, who)
        gone = [(ip, host) for ip, host in there if str(host.mac) in macs]
    yield from amended(self.host, name, released(gone))


@operation
def add_host(
    self: Networks,
    name: Annotated[str, NAME],
    hostname: Annotated[str, HOST],
    address: Annotated[str, Ask("its address", metavar="ADDRESS")],
) -> Iterator[Step]:
    """Let guests of a network find an address by a name; it is theirs at once.

    Example: kvist net host add lab db.lab 10.10.0.9
    """
    wanted, ip = _host(hostname, address)
    net = Network.read(Document.parse(self.state(name).xml).root)
    owner = next((host for host in net.dns_hosts if wanted in (host.names or ())), None)
    if owner is not None and owner.ip == ip:
        return
    if owner is not None:
        raise Conflict(
            f'name "{wanted}" is {owner.ip} on network "{name}" already',
            hint=f"kvist net host remove {name} {wanted}",
        )
    had = next((host.names or () for host in net.dns_hosts if host.ip == ip), ())
    yield from amended(self.host, name, Network(dns_hosts=(DnsHost(ip=ip, names=(*had, wanted)),)))


@operation
def remove_host(
    self: Networks,
    name: Annotated[str, NAME],
    hostname: Annotated[str, GIVEN],
) -> Iterator[Step]:
    """Let a name, that `net host add` gave, be found no more.

    Example: kvist net host remove lab db.lab
    """
    net = Network.read(Document.parse(self.state(name).xml).root)
    found = next((host for host in net.dns_hosts if hostname in (host.names or ())), None)
    if found is None:
        return
    left = tuple(each for each in found.names or () if each != hostname)
    wish = DnsHost(ip=found.ip, names=left) if left else DnsHost.removed(ip=found.ip)
    yield from amended(self.host, name, Network(dns_hosts=(wish,)))


def reservation(host: Host, name: str, who: Who, address: str, *, xml: str) -> Iterator[Step]:
    """Work out the reservation of an address on the network with this document.

    Raises Invalid where it is none of the network's, Conflict, with the owner, where it is another's.
    """
    net = Network.read(Document.parse(xml).root)
    ip = subnet_for(net, name, address)
    mine = [(each, one) for each in net.ips for one in each.hosts if str(one.mac) == who.mac]
    if any(one.name == who.name for each in net.ips for one in each.hosts if str(one.mac) != who.mac):
        # libvirt lets a name be one card's only: the first has it.
        who = who._replace(name=None)
    if any(one.ip == address and one.name == (who.name or one.name) for _, one in mine):
        return
    _check_free(host, net, name, who, address)
    named = next((one.name for _, one in mine if one.name), None)
    old = [(each, one) for each, one in mine if (network_of(each) or each) == (network_of(ip) or ip)]
    wanted = DhcpHost(mac=Mac(who.mac), ip=address, name=who.name or named)
    gone = released(old)
    hosts = tuple(one for each in gone.ips for one in each.hosts if one.ip != address)
    kept = DhcpHost(**{key: value for key, value in wanted.items() if value is not None})
    yield from amended(host, name, Network(ips=(Ip(address=ip.address, hosts=(*hosts, kept)),)))


def subnet_for(net: Network, name: str, address: str) -> Ip:
    """Give the subnet of a network that an address lies in. Raises Invalid when it cannot be reserved there."""
    parsed = ip_address(address)
    if parsed.version == 6:
        raise Invalid(
            f"{address}: DHCP knows guests by their MAC address for IPv4 only",
            hint="--nic NETWORK,ip=ADDRESS/PREFIX when the VM is made",
            path="ADDRESS",
        )
    there = [(ip, found) for ip in net.ips if (found := network_of(ip)) is not None and found.version == 4]
    ip = next((ip for ip, subnet in there if parsed in subnet), None)
    if ip is None:
        subnets = ", ".join(str(subnet) for _, subnet in there) or "no subnet"
        raise Invalid(f'{address} is not on network "{name}", which has {subnets}', path="ADDRESS")
    if not (ip.ranges or ip.hosts):
        raise Invalid(f'network "{name}" gives out no addresses: it has no DHCP', hint=f"kvist net show {name}")
    subnet = network_of(ip)
    if subnet is not None and parsed in (subnet.network_address, subnet.broadcast_address):
        raise Invalid(f"{address} is no address of a guest, but of the subnet {subnet} itself", path="ADDRESS")
    return ip


def _check_free(host: Host, net: Network, name: str, who: Who, address: str) -> None:
    from kvist.resources.networks.guests import owners

    if any(ip.address == address for ip in net.ips):
        raise Conflict(f'{address} is the host\'s own address on network "{name}"', hint=f"kvist net show {name}")
    for ip in net.ips:
        for one in ip.hosts:
            if one.ip == address and str(one.mac) != who.mac:
                owner = owners(host.connection).get(str(one.mac)) or one.name or one.id
                said = f'"{owner}" ({one.mac or one.id})' if owner else str(one.mac)
                raise Conflict(
                    f'{address} is reserved for {said} on network "{name}" already',
                    hint=f"kvist net unreserve {name} {one.mac or address}",
                )
    for lease in leased(host.connection, [name]):
        if lease.address == address and lease.mac.lower() != who.mac:
            owner = owners(host.connection).get(lease.mac.lower())
            if owner is not None:
                raise Conflict(
                    f'{address} is leased to VM "{owner}" ({lease.mac}) on network "{name}" at this time',
                    hint=f"kvist net leases {name}",
                )


def _who(host: Host, network: str, word: str) -> Who:
    """Find out which card is meant."""
    try:
        return Who(str(Mac.parse(word)), None)
    except ValueError:
        # Then it is the name of a VM.
        pass
    if word not in host.connection.domains.names():
        raise NotFound(f'there is no VM "{word}", and that is no MAC address either', hint="kvist ls")
    macs = _macs(host, network, word)
    if not macs:
        raise NotFound(f'VM "{word}" has no card on network "{network}"', hint=f"kvist nic add {word} {network}")
    if len(macs) > 1:
        raise Invalid(
            f'VM "{word}" has {len(macs)} cards on network "{network}": {", ".join(macs)}',
            hint=f"kvist net reserve {network} {macs[0]} ADDRESS",
        )
    return Who(macs[0], Name(word).hostname)


def _macs(host: Host, network: str, vm: str) -> list[str]:
    from kvist.resources.networks.guests import plugs

    return [plug.mac for plug in plugs(host.connection, network) if plug.vm == vm]


def _host(hostname: str, address: str) -> tuple[str, str]:
    problems: list[Problem] = []
    found = ["", ""]
    for number, (codec, word, where) in enumerate(((HOSTNAME, hostname, "HOSTNAME"), (ADDRESS, address, "ADDRESS"))):
        try:
            found[number] = codec.parse(word)
        except ValueError as wrong:
            problems.append(Problem(where, str(wrong)))
    if problems:
        raise Invalid(problems, hint="kvist net host add lab db.lab 10.10.0.9")
    return found[0], found[1]


def released(gone: Sequence[tuple[Ip, DhcpHost]]) -> Network:
    """Give the wish that these reservations be no more."""
    by_ip: dict[str | None, tuple[DhcpHost, ...]] = {}
    for ip, host in gone:
        key = {"mac": host.mac, "id": host.id, "ip": host.ip}
        by_ip[ip.address] = (*by_ip.get(ip.address, ()), DhcpHost.removed(**key))
    return Network(ips=tuple(Ip(address=address, hosts=hosts) for address, hosts in by_ip.items()))


def amended(host: Host, name: str, wish: Network) -> Iterator[Step]:
    """Work out the steps that write a wish into a network's documents."""
    from kvist.resources.networks.setting import documents, steps

    state = host.connection.networks.get(name)
    live, stored = documents(host, name, active=state.active, persistent=state.persistent)
    yield from steps(host, name, live, stored, wish)


class Namer:
    """Base of `Networks`, from which a type checker learns the signatures of these."""

    leases = leases
    reserve = reserve
    unreserve = unreserve
    add_host = add_host
    remove_host = remove_host
