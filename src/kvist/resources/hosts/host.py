"""A host: one libvirt, and the way to the guests behind it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from kvist.engine.step import Site
from kvist.errors import Invalid, KvistError, NotFound, Unreachable, Unsupported

if TYPE_CHECKING:
    from kvist.host.hand import Hand
    from kvist.resources.bridges.bridge import Bridges
    from kvist.resources.filters.filter import Filters
    from kvist.resources.firewall.firewall import Firewall
    from kvist.resources.forwards.forwards import Forwards
    from kvist.resources.images.image import Images
    from kvist.resources.networks.network import Networks
    from kvist.resources.past.history import History
    from kvist.resources.past.trash import Trash
    from kvist.resources.vms.machines import Machines
    from kvist.resources.vms.vm import Machine
    from kvist.sandbox.sandbox import Sandbox
    from kvist.virt.connection import Connection

SYSTEM = "qemu:///system"
SESSION = "qemu:///session"


class Place(NamedTuple):
    """Where a host is: its libvirt, and the sandbox it is, if it is one."""

    uri: str
    name: str
    sandbox: Sandbox | None = None

    @property
    def local(self) -> bool:
        """Its files are this machine's files."""
        return self.sandbox is None and ":///" in self.uri and not self.uri.startswith("test:")

    @property
    def session(self) -> bool:
        """It is the libvirt of an ordinary user, who may not make networks: guests have user-mode network."""
        return self.uri.partition("?")[0].endswith("/session")

    @property
    def ssh(self) -> str:
        """The ssh destination of a remote host, empty for one that is not reached by ssh."""
        return self.uri.partition("://")[2].partition("/")[0] if "+ssh" in self.uri.partition("://")[0] else ""

    def hand(self) -> Hand:
        """Give a hand on it: its programs and files. Raises Unsupported where neither can be reached from here."""
        from kvist.host.hand import Hand

        if self.sandbox is not None:
            return Hand(prefix=self.sandbox.enter([]), root=str(self.sandbox.root))
        if self.local:
            return Hand()
        if self.ssh:
            from kvist.host.login import shared, words

            return Hand(ssh=[*shared(), *words(self.uri)])
        raise Unsupported(
            f'the programs and files of host "{self.name}" are out of reach',
            hint="a host by ssh: qemu+ssh://root@hv2/system",
        )


class Chosen(NamedTuple):
    """The host that is taken, and why that one."""

    where: str
    why: str
    default: bool = False
    """Nobody chose it: another may be tried where it cannot be had."""


class Host:
    """A connected host. `kvist.connect()` gives one.

    Example: `kvist.connect("qemu+ssh://root@hv2/system").vm("web").start()`.
    """

    kind = "host"

    def __init__(
        self,
        connection: Connection,
        place: Place,
        report: Callable[[str, float | None], None] | None = None,
        *,
        asked: str = "",
        patience: float | None = None,
        why: str = "",
    ):
        self.connection = connection
        self.place = place
        self.why = why
        """Why a line acts on this host and no other."""
        self.site = Site(connection, place=place.name, asked=asked, identify=self._identify, reach=lambda: self.hand)
        if report is not None:
            self.site = replace(self.site, report=report)
        if patience is not None:
            self.site = replace(self.site, patience=patience)

    def _identify(self, thing: str) -> str:
        kind, _, name = thing.partition(" ")
        looks: dict[str, Callable[[str], str]] = {
            "vm": lambda name: self.connection.domains.uuid(name),
            "network": lambda name: self.connection.networks.uuid(name),
            "filter": lambda name: self.connection.nwfilters.uuid(name),
        }
        if kind not in looks:
            return ""
        try:
            return looks[kind](name)
        except NotFound:
            return ""

    def touched(self, given: Mapping[str, Any]) -> tuple[str, ...]:
        """Name what an operation on the host itself is about: one at a time changes its files and rules."""
        return (f"host {self.place.name}",)

    def telling(self, report: Callable[[str, float | None], None], look: Callable[[], None]) -> Host:
        """Give the same host, on the same connection, for one of many acts: who is told, and how it hears of a stop."""
        told = Host(self.connection, self.place, report, asked=self.site.asked, why=self.why)
        told.site = replace(told.site, patience=self.site.patience, look=look)
        return told

    @cached_property
    def hand(self) -> Hand:
        """The programs and files of the host."""
        return self.place.hand()

    def vm(self, name: str) -> Machine:
        """Give the VM of this name; it is looked up when something is asked of it."""
        from kvist.resources.vms.vm import Machine

        return Machine(self, name)

    @cached_property
    def vms(self) -> Machines:
        """All VMs of the host."""
        from kvist.resources.vms.machines import Machines

        return Machines(self)

    @cached_property
    def networks(self) -> Networks:
        """Networks of the host."""
        from kvist.resources.networks.network import Networks

        return Networks(self)

    @cached_property
    def filters(self) -> Filters:
        """Network filters of the host."""
        from kvist.resources.filters.filter import Filters

        return Filters(self)

    @cached_property
    def bridges(self) -> Bridges:
        """Bridges of the host."""
        from kvist.resources.bridges.bridge import Bridges

        return Bridges(self)

    @cached_property
    def forwards(self) -> Forwards:
        """Ports of the host that lead to guests."""
        from kvist.resources.forwards.forwards import Forwards

        return Forwards(self)

    @cached_property
    def firewall(self) -> Firewall:
        """What may come to guests, and what they may send."""
        from kvist.resources.firewall.firewall import Firewall

        return Firewall(self)

    @cached_property
    def images(self) -> Images:
        """Images that VMs of the host are made of."""
        from kvist.resources.images.image import Images

        return Images(self)

    @cached_property
    def history(self) -> History:
        """What was done on the host, and taking it back."""
        from kvist.resources.past.history import History

        return History(self)

    @cached_property
    def trash(self) -> Trash:
        """VMs of the host that were deleted and can come back."""
        from kvist.resources.past.trash import Trash

        return Trash(self)

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()


def connect(
    where: str | None = None,
    *,
    report: Callable[[str, float | None], None] | None = None,
    timeout: float = 8,
    asked: str = "",
    patience: float | None = None,
) -> Host:
    """Connect to a host: a libvirt URI, `sandbox:NAME`, or a name that `kvist host add` gave.

    With nothing said: $KVIST_HOST, then the host in use, then qemu:///system, and for an ordinary user who may not use
    that one, qemu:///session.

    `report` is told of progress: a sentence and the share done (None where nobody knows). What a killed kvist left
    half-made on the host is finished or taken back first; `report` is told. `asked` is the line that stands in the
    journal; `patience` is how many seconds to wait for another kvist that is busy with the same VM (600).

    Raises Unreachable or Denied within `timeout` seconds, Invalid for a host that is no URI, NotFound for a sandbox
    that is not up.
    """
    from kvist.engine.execute import recover

    connection, place, why = dial(where, timeout)
    host = Host(connection, place, report, asked=asked, patience=patience, why=why)
    for sentence in recover(host.site):
        host.site.report(sentence, 1.0)
    return host


def beforehand(
    where: str | None = None,
    *,
    report: Callable[[str, float | None], None] | None = None,
    asked: str = "",
    patience: float | None = None,
) -> Host:
    """Give a host whose libvirt need not answer, or not even be there: for what is done with its programs and files."""
    from kvist.virt.connection import Connection

    chosen = choose(where)
    place = locate(chosen.where)
    return Host(Connection.later(place.uri), place, report, asked=asked, patience=patience, why=chosen.why)


def choose(where: str | None) -> Chosen:
    """Choose the host: the one that is named, else $KVIST_HOST, else the one in use, else this machine."""
    if where:
        return Chosen(where, "it was named")
    if named := os.environ.get("KVIST_HOST"):
        return Chosen(named, "KVIST_HOST names it")
    from kvist.resources.hosts.book import read

    if used := read().used:
        return Chosen(used, "it is in use: kvist host use")
    return Chosen(SYSTEM, "no host is named, and none is in use", default=True)


def dial(where: str | None, timeout: float) -> tuple[Connection, Place, str]:
    """Open the connection to a host; tells where it is and why that one was taken. Raises as `connect` does.

    Nothing is cleaned up there.
    """
    from kvist.virt.connection import Connection

    chosen = choose(where)
    try:
        place = locate(chosen.where)
        return Connection.open(place.uri, timeout=timeout), place, chosen.why
    except KvistError as error:
        if not where and not chosen.default:
            error.add(f"that host is meant because {chosen.why}")
        if not chosen.default or os.geteuid() == 0 or not isinstance(error, Unreachable):
            raise
        why = f"{SYSTEM} is not for this user ({error.what})"
    place = locate(SESSION)
    return Connection.open(place.uri, timeout=timeout), place, why


def locate(where: str) -> Place:
    """Find out where a host is, from what a person calls it."""
    kind, _, rest = where.partition(":")
    if kind == "sandbox":
        from kvist.sandbox.sandbox import find

        found = find(rest or "default")
        return Place(found.uri, where, found)
    if "://" in where:
        return Place(where, where)
    from kvist.resources.hosts.book import read

    hosts = read().hosts
    if where in hosts:
        return locate(hosts[where])._replace(name=where)
    known = f"there is {', '.join(sorted(hosts))}; " if hosts else ""
    raise Invalid(
        f'"{where}" is not a host',
        hint=f"{known}a host is a URI such as qemu:///system or qemu+ssh://root@hv2/system, sandbox:NAME, or a name: "
        "kvist host add NAME URI",
    )
