"""kvist's own table: what is rendered, and that nothing typed ends a rule and begins another."""

from __future__ import annotations

import pytest

from kvist.errors import Conflict
from kvist.host.firewall import nft
from kvist.host.firewall.apart import check_apart
from kvist.host.firewall.crossing import BACK, OURS, Card, Crossing, Exposure, Opening
from kvist.host.firewall.nft import Chain, Hook, Map, Table
from kvist.values import Mac, PortRange

WEB = Card(Mac.parse("52:54:00:66:c3:77"), "virbr0", "192.168.122.5")


def rules(crossing: Crossing, chain: str) -> list[str]:
    """Give the rules of one chain as they are loaded."""
    begin = f"add rule inet kvist {chain} "
    return [line.removeprefix(begin) for line in crossing.table().text().splitlines() if line.startswith(begin)]


def opened(ports: str, to: int, **rest: str) -> Crossing:
    return Crossing((Opening(WEB, PortRange.parse(ports), to, **rest),), spared=("192.168.122.1",))


def test_a_table_is_made_what_it_says_and_keeps_what_the_kernel_has_learnt() -> None:
    table = Table(
        "kvist",
        (Map("seen", learnt=True), Map("told", learnt=False, elements=((0x08000001, "10.0.0.5"),))),
        (Chain("one", (("iifname", nft.interface("eth0"), "drop"),), Hook("filter", "forward", -5)), Chain("two", ())),
    )
    assert table.text().splitlines() == [
        "add table inet kvist",
        "add map inet kvist seen { type mark : ipv4_addr; flags dynamic; size 65535; }",
        "add map inet kvist told { type mark : ipv4_addr; size 65535; }",
        "add chain inet kvist one { type filter hook forward priority -5; }",
        "add chain inet kvist two",
        "flush chain inet kvist one",
        "flush chain inet kvist two",
        "flush map inet kvist told",
        "add element inet kvist told { 0x08000001 : 10.0.0.5 }",
        'add rule inet kvist one iifname "eth0" drop',
    ]


@pytest.mark.parametrize("word", ["drop; flush ruleset", "a\nb", "a#b", "$x", "`id`", ""])
def test_a_word_that_would_end_its_rule_is_refused(word: str) -> None:
    table = Table("kvist", (), (Chain("one", (("iifname", word),)),))
    with pytest.raises(ValueError, match="not a word of a rule"):
        table.text()


@pytest.mark.parametrize("name", ['eth0" drop', "a b", "sixteen-letters-", "", "a;b", "é"])
def test_what_can_be_no_interface_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="not the name of a network interface"):
        nft.interface(name)


@pytest.mark.parametrize("text", ["10.0.0.0/33", "::1", "nonsense", "1.2.3.4; drop"])
def test_what_is_no_ipv4_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        nft.address(text)


def test_a_port_leads_to_where_the_guest_is_by_its_lease_then_as_seen_then_as_told() -> None:
    assert rules(opened("8080", 80), "forwards") == [
        f"tcp dport 8080 ct mark set 0x0866c377 dnat ip to ct mark map @{known} : 80"
        for known in ("leased", "seen", "told")
    ]


def test_a_range_with_the_same_numbers_keeps_them_and_another_is_told_port_by_port() -> None:
    same, moved = (rules(opened("8000-8002", to), "forwards")[0] for to in (8000, 9000))
    assert same == "tcp dport 8000-8002 ct mark set 0x0866c377 dnat ip to ct mark map @leased"
    assert moved == f"{same} : tcp dport map {{ 8000 : 9000, 8001 : 9001, 8002 : 9002 }}"


def test_a_forward_for_some_says_so_in_each_of_its_rules() -> None:
    found = rules(opened("8080", 80, source="10.0.0.0/8", to_address="10.1.2.3", by="eth0"), "forwards")
    assert len(found) == 3
    assert all(
        rule.startswith('iifname "eth0" ip saddr 10.0.0.0/8 ip daddr 10.1.2.3 tcp dport 8080 ') for rule in found
    )


@pytest.mark.parametrize(
    ("ports", "spared"), [("53/udp", True), ("50-60", True), ("67/udp", True), ("8080", False), ("1-52", False)]
)
def test_dns_and_dhcp_of_the_hosts_own_networks_are_left_alone(ports: str, spared: bool) -> None:
    found = rules(opened(ports, PortRange.parse(ports).first), "forwards")
    assert [rule.startswith("ip daddr != { 192.168.122.1 } ") for rule in found] == [spared] * 3


def test_an_address_is_learnt_from_the_dhcp_server_and_from_the_guest_itself() -> None:
    (leased,), (seen,) = rules(opened("8080", 80), "learn_leased"), rules(opened("8080", 80), "learn_seen")
    assert leased == (
        'oifname "virbr0" udp sport 67 udp dport 68 @th,64,8 2 @th,1984,24 0x350105 @th,288,48 0x52540066c377 '
        "delete @leased { 0x0866c377 : @th,192,32 } update @leased { 0x0866c377 : @th,192,32 }"
    )
    assert "ether saddr 52:54:00:66:c3:77" in seen
    assert seen.endswith("delete @seen { 0x0866c377 : ip saddr } update @seen { 0x0866c377 : ip saddr }")


def test_the_loopback_of_the_host_is_guarded_on_each_bridge_that_it_may_leave_by() -> None:
    assert rules(opened("8080", 80), "guard") == ['iifname "virbr0" ip daddr 127.0.0.0/8 drop']


def test_only_guests_that_cannot_answer_others_see_the_hosts_address() -> None:
    ways = rules(opened("8080", 80), "leaving")
    masked = Crossing((Opening(WEB._replace(masked=True), PortRange.parse("8080"), 80),))
    assert rules(masked, "leaving") == [*ways, 'oifname "virbr0" ct mark 0x0866c377 masquerade']


def test_an_exposed_bridge_lets_in_what_is_new_from_one_interface() -> None:
    assert rules(Crossing(exposures=(Exposure("virbr1", "eth0"),)), "exposed") == [
        'iifname "eth0" oifname "virbr1" ct state new ct mark set ct mark | 0x08000000'
    ]


def test_a_card_is_known_by_a_mark_that_leaves_the_other_bits_alone() -> None:
    top = Card(Mac.parse("52:54:00:ff:ff:ff"), "virbr0")
    assert top.key == OURS | 0xFFFFFF
    assert not top.key & BACK


def test_two_cards_that_end_alike_are_refused() -> None:
    with pytest.raises(Conflict) as refused:
        check_apart(((WEB.mac, "web"), ("02:00:00:66:c3:77", "db")), "forwards")
    told = f'forwards cannot tell card 02:00:00:66:c3:77 of VM "db" from card {WEB.mac} of VM "web"'
    assert refused.value.what.startswith(told)
    assert refused.value.hint == "kvist nic remove db 02:00:00:66:c3:77 && kvist nic add db NETWORK"
    check_apart(((WEB.mac, "web"), (WEB.mac.upper(), "twin")), "forwards")


def test_what_was_told_of_a_card_is_remembered_until_somebody_knows_better() -> None:
    def told(crossing: Crossing) -> list[str]:
        return [card.told for card in crossing.remembering({WEB.key: "192.168.122.9"}).cards]

    unknown = Crossing((Opening(WEB._replace(told=""), PortRange.parse("8080"), 80),))
    assert (told(unknown), told(opened("8080", 80))) == (["192.168.122.9"], ["192.168.122.5"])
