"""Forwarded ports of guests with user-mode network: found in what QEMU says, and told apart from addresses."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from kvist.errors import Exhausted, Unsupported
from kvist.resources.reaching.forwarding import forwarded, found, split
from kvist.specs.nic import Nic

if TYPE_CHECKING:
    from kvist.resources.vms.vm import Machine

SAID = (
    "Hub -1 (hostnet0):\r\n"
    "  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ\r\n"
    "  TCP[TIME_WAIT]    110       127.0.0.1 20812       10.0.2.15    22     0     0\r\n"
    "  TCP[HOST_FORWARD]  25       127.0.0.1 25511       10.0.2.15    80     0     0\r\n"
    "  TCP[HOST_FORWARD]  23       127.0.0.1 23538       10.0.2.15    22     0     0\r\n"
    "Hub -1 (hostua-second):\r\n"
    "  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ\r\n"
    "  TCP[HOST_FORWARD]  26         0.0.0.0 21000       10.0.2.15    22     0     0\r\n"
    "  TCP[HOST_FORWARD]  27       127.0.0.1 21001       10.0.2.15    25     0     0\r\n"
)
"""As QEMU 7.2 prints it."""


@pytest.mark.parametrize(
    ("netdev", "port", "outer"),
    [
        ("hostnet0", 22, 23538),
        ("hostnet0", 80, 25511),
        ("hostnet0", 25, None),
        ("hostua-second", 25, 21001),
        # One that is open to everybody is none that kvist made.
        ("hostua-second", 22, None),
        ("hostnet1", 22, None),
    ],
)
def test_a_forward_is_found_by_card_and_port(netdev: str, port: int, outer: int | None) -> None:
    assert found(SAID, netdev, port) == outer


def test_an_address_keeps_its_port_only_where_it_is_forwarded() -> None:
    assert split("127.0.0.1:23538", 22) == ("127.0.0.1", 23538)
    assert split("192.168.122.5", 22) == ("192.168.122.5", 22)
    assert split("fe80::1:22", 80) == ("fe80::1:22", 80)


class Monitor:
    """A QEMU whose first answers to hostfwd_add are these."""

    def __init__(self, *answers: str, usernet: str = "") -> None:
        self.answers, self.usernet, self.asked = list(answers), usernet, list[str]()

    def monitor(self, _name: str, command: str) -> str:
        if command == "info usernet":
            return self.usernet
        self.asked.append(command)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def machine(monitor: Monitor) -> Machine:
    connection = SimpleNamespace(domains=monitor)
    return cast("Machine", SimpleNamespace(host=SimpleNamespace(connection=connection), name="web"))


CARD = Nic(type="user", alias="net0")
TAKEN = "could not set up host forwarding rule 'tcp:127.0.0.1:20001-:22'\r\n"


def test_a_forward_that_is_there_is_used_again() -> None:
    monitor = Monitor("", usernet=SAID)
    assert forwarded(machine(monitor), CARD) == "127.0.0.1:23538"
    assert monitor.asked == []


def test_another_port_is_tried_where_one_is_taken() -> None:
    monitor = Monitor(TAKEN, TAKEN, "")
    way = forwarded(machine(monitor), CARD, 80)
    assert len(monitor.asked) == 3
    assert monitor.asked[-1] == f"hostfwd_add hostnet0 tcp:{way}-:80"


def test_it_is_not_tried_for_ever_and_not_where_qemu_cannot() -> None:
    monitor = Monitor(TAKEN)
    with pytest.raises(Exhausted, match="no free port"):
        forwarded(machine(monitor), CARD)
    assert 1 < len(monitor.asked) < 100
    with pytest.raises(Unsupported, match="hostfwd_add"):
        forwarded(machine(Monitor("unknown command: 'hostfwd_add'\r\n")), CARD)
