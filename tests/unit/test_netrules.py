"""The rules of a network are listed with what each is for; what is missing or foreign comes with its way out."""

from __future__ import annotations

import pytest
from tests.unit.test_ruleset import recorded

from kvist.host.firewall.ruleset import Chain, Match, Rule, Ruleset
from kvist.host.net.passage import BRIDGED, FORWARD, Daemon
from kvist.resources.netview.facts import Net, net
from kvist.resources.netview.rules import NetRule, Sight, told
from kvist.values import Cidr

NAT = Net("default", True, "nat", "virbr0", "", (Cidr("192.168.122.1", 24),), True, True)
SWITCHES = {FORWARD: "1", BRIDGED: "1"}


def seen(of: Net = NAT, rules: Ruleset | None = None, switches: dict[str, str] = SWITCHES) -> list[NetRule]:
    return told(
        Sight(
            net=of, rules=recorded("nat") if rules is None else rules, switches=switches, uplink="eth0", daemon=Daemon()
        )
    )


def wrong(rows: list[NetRule]) -> list[NetRule]:
    return [row for row in rows if row.state != "in force"]


def changed(**chains: Chain | None) -> Ruleset:
    """Give the rules of a NAT network with chains put in the place of those of the same name."""
    known = recorded("nat").chains
    kept = {key: chain for key, chain in known.items() if key[2] not in chains or key[1] == "mangle"}
    return Ruleset({**kept, **{chain[:3]: chain for chain in chains.values() if chain is not None}}, {})


def test_every_rule_in_force_has_a_sentence() -> None:
    rows = seen()
    assert wrong(rows) == []
    assert len(rows) == 20
    assert all(row.purpose.endswith(".") and row.purpose[0].isupper() and row.rule for row in rows)
    said = {row.rule: row.purpose for row in rows}
    assert said["net.ipv4.ip_forward = 1"] == "The host passes packets on between its networks."
    assert said['iifname "virbr0" udp dport 53 accept'] == "Guests may ask the host for DNS."
    assert said['oifname "virbr0" udp dport 68 accept'] == "The host may answer by DHCP."
    assert said['oifname "virbr0" reject'] == "Nothing else may come in."
    assert said['iifname "virbr0" reject'] == "Nothing else may go out, nor with a foreign address."


def test_rules_of_another_network_are_left_out() -> None:
    other = NAT._replace(bridge="virbr7", addresses=(Cidr("10.7.0.1", 24),))
    assert [row.where for row in seen(other) if row.state == "in force"] == ["kernel"]


def test_forwards_of_kvists_own_are_listed_with_what_they_are_called() -> None:
    said = {row.rule: row.purpose for row in seen(rules=recorded("firewalld"))}
    assert "web:80." in said.values()
    assert "A port of the host leads to a guest." in said.values()
    assert "Packets that take a forward come back by the host." in said.values()


def test_a_masquerade_that_is_missing_is_told_for_each_protocol() -> None:
    rules = changed(LIBVIRT_PRT=Chain("ip", "nat", "LIBVIRT_PRT"))
    rows = wrong(seen(rules=rules))
    assert [(row.state, row.where, row.fix) for row in rows] == [
        ("missing", "ip nat LIBVIRT_PRT", "systemctl reload-or-restart libvirtd")
    ] * 3
    assert rows[0].rule == "masquerade of tcp from 192.168.122.0/24"
    assert wrong(seen(NAT._replace(mode="isolated"), rules)) == []


@pytest.mark.parametrize(
    ("chain", "purposes"),
    [
        ("LIBVIRT_FWO", ["Guests may send packets out."]),
        ("LIBVIRT_FWI", ["Answers to guests may come in."]),
        ("LIBVIRT_INP", ["Guests may ask the host for DHCP.", "Guests may ask the host for DNS."]),
    ],
)
def test_an_accept_that_is_missing_is_told(chain: str, purposes: list[str]) -> None:
    rows = wrong(seen(rules=changed(**{chain: Chain("ip", "filter", chain)})))
    assert [row.purpose for row in rows] == purposes
    assert {(row.state, row.where, row.fix) for row in rows} == {
        ("missing", f"ip filter {chain}", "systemctl reload-or-restart libvirtd")
    }


def test_chains_that_are_gone_altogether_come_back_at_a_restart_only() -> None:
    rows = wrong(seen(rules=Ruleset({}, {})))
    assert {row.fix for row in rows} == {"systemctl restart libvirtd"}
    assert {row.where for row in rows} == {
        "ip nat LIBVIRT_PRT",
        *(f"ip filter LIBVIRT_{name}" for name in ("INP", "FWO", "FWI")),
    }


def test_ip_forward_that_is_off_is_missing_where_the_mode_needs_it() -> None:
    (row,) = wrong(seen(switches={FORWARD: "0"}))
    assert (row.state, row.rule, row.fix) == ("missing", "net.ipv4.ip_forward = 0", "kvist host set --ip-forward")
    assert wrong(seen(NAT._replace(mode="isolated"), switches={FORWARD: "0"})) == []


def test_a_foreign_table_is_named_once_with_the_command_that_lets_the_network_pass() -> None:
    gate = Chain("inet", "guard", "gate", (), "filter", "forward", 5, "drop")
    (row,) = wrong(seen(rules=changed(gate=gate)))
    assert (row.state, row.where, row.rule) == ("foreign", "inet guard gate", "policy drop")
    assert row.purpose == "Table inet guard stops it: Guests may send packets out."
    assert row.fix == " && ".join(f"nft insert rule inet guard gate {way}ifname virbr0 accept" for way in "io")


def test_what_is_dropped_in_a_chain_that_is_called_is_let_by_where_the_packet_came_in() -> None:
    inner = Chain("inet", "guard", "deep", (Rule("inet", "guard", "deep", 2, (), "drop", text="drop"),))
    jump = Rule("inet", "guard", "gate", 1, (), "jump", "deep", "jump deep")
    gate = Chain("inet", "guard", "gate", (jump,), "filter", "input", 5, "accept")
    rows = wrong(seen(rules=changed(gate=gate, deep=inner)))
    assert [row.where for row in rows] == ["inet guard deep"]
    assert rows[0].fix == "nft insert rule inet guard gate iifname virbr0 accept"


@pytest.mark.parametrize(
    ("chain", "whose", "fix"),
    [
        (
            Chain("ip", "filter", "DOCKER-ISOLATION-STAGE-1", (), "filter", "forward", 0, "drop"),
            "Docker",
            " && ".join(f"iptables -I DOCKER-ISOLATION-STAGE-1 -{way} virbr0 -j ACCEPT" for way in "io"),
        ),
        (
            Chain("inet", "firewalld", "filter_FORWARD", (), "filter", "forward", 10, "drop"),
            "Firewalld",
            " && ".join(
                f"firewall-cmd {kept}--zone=libvirt --change-interface=virbr0" for kept in ("--permanent ", "")
            ),
        ),
        (
            Chain("ip", "filter", "ufw-reject-forward", (), "filter", "forward", 0, "drop"),
            "Ufw",
            "ufw route allow in on virbr0 && ufw route allow out on virbr0",
        ),
        (
            Chain("ip", "mangle", "FORWARD", (), "filter", "forward", -150, "drop"),
            "Table ip mangle",
            "iptables -t mangle -I FORWARD -i virbr0 -j ACCEPT && iptables -t mangle -I FORWARD -o virbr0 -j ACCEPT",
        ),
    ],
    ids=["Docker", "firewalld", "ufw", "iptables"],
)
def test_each_of_the_known_firewalls_has_its_own_way_out(chain: Chain, whose: str, fix: str) -> None:
    known = recorded("nat").chains
    (row,) = wrong(seen(rules=Ruleset({**known, chain[:3]: chain}, {})))
    assert row.purpose.startswith(f"{whose} stops it: ")
    assert row.fix == fix


def test_the_policy_of_docker_is_in_the_way_of_an_open_network_and_of_bridged_packets() -> None:
    past = "iptables -I DOCKER-USER -i {0} -j ACCEPT && iptables -I DOCKER-USER -o {0} -j ACCEPT"
    opened = NAT._replace(name="open", mode="open", bridge="virbr9", addresses=(Cidr("10.9.0.1", 24),))
    found = [row for row in seen(opened, recorded("docker")) if row.state == "foreign"]
    assert [(row.rule, row.fix) for row in found] == [("policy drop", past.format("virbr9"))]
    lan = Net("lan", True, "bridge", "br0", "", (), False, False)
    (row,) = wrong(seen(lan, recorded("docker")))
    assert (row.purpose, row.fix) == ("Docker stops it: Guests may reach whoever is on the bridge.", past.format("br0"))
    assert wrong(seen(lan, recorded("docker"), {BRIDGED: "0"})) == []


def test_a_stop_that_cannot_be_told_for_sure_says_so() -> None:
    limit = Rule("inet", "guard", "gate", 1, (Match("limit", "?", None),), "accept", text="limit rate 1/second accept")
    gate = Chain("inet", "guard", "gate", (limit,), "filter", "forward", 5, "drop")
    (row,) = wrong(seen(rules=changed(gate=gate)))
    assert row.purpose == "Table inet guard stops it, it seems: Guests may send packets out."


@pytest.mark.parametrize(
    ("forward", "mode"),
    [("", "isolated"), ("<forward mode='nat'/>", "nat"), ("<forward mode='route' dev='eth1'/>", "route")],
)
def test_a_network_is_read_from_its_document(forward: str, mode: str) -> None:
    found = net(
        f"<network><name>lab</name>{forward}<bridge name='virbr3' zone='lab'/><dns enable='no'/>"
        "<ip address='10.3.0.1' netmask='255.255.255.0'><dhcp><range start='10.3.0.2' end='10.3.0.9'/></dhcp></ip>"
        "<ip family='ipv6' address='fd00::1' prefix='64'/>"
        "</network>",
        active=True,
    )
    assert (found.name, found.mode, found.bridge, found.zone) == ("lab", mode, "virbr3", "lab")
    assert found.addresses == (Cidr("10.3.0.1", 24), Cidr("fd00::1", 64))
    assert (found.dhcp, found.dns, found.dev) == (True, False, "eth1" if mode == "route" else "")
