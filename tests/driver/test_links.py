"""Interfaces and routes are read from what ip(8) says of this machine."""

from __future__ import annotations

import json

import pytest

from kvist.host.hand import Hand
from kvist.host.net.links import links, routes
from kvist.host.run import Result
from kvist.values import Cidr


def test_the_loopback_interface_is_read_with_its_address() -> None:
    loopback = next(link for link in links(Hand()) if link.name == "lo")
    assert Cidr("127.0.0.1", 8) in loopback.addresses
    assert (loopback.kind, loopback.master, loopback.dynamic) == ("", "", False)
    assert loopback.mtu > 1000


def test_a_route_has_its_gateway_device_and_metric(monkeypatch: pytest.MonkeyPatch) -> None:
    told = [
        {
            "dst": "default",
            "gateway": "10.0.0.1",
            "dev": "eth0",
            "protocol": "dhcp",
            "prefsrc": "10.0.0.5",
            "metric": 100,
        },
        {"dst": "192.168.122.0/24", "dev": "virbr0", "protocol": "kernel", "scope": "link"},
    ]

    def run(_self: Hand, argv: list[str]) -> Result:
        return Result(tuple(argv), 0, json.dumps(told if "-4" in argv else []).encode(), b"")

    monkeypatch.setattr(Hand, "run", run)
    first, second = routes(Hand())
    assert (first.to, first.via, first.dev, first.source, first.metric) == (
        "default",
        "10.0.0.1",
        "eth0",
        "10.0.0.5",
        100,
    )
    assert (second.to, second.via, second.dev) == ("192.168.122.0/24", "", "virbr0")
