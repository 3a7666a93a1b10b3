"""Whatever is written can be read; written twice is written once; what is not written stays byte for byte."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from kvist.specs.disk import Disk
from kvist.specs.nic import Nic
from kvist.specs.vm import Vm
from kvist.values import Mac, Size
from kvist.xml.diff import diff
from kvist.xml.document import Document
from kvist.xml.options import from_mapping
from kvist.xml.schema import as_data

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Cn")), min_size=1).filter(
    lambda text: text.strip() not in ("", "none")
)
"""What a person may write; `none` is the word that removes, on a line and in a file alike."""
WORD = st.from_regex(r"[a-z][a-z0-9-]{0,12}", fullmatch=True).filter(lambda word: word != "none")
SIZES = st.integers(1, 1 << 30).map(lambda kib: Size(kib * 1024))
MACS = st.binary(min_size=3, max_size=3).map(lambda tail: Mac("52:54:00:" + tail.hex(":")))


def some(**fields: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


NICS = st.builds(
    lambda mac, place, rest: Nic(mac=mac, **place, **rest),
    MACS,
    st.one_of(
        st.fixed_dictionaries({"network": WORD}, optional={"portgroup": WORD}),
        st.fixed_dictionaries({"bridge": WORD}),
        st.fixed_dictionaries({"dev": WORD, "mode": st.sampled_from(["vepa", "bridge"])}),
    ),
    some(
        filter=WORD,
        link=st.sampled_from(["up", "down"]),
        vlan=st.lists(st.integers(0, 4095), min_size=1, max_size=3).map(tuple),
        isolated=st.booleans(),
        in_average=SIZES,
        vhost=st.booleans(),
        mtu=st.integers(68, 9000),
        boot_order=st.integers(1, 9),
    ),
)
DISKS = st.builds(
    lambda letter, place, rest: Disk(target=f"vd{letter}", **place, **rest),
    st.sampled_from("abcdef"),
    st.one_of(
        st.fixed_dictionaries({"file": WORD.map("/srv/{}".format)}),
        st.fixed_dictionaries({"pool": WORD, "volume": WORD}),
    ),
    some(readonly=st.just(True), serial=WORD, total_bytes=SIZES, cache=st.sampled_from(["none", "unsafe"])),
)
VMS = st.builds(
    lambda rest, nics, disks: Vm(**rest, nics=tuple(nics), disks=tuple(disks)),
    some(
        title=TEXT,
        description=TEXT,
        memory_max=SIZES,
        cpus_max=st.integers(64, 99),
        cpus=st.integers(1, 64),
        boot=st.permutations(["hd", "network", "cdrom"]).map(tuple),
        acpi=st.just(True),
        secure_boot=st.booleans(),
        tags=st.lists(WORD, min_size=1, max_size=3).map(tuple),
        qemu_args=st.lists(TEXT, min_size=1, max_size=3).map(tuple),
    ),
    st.lists(NICS, max_size=3, unique_by=lambda nic: nic.mac),
    st.lists(DISKS, max_size=3, unique_by=lambda disk: disk.target),
)

STRANGER = """<domain type='kvm'>
  <name>a</name>
  <sysinfo type='smbios'><bios><entry   name='vendor'>x</entry></bios></sysinfo>
  <devices>
    <!-- a line of somebody's -->
    <parallel type='pty'/>
  </devices>
</domain>"""


@settings(max_examples=80, deadline=None)
@given(VMS)
def test_what_is_written_is_read_and_the_second_time_changes_nothing(vm: Vm) -> None:
    document = Document.new("domain", type="kvm")
    vm.write(document.root)
    once = document.text()
    read = Vm.read(Document.parse(once).root)

    assert list(diff(read, vm)) == []
    vm.write(document.root)
    assert document.text() == once
    read.write(document.root)
    assert document.text() == once


@settings(max_examples=80, deadline=None)
@given(VMS)
def test_elements_that_kvist_does_not_know_stay_byte_for_byte(vm: Vm) -> None:
    document = Document.parse(STRANGER)
    vm.write(document.root)
    text = document.text()
    for part in (
        '<sysinfo type="smbios"><bios><entry name="vendor">x</entry></bios></sysinfo>',
        '<parallel type="pty"/>',
    ):
        assert part in text
    assert "<!-- a line of somebody's -->" in text


@settings(max_examples=80, deadline=None)
@given(VMS, VMS)
def test_after_a_change_nothing_is_left_to_change(first: Vm, second: Vm) -> None:
    document = Document.new("domain", type="kvm")
    first.write(document.root)
    second.write(document.root)
    assert list(diff(Vm.read(document.root), second)) == []


@settings(max_examples=80, deadline=None)
@given(VMS)
def test_plain_data_is_read_back_to_the_same_spec(vm: Vm) -> None:
    assert from_mapping(Vm, as_data(vm)) == vm
