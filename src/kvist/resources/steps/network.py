"""Steps on networks: made, started, changed while guests are plugged in, stopped, removed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from kvist.engine.step import Change, Command, Disruption, Site, Step
from kvist.errors import Failed, KvistError, NotFound, Refused
from kvist.resources.networks import guests, sections
from kvist.resources.networks.parking import parked
from kvist.xml.document import Document


@dataclass(frozen=True, kw_only=True)
class NetworkStep(Step):
    """A step on one network."""

    name: str

    def _must_be_free(self, at: Site, doing: str, *, running: bool = True) -> None:
        """Raise Refused, with their names, when VMs are plugged in."""
        there = [plug for plug in guests.plugs(at.connection, self.name) if plug.running or not running]
        if there:
            raise Refused(
                f'cannot {doing} network "{self.name}": VM {guests.names(there)} is plugged into it',
                hint=f"kvist net show {self.name}",
            )


@dataclass(frozen=True, kw_only=True)
class DefineNetwork(NetworkStep):
    """Store a new network."""

    uuid: str
    xml: str
    shown: tuple[tuple[str, str], ...] = ()
    """What the answer tells of it: fields and values."""
    followed: bool = False
    """It is another name of a network that was there: VMs that are off follow it, by steps of their own."""

    def describe(self) -> str:
        return f'define network "{self.name}"'

    def apply(self, at: Site) -> None:
        if not _is(at, self.name, self.uuid):
            at.connection.networks.define(self.xml, name=self.name)

    def undo(self, at: Site) -> None:
        networks = at.connection.networks
        # Another network of that name, made by someone else meanwhile, is none of ours.
        if _is(at, self.name, self.uuid):
            if networks.active(self.name):
                networks.stop(self.name)
            networks.undefine(self.name)

    def inverse(self, at: Site) -> Sequence[Step]:
        self._must_be_free(at, "remove", running=self.followed)
        return super().inverse(at)

    def verify(self, at: Site) -> None:
        if not _is(at, self.name, self.uuid):
            raise Failed(f'network "{self.name}" is not the one that was defined')

    def changes(self) -> tuple[Change, ...]:
        return tuple(Change(self.name, field, None, value) for field, value in self.shown)

    def commands(self) -> tuple[Command, ...]:
        return _virsh("net-define", "/dev/stdin", document=self.xml)


@dataclass(frozen=True, kw_only=True)
class UndefineNetwork(NetworkStep):
    """Remove the definition of a network that is stopped; `xml` is what brings it back."""

    uuid: str
    xml: str

    def describe(self) -> str:
        return f'remove the definition of network "{self.name}"'

    def apply(self, at: Site) -> None:
        if _is(at, self.name, self.uuid):
            at.connection.networks.undefine(self.name)

    def undo(self, at: Site) -> None:
        if not at.connection.networks.exists(self.name):
            at.connection.networks.define(self.xml, name=self.name)

    def verify(self, at: Site) -> None:
        if _is(at, self.name, self.uuid):
            raise Failed(f'network "{self.name}" is still defined')

    def changes(self) -> tuple[Change, ...]:
        return (Change(self.name, "definition", "present", None),)

    def commands(self) -> tuple[Command, ...]:
        return _virsh("net-undefine", self.name)


@dataclass(frozen=True, kw_only=True)
class StartNetwork(NetworkStep):
    """Start a network."""

    def describe(self) -> str:
        return f'start network "{self.name}"'

    def apply(self, at: Site) -> None:
        if not at.connection.networks.active(self.name):
            start(at, self.name)

    def undo(self, at: Site) -> None:
        try:
            if at.connection.networks.active(self.name):
                self._must_be_free(at, "stop")
                at.connection.networks.stop(self.name)
        except NotFound:
            return

    def inverse(self, at: Site) -> Sequence[Step]:
        if not at.connection.networks.exists(self.name) or not at.connection.networks.active(self.name):
            return ()
        self._must_be_free(at, "stop")
        return (StopNetwork(name=self.name),)

    def changes(self) -> tuple[Change, ...]:
        return (Change(self.name, "state", "inactive", "active"),)

    def commands(self) -> tuple[Command, ...]:
        return _virsh("net-start", self.name)


@dataclass(frozen=True, kw_only=True)
class StopNetwork(NetworkStep):
    """Stop a network that no guest is plugged into; `xml` brings back one that has no definition."""

    xml: str = ""

    def describe(self) -> str:
        return f'stop network "{self.name}"'

    def apply(self, at: Site) -> None:
        try:
            if at.connection.networks.active(self.name):
                at.connection.networks.stop(self.name)
        except NotFound:
            # One without a definition is gone once it is stopped.
            return

    def undo(self, at: Site) -> None:
        if not at.connection.networks.exists(self.name):
            if self.xml:
                at.connection.networks.create(self.xml, name=self.name)
        elif not at.connection.networks.active(self.name):
            start(at, self.name)

    def changes(self) -> tuple[Change, ...]:
        return (Change(self.name, "state", "active", "inactive"),)

    def commands(self) -> tuple[Command, ...]:
        return _virsh("net-destroy", self.name)


@dataclass(frozen=True, kw_only=True)
class CutNetwork(StopNetwork):
    """Stop a network under running guests: their cards hang in the air until they are plugged in again."""

    disruption = Disruption.REPLUG
    cut: tuple[str, ...]

    def describe(self) -> str:
        return f'stop network "{self.name}" under VM {", ".join(self.cut)}'

    def undo(self, at: Site) -> None:
        super().undo(at)
        with parked(at, self.name):
            # They are taken off, and come back to the network that runs again.
            pass


@dataclass(frozen=True, kw_only=True)
class AutostartNetwork(NetworkStep):
    """Start a network with its host, or not."""

    on: bool

    def describe(self) -> str:
        return f'{"start" if self.on else "do not start"} network "{self.name}" with the host'

    def apply(self, at: Site) -> None:
        at.connection.networks.set_autostart(self.name, self.on)

    def undo(self, at: Site) -> None:
        if at.connection.networks.exists(self.name):
            at.connection.networks.set_autostart(self.name, not self.on)

    def changes(self) -> tuple[Change, ...]:
        return (Change(self.name, "autostart", not self.on, self.on),)

    def commands(self) -> tuple[Command, ...]:
        return _virsh("net-autostart", self.name, *(() if self.on else ("--disable",)))


@dataclass(frozen=True, kw_only=True)
class AmendNetwork(NetworkStep):
    """Change one element of a network while it runs, and for its next start. Guests notice nothing."""

    section: str
    parent: int
    before: str
    after: str
    live: bool
    stored: bool
    shown: tuple[tuple[str, Any, Any], ...] = ()
    places: tuple[int, int] = (-1, -1)
    """Where the old element stood: in the network that runs, and in its definition."""

    def describe(self) -> str:
        act = "change" if self.before and self.after else "add" if self.after else "remove"
        return f'{act} {self.section} of network "{self.name}"'

    def apply(self, at: Site) -> None:
        live, stored = self._open(at, self.before, self.after)
        if live or stored:
            self._swap(at, self.before, self.after, live=live, stored=stored)

    def undo(self, at: Site) -> None:
        if not at.connection.networks.exists(self.name):
            return
        live, stored = self._open(at, self.after, self.before)
        if live and stored and self._later(at, 0) == self._later(at, 1):
            self._put_back(at, self._later(at, 0), live=True, stored=True)
            return
        for number, here in enumerate((live, stored)):
            if here:
                self._put_back(at, self._later(at, number), live=number == 0, stored=number == 1)

    def _later(self, at: Site, number: int) -> list[str]:
        """Give what comes behind the place of an element that went."""
        place = self.places[number]
        if self.after or place < 0:
            return []
        document = Document.parse(at.connection.networks.xml(self.name, stored=number == 1))
        return sections.behind(document, self.section, self.parent, place)

    def _open(self, at: Site, old: str, new: str) -> tuple[bool, bool]:
        """Tell in which of the two documents there is something to do."""
        networks = at.connection.networks
        live = self.live and networks.active(self.name) and self._lacks(at, old, new, stored=False)
        return live, self.stored and self._lacks(at, old, new, stored=True)

    def _lacks(self, at: Site, old: str, new: str, *, stored: bool) -> bool:
        document = Document.parse(at.connection.networks.xml(self.name, stored=stored))
        had = bool(old) and sections.place_of(document, self.section, self.parent, old) >= 0
        return had or (bool(new) and sections.place_of(document, self.section, self.parent, new) < 0)

    def _swap(self, at: Site, old: str, new: str, *, live: bool, stored: bool) -> None:
        if old and new:
            self._update(at, "modify", new, live=live, stored=stored)
        elif old or new:
            self._update(at, "add" if new else "delete", new or old, live=live, stored=stored)

    def _put_back(self, at: Site, later: Sequence[str], *, live: bool, stored: bool) -> None:
        """Take the change back; an element that went comes back to where it was, before what came later."""
        for xml in later:
            self._update(at, "delete", xml, live=live, stored=stored)
        self._swap(at, self.after, self.before, live=live, stored=stored)
        for xml in later:
            self._update(at, "add", xml, live=live, stored=stored)

    def _update(self, at: Site, command: str, xml: str, *, live: bool, stored: bool) -> None:
        at.connection.networks.update(
            self.name, self.section, command, xml, parent=self.parent, live=live, stored=stored
        )

    def verify(self, at: Site) -> None:
        if any(self._open(at, "", self.after)):
            raise Failed(f'libvirt did not keep {self.section} of network "{self.name}"')

    def changes(self) -> tuple[Change, ...]:
        when = "live" if self.live else "now"
        return tuple(Change(self.name, field, before, after, when) for field, before, after in self.shown)

    def commands(self) -> tuple[Command, ...]:
        act = "modify" if self.before and self.after else "add-last" if self.after else "delete"
        scope = [flag for flag, on in (("--live", self.live), ("--config", self.stored)) if on]
        parent = ("--parent-index", str(self.parent)) if self.parent >= 0 else ()
        return _virsh("net-update", self.name, act, self.section, self.after or self.before, *parent, *scope)


@dataclass(frozen=True, kw_only=True)
class RemakeNetwork(NetworkStep):
    """Store a new definition of a network and, where it runs, restart it."""

    before: str
    after: str
    restart: bool
    replug: bool = False
    """Guests have to see their cards go and come: what these are changes, or their addresses."""
    shown: tuple[tuple[str, Any, Any], ...] = ()

    def describe(self) -> str:
        return f'{"change and restart" if self.restart else "change"} network "{self.name}"'

    def apply(self, at: Site) -> None:
        self._become(at, self.after, self.before)

    def undo(self, at: Site) -> None:
        self._become(at, self.before, self.after)

    def _become(self, at: Site, xml: str, other: str) -> None:
        networks = at.connection.networks
        if not networks.exists(self.name):
            return
        if not self.restart:
            networks.define(xml, name=self.name)
            return
        with parked(at, self.name, replug=self.replug):
            if networks.active(self.name):
                networks.stop(self.name)
            networks.define(xml, name=self.name)
            try:
                start(at, self.name)
            except KvistError:
                # Guests must not be left in the air because the new form cannot be started.
                networks.define(other, name=self.name)
                start(at, self.name)
                raise

    def verify(self, at: Site) -> None:
        if self.restart and not at.connection.networks.active(self.name):
            raise Failed(f'network "{self.name}" did not start again')

    def changes(self) -> tuple[Change, ...]:
        when = "restarted" if self.restart else "now"
        return tuple(Change(self.name, field, before, after, when) for field, before, after in self.shown)

    def commands(self) -> tuple[Command, ...]:
        again = (*_virsh("net-destroy", self.name), *_virsh("net-start", self.name)) if self.restart else ()
        return (*_virsh("net-define", "/dev/stdin", document=self.after), *again)


@dataclass(frozen=True, kw_only=True)
class RemakeUnderGuests(RemakeNetwork):
    """Restart a network that running guests are plugged into, and plug their cards into it again."""

    disruption = Disruption.REPLUG
    blinked: tuple[str, ...] = ()
    """The VMs whose guests lose their network for a moment."""

    def describe(self) -> str:
        return f'change and restart network "{self.name}", and plug {", ".join(self.blinked)} into it again'

    def inverse(self, at: Site) -> Sequence[Step]:
        back = tuple((field, after, before) for field, before, after in self.shown)
        return (replace(self, before=self.after, after=self.before, shown=back),)

    def changes(self) -> tuple[Change, ...]:
        return (*super().changes(), *(Change(vm, "network", self.name, self.name, "replug") for vm in self.blinked))


def start(at: Site, name: str) -> None:
    """Start a network; who is in its way is named in the error."""
    try:
        at.connection.networks.start(name)
    except KvistError as wrong:
        from kvist.resources.networks.holders import explained

        raise explained(at, name, wrong) from wrong


def _virsh(*words: str, document: str = "") -> tuple[Command, ...]:
    return (Command(("virsh", *words), document),)


def _is(at: Site, name: str, uuid: str) -> bool:
    try:
        return at.connection.networks.uuid(name) == uuid
    except NotFound:
        return False
