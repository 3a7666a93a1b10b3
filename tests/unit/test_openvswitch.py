"""What Open vSwitch's database tells is understood, and a card's VLAN is changed and put back by it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kvist.errors import Failed
from kvist.host.hand import Hand
from kvist.host.net.openvswitch import Tags, port_of, switches, tagged, tags
from kvist.host.run import Result
from kvist.resources.steps.tagging import Retag

MAC = "52:54:00:00:00:02"
ONE, TWO, THREE = (["uuid", str(number)] for number in range(3))


class Told(Hand):
    """A hand on a host whose Open vSwitch is made up."""

    def __init__(self, root: Path, *, trunks: Any = 7, tag: Any = ["set", []], attached: bool = True) -> None:  # noqa: B006
        super().__init__(root=str(root))
        self.trunks, self.tag, self.attached = trunks, tag, attached
        self.changed: list[str] = []
        (root / "run/openvswitch").mkdir(parents=True, exist_ok=True)
        (root / "run/openvswitch/db.sock").touch()

    def run(
        self, argv: Sequence[str], *, input: bytes | None = None, timeout: float = 60, check: bool = True
    ) -> Result:
        tables: list[dict[str, Any]] = []
        if "Bridge" in argv:
            tables = [
                {
                    "headings": ["name", "ports", "stp_enable", "datapath_type"],
                    "data": [["sw0", ONE, False, "netdev"], ["sw1", ["set", [TWO, THREE]], True, ""]],
                },
                {"headings": ["_uuid", "name"], "data": [[ONE, "sw0"], [TWO, "sw1"], [THREE, "vnet0"]]},
            ]
        elif "Interface" in argv:
            assert argv[-1] == f'external_ids:attached-mac="{MAC}"'
            tables = [{"headings": ["name"], "data": [["vnet0"]] if self.attached else []}]
        elif "list" in argv:
            tables = [{"headings": ["tag", "trunks"], "data": [[self.tag, self.trunks]]}]
        else:
            self.changed.append(" ".join(argv[2:]))
        return Result(tuple(argv), 0, "\n".join(map(json.dumps, tables)).encode(), b"")


def retag() -> Retag:
    return Retag(
        name="web", mac=MAC, port="vnet0", tag_before=None, trunks_before=(7,), tag=20, trunks=()
    )  # fmt: skip


def site(hand: Hand) -> Any:
    return SimpleNamespace(hand=hand)


def test_a_bridge_with_one_port_and_one_with_several_are_read(tmp_path: Path) -> None:
    found = switches(Told(tmp_path))
    assert {name: (each.ports, each.stp) for name, each in found.items()} == {
        "sw0": (("sw0",), False),
        "sw1": (("sw1", "vnet0"), True),
    }


def test_nobody_is_asked_where_it_does_not_run(tmp_path: Path) -> None:
    # Starting a program is forbidden to the tests of this tier.
    assert switches(Hand(root=str(tmp_path))) == {}
    assert port_of(Hand(root=str(tmp_path)), MAC) == ""


@pytest.mark.parametrize(
    ("tag", "trunks", "found"),
    [
        (["set", []], ["set", []], Tags(None, ())),
        (20, ["set", []], Tags(20, ())),
        (["set", []], 7, Tags(None, (7,))),
        (["set", []], ["set", [31, 30]], Tags(None, (30, 31))),
    ],
)
def test_the_vlans_of_a_port_are_read(tag: Any, trunks: Any, found: Tags, tmp_path: Path) -> None:
    assert tags(Told(tmp_path, tag=tag, trunks=trunks), "vnet0") == found


def test_vlans_are_set_and_cleared_all_at_once() -> None:
    clear = ("ovs-vsctl", "--timeout=10", "clear", "port", "vnet0", "tag", "trunks")
    assert tagged("vnet0", Tags(None, ())) == clear
    assert tagged("vnet0", Tags(20, ())) == (*clear, "--", "set", "port", "vnet0", "tag=20")
    assert tagged("vnet0", Tags(None, (30, 31))) == (*clear, "--", "set", "port", "vnet0", "trunks=30,31")


def test_a_card_moves_to_another_vlan_and_back(tmp_path: Path) -> None:
    hand = Told(tmp_path)
    retag().apply(site(hand))
    retag().undo(site(hand))
    assert hand.changed == [
        "clear port vnet0 tag trunks -- set port vnet0 tag=20",
        "clear port vnet0 tag trunks -- set port vnet0 trunks=7",
    ]
    assert [(change.before, change.after, change.when) for change in retag().changes()] == [("7", "20", "live")]
    with pytest.raises(Failed, match="did not take its VLAN"):
        retag().verify(site(hand))


def test_a_card_that_hangs_nowhere_any_more_is_left_to_its_next_boot(tmp_path: Path) -> None:
    hand = Told(tmp_path, attached=False)
    retag().undo(site(hand))
    retag().verify(site(hand))
    assert hand.changed == []
