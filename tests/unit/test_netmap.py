"""The map has everything in its place, and is drawn as a tree, in ASCII where need be, and as a picture."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

from tests.unit.test_ruleset import recorded

from kvist.cli.outline import BOXES, PLAIN, drawing, lines
from kvist.host.net.links import Link, Route
from kvist.resources.netview.facts import Card, Net, cards_of, promises
from kvist.resources.netview.map import Around, Forward, NetMap, drawn
from kvist.resources.netview.outline import Branch
from kvist.values import Cidr
from kvist.xml.document import Document
from kvist.xml.svg import SPACE, Drawing


def link(name: str, kind: str = "", master: str = "", *addresses: str, up: bool = True) -> Link:
    held = tuple(Cidr.parse(each) for each in addresses)
    return Link(name, kind, master, "52:54:00:00:00:01", 1500, up, up, held, False)


def card(vm: str, mac: int, source: str, bridge: str, tap: str, **more: Any) -> Card:
    made = Card(vm, True, f"52:54:00:00:00:{mac:02x}", "network", source, bridge, tap, True, "")
    return made._replace(**more)


NETS = [
    Net("dark", True, "isolated", "virbr1", "", (Cidr("10.5.0.1", 24),), True, True),
    Net("default", True, "nat", "virbr0", "", (Cidr("192.168.122.1", 24),), True, True),
    Net("lan", True, "bridge", "br0", "", (), False, False),
    Net("off", False, "route", "virbr2", "", (Cidr("10.6.0.1", 24),), True, True),
]
LINKS = (
    link("lo"),
    link("eth0", "", "", "203.0.113.5/24", "fe80::1/64"),
    link("eth1", "", "br0"),
    link("br0", "bridge", "", "10.0.0.2/24"),
    link("virbr0", "bridge", "", "192.168.122.1/24"),
    link("virbr1", "bridge", "", "10.5.0.1/24"),
    link("docker0", "bridge", "", "172.17.0.1/16", up=False),
    link("vnet0", "tun", "virbr0"),
    link("vnet1", "tun", "br0"),
    link("vnet2", "tun", "virbr1"),
)
CARDS = [
    card("web", 10, "default", "virbr0", "vnet0", filter="clean-traffic"),
    card("web", 11, "dark", "virbr1", "vnet2"),
    card("db", 12, "br0", "br0", "vnet1", type="bridge", link=False),
    card("old", 13, "default", "", "", running=False),
    card("macvtap", 14, "eth0", "", "macvtap0", type="direct"),
    card("user", 15, "", "", "", type="user"),
]
LEASE: Any = SimpleNamespace(mac="52:54:00:00:00:0A", address="192.168.122.50", expiry=9_999_999_999)
PAST: Any = SimpleNamespace(mac="52:54:00:00:00:0A", address="192.168.122.9", expiry=5)
AROUND = Around(
    links=LINKS,
    routes=(Route("default", "203.0.113.1", "eth0", "", 0, ""),),
    leases=(PAST, LEASE),
    neighbours=(("52:54:00:00:00:0b", "10.5.0.7"), ("52:54:00:00:00:0b", "fe80::b")),
    rules=recorded("firewalld"),
)
MAP = drawn(NETS, CARDS, AROUND)

TREE = """\
eth0  uplink  203.0.113.5/24  gateway 203.0.113.1
├─ default  network, nat  on virbr0  192.168.122.1/24  dhcp
│  ├─ web  vnet0  52:54:00:00:00:0a  192.168.122.50  filter clean-traffic
│  │  └─ tcp/8080 -> 192.168.122.50:80
│  └─ old  network  52:54:00:00:00:0d  off
├─ off  network, route  on virbr2  10.6.0.1/24  dhcp  inactive
└─ macvtap  macvtap0  52:54:00:00:00:0e
eth1  uplink
└─ br0  bridge  10.0.0.2/24
   ├─ lan  network, bridge  on br0
   └─ db  vnet1  52:54:00:00:00:0c  cable pulled
dark  network, isolated  on virbr1  10.5.0.1/24  dhcp
└─ web  vnet2  52:54:00:00:00:0b  10.5.0.7
docker0  bridge  172.17.0.1/16  down
on no bridge
└─ user  user  52:54:00:00:00:0f
"""


def test_the_tree_has_everything_below_what_it_reaches_the_world_by() -> None:
    assert "".join(f"{line}\n" for line in lines(MAP.outline(), BOXES)) == TREE


def test_a_terminal_without_utf_8_gets_plain_ascii() -> None:
    plain = "".join(f"{line}\n" for line in lines(MAP.outline(), PLAIN))
    assert plain == TREE.replace("├─", "+-").replace("└─", "`-").replace("│", "|") and plain.isascii()
    branch = [Branch("a", "a", (Branch("b", "b"),))]
    for encoding, wanted in (("utf-8", "a\n└─ b\n"), ("UTF8", "a\n└─ b\n"), ("ascii", "a\n`- b\n")):
        assert drawing(branch, io.TextIOWrapper(io.BytesIO(), encoding=encoding)) == wanted


def test_every_part_is_there_as_data() -> None:
    assert [(each.name, each.bridge, each.gateway) for each in MAP.uplinks] == [
        ("eth0", "", "203.0.113.1"),
        ("eth1", "br0", ""),
    ]
    assert MAP.uplinks[0].addresses == ("203.0.113.5/24",)
    ports = {each.name: each.ports for each in MAP.bridges}
    assert ports == {"br0": ("eth1", "vnet1"), "docker0": (), "virbr0": ("vnet0",), "virbr1": ("vnet2",)}
    assert {each.name: each.uplink for each in MAP.networks} == {
        "dark": "",
        "default": "eth0",
        "lan": "",
        "off": "eth0",
    }
    web = MAP.cards[0]
    assert (web.tap, web.bridge, web.addresses, web.filter) == (
        *("vnet0", "virbr0"),
        *(("192.168.122.50",), "clean-traffic"),
    )
    assert MAP.forwards == (
        Forward("tcp", "", "8080", "192.168.122.50:80", "web"),
        Forward("udp", "", "5000-5010", "192.168.122.51", ""),
    )


def test_forwards_that_stand_in_the_document_of_a_vm_lead_to_the_address_that_it_has_now() -> None:
    noted = "".join(
        f"<k:forward>{each}</k:forward>"
        for each in ("2222/tcp:22 from 10.0.0.0/8 on eth0", "5000-5002/udp:600", "80/tcp:80", "what nobody reads")
    )
    text = f"<domain id='1'><name>web</name><metadata><k:vm xmlns:k='urn:kvist:1'>{noted}</k:vm></metadata></domain>"
    promised = promises(Document.parse(text).root)
    assert [(one.ports, one.to, one.on) for one in promised] == [
        ("2222", "22", "eth0"),
        ("5000-5002", "600-602", ""),
        ("80", "80", ""),
    ]
    found = drawn(NETS, CARDS, AROUND._replace(rules=None), promised).forwards
    assert found[:2] == (
        Forward("tcp", "eth0", "2222", "192.168.122.50:22", "web"),
        Forward("udp", "", "5000-5002", "192.168.122.50:600-602", "web"),
    )
    off = drawn(NETS, [CARDS[0]._replace(running=False)], AROUND._replace(rules=None), promised)
    assert "tcp/80 -> web:80" in [line.strip(" `-+|") for line in lines(off.outline(), PLAIN)]
    assert "tcp/80 -> web:80" in words(off.svg())


def test_bridges_of_open_vswitch_have_their_ports() -> None:
    nets = [Net("ovs", True, "bridge", "ovsbr0", "", (), False, False, switch="openvswitch")]
    around = Around(
        links=(link("eth1"), link("ovsbr0", "tun"), link("vnet0", "tun")), switches={"ovsbr0": ("eth1", "vnet0")}
    )
    found = drawn(nets, [card("web", 10, "ovs", "ovsbr0", "vnet0")], around)
    assert [(each.name, each.kind, each.ports) for each in found.bridges] == [("ovsbr0", "ovs", ("eth1", "vnet0"))]
    assert list(lines(found.outline(), PLAIN)) == [
        "eth1  uplink",
        "`- ovsbr0  Open vSwitch bridge",
        "   `- ovs  network, bridge  on ovsbr0",
        "      `- web  vnet0  52:54:00:00:00:0a",
    ]


def test_a_host_whose_address_is_on_its_bridge_is_drawn_with_networks_below_the_port_and_each_bridge_once() -> None:
    around = Around(
        links=(link("eth0", "", "br0"), link("eth1", "", "br0"), link("br0", "bridge", "", "10.0.0.2/24")),
        routes=(Route("default", "10.0.0.1", "br0", "", 0, ""),),
    )
    found = drawn([NETS[1]], [], around)
    assert list(lines(found.outline(), PLAIN)) == [
        "eth0  uplink  gateway 10.0.0.1",
        "+- br0  bridge  10.0.0.2/24",
        "`- default  network, nat  on virbr0  192.168.122.1/24  dhcp",
        "eth1  uplink  gateway 10.0.0.1  port of br0",
    ]
    # Both ports lead to the bridge, and the network goes out by the first.
    assert len(list(ElementTree.fromstring(found.svg()).iter(f"{{{SPACE}}}path"))) == 3


def words(svg: str) -> list[str]:
    return [str(text.text) for text in ElementTree.fromstring(svg).iter(f"{{{SPACE}}}text")]


def test_the_picture_holds_every_name_and_address_and_a_line_for_every_link() -> None:
    picture = MAP.svg()
    seen = words(picture)
    for name in (
        "eth0",
        "eth1",
        "default",
        "dark",
        "lan",
        "vnet0",
        "web",
        "db",
        "192.168.122.50",
        "10.5.0.7",
        "docker0",
    ):
        assert name in seen, name
    assert seen.count("web") == 1, "one VM with two cards is one box"
    assert "tcp/8080 -> 192.168.122.50:80" in seen
    root = ElementTree.fromstring(picture)
    # Two networks of eth0 and one of eth1; five cards that are plugged in; six cards of VMs.
    assert len(list(root.iter(f"{{{SPACE}}}path"))) == 3 + 5 + 6
    assert not [name for node in root.iter() for name in node.attrib if "href" in name], "it needs nothing else"


def test_boxes_of_the_picture_do_not_lie_on_each_other_nor_off_the_sheet() -> None:
    root = ElementTree.fromstring(MAP.svg())
    sheet, *boxes = [
        tuple(float(rect.attrib[name]) for name in ("x", "y", "width", "height"))
        for rect in root.iter(f"{{{SPACE}}}rect")
    ]
    assert len(boxes) == 2 + 5 + 6 + 5
    for at, (x, y, wide, high) in enumerate(boxes):
        assert x >= 0 and y >= 0 and x + wide <= sheet[2] and y + high <= sheet[3]
        for ox, oy, other_wide, other_high in boxes[at + 1 :]:
            assert x + wide <= ox or ox + other_wide <= x or y + high <= oy or oy + other_high <= y


def test_a_host_with_nothing_on_it_is_drawn_too() -> None:
    empty = drawn([], [], Around())
    assert empty == NetMap((), (), (), (), ())
    assert (empty.outline(), words(empty.svg())) == ([], [])


def test_a_name_that_is_no_text_for_xml_does_no_harm() -> None:
    sheet = Drawing("<&>", 10, 10)
    sheet.box(0, 0, 10, ["a\x00<b>&'\""], "vm")
    assert words(sheet.text()) == ["a?<b>&'\""]


def test_a_network_that_is_a_bridge_without_a_port_is_drawn_below_it_beside_the_bridges_own_cards() -> None:
    lan = Net("lan", True, "bridge", "br0", "", (), False, False)
    cards = [card("web", 10, "lan", "br0", "vnet0"), card("db", 12, "br0", "br0", "vnet1", type="bridge")]
    around = Around(links=(link("br0", "bridge"), link("vnet0", "tun", "br0"), link("vnet1", "tun", "br0")))
    assert list(lines(drawn([lan], cards, around).outline(), PLAIN)) == [
        "br0  bridge",
        "+- lan  network, bridge  on br0",
        "|  `- web  vnet0  52:54:00:00:00:0a",
        "`- db  vnet1  52:54:00:00:00:0c",
    ]


def test_a_running_card_on_such_a_network_is_read_as_one_of_the_network() -> None:
    vm = (
        "<domain id='1'><name>web</name><devices><interface type='bridge'><mac address='52:54:00:00:00:0A'/>"
        "<source network='lan' bridge='br0'/><target dev='vnet0'/></interface></devices></domain>"
    )
    (found,) = cards_of(Document.parse(vm).root)
    assert (found.network, found.type, found.bridge, found.tap) == ("lan", "network", "br0", "vnet0")
