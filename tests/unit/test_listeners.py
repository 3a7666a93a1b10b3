"""Who listens on a host is read from what ss(8) prints."""

from __future__ import annotations

from typing import Any

from kvist.host.hand import Hand
from kvist.host.net.listeners import Listener, listeners, parse
from kvist.host.run import Result

SS = """\
tcp   LISTEN 0 32 192.168.122.1:53 0.0.0.0:* users:(("dnsmasq",pid=80,fd=6))
tcp   LISTEN 0 128 *:8080 *:* users:(("nginx",pid=7,fd=3),("nginx",pid=8,fd=3))
tcp   LISTEN 0 128 [::]:8081 [::]:*
udp   UNCONN 0 0 0.0.0.0%virbr0:67 0.0.0.0:* users:(("dnsmasq",pid=80,fd=3))
tcp   LISTEN 0 128 [::1]:8082 [::]:* users:(("a b",pid=9,fd=3))

"""
FOUND = [
    Listener("tcp", "192.168.122.1", "", 53, "dnsmasq", 80),
    Listener("tcp", "*", "", 8080, "nginx", 7),
    Listener("tcp", "*", "", 8081, "", 0),
    Listener("udp", "*", "virbr0", 67, "dnsmasq", 80),
    Listener("tcp", "::1", "", 8082, "a b", 9),
]


class Said(Hand):
    """A host on which ss(8) prints this."""

    def run(self, argv: Any, **_rest: Any) -> Result:
        assert list(argv) == ["ss", "-H", "-l", "-n", "-t", "-u", "-p"]
        return Result(tuple(argv), 0, SS.encode(), b"")


def test_who_listens_is_read_with_protocol_address_interface_and_process() -> None:
    assert listeners(Said()) == parse(SS) == FOUND


def test_who_listens_is_told_by_name_where_the_name_is_told() -> None:
    assert [one.words for one in FOUND[1:3]] == ['"nginx" (pid 7)', "a process of the kernel or of another user"]


def test_packets_are_heard_at_an_address_and_an_interface() -> None:
    dns, web, _, dhcp, _ = FOUND
    assert dns.hears("192.168.122.1") and not dns.hears("10.0.0.1")
    assert web.hears("10.0.0.1", "eth0")
    assert dhcp.hears("10.0.0.1", "virbr0") and not dhcp.hears("10.0.0.1", "virbr1") and not dhcp.hears("10.0.0.1")
