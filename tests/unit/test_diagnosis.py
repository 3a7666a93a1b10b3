"""Each check of a diagnosis finds its own break, in what was seen of a guest and its host, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from tests.unit.test_ruleset import recorded

from kvist.guest.agent import Interface
from kvist.guest.netlook import GuestLink, GuestNet, GuestRoute
from kvist.host.firewall.ruleset import Chain, Match, Rule, Ruleset
from kvist.host.net.links import Link
from kvist.host.net.listeners import Listener
from kvist.host.net.passage import BRIDGED, FORWARD, Daemon, Way
from kvist.resources.netview.diagnosis.findings import ORDER, Finding, walk
from kvist.resources.netview.diagnosis.ours import Ours
from kvist.resources.netview.diagnosis.situation import Situation
from kvist.resources.netview.facts import Card, Net
from kvist.values import Cidr

MAC, OWN, HOST, FAR = "52:54:00:00:00:0a", "192.168.122.50", "192.168.122.1", "203.0.113.9"
NET = Net("default", True, "nat", "virbr0", "", (Cidr(HOST, 24),), True, True)
CARD = Card("web", True, MAC, "network", "default", "virbr0", "vnet0", True, "")
GUEST = GuestNet(
    (Interface("eth0", MAC, (Cidr(OWN, 24), Cidr("fe80::1", 64))),),
    (GuestLink("eth0", MAC, True, True),),
    (GuestRoute("default", HOST, "eth0"), GuestRoute("192.168.122.0/24", "", "eth0")),
    (HOST,),
    "dhclient",
    (),
    ((HOST, True), (FAR, True)),
    ((HOST, True),),
    True,
)


def link(name: str, kind: str, master: str = "", *, up: bool = True) -> Link:
    return Link(name, kind, master, "fe:54:00:00:00:0a", 1500, up, up, (), False)


FINE = Situation(
    vm="web",
    card=CARD,
    net=NET,
    links=(link("virbr0", "bridge"), link("vnet0", "tun", "virbr0")),
    listeners=(Listener("udp", "*", "virbr0", 67, "dnsmasq", 80), Listener("udp", HOST, "", 53, "dnsmasq", 80)),
    rules=recorded("nat"),
    switches={FORWARD: "1", BRIDGED: "1"},
    guest=GUEST,
    target=FAR,
    asked=True,
    way=Way("eth0", "10.0.0.1", "10.0.0.2"),
    reached=True,
    ours=Ours("", ""),
    now=1000.0,
)


def foreign(hook: str, *matches: Match, table: str = "guard", family: str = "inet", name: str = "gate") -> Ruleset:
    """Give the rules of the NAT network, and a chain of somebody else's that drops what fits."""
    key = (family, table, name)
    rules = (Rule(*key, 1, matches, "drop", text="drop it"),) if matches else ()
    made = Chain(*key, rules, "filter", hook, 5, "accept" if matches else "drop")
    return Ruleset({**FINE.rules.chains, key: made}, {})


def without(chain: str) -> Ruleset:
    """Give the rules of the NAT network with one chain emptied."""
    key = next(key for key in FINE.rules.chains if key[2] == chain)
    return Ruleset({**FINE.rules.chains, key: FINE.rules.chains[key]._replace(rules=())}, {})


def first(at: Situation) -> Finding:
    return next(finding for finding in walk(at) if finding.ok is False)


def of(at: Situation, check: str) -> Finding:
    return next(finding for finding in walk(at) if finding.check == check)


def test_nothing_is_wrong_where_nothing_is_broken() -> None:
    found = walk(FINE)
    assert [finding.check for finding in found] == list(ORDER)
    assert [(finding.check, finding.proof) for finding in found if finding.ok is not True] == []
    assert all(finding.proof for finding in found)
    assert {finding.fix for finding in found} == {""}


Break = Callable[[Situation], Situation]
PAST = " && ".join(f"nft insert rule inet guard gate {way}ifname virbr0 accept" for way in "io")
INPUT53 = Match("udp dport", "==", 53)

BREAKS: list[tuple[str, Break, str, str]] = [
    ("power", lambda at: replace(at, state="off"), 'VM "web" is off', "kvist start web"),
    ("power", lambda at: replace(at, state="paused"), 'VM "web" is paused', "kvist resume web"),
    ("card", lambda at: replace(at, card=None, net=None), "no network card", "kvist nic add web default"),
    ("card", lambda at: replace(at, net=None), 'no network "default"', "kvist net ls"),
    ("card", lambda at: replace(at, net=NET._replace(active=False)), "is not active", "kvist net start default"),
    (
        "link",
        lambda at: replace(at, card=CARD._replace(link=False)),
        "cable is pulled",
        f"kvist nic set web {MAC} --link up",
    ),
    (
        "port",
        lambda at: replace(at, links=(link("virbr0", "bridge"), link("vnet0", "tun"))),
        "vnet0 is no port of any bridge",
        "ip link set vnet0 master virbr0",
    ),
    (
        "port",
        lambda at: replace(at, links=(link("virbr0", "bridge", up=False), link("vnet0", "tun", "virbr0"))),
        "virbr0 is down",
        "ip link set virbr0 up",
    ),
    ("port", lambda at: replace(at, links=at.links[1:]), "no bridge virbr0", "kvist net start default"),
    (
        "filter",
        lambda at: replace(at, card=CARD._replace(filter="block-all"), rules=recorded("nwfilter3")),
        'filter "block-all" on vnet0 stops DHCP to the guest: ip filter FO-vnet0: drop',
        f"kvist nic set web {MAC} --filter none",
    ),
    (
        "filter",
        lambda at: replace(at, card=CARD._replace(filter="block-l2"), rules=recorded("nwfilter2")),
        'filter "block-l2" on vnet0 stops ARP from the guest: bridge nat libvirt-I-vnet0: drop',
        f"kvist nic set web {MAC} --filter none",
    ),
    (
        "guest card",
        lambda at: replace(
            at, guest=GUEST._replace(links=(GuestLink("eth0", MAC, False, False),), onboot=("ONBOOT=no",))
        ),
        "eth0 is down in the guest (ONBOOT=no)",
        "kvist exec web -- ip link set eth0 up",
    ),
    ("guest card", lambda at: replace(at, guest=GUEST._replace(interfaces=())), "has no card", "kvist reboot web"),
    (
        "dhcp",
        lambda at: replace(at, listeners=at.listeners[1:]),
        "dnsmasq is dead",
        "systemctl reload-or-restart libvirtd",
    ),
    (
        "dhcp",
        lambda at: replace(at, rules=foreign("input", Match("udp dport", "==", 67))),
        "table inet guard stops what the guest asks the host: inet guard gate: drop it",
        "nft insert rule inet guard gate iifname virbr0 accept",
    ),
    (
        "address",
        lambda at: replace(at, guest=GUEST._replace(interfaces=(Interface("eth0", MAC, ()),))),
        "eth0 has no IPv4 address in the guest",
        "kvist exec web -- sh -c 'dhclient -r eth0; dhclient eth0'",
    ),
    (
        "address",
        lambda at: replace(at, guest=GUEST._replace(interfaces=(Interface("eth0", MAC, (Cidr("10.9.9.9", 24),)),))),
        "10.9.9.9 is outside of 192.168.122.0/24",
        "kvist exec web -- sh -c 'dhclient -r eth0; dhclient eth0'",
    ),
    (
        "gateway",
        lambda at: replace(at, guest=GUEST._replace(routes=(GuestRoute("default", "192.168.122.77", "eth0"),))),
        "the guest's gateway is 192.168.122.77, and the host is 192.168.122.1",
        "kvist exec web -- ip route replace default via 192.168.122.1 dev eth0",
    ),
    (
        "gateway",
        lambda at: replace(at, guest=GUEST._replace(routes=())),
        "no default route",
        "kvist exec web -- ip route replace default via 192.168.122.1",
    ),
    (
        "dns",
        lambda at: replace(at, listeners=at.listeners[:1]),
        "nobody listens on UDP port 53",
        "systemctl reload-or-restart libvirtd",
    ),
    (
        "dns",
        lambda at: replace(at, rules=foreign("input", INPUT53)),
        "table inet guard stops what the guest asks",
        "nft insert rule inet guard gate iifname virbr0 accept",
    ),
    (
        "dns",
        lambda at: replace(at, guest=GUEST._replace(resolvers=("10.1.1.1",), names=(("10.1.1.1", False),))),
        "10.1.1.1 gives the guest no answer",
        "kvist exec web -- sh -c 'echo nameserver 192.168.122.1 > /etc/resolv.conf'",
    ),
    (
        "dns",
        lambda at: replace(at, guest=GUEST._replace(resolvers=(), client="nmcli")),
        "knows no name server",
        "kvist exec web -- nmcli device reapply eth0",
    ),
    (
        "ip_forward",
        lambda at: replace(at, switches={FORWARD: "0"}),
        "net.ipv4.ip_forward = 0",
        "kvist host set --ip-forward",
    ),
    ("route", lambda at: replace(at, way=None), f"no route to {FAR}", "ip route add default via GATEWAY"),
    (
        "nat",
        lambda at: replace(at, rules=without("LIBVIRT_PRT")),
        "no rule gives icmp, tcp, udp of 192.168.122.0/24 the host's address",
        "systemctl reload-or-restart libvirtd",
    ),
    ("nat", lambda at: replace(at, rules=Ruleset({}, {})), "no rule gives", "systemctl restart libvirtd"),
    (
        "firewall",
        lambda at: replace(at, rules=foreign("forward")),
        "table inet guard stops packets on their way out: inet guard gate: policy drop",
        PAST,
    ),
    (
        "return",
        lambda at: replace(at, rules=foreign("forward", Match("oifname", "==", "virbr0"))),
        "table inet guard stops packets on their way back: inet guard gate: drop it",
        PAST,
    ),
    ("policy", lambda at: replace(at, ours=Ours("table kvist-fw was flushed", "")), "not in force", "kvist fw restore"),
    (
        "forwards",
        lambda at: replace(at, ours=Ours(None, "table kvist was flushed or changed")),
        "its forwards are not in force: table kvist was flushed or changed",
        "kvist forward restore",
    ),
]


@pytest.mark.parametrize(("check", "broken", "proof", "fix"), BREAKS, ids=[f"{one[0]}: {one[2]}" for one in BREAKS])
def test_a_break_is_the_first_thing_that_is_found(check: str, broken: Break, proof: str, fix: str) -> None:
    found = first(broken(FINE))
    assert (found.check, found.fix) == (check, fix)
    assert proof in found.proof


def test_two_breaks_are_both_found_and_the_one_that_packets_meet_first_comes_first() -> None:
    at = replace(FINE, switches={FORWARD: "0"}, rules=without("LIBVIRT_PRT"))
    assert [finding.check for finding in walk(at) if finding.ok is False] == ["ip_forward", "nat"]


def test_a_host_without_systemd_is_told_so_by_signal() -> None:
    at = replace(FINE, listeners=(), daemon=Daemon("virtnetworkd", False))
    assert first(at).fix == "pkill -HUP -x virtnetworkd"


def test_an_isolated_network_needs_neither_gateway_nor_forwarding() -> None:
    at = replace(FINE, net=NET._replace(mode="isolated"), guest=GUEST._replace(routes=()), switches={FORWARD: "0"})
    at = replace(at, target="", asked=False, way=None)
    assert [finding.check for finding in walk(at) if finding.ok is False] == []
    assert of(at, "gateway").proof == "none is needed: the network is isolated"
    assert of(at, "ip_forward").proof.endswith("the network's mode is isolated")


def test_an_address_on_the_same_network_needs_no_router() -> None:
    at = replace(FINE, target="192.168.122.77", switches={FORWARD: "0", BRIDGED: "0"}, guest=GUEST._replace(routes=()))
    assert [finding.check for finding in walk(at) if finding.ok is False] == []
    assert of(at, "firewall").proof == "packets between the ports of a bridge come by no rule of the host"


def test_a_target_that_knows_no_way_back_to_a_routed_network_is_told_it() -> None:
    silent = GUEST._replace(pings=((HOST, True), (FAR, False)))
    found = first(replace(FINE, net=NET._replace(mode="route"), guest=silent))
    assert (found.check, found.fix) == ("return", "there: ip route add 192.168.122.0/24 via 10.0.0.2")
    assert first(replace(FINE, guest=silent)).fix == "kvist net rules default"
    assert of(replace(FINE, guest=silent, reached=False), "return").ok is None


def test_docker_drops_what_a_bridge_without_rules_of_libvirts_forwards() -> None:
    bridged = NET._replace(name="lan", mode="bridge", bridge="br0", addresses=(), dhcp=False, dns=False)
    at = replace(
        FINE,
        net=bridged,
        card=CARD._replace(source="lan", bridge="br0"),
        links=(link("br0", "bridge"), link("vnet0", "tun", "br0")),
        rules=recorded("docker"),
    )
    found = first(at)
    assert (found.check, found.proof) == (
        "firewall",
        "Docker stops packets on their way out: ip filter FORWARD: policy drop",
    )
    assert found.fix == "iptables -I DOCKER-USER -i br0 -j ACCEPT && iptables -I DOCKER-USER -o br0 -j ACCEPT"
    assert [each.check for each in walk(replace(at, switches={BRIDGED: "0"})) if each.ok is False] == []


def test_without_an_agent_leases_and_neighbours_stand_in_for_the_guest() -> None:
    lease: Any = SimpleNamespace(mac=MAC, address=OWN, expiry=2000)
    at = replace(FINE, guest=None, silent="no guest agent answers", leases=(lease,))
    assert at.address == OWN and of(at, "address").ok is True
    assert [finding.check for finding in walk(at) if finding.ok is False] == []
    assert "no guest agent answers" in of(at, "guest card").proof
    past = replace(at, now=3000.0)
    assert (first(past).check, first(past).proof) == (
        "address",
        f"the lease of {OWN} has run out; no guest agent answers",
    )
    assert of(replace(past, neighbours=((MAC, OWN),)), "address").ok is True


def test_a_rule_that_cannot_be_judged_is_no_verdict() -> None:
    at = replace(FINE, rules=foreign("forward", Match("mark", "==", 7)))
    assert of(at, "firewall").ok is True
    doubt = foreign("forward")
    gate = doubt.chains["inet", "guard", "gate"]
    maybe = Rule("inet", "guard", "gate", 1, (Match("limit", "?", None),), "accept")
    doubt = Ruleset({**doubt.chains, gate[:3]: gate._replace(rules=(maybe,))}, {})
    assert (of(replace(FINE, rules=doubt), "firewall").ok, of(replace(FINE, rules=doubt), "firewall").fix) == (None, "")


def test_rules_that_may_not_be_read_are_no_verdict_either() -> None:
    at = replace(FINE, rules=Ruleset({}, {}), unread="nft: not permitted")
    assert [finding.check for finding in walk(at) if finding.ok is False] == []
    assert "not permitted" in of(at, "nat").proof
