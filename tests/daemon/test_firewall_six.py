"""IPv6 under policies: neighbours are found, routers are heard, and no guest says that it is what it is not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.daemon.policed import APP, SIX, WEB, Guests

from kvist.host.run import run
from kvist.resources.firewall.tracing import trace
from kvist.resources.hosts.host import Host

ADVERTISES = (
    # socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6); sendto(it, message, 16, 0, address, 28); exit(what was sent - 16)
    "bf0a000000 be03000000 ba3a000000 b829000000 0f05 89c7 488d3528000000 ba10000000 4531d2 4c8d0529000000 41b91c000000"
    "b82c000000 0f05 89c7 83ef10 b83c000000 0f05"
    # Type 134, for 1800 seconds; to ff02::1 on interface 2.
    "8600000040000708 0000000000000000 0a000000 00000000 ff020000000000000000000000000001 02000000"
)
"""A program for x86-64 that sends one advertisement of a router by eth0: the guest has none that does."""


def program(code: bytes) -> bytes:
    """Give an executable file of ELF that is this code and nothing else. Source: elf(5)."""
    start, size = 0x400078, 0x78 + len(code)
    head = b"\x7fELF\2\1\1" + bytes(9) + bytes.fromhex("02003e0001000000") + start.to_bytes(8, "little")
    head += (64).to_bytes(8, "little") + bytes(8) + bytes(4) + bytes.fromhex("400038000100000000000000")
    part = bytes.fromhex("0100000005000000") + bytes(8) + (0x400000).to_bytes(8, "little") * 2
    part += size.to_bytes(8, "little") * 2 + (0x1000).to_bytes(8, "little")
    return head + part + code


@pytest.fixture(scope="module")
def rogue(guests: Guests) -> Iterator[Guests]:
    """A guest that can advertise itself as a router."""
    octal = "".join(f"\\{byte:03o}" for byte in program(bytes.fromhex(ADVERTISES)))
    guests.inside(APP, f"printf '{octal}' > /tmp/advertise; chmod +x /tmp/advertise")
    yield guests
    guests.inside(APP, "rm /tmp/advertise")


def advertised(guests: Guests) -> tuple[bool, bool]:
    """Let a guest advertise itself; tell whether it really did, and whether the other guest heard it."""
    guests.wire.forget()
    guests.inside(APP, "/tmp/advertise")
    like: dict[str, Any] = {"kind": "icmp6", "number": 134}
    sent = guests.wire.saw(tap=guests.taps[APP], to=False, **like)
    return sent, guests.wire.saw(within=0.5, tap=guests.taps[WEB], to=True, **like)


@pytest.mark.parametrize(
    ("vm", "lines", "heard"),
    [
        (APP, (), True),
        (APP, ("antispoof {app} {six}",), False),
        (APP, ("deny ra out",), False),
        (APP, ("deny nd out",), False),
        (APP, ("default in=allow out=deny",), False),
        (APP, ("default in=allow out=deny", "allow ra out"), True),
        (WEB, ("deny ra",), False),
        (WEB, ("default in=deny out=deny",), True),
    ],
)
def test_a_guest_is_a_router_only_where_it_may_be(
    rogue: Guests, free: Guests, host: Host, vm: str, lines: tuple[str, ...], heard: bool
) -> None:
    free.let(vm, *(line.format(app=free.addresses[APP], six=SIX[APP]) for line in lines))
    assert advertised(free) == (True, heard)
    assert trace(host.firewall, "ra", from_=SIX[APP], to=SIX[WEB])[-1].verdict == ("accept" if heard else "drop")


def test_neighbours_are_found_though_everything_else_is_denied(free: Guests) -> None:
    free.let(WEB, "default in=deny out=deny")
    flush = "ip -6 neigh flush dev eth0 >/dev/null; "
    free.inside(WEB, flush)
    said = free.inside(
        APP, f"{flush} ping6 -c 1 -W 1 {SIX[WEB]} >/dev/null && echo answered; ip -6 neigh show {SIX[WEB]}"
    )
    assert ("answered" in said, "lladdr" in said) == (False, True)
    free.line("fw", "allow", WEB, "icmp", "--from", APP)
    said = free.inside(APP, f"{flush} ping6 -c 1 -W 2 {SIX[WEB]} >/dev/null && echo answered")
    assert "answered" in said
    free.line("fw", "deny", WEB, "nd")
    said = free.inside(APP, f"{flush} ping6 -c 1 -W 1 {SIX[WEB]} >/dev/null; ip -6 neigh show {SIX[WEB]}")
    assert "lladdr" not in said


def test_a_guest_does_not_say_that_anothers_address_is_its_own(free: Guests, host: Host) -> None:
    other = "fd00::77"
    like: dict[str, Any] = {"kind": "icmp6", "number": 136}

    def answers() -> tuple[bool, bool]:
        """Let a guest take an address, and the other ask whose it is: does it say so, and is that heard?"""
        free.inside(APP, f"ip -6 addr add {other}/64 dev eth0; sleep 2")
        free.wire.forget()
        free.inside(WEB, f"ip -6 neigh flush dev eth0; ping6 -c 1 -W 1 {other} >/dev/null; true")
        free.inside(APP, f"ip -6 addr del {other}/64 dev eth0")
        said = free.wire.saw(tap=free.taps[APP], to=False, target=SIX[WEB], **like)
        return said, free.wire.saw(within=0.5, tap=free.taps[WEB], to=True, target=SIX[WEB], source=other, **like)

    assert answers() == (True, True)
    free.let(APP, f"antispoof {free.addresses[APP]} {SIX[APP]}")
    assert answers() == (True, False)
    assert trace(host.firewall, "nd", from_=SIX[APP], to=SIX[WEB], as_=other)[-1].verdict == "drop"
    # Its own address it may tell.
    said = free.inside(WEB, f"ip -6 neigh flush dev eth0; ping6 -c 1 -W 2 {SIX[APP]} >/dev/null && echo answered")
    assert "answered" in said


def test_the_hosts_own_advertisements_reach_guests_that_deny_everything(free: Guests) -> None:
    """It is the network's own router: the guest makes its address of what that says, and goes out by it."""
    free.line("net", "create", "six", "--subnet6", "fd77::/64")
    free.let(WEB, "antispoof", "default in=deny out=deny")
    free.line("nic", "add", WEB, "six")
    try:
        taps = run(free.sandbox.enter(["virsh", "-q", "domiflist", WEB])).text.splitlines()
        tap, mac = next((row.split()[0], row.split()[-1]) for row in taps if "six" in row.split())
        free.wire.forget()
        found = f"grep -l {mac} /sys/class/net/*/address | cut -d/ -f5"
        looks = "for i in 1 2 3 4 5 6 7 8 9 10; do ip -6 addr show dev $dev | grep -q fd77: && break; sleep 1; done"
        up = "sysctl -qw net.ipv6.conf.$dev.disable_ipv6=0; ip link set $dev down; ip link set $dev up"
        said = free.inside(WEB, f"dev=$({found}); {up}; {looks}; ip -6 addr show dev $dev; ip -6 route show dev $dev")
        assert free.wire.saw(tap=tap, to=True, kind="icmp6", number=134)
        assert ["fd77:" in said, "default via fe80:" in said] == [True, True]
    finally:
        free.line("nic", "remove", WEB, "six")
        free.line("net", "delete", "six")
