"""What changes on a running VM and what waits, worked out from documents alone."""

from __future__ import annotations

import json

import pytest

from kvist.engine.plan import Plan
from kvist.engine.step import Disruption, Step
from kvist.errors import Conflict, Refused
from kvist.resources.changing.alteration import CALLS, plan
from kvist.resources.changing.completion import completed, problems
from kvist.resources.changing.rewriting import adopted, restored, rewritten
from kvist.resources.steps.alter import Attach
from kvist.specs.controller import Controller
from kvist.specs.disk import Disk
from kvist.specs.graphics import Graphics
from kvist.specs.nic import Nic
from kvist.specs.rng import Rng
from kvist.specs.vm import Vm
from kvist.specs.watchdog import Watchdog
from kvist.values import Mac, Size
from kvist.xml.document import Document
from kvist.xml.kinds import Applies

CARD = Mac("52:54:00:00:00:01")

STORED = """<domain type='kvm'>
  <name>web</name>
  <title>old</title>
  <memory unit='KiB'>2097152</memory>
  <currentMemory unit='KiB'>1048576</currentMemory>
  <vcpu current='1'>4</vcpu>
  <vcpus><vcpu id='0' enabled='yes' hotpluggable='no'/></vcpus>
  <on_crash>destroy</on_crash>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2'/>
      <source file='/srv/a' index='1'/>
      <backingStore/>
      <target dev='vda' bus='virtio'/>
      <alias name='virtio-disk0'/>
      <address type='pci' domain='0x0000' bus='0x01' slot='0x00' function='0x0'/>
    </disk>
    <disk type='file' device='cdrom'>
      <source file='/srv/a.iso' index='2'/>
      <backingStore/>
      <target dev='sda' bus='sata'/>
      <alias name='sata0-0-0'/>
    </disk>
    <interface type='bridge'>
      <mac address='52:54:00:00:00:01'/>
      <source bridge='br0'/>
      <alias name='net0'/>
      <address type='pci' domain='0x0000' bus='0x02' slot='0x00' function='0x0'/>
      <unknown to='us'/>
    </interface>
    <graphics type='vnc' passwd='secret'/>
  </devices>
</domain>"""


def document(text: str = STORED) -> Document:
    return Document.parse(text)


def planned(wish: Vm, *, live: Document | None, stored: Document | None) -> Plan:
    return Plan(plan("web", live, stored, wish), "set")


def running(wish: Vm) -> Plan:
    return planned(wish, live=document(), stored=document())


def told(made: Plan) -> list[tuple[str, str]]:
    return [(change.field, change.when) for change in made.changes()]


def kinds(made: Plan) -> list[str]:
    return [type(step).__name__ for step in made]


def test_what_is_so_already_takes_no_step() -> None:
    assert running(Vm(title="old", cpus=1, nics=(Nic(mac=CARD, bridge="br0"),), graphics=())).steps == ()


def test_a_running_vm_is_changed_and_its_next_boot_once_for_all_fields() -> None:
    made = running(Vm(title="new", memory=Size(1 << 29), on_crash="restart"))
    assert kinds(made) == ["Tune", "Tune", "Redefine"]
    assert told(made) == [("memory", "live"), ("title", "live"), ("on_crash", "next boot")]


def test_a_vm_that_is_off_is_changed_by_one_definition() -> None:
    made = planned(Vm(title="new", nics=(Nic(mac=CARD, link="down"),)), live=None, stored=document())
    assert kinds(made) == ["Redefine"]
    assert told(made) == [("title", "next boot"), (f"nics[{CARD}].link", "next boot")]


def test_what_waits_for_the_next_boot_disrupts_nothing() -> None:
    assert running(Vm(on_crash="restart", machine="pc")).disruption is Disruption.NONE


def test_what_is_stored_already_and_not_yet_live_is_made_live() -> None:
    stored = rewritten(document(), Vm(title="new"))
    assert kinds(planned(Vm(title="new"), live=document(), stored=stored)) == ["Tune"]


def test_what_is_live_already_and_not_yet_stored_is_stored() -> None:
    live = rewritten(document(), Vm(title="new"))
    made = planned(Vm(title="new"), live=live, stored=document())
    assert (kinds(made), told(made)) == (["Redefine"], [("title", "next boot")])


def test_more_memory_than_the_maximum_waits_and_takes_the_maximum_along() -> None:
    made = running(Vm(memory=Size(1 << 32)))
    assert told(made) == [("memory", "next boot"), ("memory_max", "next boot")]


def test_a_card_is_updated_by_its_own_document_with_all_that_we_do_not_know_in_it() -> None:
    (update, _) = running(Vm(nics=(Nic(mac=CARD, link="down"),))).steps
    assert '<unknown to="us"/>' in update.record()["after"].replace("'", '"')
    assert '<link state="down"/>' in update.record()["after"]


def test_a_change_that_unplugs_takes_the_live_changes_of_the_device_along_and_needs_leave() -> None:
    made = running(Vm(nics=(Nic(mac=CARD, link="down", mtu=1400),)))
    assert kinds(made) == ["Replug", "Redefine"]
    assert told(made) == [(f"nics[{CARD}].link", "replug"), (f"nics[{CARD}].mtu", "replug")]
    with pytest.raises(Refused, match="without a replug"):
        made.permit(Disruption.NONE)
    made.permit(Disruption.REPLUG)


def test_a_device_that_cannot_be_unplugged_waits_for_the_next_boot_instead() -> None:
    made = running(Vm(disks=(Disk(target="sda", serial="a"),)))
    assert (kinds(made), made.disruption) == (["Redefine"], Disruption.NONE)


def test_devices_leave_before_others_come() -> None:
    new = Nic(mac=Mac("52:54:00:00:00:02"), bridge="br1")
    made = running(Vm(nics=(new, Nic.removed(mac=CARD))))
    assert kinds(made) == ["Detach", "Attach", "Redefine"]


def test_a_device_without_a_key_is_named_by_its_number() -> None:
    made = running(Vm(rngs=(Rng(source="/dev/random"), Rng(source="/dev/urandom"))))
    assert told(made) == [("rngs[0]", "live"), ("rngs[1]", "live")]


def test_a_medium_is_changed_without_what_was_known_of_the_old_one() -> None:
    (update, _) = running(Vm(disks=(Disk(target="sda", file="/srv/b.iso"),))).steps
    after = Document.parse(update.record()["after"]).root
    assert after.find("backingStore") is None
    source = after.find("source")
    assert source is not None
    assert source.items() == [("file", "/srv/b.iso")]


def test_a_bus_is_changed_without_the_address_on_the_old_one() -> None:
    new = rewritten(document(), Vm(disks=(Disk(target="vda", bus="scsi"),)))
    assert new.root.find("devices/disk/address") is None


def test_the_number_of_processors_wins_over_a_list_of_single_ones() -> None:
    new = rewritten(document(), Vm(cpus=2))
    assert new.root.find("vcpus") is None
    assert Vm.read(new.root).cpus == 2


def test_a_password_is_changed_and_never_told() -> None:
    made = running(Vm(graphics=(Graphics(type="vnc", password="hush"),)))
    assert [(change.before, change.after) for change in made.changes()] == [("********", "********")]


def test_a_vm_of_which_nothing_is_stored_cannot_keep_what_waits() -> None:
    with pytest.raises(Conflict, match="on_crash"):
        planned(Vm(title="new", on_crash="restart"), live=document(), stored=None)
    assert told(planned(Vm(title="new"), live=document(), stored=None)) == [("title", "live")]


def test_every_step_is_plain_data_and_made_again_from_it() -> None:
    made = running(
        Vm(
            title="new",
            tags=("a", "b"),
            nics=(Nic(mac=CARD, link="down", mtu=1400), Nic(mac=Mac("52:54:00:00:00:02"), bridge="br1")),
            disks=(Disk(target="vda", total_bytes=Size(1 << 20)), Disk.removed(target="sda")),
        )
    )
    for step in made:
        written = json.dumps(step.record())
        again = Step.recall(json.loads(written))
        assert (again.describe(), json.dumps(again.record())) == (step.describe(), written)


def test_what_was_stored_is_put_back_and_what_others_changed_since_stays() -> None:
    wish = Vm(title="new", nics=(Nic.removed(mac=CARD),), disks=(Disk(target="vdb", file="/srv/b", format="raw"),))
    now = rewritten(rewritten(document(), wish), Vm(on_crash="restart"))

    back = restored(now, document(), wish)

    assert Vm.read(back.root) == Vm.read(document().root).replace(on_crash="restart")
    assert back.root.find("devices/interface/unknown") is not None


def test_what_others_changed_since_of_the_very_device_stays_when_it_is_put_back() -> None:
    wish = Vm(nics=(Nic(mac=CARD, link="down"),))
    theirs = Vm(nics=(Nic(mac=CARD, isolated=True),))
    now = rewritten(rewritten(document(), wish), theirs)

    back = restored(now, document(), wish)

    assert back == rewritten(document(), theirs)


def test_a_device_that_comes_back_leaves_its_place_to_the_one_that_has_it_now() -> None:
    wish = Vm(nics=(Nic.removed(mac=CARD),))
    other = Vm(nics=(Nic(mac=Mac("52:54:00:00:00:02"), bridge="br1"),))
    place = document().root.find("devices/interface/address")
    assert place is not None
    now = rewritten(rewritten(document(), wish), other)
    card = now.root.find("devices/interface")
    assert card is not None
    card.append(place)

    back = restored(now, document(), wish)

    assert [len(card.findall("address")) for card in back.root.iterfind("devices/interface")] == [1, 0]
    assert Vm.read(back.root).nics[1] == Vm.read(document().root).nics[0]


def test_a_new_card_is_stored_in_the_place_it_has_in_the_running_vm() -> None:
    mac = Mac("52:54:00:00:00:02")
    wish = Vm(nics=(Nic(mac=mac, bridge="br1"),))
    live = rewritten(document(), wish)
    place = live.root.find("devices/interface[2]")
    assert place is not None
    address = place.makeelement("address", {"type": "pci", "domain": "0x0000", "bus": "0x07"})
    place.append(address)

    stored = adopted(rewritten(document(), wish), live, wish)

    same = stored.root.find("devices/interface[2]/address")
    assert same is not None
    assert same.items() == address.items()


def test_what_changes_of_a_device_that_waits_for_the_next_boot_waits_too_and_it_can_be_plugged_in_whole() -> None:
    mac = Mac("52:54:00:00:00:02")
    stored = rewritten(document(), Vm(nics=(Nic(mac=mac, bridge="br1", model="virtio"),)))

    changed = planned(Vm(nics=(Nic(mac=mac, link="down"),)), live=document(), stored=stored)
    assert told(changed) == [(f"nics[{mac}].link", "next boot")]

    (plug,) = planned(Vm(nics=(Nic(mac=mac, bridge="br1"),)), live=document(), stored=stored).steps
    assert isinstance(plug, Attach)
    assert Nic.read(document(plug.xml).root) == Vm.read(stored.root).nics[1]


@pytest.mark.parametrize(("bridge", "when"), [("", "next boot"), ("pcie-to-pci-bridge", "live")])
def test_a_device_of_old_pci_waits_where_the_running_board_has_no_bus_for_it(bridge: str, when: str) -> None:
    models = ("pcie-root", bridge) if bridge else ("pcie-root",)
    board = Vm(controllers=tuple(Controller(type="pci", index=at, model=model) for at, model in enumerate(models)))
    web = rewritten(document(), board)

    made = planned(Vm(watchdogs=(Watchdog(model="i6300esb"),)), live=web, stored=web)

    assert told(made) == [("watchdogs[0]", when)]


def test_a_place_that_another_device_has_is_not_taken_over() -> None:
    wish = Vm(nics=(Nic(mac=Mac("52:54:00:00:00:02"), bridge="br1"),))
    live = rewritten(document(), wish)
    place = live.root.find("devices/interface[2]")
    taken = live.root.find("devices/interface[1]/address")
    assert place is not None and taken is not None
    place.append(place.makeelement("address", {str(key): str(value) for key, value in taken.attrib.items()}))

    assert adopted(rewritten(document(), wish), live, wish).root.find("devices/interface[2]/address") is None


def test_a_new_disk_is_given_a_serial_number_and_a_bus() -> None:
    wish = completed(document(), Vm(disks=(Disk(target="sdb", file="/srv/b", format="raw"),)), "web")
    assert (wish.disks[0].serial, wish.disks[0].bus, wish.disks[0].type) == ("web-sdb", "scsi", "file")


def test_a_disk_that_is_there_is_given_nothing() -> None:
    wish = Vm(disks=(Disk(target="vda", cache="none"),))
    assert completed(document(), wish, "web") == wish


def test_all_that_is_wrong_with_a_wish_is_told_at_once() -> None:
    wish = Vm(name="other", nics=(Nic(link="down"),), disks=(Disk(target="vdz", file="/srv/z"),))
    assert [problem.path for problem in problems(document(), wish)] == [".name", ".nics[0]", ".disks[0].format"]


def test_every_live_setting_of_a_vm_that_is_no_device_has_a_call() -> None:
    called = {name for call in CALLS[Vm] for name in call.fields}
    live = {
        name
        for name, field in Vm.FIELDS.items()
        if field.applies is Applies.LIVE and not field.aside and not field.path.startswith("metadata/")
    }
    assert called == live
