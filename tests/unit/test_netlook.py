"""What a guest prints of its network is read, whole or in part; so is what a host says of its ports."""

from __future__ import annotations

from kvist.errors import GuestFailed
from kvist.guest.agent import Agent
from kvist.guest.netlook import GuestLink, GuestRoute, look, read

PRINTED = """
@ links
eth0 52:54:00:AA:00:01 0x1003 1
eth1 52:54:00:aa:00:02 0x1002
lo 00:00:00:00:00:00 0x49 1

@ routes
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t017AA8C0\t0003\t0\t0\t2\t00000000\t0\t0\t0
eth0\t007AA8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0

@ resolver
# made by somebody
nameserver 192.168.122.1
search lab
nameserver fd00::1

@ client
/usr/sbin/dhclient

@ onboot
/etc/sysconfig/network-scripts/ifcfg-eth1:ONBOOT=no

@ answers
name 192.168.122.1 0
ping 192.168.122.1 0
ping 10.99.0.1 1

@ end
"""


def test_all_parts_of_an_answer_are_read() -> None:
    found = read(PRINTED)
    assert found.links[:2] == (
        GuestLink("eth0", "52:54:00:aa:00:01", True, True),
        GuestLink("eth1", "52:54:00:aa:00:02", False, False),
    )
    assert found.routes == (GuestRoute("default", "192.168.122.1", "eth0"), GuestRoute("192.168.122.0/24", "", "eth0"))
    assert (found.resolvers, found.client) == (("192.168.122.1", "fd00::1"), "dhclient")
    assert found.onboot == ("ifcfg-eth1:ONBOOT=no",)
    assert [found.answers(each) for each in ("192.168.122.1", "10.99.0.1", "10.0.0.1")] == [True, False, None]
    assert found.names == (("192.168.122.1", True),)


def test_a_guest_that_says_little_leaves_the_rest_empty() -> None:
    assert read("") == read("@ links\n@ routes\n@ end\n")
    assert read("").link("52:54:00:aa:00:01") is None


def test_an_agent_that_may_run_nothing_still_tells_its_addresses() -> None:
    def ask(message: str, _timeout: float) -> str:
        if "get-interfaces" in message:
            return """{"return": [{"name": "eth0", "hardware-address": "52:54:00:AA:00:01",
                       "ip-addresses": [{"ip-address": "10.0.0.5", "prefix": 24}]}]}"""
        raise GuestFailed("guest-exec is blocked")

    found = look(Agent("web", ask), ("10.0.0.1",))
    known = found.interface("52:54:00:aa:00:01")
    assert known is not None and str(known.addresses[0]) == "10.0.0.5/24"
    assert (found.ran, found.pings) == (False, ())
