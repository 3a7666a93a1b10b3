"""Networks on libvirt's test driver: every verb, twice and taken back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from kvist.engine.journal import Journal
from kvist.errors import Conflict, Invalid, NotFound, Refused
from kvist.resources.hosts.host import Host, connect
from kvist.specs.network import DnsHost, DnsTxt, Network, PortGroup
from kvist.xml.options import from_mapping


@pytest.fixture
def host() -> Iterator[Host]:
    up = connect("test:///default")
    yield up
    up.close()


def typed(**keys: object) -> Network:
    return from_mapping(Network, keys)


def documents(host: Host) -> dict[str, tuple[str, bool, bool]]:
    networks = host.connection.networks
    return {net.name: (networks.xml(net.name, stored=True), net.active, net.autostart) for net in networks.all()}


def undone(host: Host, before: dict[str, tuple[str, bool, bool]]) -> None:
    host.history.undo()
    assert documents(host) == before


def twice(operation: Any, *args: Any, **kwargs: Any) -> list[str]:
    done = operation(*args, **kwargs)
    assert done.changed
    assert not operation(*args, **kwargs).changed
    return [change.field for change in done.changes]


def test_a_network_is_made_started_and_undone(host: Host) -> None:
    before = documents(host)
    fields = twice(host.networks.create, "lab", typed(mode="route", subnet="10.10.0.0/24", domain="lab"))
    assert {"mode", "subnet", "dhcp", "domain", "state", "autostart"} <= set(fields)
    assert documents(host)["lab"][1:] == (True, True)
    undone(host, before)


def test_another_network_of_the_name_is_refused(host: Host) -> None:
    host.networks.create("lab", typed(mode="nat"))
    with pytest.raises(Conflict, match="mode is nat, not route"):
        host.networks.create("lab", typed(mode="route"))
    with pytest.raises(Conflict, match="domain is not set, not lab"):
        host.networks.create("lab", typed(domain="lab"))


@pytest.mark.parametrize(
    ("settings", "lists"),
    [
        ({"dhcp": "10.10.0.100-200"}, {}),
        ({}, {"dns_host": (DnsHost(ip="10.10.0.9", names=("db",)),)}),
        ({}, {"portgroup": (PortGroup(name="web", default=True),)}),
        ({"domain": "other", "mtu": "1400", "zone": "libvirt", "mac_table": "libvirt"}, {}),
        ({"subnet": "10.11.0.0/24"}, {}),
        ({"mode": "isolated"}, {}),
    ],
)
def test_a_network_is_changed_and_undone(host: Host, settings: dict[str, object], lists: dict[str, Any]) -> None:
    host.networks.create("lab", typed(subnet="10.10.0.0/24"))
    before = documents(host)
    twice(host.networks.set, "lab", typed(**settings), **lists)
    assert documents(host) != before
    undone(host, before)


def test_settings_and_items_of_lists_are_unset(host: Host) -> None:
    host.networks.create("lab", typed(subnet="10.10.0.0/24", domain="lab"), dns_txt=(DnsTxt(name="a", value="b"),))
    before = documents(host)
    twice(host.networks.unset, "lab", ("domain", "dns_txts[a:b]", "dhcp"))
    xml = documents(host)["lab"][0]
    assert "<domain" not in xml and "<txt" not in xml and "<range" not in xml
    undone(host, before)
    with pytest.raises(Invalid) as wrong:
        host.networks.unset("lab", ("domian", "name"))
    assert len(wrong.value.problems) == 2


def test_an_address_is_reserved_moved_and_given_free(host: Host) -> None:
    host.networks.create("lab", typed(subnet="10.10.0.0/24"))
    before = documents(host)
    one, two = "52:54:00:00:00:01", "52:54:00:00:00:02"
    twice(host.networks.reserve, "lab", one, "10.10.0.5")
    with pytest.raises(Conflict, match=f"10.10.0.5 is reserved for .*{one}"):
        host.networks.reserve("lab", two, "10.10.0.5")
    twice(host.networks.reserve, "lab", one, "10.10.0.6")
    assert documents(host)["lab"][0].count("<host ") == 1
    assert [(row.address, row.mac) for row in host.networks.leases("lab")] == [("10.10.0.6", one)]
    twice(host.networks.unreserve, "lab", one)
    assert documents(host) == before


@pytest.mark.parametrize(
    ("who", "address", "what"),
    [
        ("52:54:00:00:00:01", "10.11.0.5", "is not on network"),
        ("52:54:00:00:00:01", "10.10.0.0", "of the subnet 10.10.0.0/24 itself"),
        ("52:54:00:00:00:01", "10.10.0.x", "is not an IP address"),
        ("52:54:00:00:00:01", "", "has no address on network"),
        ("52:54:00:00:00:01", "fd00::5", "for IPv4 only"),
    ],
)
def test_an_address_that_cannot_be_reserved_is_refused(host: Host, who: str, address: str, what: str) -> None:
    host.networks.create("lab", typed(subnet="10.10.0.0/24"))
    before = documents(host)
    with pytest.raises(Invalid, match=what):
        host.networks.reserve("lab", who, address)
    assert documents(host) == before


def test_the_hosts_own_address_and_a_stranger_are_refused(host: Host) -> None:
    host.networks.create("lab", typed(subnet="10.10.0.0/24"))
    with pytest.raises(Conflict, match="the host's own address"):
        host.networks.reserve("lab", "52:54:00:00:00:01", "10.10.0.1")
    with pytest.raises(NotFound, match='no VM "nobody"'):
        host.networks.reserve("lab", "nobody", "10.10.0.5")
    with pytest.raises(NotFound, match='no network "lob"'):
        host.networks.show("lob")


def test_a_reservation_that_is_taken_back_stands_where_it_was(host: Host) -> None:
    host.networks.create("lab", typed(subnet="10.10.0.0/24"))
    for number in (1, 2, 3):
        host.networks.reserve("lab", f"52:54:00:00:00:0{number}", f"10.10.0.{number + 10}")
    before = documents(host)
    host.networks.unreserve("lab", "10.10.0.12")
    undone(host, before)


def test_names_come_and_go_and_share_an_address(host: Host) -> None:
    host.networks.create("lab", typed(subnet="10.10.0.0/24"))
    before = documents(host)
    twice(host.networks.add_host, "lab", "db.lab", "10.10.0.9")
    twice(host.networks.add_host, "lab", "sql.lab", "10.10.0.9")
    with pytest.raises(Conflict, match=r'"db.lab" is 10.10.0.9'):
        host.networks.add_host("lab", "db.lab", "10.10.0.8")
    assert host.networks.show("lab")["dns_hosts"] == [{"address": "10.10.0.9", "names": ["db.lab", "sql.lab"]}]
    twice(host.networks.remove_host, "lab", "db.lab")
    twice(host.networks.remove_host, "lab", "sql.lab")
    assert documents(host) == before


def test_a_network_stops_starts_and_is_renamed_and_deleted_and_all_of_it_is_undone(host: Host) -> None:
    host.networks.create("lab", typed(subnet="10.10.0.0/24"))
    before = documents(host)
    for operation, args in (
        (host.networks.stop, ("lab",)),
        (host.networks.autostart, ("lab", False)),
        (host.networks.rename, ("lab", "office")),
        (host.networks.delete, ("lab",)),
    ):
        twice(operation, *args)
        assert documents(host) != before
        undone(host, before)


def test_a_network_that_a_vm_uses_is_not_deleted(host: Host) -> None:
    xml = (
        "<domain type='test'><name>web</name><memory>1024</memory><os><type>hvm</type></os><devices>"
        "<interface type='network'><mac address='52:54:00:00:00:07'/><source network='default'/></interface>"
        "</devices></domain>"
    )
    host.connection.domains.define(xml, name="web")
    with pytest.raises(Refused, match='used by VM "test", "web"'):
        host.networks.delete("default")
    shown = host.networks.show("default")
    assert [guest["vm"] for guest in shown["guests"]] == ["test", "web"]
    twice(host.networks.reserve, "default", "web", "192.168.122.77")
    assert [(row.vm, row.hostname) for row in host.networks.leases("default")] == [("web", "web")]
    host.vm("web").rename("www")
    assert [(row.vm, row.hostname) for row in host.networks.leases("default")] == [("www", "www")]
    host.history.undo()
    assert [(row.vm, row.hostname) for row in host.networks.leases("default")] == [("web", "web")]
    host.vm("web").delete(purge=True)
    assert host.networks.leases("default") == []


def test_undo_is_refused_for_another_network_of_the_name(host: Host) -> None:
    host.networks.create("lab", typed(subnet="10.10.0.0/24"))
    host.networks.set("lab", typed(dhcp="10.10.0.50-60"))
    with Journal() as book:
        number = book.all(uri=host.connection.uri)[0].number
    host.connection.networks.stop("lab")
    host.connection.networks.undefine("lab")
    host.connection.networks.define("<network><name>lab</name></network>", name="lab")
    with pytest.raises(Refused, match="another one than then"):
        host.history.undo(number)


def test_a_route_for_other_hosts_is_told(host: Host) -> None:
    host.networks.create("lab", typed(mode="route", subnet="10.10.0.0/24"))
    assert host.networks.show("lab")["route"] == ["ip route add 10.10.0.0/24 via ADDRESS-OF-THIS-HOST"]
