"""What is asked of a bridge becomes one step with its way back, or all that is wrong with it is told at once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kvist.errors import Conflict, Invalid, Refused
from kvist.host.hand import Hand
from kvist.host.net.bridges import Wiring, paths
from kvist.host.net.guard import listed
from kvist.host.net.rewiring import spelled
from kvist.host.run import Result
from kvist.resources.bridges.bridging import Bridging
from kvist.resources.bridges.wish import Wish
from kvist.resources.steps.rewiring import Rewire

MAC = "52:54:00:00:00:01"
LEASE = {"family": "inet", "local": "192.168.1.2", "prefixlen": 24, "broadcast": "192.168.1.255", "scope": "global"}
LOCAL = {"family": "inet6", "local": "fe80::1", "prefixlen": 64, "scope": "link"}


def link(name: str, kind: str = "", **more: Any) -> dict[str, Any]:
    return {"ifname": name, "address": MAC, "mtu": 1500, "flags": ["UP"], "linkinfo": {"info_kind": kind}, **more}


LINKS = [
    link("lo", flags=["LOOPBACK", "UP"]),
    link("eth0", addr_info=[{**LEASE, "noprefixroute": True, "metric": 100}, LOCAL]),
    link("eth1", master="br1"),
    link("eth2"),
    link("wlan0"),
    link("br1", "bridge", addr_info=[{**LEASE, "local": "10.1.0.1"}], mtu=1400),
    link("br1.7", "vlan", link="br1"),
    link("vnet0", "tun", master="br1"),
]
ROUTES = {
    "-4": [
        {"dst": "default", "gateway": "192.168.1.1", "protocol": "dhcp", "prefsrc": "192.168.1.2", "metric": 100},
        {"dst": "192.168.1.0/24", "protocol": "kernel", "scope": "link", "prefsrc": "192.168.1.2", "metric": 100},
        {"dst": "10.9.0.0/16", "via": {"family": "inet6", "host": "fe80::9"}, "table": "77", "flags": ["onlink"]},
        {"dst": "192.168.1.2", "table": "local", "type": "local"},
    ],
    "-6": [
        {"dst": "fe80::/64", "protocol": "kernel", "metric": 256},
        {"dst": "default", "gateway": "fe80::1", "protocol": "ra", "metric": 1024},
        {"dst": "fd00::/64", "protocol": "kernel", "metric": 256},
    ],
}


class Told(Hand):
    """A hand on a host that is made up: ip(8) says what stands above, files are below a directory."""

    def run(
        self, argv: Sequence[str], *, input: bytes | None = None, timeout: float = 60, check: bool = True
    ) -> Result:
        if argv[0] == "printenv":
            return Result(tuple(argv), 1, b"", b"")
        assert argv[:2] == ["ip", "-json"], argv
        found: Any = LINKS if "address" in argv else ROUTES[argv[2]] if argv[-1] == "eth0" else []
        return Result(tuple(argv), 0, json.dumps(found).encode(), b"")

    def has(self, program: str) -> bool:
        return False


@pytest.fixture
def hand(tmp_path: Path) -> Hand:
    (tmp_path / "sys/class/net/wlan0/phy80211").mkdir(parents=True)
    return Told(root=str(tmp_path))


def host(hand: Hand) -> Any:
    networks = [SimpleNamespace(name="lan", bridge="br1")]
    connection = SimpleNamespace(
        networks=SimpleNamespace(all=lambda: networks), domains=SimpleNamespace(documents=list)
    )
    told: list[str] = []
    site = SimpleNamespace(report=lambda sentence, _share: told.append(sentence))
    place = SimpleNamespace(sandbox=None)
    return SimpleNamespace(hand=hand, connection=connection, place=place, site=site, told=told)


def made(hand: Hand, wish: Wish) -> Rewire:
    (step,) = Bridging(host(hand), wish, 30).create()
    assert isinstance(step, Rewire)
    return step


def typed(commands: Sequence[tuple[str, ...]]) -> list[str]:
    return [" ".join(words) for words in spelled(commands)]


def test_addresses_and_routes_move_with_all_that_is_particular_to_them(hand: Hand) -> None:
    step = made(hand, Wish("br0", ("eth0",)))
    moved = "192.168.1.2/24 broadcast 192.168.1.255 scope global metric 100 noprefixroute"
    assert typed(step.forward) == [
        "ip link add name br0 type bridge",
        f"ip link set dev br0 address {MAC}",
        "ip link set dev br0 up",
        "ip link set dev eth0 up master br0",
        "ip -4 address flush dev eth0 to 192.168.1.2",
        f"ip address replace {moved} dev br0",
        "ip -4 route replace 192.168.1.0/24 dev br0 proto kernel scope link src 192.168.1.2 metric 100",
        "ip -6 route replace fd00::/64 dev br0 proto kernel metric 256",
        "ip -4 route replace default via 192.168.1.1 dev br0 proto dhcp src 192.168.1.2 metric 100",
        "ip -4 route replace 10.9.0.0/16 via inet6 fe80::9 dev br0 table 77 onlink",
    ]
    assert typed(step.backward)[:3] == [
        "ip link set dev eth0 nomaster",
        "ip link delete dev br0",
        f"ip address replace {moved} dev eth0",
    ]
    assert (step.gateways, step.new_gateways, step.dev, step.new_dev) == (
        ("192.168.1.1",),
        ("192.168.1.1",),
        "eth0",
        "br0",
    )
    assert step.when == "now only"


def test_taking_it_back_is_a_guarded_change_too(hand: Hand) -> None:
    step = made(hand, Wish("br0", ("eth0",)))
    (back,) = step.inverse(host(hand))
    assert isinstance(back, Rewire)
    assert (back.forward, back.backward, back.dev, back.new_dev) == (step.backward, step.forward, "br0", "eth0")
    (again,) = back.inverse(host(hand))
    assert isinstance(again, Rewire)
    assert (again.forward, again.gateways, again.files) == (step.forward, step.gateways, step.files)


def test_a_bridge_that_somebody_uses_by_now_is_not_taken_back(hand: Hand) -> None:
    step = made(hand, Wish("br0", ("eth0",)))
    site = host(hand)
    site.connection.networks.all().append(SimpleNamespace(name="office", bridge="br0"))
    with pytest.raises(Refused, match='bridge "br0" is in use: network office'):
        step.inverse(site)


def test_a_lease_that_nobody_renews_is_told_of(hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LINKS[1]["addr_info"][0], "dynamic", True)
    site = host(hand)
    list(Bridging(site, Wish("br0", ("eth0",)), 30).create())
    assert site.told == ["192.168.1.2/24 is a lease, and nobody known here renews it on the bridge"]


def test_what_is_kept_of_a_bridge_that_is_gone_can_be_deleted(hand: Hand) -> None:
    hand.write("/etc/netplan/01.yaml", "network: {ethernets: {eth0: {dhcp4: true}}}\n")
    wish = Wish("br0", ("eth0",), vlan_aware=True)
    step = made(hand, wish)
    assert step.shown[-1] == ("kept by", None, "netplan, without vlan_aware")
    assert list(Bridging(host(hand), wish, 30).delete()) == []
    (path, _, text, _) = step.files[0]
    hand.write(path, text)
    (forgotten,) = Bridging(host(hand), wish, 30).delete()
    assert isinstance(forgotten, Rewire)
    assert (forgotten.files, forgotten.forward) == (((path, text, "", 0o600),), ())


def test_a_step_comes_back_from_its_record(hand: Hand) -> None:
    step = made(hand, Wish("br0", ("eth0",), address="192.168.1.9/24", stp=True))
    assert Rewire.recall(json.loads(json.dumps(step.record()))) == step


def test_a_new_address_keeps_the_gateway_that_it_can_reach_and_no_other(hand: Hand) -> None:
    near = made(hand, Wish("br0", ("eth0",), address="192.168.1.9/24"))
    assert typed(near.forward)[-1] == "ip -4 route replace default via 192.168.1.1 dev br0 proto dhcp metric 100"
    with pytest.raises(Invalid, match=r"gateway 192\.168\.1\.1 is not on the network of 10\.0\.0\.9/24"):
        made(hand, Wish("br0", ("eth0",), address="10.0.0.9/24"))
    far = made(hand, Wish("br0", ("eth0",), address="10.0.0.9/24", gateway="10.0.0.1"))
    assert typed(far.forward)[-1] == "ip -4 route replace default via 10.0.0.1 dev br0"
    assert (far.gateways, far.new_gateways) == (("192.168.1.1",), ("10.0.0.1",))


def test_a_manager_is_told_in_the_same_step(hand: Hand) -> None:
    hand.write("/etc/netplan/01.yaml", "network: {ethernets: {eth0: {dhcp4: true}}}\n")
    step = made(hand, Wish("br0", ("eth0",)))
    ((path, before, after, mode),) = step.files
    assert (path, before, mode) == ("/etc/netplan/90-kvist-br0.yaml", "", 0o600)
    assert '"dhcp4": true' in after
    assert step.when == "now"
    assert next(command.argv for command in step.commands()) == ("tee", path)


@pytest.mark.parametrize(
    ("wish", "complaint"),
    [
        (Wish("br0", ("wlan0",)), r'"wlan0" is wireless: .* cannot be bridged'),
        (Wish("br0", ("br1",)), r'"br1" is a bridge itself; .* form a loop'),
        (Wish("br0", ("eth1",)), '"eth1" is a port of "br1" already'),
        (Wish("br0", ("vnet0",)), '"vnet0" belongs to a guest'),
        (Wish("br0", ("br0",)), 'bridge "br0" cannot be a port of itself'),
        (Wish("br0", ("nope",)), 'there is no interface "nope"; there is br1, br1.7, eth0, eth1, eth2, vnet0, wlan0'),
        (Wish("eth2"), 'there is an interface "eth2" already, and it is no bridge: card'),
        (Wish("a/b"), '"a/b" is no name for an interface'),
        (Wish("sixteen-letters-"), '"sixteen-letters-" is too long for an interface: 16 bytes of 15'),
        (Wish("br0", address="10.1.0.9/16"), r'10\.1\.0\.9/16 overlaps with 10\.1\.0\.1/24 on "br1"'),
        (Wish("br0", address="10.5.0.255/24"), r"10\.5\.0\.255 is no host of 10\.5\.0\.0/24"),
        (Wish("br0", address="224.0.0.1/24"), r"224\.0\.0\.1 cannot be the address of a host"),
        (Wish("br0", address="10.5.0.1"), "has no prefix length"),
        (Wish("br0", address="dhcp"), "the host has no DHCP client"),
        (Wish("br0", gateway="10.5.0.1"), "is not on any network of the bridge"),
        (Wish("br0", address="10.5.0.1/24", gateway="10.5.0.1"), r"10\.5\.0\.1 is the host itself"),
        (Wish("br0", datapath="netdev"), "only a bridge of Open vSwitch has one"),
        (Wish("br0", ovs=True), "Open vSwitch does not run on the host"),
    ],
    ids=lambda value: "" if isinstance(value, Wish) else value[:24],
)
def test_what_cannot_be_is_refused(wish: Wish, complaint: str, hand: Hand) -> None:
    with pytest.raises(Invalid, match=complaint):
        made(hand, wish)


def test_a_wireless_uplink_is_refused_with_what_works_instead(hand: Hand) -> None:
    with pytest.raises(Invalid) as refused:
        made(hand, Wish("br0", ("wlan0",)))
    assert "--mode route --proxy-arp wlan0" in refused.value.problems[0].hint


def test_a_vlan_of_the_bridge_is_no_port_of_it(hand: Hand) -> None:
    with pytest.raises(Invalid, match=r'"br1\.7" lies on bridge "br1": that would be a loop'):
        list(Bridging(host(hand), Wish("br1", ("br1.7",)), 30).add_ports())


def test_a_bridge_that_is_there_is_left_alone_or_said_to_be_another(hand: Hand) -> None:
    assert list(Bridging(host(hand), Wish("br1", ("eth1",), mtu=1400), 30).create()) == []
    with pytest.raises(Conflict, match='is there already: mtu is 1400, not 9000; "eth2" is no port of it'):
        list(Bridging(host(hand), Wish("br1", ("eth2",), mtu=9000), 30).create())


def test_a_bridge_in_use_is_not_deleted(hand: Hand) -> None:
    with pytest.raises(Conflict, match='bridge "br1" is in use: network lan'):
        list(Bridging(host(hand), Wish("br1"), 30).delete())


def test_only_what_differs_is_set(hand: Hand) -> None:
    assert list(Bridging(host(hand), Wish("br1", mtu=1400, stp=False), 30).set()) == []
    (step,) = Bridging(host(hand), Wish("br1", mtu=1500, stp=True), 30).set()
    assert isinstance(step, Rewire)
    assert typed(step.forward) == [
        "ip link set dev br1 type bridge stp_state 1",
        "ip link set dev br1 mtu 1500",
    ]
    assert step.shown == (("stp", False, True), ("mtu", 1400, 1500))


def test_guests_ports_are_told_apart(hand: Hand) -> None:
    wiring = Wiring(hand)
    assert (wiring.ports("br1"), wiring.taps("br1")) == (("eth1",), ("vnet0",))


def test_routes_that_others_stand_on_come_first(hand: Hand) -> None:
    assert [path.to for path in paths(hand, "eth0")] == ["192.168.1.0/24", "fd00::/64", "default", "10.9.0.0/16"]


@pytest.mark.parametrize("word", ["", "a\tb", "a\nb", "a\0b"])
def test_a_word_that_a_list_cannot_hold_is_never_written(word: str) -> None:
    with pytest.raises(ValueError, match="cannot be a word"):
        listed([("ip", word)])
