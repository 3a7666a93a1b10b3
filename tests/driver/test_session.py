"""The libvirt of an ordinary user: guests get user-mode network there, for nobody may make another."""

from __future__ import annotations

import pytest

import kvist
from kvist.errors import Problem
from kvist.resources.devices.nic import Nics
from kvist.resources.hosts.host import Host, Place
from kvist.specs.nic import Nic


def nics(uri: str, *wishes: Nic) -> tuple[list[Nic], list[Problem]]:
    """Plan the cards of a VM on a host that has this URI."""
    told = kvist.connect("test:///default")
    problems: list[Problem] = []
    host = Host(told.connection, Place(uri, uri))
    try:
        return list(Nics(host, model="virtio", problems=problems).plan(wishes)), problems
    finally:
        told.close()


@pytest.mark.parametrize(
    ("uri", "kind", "network"),
    [
        ("qemu:///session", "user", None),
        ("qemu+ssh://me@hv2/session", "user", None),
        ("qemu:///session?socket=/run/x", "user", None),
        ("qemu:///system", "network", "default"),
    ],
)
def test_the_card_that_nobody_asked_for_is_one_that_the_host_can_have(uri: str, kind: str, network: str | None) -> None:
    (card,), problems = nics(uri)
    assert (card.variant(), card.network, card.model) == (kind, network, "virtio")
    assert card.mac and problems == []


def test_user_mode_network_can_be_asked_for_by_name_and_a_wrong_name_says_so() -> None:
    (card,), problems = nics("qemu:///system", Nic(network="user", model="e1000e"))
    assert (card.type, card.network, card.model, problems) == ("user", None, "e1000e", [])
    _, problems = nics("qemu:///system", Nic(network="nowhere"))
    assert "--nic user" in problems[0].hint
