"""What each manager of a host's network is told of a bridge, over example trees of files, and how it is taken back."""

from __future__ import annotations

import json
from configparser import ConfigParser
from pathlib import Path

import pytest
import yaml

from kvist.errors import Conflict, Corrupt
from kvist.host.hand import Hand
from kvist.host.net.netconf.ifupdown import Ifupdown
from kvist.host.net.netconf.ini import Section, emit, parse
from kvist.host.net.netconf.manager import File, Kept, Manager, keeper, managers, owner, recorded
from kvist.host.net.netconf.netplan import Netplan
from kvist.host.net.netconf.networkd import Networkd
from kvist.host.net.netconf.networkmanager import NetworkManager

MAC = "52:54:00:00:00:01"
CARRIED = Kept("br0", ("eth0",), mac=MAC, addresses=("192.168.1.2/24",), gateways=("192.168.1.1",), carry="eth0")
TYPED = Kept("br0", ("eth0",), mac=MAC, addresses=("10.0.0.2/24",), gateways=("10.0.0.1",), dns=("10.0.0.1",))
DHCP = Kept("br0", ("eth0",), mac=MAC, dhcp=True)
BARE = Kept("br0")

TREES = {
    "netplan": {
        "etc/netplan/50-cloud-init.yaml": "# by hand\n"
        "network:\n  version: 2\n  ethernets:\n    eth0:\n      addresses: [192.168.1.2/24]\n"
        "      routes: [{to: default, via: 192.168.1.1}]\n      nameservers: {addresses: [192.168.1.53]}\n"
        "    eth1: {dhcp4: true}\n",
    },
    "ifupdown": {
        "usr/sbin/ifup": "",
        "etc/network/interfaces": "source /etc/network/interfaces.d/*\n\nauto lo eth0\niface lo inet loopback\n\n"
        "# the way out\niface eth0 inet static\n  address 192.168.1.2/24\n  gateway 192.168.1.1\n"
        "  dns-nameservers 192.168.1.53\n  mtu 1400\n\niface eth1 inet dhcp\n",
    },
    "NetworkManager": {
        "run/NetworkManager/NetworkManager.pid": "1\n",
        "etc/NetworkManager/system-connections/Wired.nmconnection": "[connection]\nid=Wired\ntype=ethernet\n"
        "interface-name=eth0\n\n[ethernet]\n\n[ipv4]\nmethod=manual\naddress1=192.168.1.2/24,192.168.1.1\n"
        "dns=192.168.1.53;\n\n[ipv6]\nmethod=auto\n",
    },
    "systemd-networkd": {
        "run/systemd/netif/links/2": "",
        "etc/systemd/network/10-eth.network": "[Match]\nName=eth*\n\n[Link]\nMTUBytes=1400\n\n[Network]\n"
        "Address=192.168.1.2/24\nDNS=192.168.1.53\nDNS=192.168.1.54\n\n[Route]\nGateway=192.168.1.1\n",
    },
}
MANAGERS = {manager.name: manager for manager in managers()}
every_manager = pytest.mark.parametrize("name", TREES)


def tree(tmp_path: Path, name: str) -> Hand:
    for path, text in TREES[name].items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    return Hand(root=str(tmp_path))


def put(hand: Hand, files: list[File]) -> None:
    for file in files:
        if file.text:
            hand.write(file.path, file.text, mode=file.mode)
        else:
            hand.remove(file.path)


def contents(tmp_path: Path) -> dict[str, str]:
    return {str(path.relative_to(tmp_path)): path.read_text() for path in tmp_path.rglob("*") if path.is_file()}


@every_manager
def test_the_manager_of_a_host_is_found_and_only_that(name: str, tmp_path: Path) -> None:
    hand = tree(tmp_path, name)
    found = owner(hand, "eth0")
    assert found is not None and found.name == name
    assert [each.name for each in managers() if each.owns(hand, "eth0")] == [name]


def test_a_host_without_a_manager_has_none(tmp_path: Path) -> None:
    assert owner(Hand(root=str(tmp_path)), "eth0") is None
    assert keeper(Hand(root=str(tmp_path)), "br0") is None


def test_a_port_that_ifupdown_does_not_name_is_anothers(tmp_path: Path) -> None:
    tree(tmp_path, "ifupdown")
    hand = tree(tmp_path, "NetworkManager")
    assert [found.name for port in ("eth0", "eth7") if (found := owner(hand, port))] == ["ifupdown", "NetworkManager"]


@every_manager
@pytest.mark.parametrize("kept", [CARRIED, TYPED, DHCP, BARE], ids=["carried", "typed", "dhcp", "bare"])
def test_what_is_written_is_known_again_written_once_and_taken_back_whole(
    name: str, kept: Kept, tmp_path: Path
) -> None:
    hand, manager = tree(tmp_path, name), MANAGERS[name]
    before = contents(tmp_path)
    put(hand, manager.write(hand, kept))
    after = contents(tmp_path)
    assert after != before
    found = keeper(hand, "br0")
    assert found is not None and found.name == name
    assert recorded(hand, manager, "br0") == kept
    assert keeper(hand, "br") is None and keeper(hand, "br00") is None
    # The port is seen as the person wrote it, and not as it is since: once more is the same.
    put(hand, manager.write(hand, kept))
    assert contents(tmp_path) == after
    put(hand, manager.remove(hand, "br0"))
    assert contents(tmp_path) == before


@every_manager
def test_a_port_that_comes_and_goes_leaves_no_trace(name: str, tmp_path: Path) -> None:
    hand, manager = tree(tmp_path, name), MANAGERS[name]
    put(hand, manager.write(hand, CARRIED))
    one = contents(tmp_path)
    put(hand, manager.write(hand, CARRIED._replace(ports=("eth0", "eth1"))))
    assert contents(tmp_path) != one
    put(hand, manager.write(hand, CARRIED))
    assert contents(tmp_path) == one


@every_manager
def test_what_a_person_said_of_the_ports_addresses_moves_to_the_bridge(name: str, tmp_path: Path) -> None:
    hand = tree(tmp_path, name)
    put(hand, MANAGERS[name].write(hand, CARRIED))
    own = "".join(hand.read(path) or "" for path in MANAGERS[name].files(hand, "br0"))
    # Known from the person's file alone.
    assert "192.168.1.53" in own and "192.168.1.1" in own


def test_netplan_merges_to_a_port_without_addresses_and_a_bridge_with_them(tmp_path: Path) -> None:
    hand = tree(tmp_path, "netplan")
    put(hand, Netplan().write(hand, CARRIED))
    own = yaml.safe_load(hand.read("/etc/netplan/90-kvist-br0.yaml") or "")["network"]
    person = yaml.safe_load(hand.read("/etc/netplan/50-cloud-init.yaml") or "")["network"]
    assert person["ethernets"] == {"eth0": {}, "eth1": {"dhcp4": True}}
    assert own["ethernets"] == {"eth0": {"dhcp4": False, "dhcp6": False}}
    assert own["bridges"]["br0"] == {
        "interfaces": ["eth0"],
        "parameters": {"stp": False},
        "macaddress": MAC,
        "addresses": ["192.168.1.2/24"],
        "routes": [{"to": "default", "via": "192.168.1.1"}],
        "nameservers": {"addresses": ["192.168.1.53"]},
    }
    copy = hand.read("/etc/netplan/50-cloud-init.yaml.before-kvist-br0")
    assert copy == TREES["netplan"]["etc/netplan/50-cloud-init.yaml"]


def test_netplan_leaves_a_file_alone_in_which_only_dhcp_is_switched_off_by_its_own(tmp_path: Path) -> None:
    hand = Hand(root=str(tmp_path))
    hand.write("/etc/netplan/01.yaml", "network: {ethernets: {eth0: {dhcp4: true}}}\n")
    files = Netplan().write(hand, DHCP._replace(carry="eth0"))
    assert [file.path for file in files] == ["/etc/netplan/90-kvist-br0.yaml"]
    assert yaml.safe_load(files[0].text)["network"]["bridges"]["br0"]["dhcp4"] is True


def test_netplan_knows_a_port_by_the_mac_address_it_is_matched_by(tmp_path: Path) -> None:
    hand = Hand(root=str(tmp_path))
    (tmp_path / "sys/class/net/eth0").mkdir(parents=True)
    hand.write(
        "/etc/netplan/01.yaml",
        f"network: {{ethernets: {{card: {{match: {{macaddress: '{MAC}'}}, addresses: [192.168.1.2/24]}}}}}}\n",
    )
    files = Netplan()._place(_seeing(tmp_path, MAC), "eth0", "br0")
    assert files is not None and (files.kind, files.key) == ("ethernets", "card")


def _seeing(tmp_path: Path, mac: str) -> Hand:
    class Seeing(Hand):
        def read(self, path: str) -> str | None:
            return f"{mac}\n" if path.endswith("/eth0/address") else super().read(path)

    return Seeing(root=str(tmp_path))


def test_netplan_puts_nothing_back_over_what_a_person_changed_since(tmp_path: Path) -> None:
    hand = tree(tmp_path, "netplan")
    put(hand, Netplan().write(hand, CARRIED))
    hand.write("/etc/netplan/50-cloud-init.yaml", "network: {ethernets: {eth9: {dhcp4: true}}}\n")
    with pytest.raises(Conflict, match="has been changed since"):
        Netplan().remove(hand, "br0")


def test_a_file_of_netplan_that_nobody_can_read_is_named(tmp_path: Path) -> None:
    hand = Hand(root=str(tmp_path))
    hand.write("/etc/netplan/01.yaml", "network: {ethernets: [\n")
    with pytest.raises(Corrupt, match=r"01\.yaml"):
        Netplan().write(hand, DHCP)


def test_ifupdown_keeps_the_lines_of_the_port_as_comments_and_the_rest_as_it_is(tmp_path: Path) -> None:
    hand = tree(tmp_path, "ifupdown")
    put(hand, Ifupdown().write(hand, CARRIED))
    lines = (hand.read("/etc/network/interfaces") or "").splitlines()
    assert "#kvist-br0# auto lo eth0" in lines and "auto lo" in lines
    assert "#kvist-br0#   gateway 192.168.1.1" in lines and "iface eth1 inet dhcp" in lines
    own = hand.read("/etc/network/interfaces.d/kvist-br0") or ""
    assert "auto br0" in own and "iface br0 inet static" in own and "    gateway 192.168.1.1" in own
    assert "pre-up ip link set dev eth0 up master $IFACE" in own
    # The size of the card's packets stays with the card.
    assert "mtu 1400" not in own


def test_ifupdown_is_led_to_the_file_where_it_reads_no_directory(tmp_path: Path) -> None:
    hand = tree(tmp_path, "ifupdown")
    hand.write("/etc/network/interfaces", "auto lo\niface lo inet loopback\n")
    put(hand, Ifupdown().write(hand, TYPED))
    assert (hand.read("/etc/network/interfaces") or "").endswith("\nsource /etc/network/interfaces.d/kvist-br0\n")
    put(hand, Ifupdown().remove(hand, "br0"))
    assert hand.read("/etc/network/interfaces") == "auto lo\niface lo inet loopback\n"


def test_networkd_has_a_device_its_network_and_its_port(tmp_path: Path) -> None:
    hand = tree(tmp_path, "systemd-networkd")
    put(hand, Networkd().write(hand, CARRIED._replace(stp=True)))
    assert hand.names("/etc/systemd/network") == [
        *("00-kvist-br0.netdev", "00-kvist-br0.network", "00-kvist-br0@eth0.network", "10-eth.network")
    ]
    device = parse(hand.read("/etc/systemd/network/00-kvist-br0.netdev") or "")
    assert device == [
        Section("NetDev", (("Name", "br0"), ("Kind", "bridge"), ("MACAddress", MAC))),
        Section("Bridge", (("STP", "yes"),)),
    ]
    network = parse(hand.read("/etc/systemd/network/00-kvist-br0.network") or "")
    assert network[1].all("DNS") == ["192.168.1.53", "192.168.1.54"]
    assert network[2] == Section("Route", (("Gateway", "192.168.1.1"),))
    port = parse(hand.read("/etc/systemd/network/00-kvist-br0@eth0.network") or "")
    assert port[1] == Section("Link", (("MTUBytes", "1400"),)) and port[2].all("Bridge") == ["br0"]


def test_networkmanager_takes_the_bridges_profile_before_the_persons(tmp_path: Path) -> None:
    hand = tree(tmp_path, "NetworkManager")
    files = NetworkManager().write(hand, CARRIED)
    assert {file.mode for file in files} == {0o600}
    read = ConfigParser(interpolation=None)
    read.read_string(files[0].text)
    assert dict(read["ipv4"])["address1"] == "192.168.1.2/24,192.168.1.1"
    assert read["bridge"]["mac-address"] == MAC.upper() and read["ipv6"]["method"] == "auto"
    port = ConfigParser(interpolation=None)
    port.read_string(files[1].text)
    assert (
        dict(port["connection"]).items()
        >= {
            "interface-name": "eth0",
            "master": "br0",
            "slave-type": "bridge",
            "autoconnect-priority": "999",
        }.items()
    )
    assert read["connection"]["uuid"] != port["connection"]["uuid"]


def test_networkmanager_is_told_addresses_of_both_families(tmp_path: Path) -> None:
    both = TYPED._replace(addresses=("10.0.0.2/24", "fd00::2/64"), gateways=("10.0.0.1", "fd00::1"))
    read = ConfigParser(interpolation=None)
    read.read_string(NetworkManager().write(Hand(root=str(tmp_path)), both)[0].text)
    assert dict(read["ipv4"]) == {
        "method": "manual",
        "address1": "10.0.0.2/24",
        "gateway": "10.0.0.1",
        "dns": "10.0.0.1;",
    }
    assert dict(read["ipv6"]) == {"method": "manual", "address1": "fd00::2/64", "gateway": "fd00::1"}


def test_a_value_of_two_lines_is_never_written() -> None:
    with pytest.raises(ValueError, match="more than one line"):
        emit("mark", [Section("Network", (("DNS", "1.1.1.1\nGateway=6.6.6.6"),))])


def test_the_mark_tells_all_that_is_kept() -> None:
    assert json.loads(TYPED.mark.partition(": ")[2])["gateways"] == ["10.0.0.1"]


def test_each_manager_is_one_of_the_protocol() -> None:
    assert [manager.name for manager in managers()] == ["netplan", "ifupdown", "NetworkManager", "systemd-networkd"]
    every: tuple[Manager, ...] = managers()
    assert len({type(manager) for manager in every}) == 4


def test_of_several_profiles_of_a_port_that_which_was_in_force_moves_to_the_bridge(tmp_path: Path) -> None:
    hand = tree(tmp_path, "NetworkManager")
    room = "/etc/NetworkManager/system-connections"
    profile = "[connection]\nid=office\nuuid=95b9\ntype=ethernet\n\n[ipv4]\nmethod=auto\n"
    hand.write(f"{room}/office.nmconnection", profile, mode=0o600)
    files = NetworkManager().write(hand, CARRIED._replace(profile="95b9"))
    assert "method=auto" in files[0].text and "address1" not in files[0].text
    assert "address1=192.168.1.2/24,192.168.1.1" in NetworkManager().write(hand, CARRIED)[0].text


def test_networkmanagers_profiles_are_nobody_elses_to_read_when_they_come_back_either(tmp_path: Path) -> None:
    hand = tree(tmp_path, "NetworkManager")
    put(hand, NetworkManager().write(hand, CARRIED))
    assert {file.mode for file in NetworkManager().remove(hand, "br0")} == {0o600}


def test_networkd_asks_for_the_bridge_as_it_asked_for_the_port(tmp_path: Path) -> None:
    hand = tree(tmp_path, "systemd-networkd")
    leased = CARRIED._replace(dhcp=True, addresses=(), gateways=(), iaid=1780758690)
    network = parse(Networkd().write(hand, leased)[1].text)
    assert [section.all("IAID") for section in network if section.name == "DHCPv4"] == [["1780758690"]]
    # What a person has said of it counts.
    hand.write("/etc/systemd/network/10-eth.network", "[Match]\nName=eth*\n\n[DHCPv4]\nClientIdentifier=mac\n")
    network = parse(Networkd().write(hand, leased)[1].text)
    assert [section.items for section in network if section.name == "DHCPv4"] == [(("ClientIdentifier", "mac"),)]


def test_ifupdown_puts_down_what_is_up_and_what_is_not(tmp_path: Path) -> None:
    hand = tree(tmp_path, "ifupdown")
    assert [words[-4:] for words in Ifupdown().reload(hand, TYPED)] == [("+", "br0", "-", "eth0")]
    assert [words[-4:] for words in Ifupdown().release(hand, TYPED)] == [("-", "br0", "+", "eth0")]
