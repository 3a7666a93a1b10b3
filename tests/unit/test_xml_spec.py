"""Specs as views of a document: partial, immutable, exact."""

from __future__ import annotations

import copy
import pickle
import time

import pytest

from kvist.errors import Corrupt, Invalid
from kvist.specs.disk import Disk
from kvist.specs.graphics import Graphics
from kvist.specs.nic import FilterParameter, Nic
from kvist.specs.video import Video
from kvist.specs.vm import Vm
from kvist.specs.watchdog import Watchdog
from kvist.values import Mac, Size
from kvist.xml.document import Document
from kvist.xml.spec import Spec

ONE, TWO, THREE = (Mac(f"52:54:00:00:00:0{digit}") for digit in (1, 2, 3))
TWO_CARDS = f"""<domain>
  <devices>
    <interface type='network'>
      <mac address='{ONE}'/>
      <source network='default'/>
    </interface>
    <interface type='bridge'>
      <mac address='{TWO}'/>
      <source bridge='br0'/>
    </interface>
    <emulator>/bin/true</emulator>
  </devices>
</domain>"""


def after(text: str, spec: Spec) -> str:
    document = Document.parse(text)
    spec.write(document.root)
    return document.text().replace('"', "'")


def test_absent_none_and_a_value_are_three_things() -> None:
    nic = Nic(filter=None, link="up")
    assert ("filter" in nic, "mtu" in nic, "link" in nic) == (True, False, True)
    assert (nic.filter, nic.mtu, nic.link, nic.filter_parameters) == (None, None, "up", ())
    assert dict(nic.items()) == {"filter": None, "link": "up"}


def test_a_spec_does_not_change_but_is_replaced() -> None:
    nic = Nic(link="up")
    with pytest.raises(AttributeError, match="immutable"):
        nic.link = "down"  # type: ignore[misc]
    assert nic.replace(link="down", mtu=1400) == Nic(mtu=1400, link="down")
    assert nic == Nic(link="up") and hash(nic) == hash(Nic(link="up")) and nic != Nic(link="up", mtu=1)


def test_a_spec_can_be_copied_and_sent_elsewhere() -> None:
    for spec in (Vm(nics=(Nic(link="up", filter=None),), memory=Size(1 << 30)), Nic.removed(mac=ONE)):
        assert copy.deepcopy(spec) == copy.copy(spec) == pickle.loads(pickle.dumps(spec)) == spec


def test_a_field_that_does_not_exist_is_refused() -> None:
    with pytest.raises(TypeError, match="Nic has no field nettwork"):
        Nic(nettwork="lab")  # type: ignore[call-arg]


def test_none_removes_and_prunes_what_is_left_empty() -> None:
    text = "<interface><source network='a'/><filterref filter='x'/><driver name='qemu' queues='2'/></interface>"
    assert (
        after(text, Nic(filter=None, vhost=None)) == "<interface><source network='a'/><driver queues='2'/></interface>"
    )


def test_a_list_item_is_added_changed_and_removed_by_its_key_and_the_others_stay() -> None:
    wish = Vm(nics=(Nic(mac=ONE, link="down"), Nic.removed(mac=TWO), Nic(mac=THREE, network="lab")))
    assert after(TWO_CARDS, wish) == (
        TWO_CARDS.replace("default'/>\n", "default'/>\n      <link state='down'/>\n")
        .replace(f"'bridge'>\n      <mac address='{TWO}'", f"'network'>\n      <mac address='{THREE}'")
        .replace("bridge='br0'", "network='lab'")
    )


def test_none_removes_a_whole_list() -> None:
    text = after(TWO_CARDS, Vm(nics=None))  # type: ignore[arg-type]
    assert "interface" not in text and "/bin/true" in text


def test_items_without_a_key_are_told_apart_by_their_position() -> None:
    text = "<domain><devices><watchdog model='ib700'/><watchdog model='i6300esb'/></devices></domain>"
    wish = Vm(watchdogs=(Watchdog.removed(), Watchdog(action="pause")))
    assert after(text, wish) == ("<domain><devices><watchdog model='i6300esb' action='pause'/></devices></domain>")


def test_a_filters_parameters_are_a_list_within_a_list() -> None:
    text = "<interface><filterref filter='x'><parameter name='IP' value='10.0.0.1'/></filterref></interface>"
    wish = Nic(filter_parameters=(FilterParameter(name="IP", value="10.0.0.2"), FilterParameter(name="MAC", value="a")))
    assert after(text, wish) == (
        "<interface><filterref filter='x'><parameter name='IP' value='10.0.0.2'/><parameter name='MAC' value='a'/>"
        "</filterref></interface>"
    )


def test_writing_a_field_of_another_variant_turns_the_object_and_drops_what_was_the_old_ones() -> None:
    text = "<interface type='network'><source network='a' portgroup='p' portid='x'/><link state='up'/></interface>"
    assert (
        after(text, Nic(bridge="br0"))
        == "<interface type='bridge'><source bridge='br0'/><link state='up'/></interface>"
    )


def test_a_field_of_another_variant_is_not_read_and_its_removal_touches_nothing() -> None:
    text = "<interface type='network'><source network='a' bridge='virbr0'/></interface>"
    assert "bridge" not in Nic.read(Document.parse(text).root)
    assert after(text, Nic(bridge=None)) == text


def test_fields_of_two_variants_do_not_go_together() -> None:
    with pytest.raises(Invalid, match="network, bridge do not go together"):
        after("<interface/>", Nic(network="a", bridge="b"))
    with pytest.raises(Invalid, match="type, network do not go together"):
        Nic(type="user", network="a").variant()


@pytest.mark.parametrize(
    ("before", "wish", "expected"),
    [
        ("<vcpu>2</vcpu>", Vm(cpus=2), "<vcpu>2</vcpu>"),
        ("<vcpu>4</vcpu>", Vm(cpus=2), "<vcpu current='2'>4</vcpu>"),
        ("<vcpu>2</vcpu>", Vm(cpus=4), "<vcpu>4</vcpu>"),
        ("<vcpu current='1'>2</vcpu>", Vm(cpus=4), "<vcpu current='4'>4</vcpu>"),
        ("<vcpu>2</vcpu>", Vm(cpus_max=8), "<vcpu current='2'>8</vcpu>"),
        ("<vcpu current='4'>8</vcpu>", Vm(cpus_max=2), "<vcpu current='2'>2</vcpu>"),
        ("<vcpu>2</vcpu>", Vm(cpus=4, cpus_max=8), "<vcpu current='4'>8</vcpu>"),
    ],
)
def test_a_current_value_and_its_maximum_mind_each_other(before: str, wish: Vm, expected: str) -> None:
    assert after(f"<domain>{before}</domain>", wish) == f"<domain>{expected}</domain>"


@pytest.mark.parametrize(
    ("before", "size", "expected"),
    [
        ("<hard_limit unit='MiB'>512</hard_limit>", "1G", "<hard_limit unit='MiB'>1024</hard_limit>"),
        ("<hard_limit unit='GB'>1</hard_limit>", "1G", "<hard_limit unit='KiB'>1048576</hard_limit>"),
        ("<hard_limit unit='G'>1</hard_limit>", "1025B", "<hard_limit unit='bytes'>1025</hard_limit>"),
        ("<hard_limit unit='M'>1024</hard_limit>", "1G", "<hard_limit unit='M'>1024</hard_limit>"),
        ("<hard_limit>1048576</hard_limit>", "1G", "<hard_limit>1048576</hard_limit>"),
    ],
)
def test_a_size_keeps_its_unit_where_that_is_exact(before: str, size: str, expected: str) -> None:
    text = "<domain><memtune>{}</memtune></domain>"
    assert after(text.format(before), Vm(memory_hard_limit=Size.parse(size))) == text.format(expected)


def test_a_list_of_plain_values_keeps_the_elements_it_can_and_takes_their_order() -> None:
    text = "<domain>\n  <os>\n    <boot dev='hd' x='1'/>\n    <boot dev='network'/>\n  </os>\n</domain>"
    assert after(text, Vm(boot=("cdrom", "hd"))) == (
        "<domain>\n  <os>\n    <boot dev='cdrom'/>\n    <boot dev='hd' x='1'/>\n  </os>\n</domain>"
    )
    assert after(text, Vm(boot=())) == "<domain/>"


def test_the_address_that_libvirt_repeats_is_changed_in_both_places() -> None:
    text = "<graphics type='vnc' listen='127.0.0.1'><listen type='address' address='127.0.0.1'/></graphics>"
    assert after(text, Graphics(listen="0.0.0.0")) == text.replace("127.0.0.1", "0.0.0.0")


def test_own_metadata_has_its_own_namespace() -> None:
    text = after("<domain/>", Vm(user="debian", tags=("web", "test")))
    assert "<kvist:vm xmlns:kvist='urn:kvist:1' user='debian'>" in text
    assert text.count("<kvist:tag>") == 2


def test_a_value_that_makes_no_sense_is_an_error_that_names_its_place() -> None:
    with pytest.raises(Corrupt, match='cannot read queues of <disk>, at "driver/@queues"'):
        Disk.read(Document.parse("<disk><driver queues='many'/></disk>").root)


def test_a_value_that_xml_cannot_hold_is_refused_before_it_is_written() -> None:
    with pytest.raises(Invalid, match=r"\.vram: .*whole number of KiB"):
        after("<video/>", Video(vram=Size(1025)))


def test_a_domain_is_read_in_a_millisecond() -> None:
    document = Document.parse(TWO_CARDS)
    Vm.read(document.root)
    took = []
    for _ in range(20):
        begun = time.perf_counter()
        Vm.read(document.root)
        took.append(time.perf_counter() - begun)
    assert min(took) < 0.001
