"""The race of firewall rules: policies against libvirt's filters, on interfaces without guests behind them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from uuid import UUID
from xml.etree.ElementTree import Element, SubElement, tostring

from bench.programs import KVIST
from bench.race import Line, Rival, race
from bench.report import Row, compare

from kvist.host.firewall.choice import filter_of
from kvist.host.firewall.tables import own_tap
from kvist.host.run import run
from kvist.resources.hosts.host import Host, connect
from kvist.sandbox import sandbox as sandboxes
from kvist.sandbox.sandbox import Sandbox
from kvist.specs.nic import Nic
from kvist.specs.vm import Vm
from kvist.values import Mac, Size
from kvist.xml.document import Document

CARDS, BOUND = 50, 10
"""Cards of the race of many; libvirt redoes their filters one after the other, so that fewer of them tell as much."""
ONE, MANY = "virsh nwfilter-define, 1 card", f"virsh nwfilter-define, {BOUND} cards, {CARDS // BOUND} times"


def rows(*, quick: bool, environment: Mapping[str, str], scratch: Path) -> Sequence[Row]:
    """Race a change of one card's rules and of many cards', and give the rows of the table."""
    name = f"bench-{os.getpid()}-fw"
    up = sandboxes.up(name, tether=True)
    try:
        track = _Track(connect(f"sandbox:{name}"), up, scratch)
        single = race(track.rivals("fw-0", ONE, 1, 1), 3 if quick else 11, within=40, environment=environment)
        many = track.rivals("group:all", MANY, BOUND, CARDS // BOUND)
        fifty = race(many, 2 if quick else 3, within=90, environment=environment)
        track.stand_on_filters("fw-0")
        filtered = race(track.rivals("fw-0", ONE, 1, 1), 3 if quick else 11, within=60, environment=environment)
    finally:
        sandboxes.down(name)
    return (
        compare("kvist fw block, 1 running card", "wall", single, ONE, aim=1),
        compare("kvist fw block, 1 running card", "CPU", single, 0.250, aim=1),
        compare(f"kvist fw block, {CARDS} running cards", "wall", fifty, MANY, aim=0.1),
        compare(f"kvist fw block, {CARDS} running cards", "wall", fifty, 1.0, aim=1),
        compare("kvist fw block on libvirt's filters, 1 running card", "wall", filtered, ONE, aim=3),
    )


class _Track:
    """Cards with interfaces that nobody sends by: some have policies, others libvirt's filters."""

    def __init__(self, host: Host, sandbox: Sandbox, scratch: Path) -> None:
        self.host, self.uri, self.scratch = host, sandbox.uri, scratch

        def inside(*argv: str) -> None:
            run(sandbox.enter(list(argv)))

        for number in range(CARDS):
            mac = Mac(f"52:54:00:bb:00:{number:02x}")
            self._plug(inside, own_tap(mac), mac)
            new = Document.new("domain", type="qemu")
            card = Nic(type="network", network="default", mac=mac, tap=own_tap(mac))
            size = Size(64 << 20)
            Vm(name=f"fw-{number}", memory=size, os_type="hvm", groups=("all",), nics=(card,)).write(new.root)
            host.connection.domains.define(new.text(), name=f"fw-{number}")
        run([KVIST, "--host", host.place.name, "fw", "group", "create", "all"])
        for count in (1, BOUND):
            self._define(count, blocked=False)
            for number in range(count):
                tap = f"theirs{count}-{number}"
                self._plug(inside, tap, f"52:54:00:cc:{count:02x}:{number:02x}")
                self._bind(tap, f"bench-{count}", f"52:54:00:cc:{count:02x}:{number:02x}", 1000 + count * 100 + number)

    def _plug(self, inside: Callable[..., None], tap: str, mac: str) -> None:
        inside("ip", "tuntap", "add", tap, "mode", "tap")
        inside("ip", "link", "set", tap, "address", f"fe{mac[2:]}", "master", "virbr0", "up")

    def _virsh(self, *words: str) -> Sequence[str]:
        return ("virsh", "-q", "-c", self.uri, *words)

    def _filter(self, count: int, *, blocked: bool) -> str:
        """Write a filter that is used by so many cards; gives its file."""
        top = Element("filter", name=f"bench-{count}", chain="root")
        SubElement(top, "uuid").text = str(UUID(int=count))
        for port in range(22, 25 if blocked else 24):
            rule = SubElement(top, "rule", action="drop", direction="in", priority="500")
            SubElement(rule, "tcp", dstportstart=str(port))
        file = self.scratch / f"filter-{count}-{blocked}.xml"
        file.write_bytes(tostring(top))
        return str(file)

    def _define(self, count: int, *, blocked: bool) -> None:
        run(self._virsh("nwfilter-define", self._filter(count, blocked=blocked)))

    def _bind(self, tap: str, filter: str, mac: str, number: int) -> None:
        top = Element("filterbinding")
        owner = SubElement(top, "owner")
        SubElement(owner, "name").text = tap
        SubElement(owner, "uuid").text = str(UUID(int=number))
        SubElement(top, "portdev", name=tap)
        SubElement(top, "mac", address=mac)
        SubElement(top, "filterref", filter=filter)
        file = self.scratch / "binding.xml"
        file.write_bytes(tostring(top))
        run(self._virsh("nwfilter-binding-create", str(file)))

    def stand_on_filters(self, name: str) -> None:
        """Let policies stand on libvirt's filters, and one card have one that stays while it is not blocked."""
        for words in (("unblock", "group:all", name), ("backend", "nwfilter"), ("deny", name, "tcp/25")):
            run([KVIST, "--host", self.host.place.name, "fw", *words])
        mac = str(Vm.read(Document.parse(self.host.connection.domains.xml(name)).root).nics[0].mac)
        self._bind(own_tap(mac), filter_of(mac), mac, 1)

    def rivals(self, target: str, name: str, count: int, times: int) -> Sequence[Rival]:
        """Give both ways of changing the rules of cards, to and fro."""
        files = [self._filter(count, blocked=blocked) for blocked in (False, True)]

        def ours(turn: int) -> Iterable[Line]:
            return [Line((KVIST, "--host", self.host.place.name, "fw", "unblock" if turn % 2 else "block", target))]

        def theirs(turn: int) -> Iterable[Line]:
            return [Line(self._virsh("nwfilter-define", files[turn % 2]), times)]

        return (Rival("kvist", ours), Rival(name, theirs))
