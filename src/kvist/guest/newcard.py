"""A card that was plugged into a running guest: whether the guest has taken it up, and a push where it has not."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.resources import files
from ipaddress import ip_address
from typing import TYPE_CHECKING

from kvist.errors import GuestFailed, KvistError, TimedOut

if TYPE_CHECKING:
    from kvist.guest.agent import Agent, Interface

SEEN_WITHIN = 3.0
"""Seconds in which a guest finds a new card."""
ADDRESS_WITHIN = 3.0
"""Seconds in which a network with a DHCP server gives an address, once somebody has asked for one."""
PAUSE = 0.2


def take_up(
    agent: Agent,
    mac: str,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> str:
    """See that a guest takes a card up, and say in a sentence what has become of it.

    A guest that does nothing by itself is told to ask for an address by DHCP.
    """

    def wait(seconds: float, done: Callable[[Interface | None], bool]) -> Interface | None:
        end = clock() + seconds
        while True:
            found = next((one for one in agent.interfaces() if one.mac == mac.lower()), None)
            if done(found) or clock() > end:
                return found
            sleep(PAUSE)

    try:
        card = wait(SEEN_WITHIN, lambda one: one is not None)
        if card is None:
            return f"the guest has not seen card {mac} yet: has it a driver for this model?"
        card = wait(ADDRESS_WITHIN, lambda one: bool(address_of(one))) or card
        if not address_of(card):
            complaint = _push(agent, card.name)
            card = wait(ADDRESS_WITHIN, lambda one: bool(address_of(one))) or card
            if not address_of(card):
                told = f" ({complaint})" if complaint else ""
                return f'card {mac} is "{card.name}" in the guest, and has no address there{told}: give it one'
    except KvistError as silent:
        # The card is plugged in, whatever became of it since.
        return f"nobody knows whether the guest has taken card {mac} up: {silent.what}"
    return f'card {mac} is "{card.name}" in the guest, with {address_of(card)}'


def address_of(card: Interface | None) -> str:
    """Give the first address of a card that it has not made up itself."""
    known = [one.address for one in card.addresses] if card else []
    return next((each for each in known if not ip_address(each).is_link_local), "")


def _push(agent: Agent, name: str) -> str:
    """Have the guest ask for an address; gives what it complains of."""
    script = (files("kvist.guest") / "card.sh").read_text(encoding="utf-8")
    try:
        done = agent.exec(["/bin/sh", "-s", name], input=script.encode(), timeout=15)
    except (GuestFailed, TimedOut) as refused:
        return refused.what
    return done.err.decode(errors="replace").strip().splitlines()[-1] if done.code and done.err.strip() else ""
