"""The firewall's tables as text: what is loaded, and what of it is touched by a change."""

from __future__ import annotations

from kvist.host.firewall import nft
from kvist.host.firewall.cardrules import GUARDED, HOST, Guarded, Judgement, Peer, key_of
from kvist.host.firewall.tables import Firewall, Group, Known, own_tap
from kvist.values import Mac

WEB, APP = Mac.parse("52:54:00:00:00:01"), Mac.parse("52:54:00:00:00:02")
SSH = Judgement(True, "allow tcp/22 from group:x", "tcp", (6, 6), ((22, 22),), peer=Peer(group="group_x"))
PING = Judgement(False, "deny icmp from host", "icmp", (1, 58), message=(8, 128), peer=Peer(cards=(HOST,)))
FEW = Judgement(True, "allow tcp/25 max 2", "tcp", (6, 6), ((25, 25),), most=2)


def firewall(*guarded: Guarded) -> Firewall:
    groups = (Group("group_x", (key_of(APP),)),)
    return Firewall(guarded, (Known(APP, own_tap(APP)),), groups, (("10.0.0.2", key_of(APP)),), ("virbr0",))


def rules(text: str, family: str, chain: str) -> list[str]:
    start = f"add rule {family} kvist-fw {chain} "
    return [line.removeprefix(start) for line in text.splitlines() if line.startswith(start)]


def test_what_comes_is_judged_by_the_card_that_sent_it_and_answers_by_what_was_asked() -> None:
    text = firewall(Guarded(WEB, "kv1", (SSH, PING), incoming=False)).text()
    coming = rules(text, "bridge", "in_525400000001")
    assert any("meta mark & 0x03ffffff @group_x tcp dport { 22 } counter accept" in rule for rule in coming)
    assert any("{ 0x02000000 } icmp type 8 counter drop" in rule for rule in coming)
    assert coming[-1] == 'counter drop comment "default in=deny"'
    answers = rules(text, "inet", "answer_525400000001")
    assert any(
        "meta mark @group_x tcp sport { 22 } counter meta mark set 0x35000001 accept" in rule for rule in answers
    )
    assert rules(text, "inet", "out_525400000001")[-1].startswith("counter meta mark set 0x31000001 accept")


def test_what_comes_is_rejected_before_the_card_is_known_and_what_is_sent_where_it_is_judged() -> None:
    told = PING._replace(told=True), PING._replace(told=True, out=True, peer=Peer())
    text = firewall(Guarded(WEB, "kv1", told, incoming=False, told_in=True)).text()
    first, second, *rest, last = rules(text, "inet", "refuse_525400000001")[3:]
    assert "icmp type 8 counter reject with icmpx type port-unreachable" in first
    assert "icmpv6 type 128" in second
    assert ["meta l4proto tcp counter reject with tcp reset" in rule for rule in rest] == [True]
    assert last == 'counter reject with icmpx type port-unreachable comment "default in=reject"'
    # Whom family inet does not know by the address, the card's own chain drops.
    assert rules(text, "bridge", "in_525400000001")[-1] == 'counter drop comment "default in=reject"'
    assert any("icmp type 8 counter reject" in rule for rule in rules(text, "inet", "out_525400000001"))
    assert "refuse" not in firewall(Guarded(WEB, "kv1", (PING,))).text()


def test_a_blocked_card_has_no_rule_but_one() -> None:
    text = firewall(Guarded(WEB, "kv1", (SSH,), blocked=True)).text()
    for family, chain in (("bridge", "from_"), ("bridge", "in_"), ("inet", "out_")):
        assert rules(text, family, f"{chain}525400000001") == ['counter drop comment "block"']


def test_connections_are_counted_in_a_set_that_outlives_the_rules() -> None:
    few = firewall(Guarded(WEB, "kv1", (FEW,), addresses=("10.0.0.1",))).text()
    more = firewall(Guarded(WEB, "kv1", (FEW._replace(most=3, line="allow tcp/25 max 3"),))).text()
    named = [line.split()[4] for line in few.splitlines() if line.startswith("add set inet kvist-fw most_")]
    assert len(named) == 1
    assert f"flush set inet kvist-fw {named[0]}" not in few
    assert named[0] not in more


def test_a_change_touches_the_card_that_it_is_about_and_no_other() -> None:
    web, app = Guarded(WEB, "kv1", (SSH,)), Guarded(APP, "kv2", (FEW,))
    before, after = firewall(web, app).text(), firewall(web._replace(rules=(SSH, PING)), app).text()
    change = nft.change(before, after)
    assert "525400000001" in change
    assert "525400000002" not in change
    assert nft.change(before, before) == ""


def test_what_is_gone_is_taken_out_after_all_that_led_to_it() -> None:
    before, after = (
        firewall(Guarded(WEB, "kv1", (SSH, FEW)), Guarded(APP, "kv2")).text(),
        firewall(Guarded(APP, "kv2")).text(),
    )
    lines = nft.change(before, after).splitlines()
    gone = lines.index("delete chain bridge kvist-fw in_525400000001")
    assert lines.index("delete element inet kvist-fw outgoing { 0x01000001 : goto out_525400000001 }") < gone
    assert lines.index("flush chain inet kvist-fw postrouting") < lines.index(
        "delete chain inet kvist-fw count_525400000001"
    )


def test_the_list_of_cards_says_which_are_judged() -> None:
    said = firewall(Guarded(WEB, "kv1")).cards().splitlines()
    assert said == [
        f"54:00:00:00:01 {key_of(WEB) | GUARDED:#010x} in_525400000001 kv1",
        "54:00:00:00:02 0x01000002 - kv525400000002",
    ]
    assert len(own_tap(WEB)) <= 15
