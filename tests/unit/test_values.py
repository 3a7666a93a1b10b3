"""What a person types becomes a value, and what a value prints is typed back into the same one."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvist.values import Cidr, Duration, Mac, Name, PciAddress, PortRange, Size

PORTS = st.integers(1, 65535)


@given(st.integers(0, 2**63))
def test_a_size_is_printed_so_that_it_parses_back_to_the_same_number(count: int) -> None:
    assert Size.parse(str(Size(count))) == count


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("512M", 512 << 20),
        ("4G", 4 << 30),
        ("4g", 4 << 30),
        ("1.5T", 3 << 39),
        ("10 GiB", 10 << 30),
        ("1KB", 1000),
        ("1MB", 10**6),
        ("0.1K", 102),
        ("7B", 7),
        ("1 bytes", 1),
        (" 2K ", 2048),
    ],
)
def test_a_size_is_what_libvirt_means_by_its_unit(text: str, count: int) -> None:
    assert Size.parse(text) == count


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("4096", "give a unit: 4096M or 4096G?"),
        ("4X", '"X" is not a unit; use K, M, G or T'),
        ("", '"" is not a size such as 512M or 4G'),
        ("-4G", '"-4G" is not a size such as 512M or 4G'),
        ("4G5", '"4G5" is not a size such as 512M or 4G'),
        ("many", '"many" is not a size such as 512M or 4G'),
    ],
)
def test_a_size_that_is_none_is_refused_with_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(ValueError) as refused:
        Size.parse(text)
    assert str(refused.value) == sentence


@given(st.integers(0, 2**63))
def test_a_short_size_fits_a_column_and_is_nearly_right(count: int) -> None:
    short = Size(count).short
    assert len(short) <= 5
    if short[-1] != "B":
        assert math.isclose(Size.parse(short), count, rel_tol=0.051)


@given(st.binary(min_size=6, max_size=6), st.sampled_from(":-"), st.booleans())
def test_a_mac_is_kept_in_one_form_however_it_is_typed(octets: bytes, separator: str, upper: bool) -> None:
    unicast = bytes([octets[0] & 0xFE]) + octets[1:]
    typed = unicast.hex(separator)
    mac = Mac.parse(typed.upper() if upper else typed)
    assert mac == unicast.hex(":")
    assert Mac.parse(str(mac)) == mac


@given(st.binary(min_size=6, max_size=6))
def test_a_mac_with_a_multicast_bit_is_refused(octets: bytes) -> None:
    multicast = bytes([octets[0] | 1]) + octets[1:]
    with pytest.raises(ValueError, match="is a multicast address"):
        Mac.parse(multicast.hex(":"))


@pytest.mark.parametrize("text", ["", "52:54:00:1a:b3", "52:54:00:1a:b3:4a:00", "5254001ab34a", "52:54:00:1a:b3:4g"])
def test_what_is_no_mac_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="is not a MAC address such as 52:54:00:1a:b3:4a"):
        Mac.parse(text)


def test_a_random_mac_is_a_guests_and_another_each_time() -> None:
    drawn = {Mac.random() for _ in range(50)}
    assert len(drawn) > 40
    assert all(mac.startswith("52:54:00:") and Mac.parse(mac) == mac for mac in drawn)


@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,62}", fullmatch=True))
def test_a_name_is_kept_as_it_is_and_makes_a_host_name(text: str) -> None:
    name = Name.parse(text)
    assert name == text
    label = name.hostname
    assert label and set(label) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert label[0] != "-" and label[-1] != "-"


@pytest.mark.parametrize("text", ["", "-web", ".web", "a/b", "a b", "a" * 64, "web\n", "é", "../up", "a;b"])
def test_a_name_that_is_unsafe_somewhere_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a name: letters, digits and"):
        Name.parse(text)


@given(st.ip_addresses(), st.data())
def test_an_address_with_its_prefix_parses_back(address: object, data: st.DataObject) -> None:
    prefix = data.draw(st.integers(0, 32 if "." in str(address) else 128))
    value = Cidr.parse(f"{address}/{prefix}")
    assert Cidr.parse(str(value)) == value
    assert value.prefix == prefix


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("192.168.1.2", '"192.168.1.2" has no prefix length; write 192.168.1.2/24'),
        ("192.168.1.256/24", "is not an address such as 192.168.1.2/24"),
        ("192.168.1.2/33", "is not an address such as 192.168.1.2/24"),
        ("web/24", "is not an address such as 192.168.1.2/24"),
    ],
)
def test_an_address_that_is_none_is_refused_with_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(ValueError) as refused:
        Cidr.parse(text)
    assert sentence in str(refused.value)


@given(PORTS, PORTS, st.sampled_from(["tcp", "udp", "sctp"]))
def test_ports_parse_back(one: int, other: int, protocol: str) -> None:
    ports = PortRange(min(one, other), max(one, other), protocol)
    assert PortRange.parse(str(ports)) == ports


@pytest.mark.parametrize(
    ("text", "ports"),
    [("22", (22, 22, "tcp")), ("udp/53", (53, 53, "udp")), ("53/UDP", (53, 53, "udp")), ("80-90", (80, 90, "tcp"))],
)
def test_ports_are_typed_in_several_ways(text: str, ports: tuple[int, int, str]) -> None:
    assert PortRange.parse(text) == ports


@pytest.mark.parametrize("text", ["0", "65536", "90-80", "tcp/22/tcp", "22/icmp", "", "ssh", "-1"])
def test_ports_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="port"):
        PortRange.parse(text)


@given(st.integers(0, 0xFFFF), st.integers(0, 0xFF), st.integers(0, 0x1F), st.integers(0, 7))
def test_a_pci_address_parses_back(domain: int, bus: int, slot: int, function: int) -> None:
    address = PciAddress(domain, bus, slot, function)
    assert PciAddress.parse(str(address)) == address


def test_a_pci_address_may_leave_its_domain_out() -> None:
    assert PciAddress.parse("03:00.1") == (0, 3, 0, 1)


@pytest.mark.parametrize("text", ["03:00", "03:20.0", "03:00.8", "x3:00.0", "0000:0000:03:00.0"])
def test_what_is_no_pci_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a PCI address such as 0000:03:00\.0"):
        PciAddress.parse(text)


@given(st.integers(0, 10**12))
def test_a_time_parses_back_to_the_millisecond(milliseconds: int) -> None:
    time = Duration(milliseconds / 1000)
    assert Duration.parse(str(time)) == time


@pytest.mark.parametrize(("text", "seconds"), [("30", 30), ("90s", 90), ("5m", 300), ("1.5h", 5400), ("2d", 172800)])
def test_a_time_is_counted_in_seconds(text: str, seconds: float) -> None:
    assert Duration.parse(text) == seconds


@pytest.mark.parametrize("text", ["", "5 weeks", "-5", "m", "1m30s"])
def test_a_time_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a time such as 30, 90s or 5m"):
        Duration.parse(text)
