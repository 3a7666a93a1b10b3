"""What the host check says of networks: each thing that is in the way, with its proof and what mends it."""

from __future__ import annotations

from tests.unit.test_ruleset import recorded

from kvist.host.checks.finding import Anew, Finding, LetBy, Typed, Written
from kvist.host.checks.networks import Choice, Networks
from kvist.host.checks.seen import Seen
from kvist.host.checks.seen import findings as made
from kvist.host.firewall.passes import Pass
from kvist.host.firewall.ruleset import Chain, Ruleset
from kvist.host.net.links import Link, Route
from kvist.host.net.listeners import Listener
from kvist.host.net.passage import BRIDGED
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


def findings(seen: Networks) -> list[Finding]:
    """Make the checks of networks alone."""
    return made(Seen(networks=seen))[6:]


def wrong(seen: Networks) -> Finding:
    (found,) = [each for each in findings(seen) if each.ok is False]
    return found


def test_nothing_is_in_the_way_where_nothing_is() -> None:
    assert [each.ok for each in findings(FINE)] == [True] * 5
    assert [each.ok for each in findings(Networks())] == [True] * 5, "a host without any of it"
    assert [each.ok for each in findings(Networks(unread="not permitted"))][:3] == [None, True, None]


LEGACY = """\
*filter
:INPUT ACCEPT [0:0]
:FORWARD {policy} [0:0]
:LIBVIRT_FWO - [0:0]
{foreign}-A FORWARD -j LIBVIRT_FWO
-A LIBVIRT_FWO -s 192.168.122.0/24 -i virbr0 -j ACCEPT
COMMIT
"""
OLD = LEGACY.format(policy="ACCEPT", foreign="")
BOTH = (
    Choice("iptables", "/usr/sbin/iptables-legacy", True, "/usr/sbin/iptables-nft"),
    Choice("ip6tables", "/usr/sbin/ip6tables-legacy", False, "/usr/sbin/ip6tables-nft"),
    Choice("ebtables", "/usr/sbin/ebtables-nft", True, "/usr/sbin/ebtables-nft"),
)


def test_two_packet_filters_at_once_are_found_and_one_of_them_is_emptied_of_what_is_libvirts() -> None:
    found = wrong(FINE._replace(legacy={"iptables-legacy-save": OLD}, variant="legacy", choices=BOTH))
    assert found.proof.startswith("rules of iptables-legacy beside ip filter, ip mangle, ip nat")
    one, two, anew, emptied = found.fix.acts
    choose = "update-alternatives"
    assert one == Typed((choose, "--set", "iptables", "/usr/sbin/iptables-nft"), (choose, "--auto", "iptables"))
    assert isinstance(two, Typed) and two.back == (choose, "--set", "ip6tables", "/usr/sbin/ip6tables-legacy")
    assert anew == Anew("libvirtd")
    assert isinstance(emptied, Typed)
    assert (emptied.argv, emptied.back) == (("iptables-legacy-restore",), ("iptables-legacy-restore",))
    assert emptied.input == "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\nCOMMIT\n"
    assert emptied.back_input == OLD
    assert found.fix.words == ""
    assert str(found.fix).endswith(" | grep -v LIBVIRT_ | iptables-legacy-restore")


def test_rules_of_others_in_the_old_packet_filter_are_left_to_a_person() -> None:
    docker = LEGACY.format(policy="DROP", foreign=":DOCKER - [0:0]\n-A FORWARD -o docker0 -j DOCKER\n")
    found = wrong(FINE._replace(legacy={"iptables-legacy-save": docker}, variant="nf_tables"))
    assert "Docker (its containers stop meanwhile)" in found.fix.words
    (emptied,) = [each for each in found.fix.acts if isinstance(each, Typed)]
    assert ":DOCKER - [0:0]" in emptied.input and "-A FORWARD -o docker0 -j DOCKER" in emptied.input
    untold = wrong(FINE._replace(legacy={"iptables-legacy-save": ""}, variant="nf_tables"))
    assert untold.fix.acts == (Anew("libvirtd"),) and "what made them" in untold.fix.words


def test_an_iptables_of_the_old_kind_is_changed_for_the_other_where_there_is_one() -> None:
    found = wrong(FINE._replace(variant="legacy", choices=BOTH, systemd=False))
    assert [type(each) for each in found.fix.acts] == [Typed, Typed, Anew]
    assert "pgrep -x libvirtd || libvirtd -d" in str(found.fix)
    assert "package iptables-nft" in wrong(FINE._replace(variant="legacy")).fix.words
    ours = Chain("inet", "kvist", "forward", (), "filter", "forward", -5, "accept")
    alone = FINE._replace(variant="legacy", rules=Ruleset({ours[:3]: ours}, {}))
    assert [each.ok for each in findings(alone)] == [True] * 5, "kvist's own tables go with either kind"


def test_a_firewalld_that_libvirt_cannot_work_with_is_found() -> None:
    running = FINE._replace(firewalld="nftables", zone=True)
    assert [each.ok for each in findings(running)] == [True] * 5
    text = "# of the distribution\nFirewallBackend=iptables\nLogDenied=off\n"
    old = running._replace(firewalld="iptables", firewalld_conf=text)
    change, *anew = wrong(old).fix.acts
    assert isinstance(change, Written) and (change.path, change.before) == ("/etc/firewalld/firewalld.conf", text)
    assert change.after == text.replace("iptables", "nftables")
    assert anew == [Anew("firewalld"), Anew("libvirtd")]
    assert "FirewallBackend=nftables" in str(wrong(old).fix)
    assert wrong(old._replace(systemd=False)).fix.words == "start firewalld anew, and libvirtd behind it"
    assert "no zone libvirt" in wrong(running._replace(zone=False)).proof


def test_docker_is_found_where_a_bridge_of_guests_has_no_rules_of_libvirts() -> None:
    docker = FINE._replace(rules=recorded("docker"))
    assert [each.ok for each in findings(docker)] == [True] * 5, "libvirt's own rules come first"
    bridged = docker._replace(links=(*FINE.links, link("br0", "bridge"), link("vnet0", "tun", "br0")))
    found = wrong(bridged)
    assert found.proof == "Docker's rules stop packets of br0: ip filter FORWARD: policy drop"
    assert str(found.fix) == "iptables -I DOCKER-USER -i br0 -j ACCEPT && iptables -I DOCKER-USER -o br0 -j ACCEPT"
    assert found.fix.acts == (LetBy(Pass("iptables", "br0", "DOCKER-USER", "filter")),)
    twice = bridged._replace(links=(*bridged.links, link("br1", "bridge"), link("vnet1", "tun", "br1")))
    assert [act.through.bridge for act in wrong(twice).fix.acts if isinstance(act, LetBy)] == ["br0", "br1"]
    assert [each.ok for each in findings(bridged._replace(switches={}))] == [True] * 5


def test_a_table_of_somebody_elses_that_drops_is_found() -> None:
    gate = Chain("inet", "guard", "gate", (), "filter", "forward", 5, "drop")
    found = wrong(FINE._replace(rules=Ruleset({**FINE.rules.chains, gate[:3]: gate}, {})))
    assert found.proof == "somebody stops packets of virbr0: inet guard gate: policy drop"
    assert str(found.fix) == " && ".join(f"nft insert rule inet guard gate {way}ifname virbr0 accept" for way in "io")


def test_a_server_that_holds_a_port_everywhere_is_named_with_its_way_out() -> None:
    def held(process: str, port: int = 53, address: str = "*") -> Networks:
        return FINE._replace(listeners=(Listener("udp", address, "", port, process, 7),))

    found = wrong(held("dnsmasq"))
    assert found.proof.startswith("dnsmasq (7) holds UDP port 53 of every address")
    write, anew = found.fix.acts
    assert isinstance(write, Written) and (write.path, write.before) == ("/etc/dnsmasq.d/libvirt.conf", None)
    assert write.after == "bind-dynamic\nexcept-interface=virbr*\n" and anew == Anew("dnsmasq")
    alone = wrong(held("dnsmasq")._replace(systemd=False)).fix
    assert len(alone.acts) == 1 and alone.words == "start dnsmasq (7) anew"
    assert "listen-on" in str(wrong(held("named")).fix)
    assert (wrong(held("dhcpd", 67)).fix.acts, str(wrong(held("dhcpd", 67)).fix)) == ((), "systemctl stop dhcpd")
    assert str(wrong(held("")).fix) == "ss -lnp 'sport = :53'"
    both = FINE._replace(listeners=(*held("named").listeners, *held("dhcpd", 67).listeners))
    assert "named (7) holds UDP port 53 of every address, and dhcpd (7) holds UDP port 67" in wrong(both).proof
    resolved = Listener("udp", "127.0.0.53", "lo", 53, "systemd-resolve", 9)
    assert findings(FINE._replace(listeners=(resolved,)))[3].ok is True


def test_subnets_that_overlap_are_found() -> None:
    twice = FINE._replace(links=(*FINE.links, link("virbr1", "bridge", "", "192.168.122.129/25")))
    assert wrong(twice).proof == "192.168.122.0/24 of virbr0 and 192.168.122.128/25 of virbr1 overlap"
    routed = FINE._replace(links=(*FINE.links, link("virbr1", "bridge", "", "10.8.1.1/24")))
    assert wrong(routed).proof == "10.8.1.0/24 of virbr1 and 10.8.0.0/16 of eth0 overlap"
