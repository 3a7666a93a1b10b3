"""Steps on the firewall of a host: its tables, the groups that rules name, and what the kernel needs for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from kvist.engine.locks import holding
from kvist.engine.step import Change, Command, Site, Step
from kvist.errors import Failed
from kvist.host import sysctl
from kvist.host.firewall import choice, groups, tables
from kvist.resources.firewall.backends.backend import backend, chosen, others
from kvist.resources.firewall.policies import Said
from kvist.resources.steps.crossing import FIREWALL, lasting

MODULE = "br_netfilter"
MODULES = "/etc/modules-load.d/kvist.conf"


@dataclass(frozen=True, kw_only=True)
class Judge(Step):
    """Make the kernel judge packets by what VMs and groups say of themselves at this moment.

    There is one before the steps that change what they say, which does its work on the way back, and one behind them.
    """

    back: bool = False
    by: Literal["nft", "nwfilter"] = choice.NFT
    """What policies stand on when it is planned; it looks again when it is applied."""
    cards: tuple[str, ...] = ()
    """MAC addresses of cards that may have to be plugged in again on the way back, where that takes something."""

    def describe(self) -> str:
        return "have a way back to the policies that are in force" if self.back else "put the policies in force"

    def apply(self, at: Site) -> None:
        if not self.back:
            self._enforce(at)

    def undo(self, at: Site) -> None:
        if self.back:
            self._enforce(at)
        elif self.cards:
            backend(self.by).expect(at, self.cards)

    def _enforce(self, at: Site) -> None:
        # Another kvist looks only when this one has written: none of them loads a table that lacks the other's.
        with holding(at.connection.uri, (FIREWALL,), patience=at.patience, tell=at.report, look=at.look):
            chosen(at).enforce(at)
            # Until then packets have to pass both.
            for other in others(at):
                other.release(at)

    def verify(self, at: Site) -> None:
        if not self.back and (lacking := lasting(lambda: chosen(at).intact(at, Said(at)))):
            raise Failed(f"what was put in force did not hold: {lacking}")

    def commands(self) -> tuple[Command, ...]:
        return () if self.back else backend(self.by).commands()


def judges(at: Site) -> tuple[Judge, Judge]:
    """Give the steps that stand before those that change what VMs and groups say, and behind them."""
    by = choice.chosen(at.hand)
    return Judge(back=True, by=by), Judge(by=by, cards=backend(by).expected(at))


@dataclass(frozen=True, kw_only=True)
class ShutCards(Step):
    """Have filters for cards by which nothing passes: they are given them before their policies are in force."""

    stays = "with the policies in force, those that no card refers to are forgotten"
    by: Literal["nft", "nwfilter"]
    cards: tuple[str, ...]

    def describe(self) -> str:
        return f"have filters for {', '.join(self.cards)} by which nothing passes"

    def apply(self, at: Site) -> None:
        backend(self.by).expect(at, self.cards)

    def commands(self) -> tuple[Command, ...]:
        return backend(self.by).commands()[:1]


@dataclass(frozen=True, kw_only=True)
class Choose(Step):
    """Write down what policies are to stand on; None for the usual."""

    before: Literal["nft", "nwfilter"] | None
    after: Literal["nft", "nwfilter"] | None
    shown: tuple[str, str]
    """What they stood on, and what they stand on from now on."""

    def describe(self) -> str:
        return f"let policies stand on {self.shown[1]}"

    def apply(self, at: Site) -> None:
        choice.choose(at.hand, self.after)

    def undo(self, at: Site) -> None:
        choice.choose(at.hand, self.before)

    def changes(self) -> tuple[Change, ...]:
        return (Change("firewall", "backend", *self.shown, "live"),)

    def commands(self) -> tuple[Command, ...]:
        if self.after is None:
            return (Command(("rm", "-f", choice.CHOICE)),)
        return (Command(("tee", choice.CHOICE), f"{self.after}\n"),)


@dataclass(frozen=True, kw_only=True)
class WriteGroup(Step):
    """Write down a group, or forget it: None says that there is none."""

    name: str
    before: tuple[str, ...] | None
    """Its tag, empty where it has none, and the lines of its policy."""
    after: tuple[str, ...] | None

    def describe(self) -> str:
        return f'{"forget" if self.after is None else "write down"} group "{self.name}"'

    def apply(self, at: Site) -> None:
        self._write(at, self.after)

    def undo(self, at: Site) -> None:
        self._write(at, self.before)

    def _write(self, at: Site, said: tuple[str, ...] | None) -> None:
        if said is None:
            groups.remove(at.hand, self.name)
        else:
            groups.write(at.hand, groups.Group(self.name, said[0], said[1:]))

    def changes(self) -> tuple[Change, ...]:
        return (Change(f"group {self.name}", "group", _told(self.before), _told(self.after), "live"),)

    def commands(self) -> tuple[Command, ...]:
        path = f"{groups.PLACE}/{self.name}"
        if self.after is None:
            return (Command(("rm", path)),)
        return (Command(("tee", path), groups.Group(self.name, self.after[0], self.after[1:]).text),)


def _told(said: tuple[str, ...] | None) -> str | None:
    if said is None:
        return None
    return "; ".join([*([f"tag {said[0]}"] if said[0] else []), *said[1:]]) or "present"


@dataclass(frozen=True, kw_only=True)
class KnowConnections(Step):
    """Let the kernel know the connections of packets that stay on a bridge."""

    stays = "the policies of other VMs need it too"
    keys: tuple[str, ...]
    """Settings of the kernel's that are not as they should be."""
    load: bool
    """The module that has them is not loaded."""

    def describe(self) -> str:
        return f"let the kernel know the connections of packets on bridges: {', '.join(self.keys)}"

    def apply(self, at: Site) -> None:
        if self.load:
            at.hand.run(["modprobe", MODULE])
            at.hand.write(MODULES, f"# Set by kvist.\n{MODULE}\n")
        for key in self.keys:
            sysctl.put(at.hand, key, "1")
            sysctl.keep(at.hand, key, "1")

    def changes(self) -> tuple[Change, ...]:
        return tuple(
            Change("host", key.rpartition(".")[2], None if self.load else "0", "1", "live, and at the next boot")
            for key in self.keys
        )

    def commands(self) -> tuple[Command, ...]:
        load = (Command(("modprobe", MODULE)),) if self.load else ()
        return (*load, *(Command(("sysctl", "-w", f"{key}=1")) for key in self.keys))


def knowing(at: Site) -> list[Step]:
    """Give the step that the kernel needs before it can judge; none where it knows connections already."""
    said = {key: sysctl.read(at.hand, key) for key in tables.NETFILTER}
    lacking = tuple(key for key, now in said.items() if now != "1")
    return [KnowConnections(keys=lacking, load="" in said.values())] if lacking else []
