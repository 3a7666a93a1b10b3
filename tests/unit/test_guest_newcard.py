"""A card that is plugged into a running guest comes up in it, or what has become of it is said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest

from kvist.errors import GuestFailed
from kvist.guest.agent import Agent, Done, Interface
from kvist.guest.newcard import address_of, take_up
from kvist.values import Cidr

MAC = "52:54:00:1A:b3:4a"
OWN = Cidr("fe80::1", 64)
GIVEN = Cidr("10.0.0.5", 24)


class Guest:
    """An agent whose guest takes the card up after so many looks, by itself or once it is told to."""

    def __init__(
        self, *, seen: int = 0, address: int | None = None, pushed: int | None = None, exec: Any = None
    ) -> None:
        self.seen, self.address, self.pushed = seen, address, pushed
        self.looks = 0
        self.told: list[Sequence[str]] = []
        self.answer = exec or Done(0, b"", b"")
        self.now = 0.0

    def interfaces(self) -> list[Interface]:
        self.looks += 1
        given = self.address if not self.told else self.pushed
        addresses = (OWN, GIVEN) if given is not None and self.looks > given else (OWN,)
        cards = [Interface("lo", "00:00:00:00:00:00", (Cidr("127.0.0.1", 8),))]
        return [*cards, Interface("eth1", MAC.lower(), addresses)] if self.looks > self.seen else cards

    def exec(self, argv: Sequence[str], *, input: bytes, timeout: float) -> Done:
        self.told.append(argv)
        assert b"udhcpc" in input
        if isinstance(self.answer, Exception):
            raise self.answer
        return cast("Done", self.answer)

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def taken(self) -> str:
        return take_up(cast("Agent", self), MAC, clock=lambda: self.now, sleep=self.sleep)


def test_a_guest_that_takes_it_up_itself_is_left_alone() -> None:
    guest = Guest(seen=2, address=5)
    assert guest.taken() == f'card {MAC} is "eth1" in the guest, with 10.0.0.5'
    assert guest.told == []


def test_a_guest_that_does_nothing_is_told_to_ask_for_an_address() -> None:
    guest = Guest(pushed=0)
    assert guest.taken() == f'card {MAC} is "eth1" in the guest, with 10.0.0.5'
    assert guest.told == [["/bin/sh", "-s", "eth1"]]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Done(3, b"", b"no program here asks for an address\n"), " (no program here asks for an address)"),
        (GuestFailed("its agent runs no commands"), " (its agent runs no commands)"),
        (Done(0, b"", b""), ""),
    ],
    ids=["no client", "no exec", "no server"],
)
def test_one_that_gets_no_address_is_told_of(answer: Any, said: str) -> None:
    guest = Guest(exec=answer)
    assert guest.taken() == f'card {MAC} is "eth1" in the guest, and has no address there{said}: give it one'
    assert guest.now < 12


def test_one_that_never_appears_is_told_of() -> None:
    assert "has not seen card" in Guest(seen=1000).taken()


def test_an_agent_that_falls_silent_spoils_nothing() -> None:
    class Silent(Guest):
        def interfaces(self) -> list[Interface]:
            raise GuestFailed("the agent is gone")

    assert Silent().taken() == f"nobody knows whether the guest has taken card {MAC} up: the agent is gone"


def test_an_address_that_a_card_made_up_itself_does_not_count() -> None:
    assert address_of(Interface("eth1", MAC, (OWN, Cidr("169.254.1.1", 16)))) == ""
