"""What policies stand on: the two ways of having them in force, by one interface."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple, Protocol

from kvist.host.firewall import choice

if TYPE_CHECKING:
    from kvist.engine.step import Command, Site
    from kvist.resources.firewall.policies import Said
    from kvist.specs.policy import Rule


class InKernel(NamedTuple):
    """One rule of the kernel's."""

    card: str
    chain: str
    line: str
    packets: int | None
    rule: str


class Unbound(NamedTuple):
    """A card that runs and that its policy does not reach."""

    vm: str
    mac: str
    tap: str


class Backend(Protocol):
    """One way of having policies in force. None of them keeps anything that is not worked out from the policies."""

    names_taps: bool
    """Whether cards need names of their own for their interfaces."""

    def check(self, at: Site) -> None:
        """Raise Unsupported when the host lacks what this needs, Denied when this user may not use it."""

    def refused(self, rule: Rule) -> str:
        """Say what of a rule cannot be had; empty when all can."""

    def successor(self, mac: str) -> str:
        """Name the filter that a card has to have in the place of one of its own; empty where it needs none."""

    def enforce(self, at: Site) -> None:
        """Make the host judge as policies say at this moment, now and after restarts; without any nothing is left."""

    def release(self, at: Site) -> None:
        """Take all that this has made away from the host."""

    def expected(self, at: Site) -> tuple[str, ...]:
        """List the cards, by MAC address, that cannot be plugged in again but for what this has made."""

    def expect(self, at: Site, cards: tuple[str, ...]) -> None:
        """Let these be plugged in; nothing passes by them before policies are in force again."""

    def intact(self, at: Site, said: Said) -> str:
        """Say what is not in force as policies want it; empty when all is."""

    def unbound(self, at: Site, said: Said) -> Iterable[Unbound]:
        """Find cards that run and that their policy does not reach."""

    def kernel(self, at: Site, said: Said) -> Iterator[InKernel]:
        """Go through the rules that the kernel has for cards."""

    def commands(self) -> tuple[Command, ...]:
        """Give what puts policies in force, as commands a person could type."""


def backend(name: choice.Name) -> Backend:
    """Give a back-end by its name."""
    if name == choice.NFT:
        from kvist.resources.firewall.backends.tables import Tables

        return Tables()
    from kvist.resources.firewall.backends.filters import Filters

    return Filters()


def chosen(at: Site) -> Backend:
    """Give the back-end that a host's policies stand on."""
    return backend(choice.chosen(at.hand))


def others(at: Site) -> list[Backend]:
    """Give those that they do not stand on."""
    now = choice.chosen(at.hand)
    return [backend(name) for name in (choice.NFT, choice.NWFILTER) if name != now]
