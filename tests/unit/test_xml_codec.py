"""Kinds of values: what libvirt writes is taken as it is, what a person types is checked and explained."""

from __future__ import annotations

from typing import Any

import pytest

from kvist.values import Size
from kvist.xml import codec
from kvist.xml.codec import Codec, Foreign
from kvist.xml.lists import listed


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (codec.YES_NO, "off", False),
        (codec.ON_OFF, "TRUE", True),
        (codec.VHOST, "off", False),
        (codec.VHOST, "vhost", True),
        (codec.INT, "0x10", 16),
        (codec.KIB, "1M", Size(1 << 20)),
        (codec.MAC, "52-54-00-AA-00-01", "52:54:00:aa:00:01"),
        (codec.HOST, "10.0.0.5/24", "10.0.0.5/24"),
        (codec.HOST, "fd00::5", "fd00::5"),
        (codec.CPUSET, "0-3,^2", "0-1,3"),
        (listed(codec.VLAN), "10+20", (10, 20)),
        (listed(codec.STR, words=True), "-device 'a b'", ("-device", "a b")),
    ],
)
def test_what_a_person_types_is_understood_and_shown_so_that_it_can_be_typed_again(
    kind: Codec[Any], text: str, value: object
) -> None:
    assert kind.parse(text) == value
    assert kind.parse(kind.show(value)) == value


@pytest.mark.parametrize(
    ("kind", "text", "complaint"),
    [
        (codec.YES_NO, "maybe", "neither on nor off"),
        (codec.INT, "many", "not a whole number"),
        (codec.VLAN, "4096", "not between 0 and 4095"),
        (codec.KIB, "1000B", "whole number of KiB"),
        (codec.SIZE, "512", "give a unit: 512M or 512G?"),
        (codec.PATH, "disk.qcow2", "not a path from the root"),
        (codec.UUID, "1234", "not a UUID"),
        (codec.LINE, "one\ntwo", "one line"),
        (codec.ADDRESS, "10.0.0.256", "not an IP address"),
        (codec.MODE, "0999", "not a mode"),
        (codec.CPUSET, "all", "not like 0-3"),
        (codec.choice("virtio", "e1000"), "virtoi", "virtio?"),
        (listed(codec.VLAN), "10+x", "not a whole number"),
    ],
)
def test_a_wrong_word_is_refused_with_what_would_have_been_right(kind: Codec[Any], text: str, complaint: str) -> None:
    with pytest.raises(ValueError) as caught:
        kind.parse(text)
    assert complaint in str(caught.value)


def test_a_choice_that_is_open_takes_other_words_and_reading_takes_any() -> None:
    assert codec.choice("virtio", open=True).parse("e1000-82545em") == "e1000-82545em"
    assert codec.choice("virtio").load("newer") == "newer"


def test_a_word_about_another_setting_is_not_taken_for_off() -> None:
    with pytest.raises(Foreign):
        codec.VHOST.load("vfio")


def test_a_size_that_xml_cannot_count_in_its_unit_is_not_rounded() -> None:
    assert codec.KIB.dump(Size(2048)) == "2"
    with pytest.raises(ValueError, match="whole number of KiB"):
        codec.KIB.dump(Size(2049))
