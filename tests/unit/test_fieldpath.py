"""Paths of settings: listed from a spec, understood as people type them, and made a wish of again."""

from __future__ import annotations

import pytest

from kvist.errors import Invalid
from kvist.resources.changing.fieldpath import is_field, is_item, merged, normal, settings, under, value_at, wish_at
from kvist.specs.balloon import Balloon
from kvist.specs.disk import Disk
from kvist.specs.graphics import Graphics
from kvist.specs.nic import FilterParameter, Nic
from kvist.specs.rng import Rng
from kvist.specs.vm import Vm
from kvist.values import Mac, Size

MAC = Mac("52:54:00:00:00:01")
HAVE = Vm(
    memory=Size(1 << 30),
    nics=(Nic(mac=MAC, network="lan", filter_parameters=(FilterParameter(name="IP", value="10.0.0.5"),)),),
    disks=(Disk(target="vda", cache="none"),),
    rngs=(Rng(source="/dev/random"), Rng(source="/dev/urandom")),
    graphics=(Graphics(type="vnc", password="hush"),),
    balloon=Balloon(model="virtio", stats_period=5),
)


def test_every_setting_is_listed_with_a_path_that_leads_back_to_it() -> None:
    listed = {each.path: each.value for each in settings(HAVE)}
    assert listed["memory"] == 1 << 30
    assert listed["nics[52:54:00:00:00:01].filter_parameters[IP].value"] == "10.0.0.5"
    assert listed["rngs[1].source"] == "/dev/urandom"
    assert listed["balloon.stats_period"] == 5
    assert {path: value_at(HAVE, path) for path in listed if not path.endswith("password")} == {
        path: value for path, value in listed.items() if not path.endswith("password")
    }


def test_a_secret_is_listed_as_stars() -> None:
    assert {each.path: each.value for each in settings(HAVE)}["graphics[vnc].password"] == "********"


@pytest.mark.parametrize(
    ("path", "wish"),
    [
        ("memory", Vm(memory=None)),
        ("balloon.stats_period", Vm(balloon=Balloon(stats_period=None))),
        ("nics[52:54:00:00:00:01].network", Vm(nics=(Nic(network=None, mac=MAC),))),
        ("rngs[1].source", Vm(rngs=(Rng(), Rng(source=None)))),
        (
            "nics[52:54:00:00:00:01].filter_parameters[IP].value",
            Vm(nics=(Nic(mac=MAC, filter_parameters=(FilterParameter(name="IP", value=None),)),)),
        ),
    ],
)
def test_a_path_becomes_a_wish_about_that_setting_alone(path: str, wish: Vm) -> None:
    assert wish_at(HAVE, path, None) == wish


def test_an_item_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(Invalid, match="there is vda"):
        wish_at(HAVE, "disks[vdb].cache", None)


def test_wishes_about_one_item_become_one() -> None:
    one = wish_at(HAVE, "nics[52:54:00:00:00:01].network", "other")
    two = wish_at(HAVE, "nics[52:54:00:00:00:01].link", "down")
    assert merged(one, two) == Vm(nics=(Nic(network="other", mac=MAC, link="down"),))
    gone = wish_at(HAVE, "nics[52:54:00:00:00:01]", Nic.removed())
    assert merged(one, gone).nics[0].is_removed and merged(gone, one).nics[0].is_removed


def test_wishes_about_items_without_a_key_keep_their_places() -> None:
    both = merged(wish_at(HAVE, "rngs[0].source", None), wish_at(HAVE, "rngs[1].source", None))
    assert both == Vm(rngs=(Rng(source=None), Rng(source=None)))


@pytest.mark.parametrize(
    ("typed", "path"),
    [("memory-max", "memory_max"), ("nics", "nics"), ("disks[vda].read-bytes", "disks[vda].read_bytes")],
)
def test_a_path_may_be_typed_with_hyphens(typed: str, path: str) -> None:
    assert normal(typed) == path


@pytest.mark.parametrize(("typed", "near"), [("memmory", "memory"), ("nics[x].netwrk", "network")])
def test_a_setting_that_does_not_exist_is_answered_with_the_nearest(typed: str, near: str) -> None:
    with pytest.raises(Invalid, match=near):
        normal(typed)


def test_words_are_told_apart_from_names_of_vms_and_settings_from_devices() -> None:
    assert is_field("memory") and is_field("nics[x].link") and not is_field("web1")
    assert is_item("nics") and is_item("disks[vda]") and not is_item("disks[vda].cache") and not is_item("memory")
    assert under("nics[x].link", "nics") and under("memory", "memory") and not under("memory_max", "memory")
