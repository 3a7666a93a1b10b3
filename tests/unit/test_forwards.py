"""Forwards as values: what is typed, what is written down, which meet, and which card they lead to."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from kvist.engine.step import Site
from kvist.errors import Unsupported
from kvist.resources.forwards.crossings import Led, Network, card_of, led, wanted
from kvist.specs.forward import Forward
from kvist.values import Cidr
from kvist.xml.document import Document

NETWORKS = {
    "default": Network("default", "nat", "virbr0", (Cidr("192.168.122.0", 24),), ("192.168.122.1",), ()),
    "lonely": Network("lonely", "", "virbr7", (), (), ()),
    "vtap": Network("vtap", "private", "", (), (), ()),
}


@pytest.mark.parametrize(
    "text",
    [
        "8080/tcp:80",
        "53/udp:53",
        "8000-8010/tcp:9000-9010",
        "8080/tcp:80 from 10.0.0.0/8",
        "8080/tcp:80 on eth0",
        "8080/tcp:80 from 10.0.0.0/8 on 10.1.2.3",
    ],
)
def test_a_forward_is_read_as_it_is_printed(text: str) -> None:
    assert str(Forward.parse(text)) == text


@pytest.mark.parametrize(
    "text", ["", "8080", "8080:x", "8000-8010/tcp:80", "8080/tcp:0", "65000-65535/tcp:65100-65635"]
)
def test_what_is_no_forward_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not"):
        Forward.parse(text)


@pytest.mark.parametrize(
    ("one", "other", "meet"),
    [
        ("8080/tcp:80", "8080/tcp:81", True),
        ("8080/tcp:80", "8080/udp:80", False),
        ("8000-8010/tcp:1-11", "8010/tcp:80", True),
        ("8000-8010/tcp:1-11", "8011/tcp:80", False),
        ("8080/tcp:80 from 10.0.0.0/8", "8080/tcp:80 from 10.1.0.0/16", True),
        ("8080/tcp:80 from 10.0.0.0/16", "8080/tcp:80 from 10.1.0.0/16", False),
        ("8080/tcp:80 from 10.0.0.0/16", "8080/tcp:80", True),
        ("8080/tcp:80 on eth0", "8080/tcp:80 on eth1", False),
        ("8080/tcp:80 on 10.0.0.1", "8080/tcp:80 on 10.0.0.2", False),
        ("8080/tcp:80 on 10.0.0.1", "8080/tcp:80 on eth1", True),
        ("8080/tcp:80 on eth0", "8080/tcp:80", True),
    ],
)
def test_two_forwards_meet_where_a_connection_could_be_for_both(one: str, other: str, meet: bool) -> None:
    assert Forward.parse(one).meets(Forward.parse(other)) is meet
    assert Forward.parse(other).meets(Forward.parse(one)) is meet


def domain(*cards: str, forwards: str = "") -> Document:
    metadata = f"<metadata><kvist:vm xmlns:kvist='urn:kvist:1'>{forwards}</kvist:vm></metadata>"
    return Document.parse(f"<domain>{metadata}<devices>{''.join(cards)}</devices></domain>")


def card(kind: str, source: str, mac: str = "52:54:00:00:00:01") -> str:
    return f"<interface type='{kind}'><mac address='{mac}'/><source {source}/></interface>"


def test_the_forwards_of_all_vms_are_listed_by_port() -> None:
    def said(*texts: str) -> str:
        return domain(forwards="".join(f"<kvist:forward>{text}</kvist:forward>" for text in texts)).text()

    found = led([("b", said("90/tcp:90", "53/udp:53")), ("none", domain().text()), ("a", said("80/tcp:80"))])
    assert found == [
        Led(vm, Forward.parse(text)) for vm, text in (("b", "53/udp:53"), ("a", "80/tcp:80"), ("b", "90/tcp:90"))
    ]


def test_the_first_card_that_the_host_reaches_is_taken() -> None:
    root = domain(
        card("direct", "dev='eth0'"),
        card("network", "network='vtap'", "52:54:00:00:00:02"),
        card("network", "network='default'", "52:54:00:00:00:03"),
        card("bridge", "bridge='br0'", "52:54:00:00:00:04"),
    ).root
    leases = {
        ("default", "52:54:00:00:00:03"): "192.168.122.9",
        ("lonely", "52:54:00:00:00:03"): "10.0.0.9",
    }
    found = card_of("web", root, NETWORKS, leases)
    assert (found.mac, found.bridge, found.told, found.masked) == (
        "52:54:00:00:00:03",
        "virbr0",
        "192.168.122.9",
        False,
    )


@pytest.mark.parametrize(("kind", "source"), [("network", "network='lonely'"), ("bridge", "bridge='br0'")])
def test_a_guest_without_this_host_as_its_gateway_sees_the_hosts_address(kind: str, source: str) -> None:
    assert card_of("web", domain(card(kind, source)).root, NETWORKS, {}).masked


@pytest.mark.parametrize(
    ("cards", "reason"),
    [
        ((), "it has no network card"),
        (("<interface type='user'><mac address='52:54:00:00:00:01'/></interface>",), "type user"),
        ((card("direct", "dev='eth0'"),), "of type direct"),
        ((card("network", "network='vtap'"),), 'network "vtap" is of mode private'),
        ((card("network", "network='gone'"),), 'network "gone" of card 52:54:00:00:00:01 is not there'),
    ],
)
def test_a_vm_that_the_host_does_not_reach_is_refused_with_what_its_cards_are(
    cards: tuple[str, ...], reason: str
) -> None:
    with pytest.raises(Unsupported, match="cannot forward to VM") as refused:
        card_of("web", domain(*cards).root, NETWORKS, {})
    assert reason in refused.value.what


def test_what_comes_and_goes_gives_the_table_that_is_read_when_it_is_written_down() -> None:
    def site(*texts: str) -> Site:
        said = "".join(f"<kvist:forward>{text}</kvist:forward>" for text in texts)
        vm = domain(card("network", "network='lab'"), forwards=said).text()
        lab = "<network><name>lab</name><forward mode='nat'/><ip address='10.9.0.1' prefix='24'/></network>"
        networks = SimpleNamespace(
            all=lambda: [SimpleNamespace(name="lab", bridge="virbr1")], stored=lambda: {"lab": lab}, leases=list
        )
        domains = SimpleNamespace(documents=lambda: [("web", vm)])
        return Site(cast("Any", SimpleNamespace(domains=domains, networks=networks)))

    first, second = "8000/tcp:8000", "8080/tcp:80"
    both = wanted(site(first, second))
    assert [str(opening.ports) for opening in both.openings] == ["8000/tcp", "8080/tcp"]
    assert wanted(site(second), come=(Led("web", Forward.parse(first)),)) == both
    assert wanted(site(first, second), gone=(Led("web", Forward.parse(first)),)) == wanted(site(second))
