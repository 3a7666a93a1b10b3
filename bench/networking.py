"""The race of networks: an address reserved, DHCP changed live, a port forwarded, and the map of many guests."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from bench.listing import host_of
from bench.programs import KVIST
from bench.race import Line, Rival, race, steady
from bench.report import Row, compare

from kvist.resources.hosts.host import Host, connect
from kvist.sandbox import sandbox as sandboxes
from kvist.specs.vm import Vm
from kvist.values import PortRange, Size

NET, VM, GUESTS = "default", "bench-net", 200
OURS, THEIRS = "52:54:00:00:be:01", "52:54:00:00:be:02"
UPDATE = "virsh net-update"
RESTART = "virsh net-define, destroy, start"
TITLE = "kvist set --title"
"""A line that makes the libvirt calls that a forward makes, and no more."""


def rows(*, quick: bool, environment: Mapping[str, str], scratch: Path) -> Sequence[Row]:
    """Race them in a sandbox of their own, and give the rows of the table."""
    name = f"bench-{os.getpid()}-net"
    up = sandboxes.up(name, tether=True)
    try:
        track = _Track(connect(f"sandbox:{name}"), up.uri, scratch)
        rounds = 3 if quick else 9
        reserve = race(track.reserve, rounds, within=20, environment=environment)
        dhcp = race(track.dhcp, rounds, within=40, environment=environment)
        forward = race(track.forward, rounds, within=20, environment=environment)
        uri = f"test://{host_of(GUESTS, scratch)}"
        drawn = race((Rival("kvist", steady(KVIST, "--host", uri, "net", "map")),), rounds, within=20,
                     environment=environment)  # fmt: skip
    finally:
        sandboxes.down(name)
    return (
        compare("kvist net reserve, running", "wall", reserve, UPDATE),
        compare("kvist net reserve, running", "wall", reserve, 0.3 + reserve[UPDATE].typical("wall"), aim=1),
        compare("kvist net set --dhcp, running", "wall", dhcp, RESTART),
        compare("kvist forward add", "wall", forward, 0.3 + forward[TITLE].typical("wall"), aim=1),
        compare(f"kvist net map, {GUESTS} VMs", "wall", drawn, 2.0, aim=1),
    )


class _Track:
    """A network, and a VM that is off: no run wants what the one before has left."""

    def __init__(self, host: Host, uri: str, scratch: Path) -> None:
        self.host, self.uri = host, uri
        host.images.build("micro")
        host.vms.create(VM, Vm(memory=Size(128 << 20), cpus=1), image="micro", start=False)
        text = host.connection.networks.xml(NET, stored=True)
        self.files = []
        for last in ("201", "202"):
            path = scratch / f"net-{last}.xml"
            path.write_text(text.replace("192.168.122.254", f"192.168.122.{last}"))
            self.files.append(str(path))

    def _kvist(self, *words: str) -> Line:
        return Line((KVIST, "--host", self.host.place.name, *words))

    def _virsh(self, *words: str) -> Line:
        return Line(("virsh", "-q", "-c", self.uri, *words))

    @property
    def reserve(self) -> Sequence[Rival]:
        where = ("--live", "--config")
        update = ("net-update", NET)

        def by_hand(run: int) -> Iterable[Line]:
            element = f"<host mac='{THEIRS}' ip='192.168.122.{10 + run % 2}'/>"
            yield self._virsh(*update, "modify" if run else "add", "ip-dhcp-host", element, *where)

        return (
            Rival("kvist", _turns(lambda on: self._kvist("net", "reserve", NET, OURS, f"192.168.122.{20 + on}"))),
            Rival(UPDATE, by_hand),
        )

    @property
    def dhcp(self) -> Sequence[Rival]:
        def by_hand(run: int) -> Iterable[Line]:
            yield self._virsh("net-define", self.files[run % 2])
            yield self._virsh("net-destroy", NET)
            yield self._virsh("net-start", NET)

        last = ("192.168.122.210", "192.168.122.211")
        return (
            Rival("kvist", _turns(lambda on: self._kvist("net", "set", NET, "--dhcp", f"192.168.122.50-{last[on]}"))),
            Rival(RESTART, by_hand),
        )

    @property
    def forward(self) -> Sequence[Rival]:
        add = self._kvist("forward", "add", "8080", f"{VM}:80")
        return (
            Rival("kvist", lambda _run: [add], after=lambda _run: self._close()),
            Rival(TITLE, lambda run: [self._kvist("set", VM, "--title", f"run {run}")]),
        )

    def _close(self) -> None:
        self.host.forwards.remove(PortRange.parse("8080"))


def _turns(line: Callable[[bool], Line]) -> Callable[[int], Iterable[Line]]:
    """Give one command in odd runs and another in even ones."""
    return lambda run: [line(bool(run % 2))]
