"""The map of many guests is one look; how long it takes is told by bench/."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kvist.host.net.links import Link, Route
from kvist.host.run import Result, run
from kvist.resources.hosts.host import Host, connect
from kvist.resources.netview.facts import nets, plugged
from kvist.resources.netview.map import Around, drawn
from kvist.virt.networks import Lease

GUESTS = 200


@pytest.fixture
def host() -> Iterator[Host]:
    """A host with many guests, each with a card on the network "default" and one on a bridge."""
    up = connect("test:///default")
    for number in range(GUESTS):
        up.connection.domains.define(
            f"<domain type='test'><name>vm{number:03}</name><memory>131072</memory><os><type>hvm</type></os><devices>"
            f"<interface type='network'><mac address='{mac(number, 0)}'/><source network='default'/></interface>"
            f"<interface type='bridge'><mac address='{mac(number, 1)}'/><source bridge='br{number % 20}'/></interface>"
            "</devices></domain>",
            name=f"vm{number:03}",
        )
        up.connection.domains.start(f"vm{number:03}")
    yield up
    for number in range(GUESTS):
        up.connection.domains.destroy(f"vm{number:03}")
        up.connection.domains.undefine(f"vm{number:03}")
    up.close()


def mac(number: int, card: int) -> str:
    return f"52:54:00:{card:02x}:{number >> 8:02x}:{number & 255:02x}"


def test_two_hundred_guests_are_mapped_and_drawn(host: Host) -> None:
    seen = host.networks.map()
    tree, picture, data = seen.outline(), seen.svg(), seen._asdict()
    assert len([card for card in seen.cards if card.vm.startswith("vm")]) == 2 * GUESTS
    assert all(picture.count(f">vm{number:03}<") == 1 for number in range(GUESTS))
    assert {branch.name for branch in tree} >= {"default"}
    assert set(data) == {"uplinks", "bridges", "networks", "cards", "forwards"}


def test_a_full_host_around_them_is_drawn_too(host: Host) -> None:
    known = nets(host.connection)
    cards = [card._replace(tap=f"vnet{at}") for at, card in enumerate(plugged(host.connection)[0])]
    bridges = [Link(f"br{at}", "bridge", "", mac(at, 3), 1500, True, True, (), False) for at in range(20)]
    taps = [Link(each.tap, "tun", each.bridge, each.mac, 1500, True, True, (), False) for each in cards]
    up = [Link(f"eth{at}", "", f"br{at}", mac(at, 4), 1500, True, True, (), False) for at in range(20)]
    around = Around(
        links=(*up, *bridges, *taps),
        routes=(Route("default", "10.0.0.1", "eth0", "", 0, ""),),
        leases=tuple(
            Lease("default", mac(at, 0), f"10.1.{at >> 8}.{at & 255}", 16, "", 1 << 40) for at in range(GUESTS)
        ),
    )
    seen = drawn(known, cards, around)
    assert seen.outline() and seen.svg()
    assert sum(len(bridge.ports) for bridge in seen.bridges) == 20 + GUESTS
    assert sum(bool(card.addresses) for card in seen.cards) == GUESTS


def kvist(*words: str) -> Result:
    """Type a line in a process of its own: what it leaves open ends with it."""
    program = str(Path(sys.executable).with_name("kvist"))
    return run([program, "--host", "test:///default", *words], check=False)


def test_where_the_programs_of_a_host_are_out_of_reach_libvirt_alone_is_mapped() -> None:
    assert kvist("net", "map").text.startswith("default  network, nat  on virbr0  192.168.122.1/24  dhcp\n")
    assert [net["name"] for net in json.loads(kvist("net", "map", "-o", "json").text)["networks"]] == ["default"]
    assert kvist("net", "map", "-o", "name").text == "default\n"


def test_only_what_is_drawn_can_be_had_as_a_picture() -> None:
    refused = kvist("ls", "-o", "svg")
    assert (refused.code, b"kvist net map -o svg" in refused.err) == (2, True)
    assert kvist("net", "map", "-o", "svg").text.startswith("<svg ")


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ("nobody", 3, 'there is no VM "nobody"'),
        ("test --to web", 2, '"web" is not an address such as 10.0.0.1'),
        ("test --to fd00::1", 2, "is an IPv6 address"),
        ("test --mac 52:54:00:00:00:99", 2, "has no network card 52:54:00:00:00:99"),
        ("test", 1, "out of reach"),
    ],
)
def test_a_diagnosis_asks_for_a_vm_a_card_and_an_address_that_can_be(words: str, code: int, told: str) -> None:
    done = kvist("net", "diagnose", *words.split())
    assert (done.code, told in done.err.decode()) == (code, True), done.err


def test_looking_at_the_map_of_a_host_loads_nothing_heavy() -> None:
    look = "import sys; from kvist.cli.main import main; main(sys.argv[1:]); print(*sorted(sys.modules), sep='\\n')"
    found = run([sys.executable, "-c", look, "--host", "test:///default", "net", "map"]).text.split()
    assert not {"yaml", "rich", "asyncio", "sqlite3", "kvist.xml.svg", "kvist.resources.netview.picture"} & set(found)
