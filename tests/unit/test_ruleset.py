"""What nft(8) and iptables-save(8) print is read whole; the examples were recorded on hosts with such rules."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from kvist.errors import CommandFailed, Corrupt, Denied
from kvist.host.firewall import iptables
from kvist.host.firewall.packets import Packet, fate, translated
from kvist.host.firewall.ruleset import EMPTY, Match, Ruleset, parse, ruleset
from kvist.host.hand import Hand
from kvist.host.run import Result

RECORDED = Path(__file__).parent / "rulesets"
OUT = Packet("192.168.122.50", "192.0.2.1", "virbr0", "eth0", "tcp", 40000, 443)

SAVED = """\
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [3:180]
:OUTPUT ACCEPT [0:0]
:LIBVIRT_FWI - [0:0]
:LIBVIRT_FWO - [0:0]
-A INPUT -p udp -m multiport --dports 53,67:68 -m comment --comment "for guests" -j DROP
-A FORWARD -j LIBVIRT_FWI
-A FORWARD -j LIBVIRT_FWO
-A LIBVIRT_FWI -d 192.168.122.0/24 -o virbr0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A LIBVIRT_FWI -o virbr0 -j REJECT --reject-with icmp-port-unreachable
-A LIBVIRT_FWO -s 192.168.122.0/24 -i virbr+ -j ACCEPT
COMMIT
*nat
:POSTROUTING ACCEPT [0:0]
-A POSTROUTING -s 192.168.122.0/24 ! -d 192.168.122.0/24 -p tcp -j MASQUERADE --to-ports 1024-65535
COMMIT
"""


def recorded(name: str) -> Ruleset:
    return parse((RECORDED / f"{name}.json").read_text(), (RECORDED / f"{name}.nft").read_text())


def test_chains_have_their_hook_priority_and_policy() -> None:
    rules = recorded("docker")
    forward = rules.chains["ip", "filter", "FORWARD"]
    assert (forward.type, forward.hook, forward.prio, forward.policy) == ("filter", "forward", 0, "drop")
    assert rules.chains["ip", "filter", "LIBVIRT_FWI"].hook == ""
    assert [chain.name for chain in recorded("nat").hooked("postrouting", ("ip",), ("filter", "nat"))] == [
        "POSTROUTING",
        "POSTROUTING",
    ]
    assert rules.has("DOCKER") and not recorded("nat").has("DOCKER")


def test_a_rule_has_its_conditions_its_verdict_its_counter_and_its_text() -> None:
    first, second = recorded("nat").chains["ip", "filter", "LIBVIRT_FWI"].rules
    assert first.value("oifname") == "virbr0"
    assert first.value("ip daddr") == {"prefix": {"addr": "192.168.122.0", "len": 24}}
    assert first.text == 'oifname "virbr0" ip daddr 192.168.122.0/24 ct state related,established accept'
    assert (first.place, first.verdict, first.packets) == ("ip filter LIBVIRT_FWI", "accept", 0)
    assert (second.verdict, second.matches) == ("reject", (Match("oifname", "==", "virbr0"),))


def test_what_json_leaves_out_of_iptables_rules_is_taken_from_the_text() -> None:
    rule = recorded("nat").chains["ip", "filter", "LIBVIRT_FWI"].rules[0]
    assert Match("ct state", "in", ["related", "established"]) in rule.matches
    bare = parse((RECORDED / "nat.json").read_text()).chains["ip", "filter", "LIBVIRT_FWI"].rules[0]
    assert Match("xt conntrack", "?", None) in bare.matches
    assert [rule.verdict for rule in recorded("nat").chains["ip", "nat", "LIBVIRT_PRT"].rules] == [
        *("return", "return"),
        *("masquerade", "masquerade", "masquerade"),
    ]


def test_rules_of_a_filter_are_tied_to_their_tap() -> None:
    (rule,) = recorded("nwfilter3").chains["ip", "filter", "libvirt-in"].rules
    assert (rule.verdict, rule.target, rule.matches) == ("goto", "FI-vnet0", (Match("tap in", "==", "vnet0"),))
    (rule,) = recorded("nwfilter3").chains["ip", "filter", "libvirt-out"].rules
    assert rule.matches == (Match("tap out", "==", "vnet0"),)


def test_sets_maps_comments_and_translations_are_read() -> None:
    rules = recorded("firewalld")
    assert rules.sets["inet", "firewalld", "trusted"][0] == {"prefix": {"addr": "10.8.0.0", "len": 16}}
    jump = next(rule for rule in rules.chains["inet", "firewalld", "filter_FORWARD"].rules if rule.verdict == "vmap")
    assert jump.target == ("iifname", "@zones")
    forward = rules.chains["inet", "kvist", "forwards"].rules[0]
    assert (forward.verdict, forward.comment, forward.target["addr"]) == ("dnat", "web:80", "192.168.122.50")


def test_nothing_is_read_from_nothing_and_nonsense_is_refused() -> None:
    assert parse("") == EMPTY
    assert parse('{"nftables": [{"metainfo": {}}]}') == EMPTY
    for wrong in ("{", "[]", '{"tables": []}'):
        with pytest.raises(Corrupt, match="cannot read what nft says"):
            parse(wrong)


def test_what_iptables_save_prints_decides_the_same() -> None:
    rules = iptables.parse(SAVED)
    assert fate(rules, "forward", OUT).action == "accept"
    assert fate(rules, "forward", OUT._replace(source="10.0.0.1")).proof == "ip filter FORWARD: policy drop"
    back = Packet("192.0.2.1", "192.168.122.50", "eth0", "virbr0", "tcp", 443, 40000, "established")
    assert fate(rules, "forward", back).action == "accept"
    assert fate(rules, "forward", back._replace(state="new")).action == "reject"
    asking = Packet("0.0.0.0", "255.255.255.255", "virbr0", "", "udp", 68, 67)
    assert fate(rules, "input", asking).action == "drop"
    assert fate(rules, "input", asking._replace(dport=69)).action == "accept"
    assert translated(rules, OUT).action == "masquerade"
    assert translated(rules, OUT._replace(proto="udp")).action == "accept"
    assert rules.chains["ip", "filter", "LIBVIRT_FWI"].rules[0].text.endswith("RELATED,ESTABLISHED -j ACCEPT")


class Asked:
    """A host whose programs say what they are told to say."""

    def __init__(self, *programs: str, wrong: str = "") -> None:
        self.programs, self.wrong = programs, wrong

    def has(self, program: str) -> bool:
        return program in self.programs

    def run(self, argv: tuple[str, ...]) -> Result:
        if self.wrong:
            raise CommandFailed(f'program "{argv[0]}" failed: {self.wrong}')
        said = {"-j": (RECORDED / "nat.json").read_text(), "-a": (RECORDED / "nat.nft").read_text()}
        text = said.get(argv[1], "") if argv[0] == "nft" else SAVED
        return Result(argv, 0, text.encode(), b"")


def test_a_host_is_asked_by_nft_and_by_iptables_save_where_it_has_none() -> None:
    assert ruleset(cast(Hand, Asked("nft"))) == recorded("nat")
    old = ruleset(cast(Hand, Asked("iptables-save")))
    assert {chain.family for chain in old.chains.values()} == {"ip", "ip6"}
    assert fate(old, "forward", OUT).action == "accept"


def test_who_may_not_look_is_told_so_and_every_other_failure_is_passed_on() -> None:
    for wrong in ("Operation not permitted (you must be root)", "Permission denied (you must be root)"):
        with pytest.raises(Denied, match="only root"):
            ruleset(cast(Hand, Asked("nft", wrong=wrong)))
    with pytest.raises(CommandFailed, match="syntax"):
        ruleset(cast(Hand, Asked("nft", wrong="syntax")))
