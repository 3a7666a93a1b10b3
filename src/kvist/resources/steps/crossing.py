"""Steps on what crosses the edge of a host: kvist's own nft table, and settings of the kernel that it needs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from kvist.engine.locks import holding
from kvist.engine.step import Change, Command, Site, Step
from kvist.errors import Failed
from kvist.host import sysctl
from kvist.host.firewall import enforcement
from kvist.host.firewall.crossing import TABLE, Crossing
from kvist.resources.forwards.crossings import Led, wanted
from kvist.specs.forward import Forward
from kvist.specs.network import Network
from kvist.xml.document import Document

FIREWALL = "host firewall"
"""What is locked while the table is made."""
HOOKS_WITHIN = 5.0
"""Seconds that libvirt's hooks may take to load a table again; they need a tenth of one."""


@dataclass(frozen=True, kw_only=True)
class Enforce(Step):
    """Make the host's firewall say what VMs and networks say of themselves.

    It looks at them when it is applied and when it is taken back, so that what others did meanwhile is not lost; what
    this operation adds and takes is named here, whether or not it is written down by then.
    """

    come: tuple[tuple[str, str], ...] = ()
    """VMs and their new forwards."""
    gone: tuple[tuple[str, str], ...] = ()
    told: tuple[tuple[str, str], ...] = ()
    """VMs and their addresses, where they are known better than by a lease."""
    exposed: tuple[tuple[str, str], ...] = ()
    """Networks and the interfaces from which they are reached from now on."""
    hidden: tuple[tuple[str, str], ...] = ()

    def describe(self) -> str:
        return f"load the firewall's table {TABLE}"

    def _want(self, at: Site, *, back: bool) -> Crossing:
        come, gone, exposed, hidden = self.come, self.gone, self.exposed, self.hidden
        if back:
            come, gone, exposed, hidden = gone, come, hidden, exposed
        return wanted(
            at, come=_led(come), gone=_led(gone), told=dict(self.told), exposed=exposed, hidden=hidden
        )  # fmt: skip

    def apply(self, at: Site) -> None:
        self._enforce(at, back=False)

    def undo(self, at: Site) -> None:
        self._enforce(at, back=True)

    def _enforce(self, at: Site, *, back: bool) -> None:
        # Another kvist looks only when this one has written: none of them loads a table that lacks the other's.
        with holding(at.connection.uri, (FIREWALL,), patience=at.patience, tell=at.report, look=at.look):
            enforcement.enforce(at.hand, self._want(at, back=back))

    def verify(self, at: Site) -> None:
        want = self._want(at, back=False)
        if (want.openings or want.exposures) and (lacking := lasting(lambda: enforcement.intact(at.hand, want))):
            raise Failed(f"what was put in force did not hold: {lacking}")

    def commands(self) -> tuple[Command, ...]:
        return (
            Command(("nft", "-f", enforcement.RULES)),
            Command(("iptables", "-I", "FORWARD", "1", *enforcement.PASS)),
        )


def lasting(look: Callable[[], str]) -> str:
    """Give what is lacking even when libvirt's hooks, which load the same tables at any moment, have had their time."""
    end = time.monotonic() + HOOKS_WITHIN
    while (lacking := look()) and time.monotonic() < end:
        time.sleep(0.1)
    return lacking


def _led(pairs: tuple[tuple[str, str], ...]) -> list[Led]:
    return [Led(name, Forward.parse(text)) for name, text in pairs]


@dataclass(frozen=True, kw_only=True)
class SetSysctl(Step):
    """Set one value of the kernel's, now and for the next boot."""

    key: str
    before: str
    """What the kernel said."""
    kept: str | None
    """What kvist's file said for the next boot; None where it said nothing."""
    after: str

    def describe(self) -> str:
        return f"set {self.key} = {self.after}, now and for the next boot"

    def apply(self, at: Site) -> None:
        sysctl.put(at.hand, self.key, self.after)
        sysctl.keep(at.hand, self.key, self.after)

    def undo(self, at: Site) -> None:
        sysctl.put(at.hand, self.key, self.before)
        sysctl.keep(at.hand, self.key, self.kept)

    def verify(self, at: Site) -> None:
        if (now := sysctl.read(at.hand, self.key)) != self.after:
            raise Failed(f"{self.key} is {now}, not {self.after}")

    def changes(self) -> tuple[Change, ...]:
        before = self.before if self.kept == self.before else f"{self.before}, and not kept"
        return (Change("host", self.key.rpartition(".")[2], before, self.after, "live, and at the next boot"),)

    def commands(self) -> tuple[Command, ...]:
        return (
            Command(("sysctl", "-w", f"{self.key}={self.after}")),
            Command(("tee", sysctl.KEPT), f"{self.key} = {self.after}\n"),
        )


@dataclass(frozen=True, kw_only=True)
class DropSysctl(SetSysctl):
    """Set one value of the kernel's back, and keep it for no next boot."""

    def describe(self) -> str:
        return f"set {self.key} = {self.after}, and keep it no longer"

    def apply(self, at: Site) -> None:
        sysctl.put(at.hand, self.key, self.after)
        sysctl.keep(at.hand, self.key, None)


@dataclass(frozen=True, kw_only=True)
class MarkExposed(Step):
    """Write down in the document of a network from where it may be reached."""

    name: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    told: str = ""
    """The line that other hosts need."""

    def describe(self) -> str:
        return f'write down who may reach network "{self.name}"'

    def apply(self, at: Site) -> None:
        self._write(at, self.after)

    def undo(self, at: Site) -> None:
        self._write(at, self.before)

    def verify(self, at: Site) -> None:
        if self._said(at.connection.networks.stored()[self.name]) != self.after:
            raise Failed(f'libvirt did not keep who may reach network "{self.name}"')

    def _said(self, xml: str) -> tuple[str, ...]:
        return Network.read(Document.parse(xml).root).exposed or ()

    def _write(self, at: Site, uplinks: tuple[str, ...]) -> None:
        found = at.connection.networks.stored().get(self.name)
        # One that has gone took along what it said.
        if found is not None and self._said(found) != uplinks:
            document = Document.parse(found)
            Network(exposed=uplinks or None).write(document.root)
            at.connection.networks.define(document.text(), name=self.name)

    def changes(self) -> tuple[Change, ...]:
        return (
            Change(self.name, "exposed", ", ".join(self.before) or None, ", ".join(self.after) or None, "live"),
            *((Change("other hosts", "route", None, self.told, "to be typed there"),) if self.told else ()),
        )
