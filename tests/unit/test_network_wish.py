"""From what is typed about a network to its document, and from two documents to the steps between them."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from kvist.resources.networks.changes import plan, told
from kvist.resources.networks.sections import alike, amendments
from kvist.resources.networks.wish import Shaping, Surroundings, dhcp_of, free_subnet, mode_of, subnets
from kvist.resources.steps.network import AmendNetwork, RemakeNetwork, RemakeUnderGuests
from kvist.specs.network import DhcpHost, DnsHost, Ip, Network, PortGroup
from kvist.values import AddressRange, Mac
from kvist.xml.document import Document
from kvist.xml.options import from_mapping
from kvist.xml.rng import violations

LAB = """<network>
  <name>lab</name>
  <uuid>81ff0d90-c91e-6742-64da-4a736edb9a9b</uuid>
  <forward mode='nat'><nat><port start='1024' end='65535'/></nat></forward>
  <bridge name='virbr1' stp='on' delay='0'/>
  <domain name='lab'/>
  <ip address='10.10.0.1' netmask='255.255.255.0'>
    <dhcp>
      <range start='10.10.0.2' end='10.10.0.254'/>
      <host mac='52:54:00:00:00:01' name='web' ip='10.10.0.5'/>
    </dhcp>
  </ip>
</network>"""
AROUND = Surroundings(
    subnets=((ip_network("192.168.122.0/24"), 'network "default"'), (ip_network("10.10.0.0/24"), 'interface "eth0"')),
    bridges={"virbr0": "default"},
    links={"lo": "", "eth0": "", "br0": "bridge", "virbr0": "bridge"},
    switches=["ovsbr0"],
    zones=["public", "libvirt"],
)


def typed(**keys: object) -> Network:
    return from_mapping(Network, keys)


def made(wish: Network, around: Surroundings = AROUND) -> Network:
    shaping = Shaping(wish, around)
    document = Document.new("network")
    Network(name="new").write(document.root)
    shaping.shaped().write(document.root)
    assert shaping.problems == []
    assert violations(document) == []
    return Network.read(document.root)


def wrong(wish: Network, have: Network | None = None) -> list[str]:
    shaping = Shaping(wish, AROUND, have)
    shaping.shaped()
    return [str(problem) for problem in shaping.problems]


def lab() -> Document:
    return Document.parse(LAB)


def changed(**keys: object) -> Network:
    have = Network.read(lab().root)
    shaping = Shaping(typed(**keys), Surroundings(), have)
    found = shaping.shaped()
    assert shaping.problems == []
    return found


@pytest.mark.parametrize(
    ("keys", "mode"),
    [
        ({}, "nat"),
        ({"mode": "route", "dev": "eth0"}, "route"),
        ({"mode": "isolated"}, "isolated"),
        ({"mode": "open"}, "open"),
        ({"mode": "bridge", "bridge": "br0"}, "bridge"),
        ({"mode": "macvtap", "dev": "eth0"}, "macvtap"),
        ({"mode": "hostdev", "pf": "eth0", "vlan": "10"}, "hostdev"),
        ({"mode": "ovs", "bridge": "ovsbr0", "vlan": "10+20"}, "ovs"),
    ],
)
def test_each_mode_makes_a_valid_document_that_is_read_as_that_mode(keys: dict[str, object], mode: str) -> None:
    assert mode_of(made(typed(**keys))) == mode


def test_a_new_network_has_a_free_subnet_and_gives_out_all_of_it() -> None:
    net = made(typed())
    assert [str(one) for one in subnets(net)] == ["192.168.10.0/24"]
    assert dhcp_of(net) == (AddressRange("192.168.10.2", "192.168.10.254"),)
    assert net.ips[0].address == "192.168.10.1"


def test_a_typed_address_is_the_hosts_and_dhcp_leaves_it_out() -> None:
    net = made(typed(subnet="10.20.0.254/24", subnet6="fd00:1::/64"))
    assert [ip.address for ip in net.ips] == ["10.20.0.254", "fd00:1::1"]
    assert dhcp_of(net) == (AddressRange("10.20.0.1", "10.20.0.253"),)
    assert dhcp_of(made(typed(subnet="10.20.0.0/24", dhcp="none"))) == ()


def test_there_is_an_end_to_free_subnets() -> None:
    assert free_subnet([ip_network("10.0.0.0/8"), ip_network("192.168.0.0/16")]) is None


def test_several_tags_make_a_trunk() -> None:
    net = made(typed(mode="ovs", bridge="ovsbr0", vlan="10+20").replace(portgroups=(PortGroup(name="a", vlan=(1, 2)),)))
    assert net.trunk is True and net.portgroups[0].trunk is True


def test_everything_that_is_wrong_is_said_at_once() -> None:
    said = wrong(typed(subnet="10.10.0.0/16", dhcp="10.11.0.5-9,10.20.0.1-5", bridge="a-name-much-too-long", vlan="3"))
    assert len(said) == 5
    assert any("10.10.0.0/16 overlaps 10.10.0.0/24 of interface" in each for each in said)
    assert any("10.20.0.1-10.20.0.5 is not in 10.10.0.0/16" in each for each in said)
    assert any("15 letters at most" in each for each in said)
    assert any("has no VLAN tags" in each for each in said)


@pytest.mark.parametrize(
    ("keys", "what"),
    [
        ({"mode": "bridge", "bridge": "br9"}, 'no interface "br9"'),
        ({"mode": "bridge", "bridge": "eth0"}, '"eth0" is no bridge'),
        ({"mode": "bridge"}, "--bridge: a network of mode bridge needs it"),
        ({"mode": "bridge", "bridge": "br0", "subnet": "10.9.0.0/24"}, "--subnet: a network of mode bridge has none"),
        ({"mode": "macvtap", "dev": "eth9"}, 'no interface "eth9"'),
        ({"mode": "hostdev"}, "--pf: a network of mode hostdev needs it"),
        ({"mode": "ovs", "bridge": "br0"}, 'Open vSwitch has no bridge "br0"'),
        ({"mode": "isolated", "dev": "eth0"}, "bound to no interface"),
        ({"mode": "route", "nat_start": "10.0.0.1"}, "translates no addresses"),
        ({"bridge": "virbr0"}, 'is the bridge of network "default"'),
        ({"bridge": "eth0"}, 'the host has an interface "eth0" already'),
        ({"subnet": "10.9.0.0/31"}, "no room for a guest"),
        ({"subnet": "fd00::/64"}, "is an IPv6 subnet"),
        ({"zone": "nowhere"}, 'firewalld has no zone "nowhere"; it has public, libvirt'),
    ],
)
def test_what_does_not_go_with_the_mode_or_the_host_is_refused(keys: dict[str, object], what: str) -> None:
    said = wrong(typed(**keys))
    assert len(said) == 1 and what in said[0], said


def test_a_network_does_not_become_one_of_another_kind() -> None:
    assert "does not become bridge" in wrong(typed(mode="bridge", bridge="br0"), Network.read(lab().root))[0]
    said = wrong(typed(subnet="10.30.0.0/24"), Network.read(lab().root))
    assert "reservation 10.10.0.5 is not in 10.30.0.0/24" in said[0]


def test_dhcp_is_changed_live_in_both_documents() -> None:
    steps = list(plan("lab", lab(), lab(), changed(dhcp="10.10.0.100-200")))
    assert [(type(step), step.section, bool(step.before), step.live, step.stored) for step in steps] == [  # type: ignore[attr-defined]
        (AmendNetwork, "ip-dhcp-range", True, True, True),
        (AmendNetwork, "ip-dhcp-range", False, True, True),
    ]
    assert [change.field for step in steps for change in step.changes()] == ["dhcp"]


def test_what_is_as_wished_takes_no_step() -> None:
    for wish in (changed(dhcp="10.10.0.2-254"), changed(subnet="10.10.0.0/24"), changed(domain="lab")):
        assert list(plan("lab", lab(), lab(), wish)) == []


def test_a_reservation_is_moved_in_place_and_what_is_in_one_document_only_is_mended_there() -> None:
    mac = Mac("52:54:00:00:00:01")
    gone = DhcpHost.removed(mac=mac, name="web", ip="10.10.0.5")
    new = DhcpHost(mac=mac, name="web", ip="10.10.0.9")
    wish = Network(ips=(Ip(address="10.10.0.1", hosts=(gone, new)),))
    (step,) = plan("lab", lab(), lab(), wish)
    assert isinstance(step, AmendNetwork) and step.before and step.after
    moved = Document.parse(LAB.replace("10.10.0.5", "10.10.0.9"))
    (step,) = plan("lab", moved, lab(), wish)
    assert isinstance(step, AmendNetwork) and (step.live, step.stored) == (False, True)


def test_what_libvirt_cannot_change_live_restarts_the_network_under_its_guests() -> None:
    (step,) = plan("lab", lab(), lab(), changed(domain="other"), ["web"])
    assert isinstance(step, RemakeUnderGuests) and not step.replug and step.blinked == ("web",)
    assert {change.when for change in step.changes()} == {"restarted", "replug"}
    (step,) = plan("lab", lab(), lab(), changed(mtu=1400), ["web"])
    assert isinstance(step, RemakeUnderGuests) and step.replug
    (step,) = plan("lab", None, lab(), changed(mtu=1400))
    assert type(step) is RemakeNetwork and not step.restart


def test_documents_are_alike_when_only_the_sections_differ() -> None:
    other = lab()
    Network(
        dns_hosts=(DnsHost(ip="10.10.0.9", names=("db",)),), portgroups=(PortGroup(name="web", default=True),)
    ).write(other.root)
    assert alike(lab(), other)
    assert {one.section for one in amendments(lab(), other)} == {"dns-host", "portgroup"}
    assert not alike(lab(), Document.parse(LAB.replace("stp='on'", "stp='off'")))
    assert alike(lab(), Document.parse(LAB.replace("<network>", "<network connections='2'>")))


def test_a_network_is_told_in_words_of_people() -> None:
    said = told(Network.read(lab().root))
    assert said["subnet"] == "10.10.0.0/24" and said["dhcp"] == "10.10.0.2-10.10.0.254"
    assert said["reservation[52:54:00:00:00:01]"] == "10.10.0.5 web"
