"""Ports of a host that lead to guests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from kvist.engine.ask import Ask
from kvist.engine.operation import operation
from kvist.engine.step import Step
from kvist.errors import Conflict, Invalid, Problem, Unsupported
from kvist.host.firewall import enforcement
from kvist.resources.changing.alter import alter
from kvist.resources.forwards.crossings import Led, card_of, leased, led, networks, wanted
from kvist.resources.hosts.holding import Holding
from kvist.resources.hosts.setting import forwarding
from kvist.resources.steps.crossing import Enforce
from kvist.specs.forward import Forward
from kvist.specs.vm import Vm
from kvist.values import PortRange
from kvist.xml.document import Document

if TYPE_CHECKING:
    from kvist.resources.vms.vm import Machine

PROTOCOLS = ("tcp", "udp")
MOST_MOVED = 1024
"""Ports of a range that become other ports: each is an entry of the table."""
NAME_SERVICES = (53, 67)
"""DNS and DHCP, which libvirt's networks answer at their own addresses: a forward leaves those alone."""


class Row(NamedTuple):
    """One forward. `address` is where it leads to at this moment."""

    port: str
    vm: str
    to: str
    address: str | None
    source: str | None
    on: str | None
    state: str


class Forwards(Holding):
    """The forwards of a host. Each is written down in the metadata of the VM that it leads to."""

    kind = "vm"

    def touched(self, given: Mapping[str, Any]) -> tuple[str, ...]:
        """Name the VMs that an operation is about."""
        if target := given.get("target"):
            return (f"vm {str(target).partition(':')[0]}",)
        port = given.get("port")
        return tuple(dict.fromkeys(f"vm {one.vm}" for one in self.all() if port in (None, one.forward.ports)))

    def all(self) -> list[Led]:
        """List what is written down, by port."""
        return led(self.host.connection.domains.documents())

    def ls(self) -> list[Row]:
        """List the forwards: where they lead to, and whether they are in force.

        Example: kvist forward ls
        """
        found = self.all()
        if not found:
            return []
        at = self.site
        trouble = enforcement.intact(at.hand, wanted(at))
        known, leases, where = networks(at), leased(at), enforcement.whereabouts(at.hand)
        documents = dict(at.connection.domains.documents())
        rows: list[Row] = []
        for one in found:
            way = one.forward
            address, state = None, f"not in force: {trouble}; kvist forward restore" if trouble else "in force"
            try:
                card = card_of(one.vm, Document.parse(documents[one.vm]).root, known, leases)
            except Unsupported as wrong:
                state = f"not in force: {wrong.what}"
            else:
                address = where.get(card.key) or card.told or None
            rows.append(
                Row(str(way.ports), one.vm, way.target, address, way.source or None, way.on or None, state)
            )  # fmt: skip
        return rows

    @operation
    def add(
        self,
        port: Annotated[PortRange, Ask("port of the host: 8080, 53/udp, 8000-8010", metavar="PORT")],
        target: Annotated[
            str, Ask("the VM and its port; the same port where none is said", metavar="VM[:PORT]", complete="vm")
        ],
        *,
        from_: Annotated[str, Ask("only connections from this network or address", metavar="CIDR")] = "",
        on: Annotated[
            str, Ask("only at this address of the host, or by this interface of it", metavar="ADDRESS|INTERFACE")
        ] = "",
    ) -> Iterator[Step]:
        """Forward a port of the host to a guest: for other machines, the host itself (127.0.0.1 too) and other guests.

        It follows the guest when its address changes, and is there again after a restart of guest, network, libvirt and
        host. It is written down in the VM's metadata, and goes where that goes. IPv4 only.

        Example: kvist forward add 8080 web:80
        """
        name, _, to = target.partition(":")
        if not name:
            raise Invalid("no VM is named", path="VM:PORT", hint="kvist forward add 8080 web:80")
        forward = _read(port, to or str(port).partition("/")[0], from_, on)
        vm = self.host.vm(name)
        have = vm.spec.forwards or ()
        if Forward.parse(str(forward)) in map(Forward.parse, have):
            if trouble := enforcement.intact(self.site.hand, wanted(self.site)):
                self.site.report(f"it is written down, but {trouble}", None)
                yield Enforce(told=self._address(vm))
            return
        card_of(name, vm.document().root, networks(self.site), {})
        enforcement.check_tools(self.site.hand)
        self._check_free(forward, name)
        yield from forwarding(self.site)
        yield from alter(vm, Vm(forwards=(*have, str(forward))))
        yield Enforce(come=((name, str(forward)),), told=self._address(vm))

    @operation
    def remove(
        self,
        port: Annotated[
            PortRange, Ask("port of the host: 8080, 53/udp, 8000-8010", metavar="PORT", complete="forward")
        ],
    ) -> Iterator[Step]:
        """Forward a port no longer. One that is not forwarded is no mistake; connections that are open go on.

        Example: kvist forward remove 53/udp
        """
        listed = self.all()
        going = [one for one in listed if one.forward.ports == port]
        wider = [one.forward.ports for one in listed if one.forward.meets(Forward(port, port.first))]
        if wider and not going:
            raise Conflict(
                f"port {port} is not forwarded by itself, but as a part of {wider[0]} or with it",
                hint=f"kvist forward remove {wider[0]}",
            )
        for name in dict.fromkeys(one.vm for one in going):
            vm = self.host.vm(name)
            stay = tuple(text for text in vm.spec.forwards or () if Forward.parse(text).ports != port)
            yield from alter(vm, Vm(forwards=stay or None))
        if going:
            yield Enforce(gone=tuple((one.vm, str(one.forward)) for one in going))

    @operation
    def restore(self) -> Iterator[Step]:
        """Put what is written down in force again, after somebody has flushed the host's rules.

        libvirt's hooks do it too, whenever a network or a guest is started.

        Example: kvist forward restore
        """
        want = wanted(self.site)
        if want.openings or want.exposures:
            if enforcement.intact(self.site.hand, want):
                yield Enforce()
        elif enforcement.written(self.site.hand):
            yield Enforce()

    def _check_free(self, forward: Forward, name: str) -> None:
        """Raise Conflict when a forward or a process has the port, Invalid when the host has no such address."""
        for other in self.all():
            if forward.meets(other.forward):
                raise Conflict(
                    f'port {forward.ports} of the host is forwarded to "{other.vm}:{other.forward.target}" already',
                    hint=f"kvist forward remove {other.forward.ports}",
                )
        hand = self.site.hand
        addresses: dict[str, str] = {}
        if forward.on or (forward.ports.first <= NAME_SERVICES[1] and forward.ports.last >= NAME_SERVICES[0]):
            from kvist.host.net.links import links

            found = links(hand)
            addresses = {one.address: link.name for link in found for one in link.addresses}
            if forward.on not in ("", *addresses, *(link.name for link in found)):
                what = f'address "{forward.on}"' if forward.address else f'interface "{forward.on}"'
                raise Invalid(f"the host has no {what}", path="--on", hint="ip address")
        from kvist.host.net.listeners import listeners

        bridges = {net.bridge for net in networks(self.site).values() if net.bridge}
        for one in listeners(hand):
            if one.protocol != forward.ports.protocol or not forward.ports.first <= one.port <= forward.ports.last:
                continue
            theirs = one.interface or addresses.get(one.address, "")
            if one.port in NAME_SERVICES and theirs in bridges and forward.on != one.address:
                continue
            if one.address == "*" and one.interface and forward.interface not in ("", one.interface):
                continue
            if forward.address and one.address not in ("*", forward.address):
                continue
            if forward.interface and one.address != "*" and addresses.get(one.address) != forward.interface:
                continue
            where = "" if one.address == "*" else f" of {one.address}"
            raise Conflict(
                f"port {one.port}/{one.protocol}{where} is taken on the host: {one.words} listens on it",
                hint=f"kvist forward add {_other(forward.ports)} {name}:{forward.target}, or name an address: --on",
            )

    def _address(self, vm: Machine) -> tuple[tuple[str, str], ...]:
        """Give where a VM is: by its agent, which knows best, its lease, or as a neighbour of the host."""
        if not vm.state.active:
            return ()
        from kvist.resources.reaching.address import addresses

        found = [one.address for one in addresses(vm) if ":" not in one.address]
        return ((vm.name, found[0]),) if found else ()


def _read(port: PortRange, to: str, source: str, on: str) -> Forward:
    """Read what is wanted. Raises Invalid with all that is wrong."""
    from ipaddress import IPv4Address, IPv4Network

    problems: list[Problem] = []
    if port.protocol not in PROTOCOLS:
        problems.append(Problem("PORT", f"{port.protocol} cannot be forwarded: tcp and udp can"))
    first = 0
    try:
        guest = PortRange.parse(to)
        first = guest.first
        if "/" in to and guest.protocol != port.protocol:
            problems.append(Problem("VM:PORT", f"a forward does not make {guest.protocol} of {port.protocol}"))
        if guest.last - guest.first != port.last - port.first:
            problems.append(Problem("VM:PORT", f"{to} has not as many ports as {port}"))
    except ValueError as wrong:
        problems.append(Problem("VM:PORT", str(wrong)))
    if first != port.first and port.last - port.first >= MOST_MOVED:
        problems.append(
            Problem("VM:PORT", f"at most {MOST_MOVED} ports become others: give the guest's the same numbers")
        )
    if source:
        try:
            source = str(IPv4Network(source))
        except ValueError as wrong:
            problems.append(Problem("--from", f"{wrong}: an IPv4 network is written 10.0.0.0/8"))
    if on and on.replace(".", "").isdecimal():
        try:
            on = str(IPv4Address(on))
        except ValueError:
            problems.append(Problem("--on", f'"{on}" is no IPv4 address'))
    elif ":" in on or " " in on:
        problems.append(Problem("--on", f'"{on}" is neither an IPv4 address nor an interface of the host'))
    if problems:
        raise Invalid(problems)
    return Forward(port, first, source, on)


def _other(ports: PortRange) -> PortRange:
    """Give another port to try: 8080 for 80, one more for those that anybody may use."""
    shift = 8000 if ports.last < 1024 else ports.last - ports.first + 1
    return ports if ports.last + shift > 65535 else ports._replace(first=ports.first + shift, last=ports.last + shift)
