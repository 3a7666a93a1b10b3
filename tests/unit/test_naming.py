"""What a device may be called, and which one is meant."""

from __future__ import annotations

import pytest

from kvist.resources.devices.naming import KINDS, Found, matched, matching
from kvist.specs.disk import Disk
from kvist.specs.nic import Nic
from kvist.specs.rng import Rng
from kvist.specs.tpm import Tpm
from kvist.specs.vm import Vm
from kvist.values import Mac
from kvist.xml.kinds import One
from kvist.xml.lists import Many

ONE, TWO, NEW = (Mac(f"52:54:00:00:00:0{number}") for number in (1, 2, 3))
STORED = Vm(
    nics=(Nic(mac=ONE, network="lan", alias="ua-front"), Nic(mac=TWO, network="back")),
    disks=(Disk(target="vda", serial="web-vda", file="/srv/a.qcow2"), Disk(target="vdb", pool="p", volume="data")),
    rngs=(Rng(source="/dev/urandom"), Rng(source="/dev/random")),
    tpm=Tpm(version="2.0"),
)
RUNNING = Vm(
    nics=(
        Nic(mac=TWO, network="back", alias="net1", tap="vnet7"),
        Nic(mac=ONE, network="lan", alias="ua-front"),
        Nic(mac=NEW, network="back", alias="net2"),
    ),
    rngs=(Rng(source="/dev/urandom", model="virtio"),),
)
ALL = tuple(KINDS)
DEVICES = [found for kind in ALL for found in matched(kind, STORED, RUNNING)]


def test_every_kind_of_device_in_the_table_has_a_word() -> None:
    listed = {
        name
        for name, field in Vm.DECLARED.items()
        if isinstance(field, Many | One) and field.path.startswith("devices/")
    }
    assert set(KINDS.values()) == listed


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("52:54:00:00:00:01", ["52:54:00:00:00:01"]),
        ("52:54:00:00:00:0A", []),
        ("ua-front", ["52:54:00:00:00:01"]),
        ("lan", ["52:54:00:00:00:01"]),
        ("back", ["52:54:00:00:00:02", "52:54:00:00:00:03"]),
        ("vnet7", ["52:54:00:00:00:02"]),
        ("net2", ["52:54:00:00:00:03"]),
        ("vda", ["vda"]),
        ("web-vda", ["vda"]),
        ("/srv/a.qcow2", ["vda"]),
        ("p/data", ["vdb"]),
        ("rng", ["rng:0", "rng:1"]),
        ("rng:1", ["rng:1"]),
        ("tpm", ["tpm"]),
        ("disk:1", ["vdb"]),
        ("nothing", []),
    ],
)
def test_a_word_means_each_device_that_is_called_so(word: str, meant: list[str]) -> None:
    assert [each.label for each in matching(DEVICES, word, ALL)] == meant


def test_a_number_means_one_of_a_kind() -> None:
    cards = [each for each in DEVICES if each.kind == "nic"]
    assert [each.label for each in matching(cards, "1", ("nic",))] == ["52:54:00:00:00:02"]
    assert matching(cards, "7", ("nic",)) == []


def test_a_device_says_whether_it_runs_is_stored_or_both() -> None:
    states = {each.label: each.state for each in DEVICES}
    assert states["52:54:00:00:00:01"] == "plugged in"
    assert states["52:54:00:00:00:03"] == "until it stops"
    assert states["vda"] == "stored"
    assert (states["rng:0"], states["rng:1"]) == ("plugged in", "stored")


def named(word: str) -> Found:
    return matching(DEVICES, word, ALL)[0]


def test_a_wish_about_a_device_carries_what_it_is_known_by() -> None:
    assert named("lan").wish(Nic(link="down")) == Vm(nics=(Nic(link="down", mac=ONE),))
    assert named("rng:1").wish(Rng.removed()) == Vm(rngs=(Rng(), Rng.removed()))
    assert named("tpm").wish(Tpm.removed()) == Vm(tpm=None)
