"""What the host check says of networks: each thing that is in the way, with its proof and what mends it."""

from __future__ import annotations

from tests.unit.test_ruleset import recorded

from kvist.host.checks import Finding
from kvist.host.firewall.ruleset import Chain, Ruleset
from kvist.host.net.links import Link, Route
from kvist.host.net.listeners import Listener
from kvist.host.net.passage import BRIDGED
from kvist.host.netchecks import CHECKS, Networks, findings
from kvist.values import Cidr


def link(name: str, kind: str, master: str = "", *addresses: str) -> Link:
    held = tuple(Cidr.parse(each) for each in addresses)
    return Link(name, kind, master, "52:54:00:00:00:01", 1500, True, True, held, False)


FINE = Networks(
    rules=recorded("nat"),
    variant="nf_tables",
    links=(link("eth0", "", "", "203.0.113.5/24"), link("virbr0", "bridge", "", "192.168.122.1/24")),
    routes=(Route("default", "203.0.113.1", "eth0", "", 0, ""), Route("10.8.0.0/16", "203.0.113.2", "eth0", "", 0, "")),
    listeners=(
        Listener("udp", "192.168.122.1", "", 53, "dnsmasq", 8),
        Listener("udp", "*", "virbr0", 67, "dnsmasq", 8),
    ),
    switches={BRIDGED: "1"},
)


def wrong(seen: Networks) -> Finding:
    (found,) = [each for each in findings(seen) if each.ok is False]
    return found


def test_nothing_is_in_the_way_where_nothing_is() -> None:
    assert [each.ok for each in findings(FINE)] == [True] * len(CHECKS)
    assert [each.ok for each in findings(Networks())] == [True] * len(CHECKS), "a host without any of it"
    assert [each.ok for each in findings(Networks(unread="not permitted"))][:3] == [None, True, None]


def test_two_packet_filters_at_once_are_found() -> None:
    found = wrong(FINE._replace(legacy=("filter", "nat")))
    assert "tables filter, nat of iptables-legacy beside" in found.proof
    assert found.fix.startswith("update-alternatives --set iptables /usr/sbin/iptables-nft && ")
    assert wrong(FINE._replace(variant="legacy")).check == "packet filter"


def test_a_firewalld_that_libvirt_cannot_work_with_is_found() -> None:
    running = FINE._replace(firewalld="nftables", zone=True)
    assert [each.ok for each in findings(running)] == [True] * len(CHECKS)
    assert "FirewallBackend=nftables" in wrong(running._replace(firewalld="iptables")).fix
    assert "no zone libvirt" in wrong(running._replace(zone=False)).proof


def test_docker_is_found_where_a_bridge_of_guests_has_no_rules_of_libvirts() -> None:
    docker = FINE._replace(rules=recorded("docker"))
    assert [each.ok for each in findings(docker)] == [True] * len(CHECKS), "libvirt's own rules come first"
    bridged = docker._replace(links=(*FINE.links, link("br0", "bridge"), link("vnet0", "tun", "br0")))
    found = wrong(bridged)
    assert found.proof == "Docker's rules stop packets of br0: ip filter FORWARD: policy drop"
    assert found.fix == "iptables -I DOCKER-USER -i br0 -j ACCEPT && iptables -I DOCKER-USER -o br0 -j ACCEPT"
    assert [each.ok for each in findings(bridged._replace(switches={}))] == [True] * len(CHECKS)


def test_a_table_of_somebody_elses_that_drops_is_found() -> None:
    gate = Chain("inet", "guard", "gate", (), "filter", "forward", 5, "drop")
    found = wrong(FINE._replace(rules=Ruleset({**FINE.rules.chains, gate[:3]: gate}, {})))
    assert found.proof == "somebody stops packets of virbr0: inet guard gate: policy drop"
    assert found.fix == " && ".join(f"nft insert rule inet guard gate {way}ifname virbr0 accept" for way in "io")


def test_a_server_that_holds_a_port_everywhere_is_named_with_its_way_out() -> None:
    def held(process: str, port: int = 53, address: str = "*") -> Networks:
        return FINE._replace(listeners=(Listener("udp", address, "", port, process, 7),))

    found = wrong(held("dnsmasq"))
    assert found.proof.startswith("dnsmasq (7) holds UDP port 53 of every address")
    assert "except-interface=virbr*" in found.fix and found.fix.endswith("systemctl restart dnsmasq")
    assert "listen-on" in wrong(held("named")).fix
    assert wrong(held("dhcpd", 67)).fix == "systemctl stop dhcpd"
    assert wrong(held("")).fix == "ss -lnp 'sport = :53'"
    resolved = Listener("udp", "127.0.0.53", "lo", 53, "systemd-resolve", 9)
    assert findings(FINE._replace(listeners=(resolved,)))[3].ok is True


def test_subnets_that_overlap_are_found() -> None:
    twice = FINE._replace(links=(*FINE.links, link("virbr1", "bridge", "", "192.168.122.129/25")))
    assert wrong(twice).proof == "192.168.122.0/24 of virbr0 and 192.168.122.128/25 of virbr1 overlap"
    routed = FINE._replace(links=(*FINE.links, link("virbr1", "bridge", "", "10.8.1.1/24")))
    assert wrong(routed).proof == "10.8.1.0/24 of virbr1 and 10.8.0.0/16 of eth0 overlap"
