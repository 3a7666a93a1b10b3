"""Changes that wait for the next boot, that need leave, that meet somebody else's, and that are cut off."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from kvist.engine.execute import carry_out
from kvist.engine.operation import Bound
from kvist.engine.step import Disruption, Step
from kvist.errors import Conflict, Invalid, KvistError, Refused, TimedOut
from kvist.host.run import run
from kvist.resources.hosts.host import Host
from kvist.resources.steps import plugging as steps
from kvist.resources.vms.vm import Machine
from kvist.specs.balloon import Balloon
from kvist.specs.behaviour import Timer
from kvist.specs.character import Serial
from kvist.specs.controller import Controller
from kvist.specs.disk import Disk
from kvist.specs.graphics import Graphics
from kvist.specs.nic import Nic
from kvist.specs.panic import Panic
from kvist.specs.processor import CpuFeature
from kvist.specs.rng import Rng
from kvist.specs.sound import Sound
from kvist.specs.tpm import Tpm
from kvist.specs.video import Video
from kvist.specs.vm import Vm
from kvist.values import Mac, Size
from kvist.xml.diff import diff
from kvist.xml.document import Document

Setting = Callable[[Machine], Bound[[Vm]]]
Both = Callable[[Machine], tuple[Document, Document]]
Lines = Callable[[Document], list[str]]

CARD, NEW_CARD = Mac("52:54:00:00:00:01"), Mac("52:54:00:00:00:03")
MIB = 1 << 20

LATER = {
    "memory_max": Vm(memory_max=Size(128 * MIB)),
    "memory above its maximum": Vm(memory=Size(128 * MIB)),
    "cpus_max": Vm(cpus_max=4),
    "cpus above their maximum": Vm(cpus=4),
    "cpuset": Vm(cpuset="0"),
    "hugepages": Vm(memory_private_pages=True, memory_locked=False),
    "memory_source": Vm(memory_source="memfd", memory_access="shared"),
    "cpu": Vm(cpu_mode="custom", cpu_model="qemu64", cpu_features=(CpuFeature(name="vmx", policy="disable"),)),
    "topology": Vm(sockets=1, cores=2, threads=1, dies=1),
    "iothreads": Vm(iothreads=1),
    "shares that are taken away": Vm(cpu_shares=None),
    "a pin that is taken away": Vm(emulator_cpuset=None),
    "machine": Vm(machine="pc-q35-7.2"),
    "firmware": Vm(firmware="efi"),
    "boot": Vm(boot=("network", "hd"), boot_menu=True, boot_menu_timeout=3000),
    "cmdline": Vm(kernel="/boot/vmlinuz", cmdline="quiet"),
    "clock": Vm(clock="localtime", timers=(Timer(name="hpet", present=False),)),
    "on_crash": Vm(on_crash="restart", on_poweroff="restart"),
    "features": Vm(pae=True, apic=True, vmcoreinfo=True, kvm_hidden=True, hyperv_relaxed=True),
    "pm": Vm(suspend_to_mem=False),
    "a controller": Vm(controllers=(Controller(type="pci", index=20, model="pcie-root-port"),)),
    "a serial port": Vm(serials=(Serial(port=1, type="null", target="isa-serial"),)),
    "a screen": Vm(graphics=(Graphics(type="vnc", listen="127.0.0.2", autoport=True),)),
    "a graphics card": Vm(videos=(Video(model="virtio", heads=1),)),
    "a sound card": Vm(sounds=(Sound(model="ich9"),)),
    "a panic device": Vm(panics=(Panic(model="isa"),)),
    "balloon": Vm(balloon=Balloon(deflate_on_oom=True, report_free_pages=True)),
    "tpm": Vm(tpm=Tpm(model="tpm-crb", backend="emulator", version="2.0")),
    "a disk on a bus of old": Vm(disks=(Disk(target="sdd", bus="sata", file="/srv/d.raw", format="raw"),)),
    "arguments": Vm(qemu_args=("-name", "other")),
}


@pytest.mark.parametrize("wish", LATER.values(), ids=LATER.keys())
def test_what_a_running_vm_does_not_take_is_stored_for_its_next_boot(
    wish: Vm, bare: Machine, setting: Setting, both: Both, lines: Lines
) -> None:
    before = both(bare)
    plan = setting(bare).plan(wish)

    done = carry_out(plan, bare.site)

    try:
        assert {change.when for change in done.changes} == {"next boot"}
        live, stored = both(bare)
        assert lines(live) == lines(before[0])
        assert list(diff(Vm.read(stored.root), wish)) == []
        assert setting(bare).plan(wish).steps == ()
    finally:
        for step in reversed(plan.steps):
            step.undo(bare.site)
    assert [lines(document) for document in both(bare)] == [lines(document) for document in before]


def test_a_field_that_is_live_and_one_that_is_not_are_told_apart_in_one_answer(
    bare: Machine, setting: Setting, both: Both
) -> None:
    wish = Vm(title="two at once", on_crash="restart")
    done = setting(bare)(wish)

    assert [(change.field, change.after, change.when) for change in done.changes] == [
        ("title", "two at once", "live"),
        ("on_crash", "restart", "next boot"),
    ]
    setting(bare)(Vm(title="bare", on_crash="destroy"))


@pytest.fixture
def plugged(bare: Machine, setting: Setting) -> Iterator[Machine]:
    """The VM with a card that was plugged in while it ran, which it gives back without a guest."""
    setting(bare)(Vm(nics=(Nic(mac=NEW_CARD, bridge="br0", tap="kvisttap3"),)))
    yield bare
    setting(bare)(Vm(nics=(Nic.removed(mac=NEW_CARD),)))


REPLUGGED = {
    "mtu": Nic(mac=NEW_CARD, mtu=1400),
    "model": Nic(mac=NEW_CARD, model="e1000e"),
    "queues": Nic(mac=NEW_CARD, rx_queue_size=512),
    "trust": Nic(mac=NEW_CARD, trust_guest_filters=True),
    "kind of connection": Nic(mac=NEW_CARD, type="user", tap=None),
}


@pytest.mark.parametrize("nic", REPLUGGED.values(), ids=REPLUGGED.keys())
def test_a_change_that_unplugs_a_device_needs_leave(
    nic: Nic, plugged: Machine, setting: Setting, both: Both, lines: Lines
) -> None:
    wish = Vm(nics=(nic,))
    before = [lines(document) for document in both(plugged)]
    with pytest.raises(Refused) as refused:
        setting(plugged)(wish)
    assert (refused.value.exit, refused.value.hint) == (4, "add --allow replug")
    assert [lines(document) for document in both(plugged)] == before
    plan = setting(plugged).plan(wish)

    done = carry_out(plan, plugged.site, allow=Disruption.REPLUG)

    assert {change.when for change in done.changes} == {"replug"}
    for document in both(plugged):
        assert list(diff(Vm.read(document.root), wish)) == []
    assert setting(plugged).plan(wish).steps == ()
    for step in reversed(plan.steps):
        step.undo(plugged.site)
    assert [lines(document) for document in both(plugged)] == before


def test_what_was_changed_live_is_taken_back_from_the_card_as_it_is_by_then(
    plugged: Machine, setting: Setting, both: Both
) -> None:
    plan = setting(plugged).plan(Vm(nics=(Nic(mac=NEW_CARD, link="down"),)))
    carry_out(plan, plugged.site)
    since = Nic(mac=NEW_CARD, tap="kvisttap4", isolated=True)
    setting(plugged).allowing(Disruption.REPLUG)(Vm(nics=(since,)))

    for step in reversed(plan.steps):
        step.undo(plugged.site)

    for document in both(plugged):
        assert list(diff(Vm.read(document.root), Vm(nics=(since.replace(link=None),)))) == []
    setting(plugged).allowing(Disruption.REPLUG)(Vm(nics=(Nic(mac=NEW_CARD, tap="kvisttap3", isolated=None),)))


def test_a_new_card_has_the_same_place_after_the_next_boot(plugged: Machine, both: Both) -> None:
    places = [
        [dict(address.attrib) for address in document.root.iterfind("devices/interface/address")]
        for document in both(plugged)
    ]
    assert places[0] == places[1]


def test_a_device_that_no_guest_lets_go_of_stays_and_so_does_the_definition(
    bare: Machine, setting: Setting, both: Both, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "LET_GO_WITHIN", 1.0)
    before = [lines(document) for document in both(bare)]
    with pytest.raises(TimedOut, match=f'network card "{CARD}"'):
        setting(bare)(Vm(nics=(Nic.removed(mac=CARD),)))
    assert [lines(document) for document in both(bare)] == before


def test_what_somebody_else_stored_meanwhile_stays(bare: Machine, setting: Setting, both: Both) -> None:
    plan = setting(bare).plan(Vm(on_crash="restart"))
    setting(bare)(Vm(on_reboot="destroy"))

    carry_out(plan, bare.site)

    stored = Vm.read(both(bare)[1].root)
    assert (stored.on_crash, stored.on_reboot) == ("restart", "destroy")
    setting(bare)(Vm(on_crash="destroy", on_reboot="restart"))


def test_a_change_that_was_cut_off_is_taken_back_and_what_others_stored_since_stays(
    bare: Machine, setting: Setting, both: Both
) -> None:
    before = both(bare)
    wish = Vm(
        title="cut off",
        nics=(Nic(mac=NEW_CARD, bridge="br0", tap="kvisttap3"), Nic(mac=CARD, link="down")),
        rngs=(Rng(source="/dev/urandom"),),
    )
    plan = setting(bare).plan(wish)
    written = json.dumps([step.record() for step in plan])
    carry_out(plan, bare.site)
    setting(bare)(Vm(on_reboot="destroy"))

    for record in reversed(json.loads(written)):
        Step.recall(record).undo(bare.site)

    live, stored = both(bare)
    assert Vm.read(live.root) == Vm.read(before[0].root)
    assert Vm.read(stored.root).on_reboot == "destroy"
    assert Vm.read(stored.root).replace(on_reboot="restart") == Vm.read(before[1].root)
    setting(bare)(Vm(on_reboot="restart"))


def test_a_change_that_was_never_begun_is_taken_back_by_doing_nothing(
    bare: Machine, setting: Setting, both: Both, lines: Lines
) -> None:
    before = [lines(document) for document in both(bare)]
    wish = Vm(title="never", nics=(Nic(mac=NEW_CARD, bridge="br0"),), rngs=(Rng(source="/dev/urandom"),))
    for step in reversed(setting(bare).plan(wish).steps):
        step.undo(bare.site)
    assert [lines(document) for document in both(bare)] == before


def test_a_disk_grows_on_a_running_vm_and_is_never_made_smaller(bare: Machine, setting: Setting) -> None:
    def wish(mib: int) -> Vm:
        return Vm(disks=(Disk(target="vdb", size=Size(mib * MIB)),))

    done = setting(bare)(wish(12))

    assert [(change.field, change.after, change.when) for change in done.changes] == [
        ("disks[vdb].size", 12 * MIB, "live")
    ]
    assert bare.host.connection.devices.capacity("bare", "vdb") == 12 * MIB
    assert setting(bare).plan(wish(12)).steps == ()
    with pytest.raises(Invalid, match="only grow"):
        setting(bare)(wish(8))
    assert bare.host.connection.devices.capacity("bare", "vdb") == 12 * MIB


def test_a_vm_starts_with_its_host_where_that_is_set(bare: Machine, setting: Setting) -> None:
    setting(bare)(Vm(autostart=True))
    assert bare.host.connection.domains.autostart("bare")
    assert setting(bare).plan(Vm(autostart=True)).steps == ()
    setting(bare)(Vm(autostart=False))
    assert not bare.host.connection.domains.autostart("bare")


def test_a_password_is_changed_and_never_shown(bare: Machine, setting: Setting) -> None:
    plan = setting(bare).plan(Vm(graphics=(Graphics(type="vnc", password="hush"),)))
    assert [(change.before, change.after) for change in plan.changes()] == [("********", "********")]
    assert "hush" in plan.steps[0].record()["after"]


SPARE = """\
<domain type='qemu'>
  <name>{name}</name>
  <memory unit='MiB'>32</memory>
  <vcpu current='1'>2</vcpu>
  <os><type arch='x86_64' machine='pc-q35-6.0'>hvm</type></os>
  <features><acpi/></features>
  <devices><memballoon model='none'/></devices>
</domain>
"""


@pytest.fixture
def transient(host: Host) -> Iterator[Machine]:
    """A running VM of which nothing is stored."""
    host.connection.domains.create(SPARE.format(name="transient"), name="transient")
    yield host.vm("transient")
    host.connection.domains.destroy("transient")


def test_a_vm_of_which_nothing_is_stored_takes_what_is_live_and_refuses_the_rest(
    transient: Machine, setting: Setting
) -> None:
    done = setting(transient)(Vm(title="for now"))
    assert [(change.field, change.when) for change in done.changes] == [("title", "live")]
    with pytest.raises(Conflict, match="on_crash"):
        setting(transient)(Vm(title="other", on_crash="restart"))
    assert Vm.read(transient.document().root).title == "for now"


@pytest.fixture
def spare(host: Host) -> Iterator[Machine]:
    """A stored VM that is off."""
    host.connection.domains.define(SPARE.format(name="spare"), name="spare")
    machine = host.vm("spare")
    yield machine
    machine.delete(force=True)


def test_a_processor_is_plugged_into_a_running_vm_and_is_there_at_the_next_boot(
    spare: Machine, setting: Setting, both: Both
) -> None:
    """It does not come out again here: no guest lets it go, and an emulated one kills its QEMU by doing so."""
    spare.start()
    done = setting(spare)(Vm(cpus=2))

    assert [(change.before, change.after, change.when) for change in done.changes] == [(1, 2, "live")]
    assert [Vm.read(document.root).cpus for document in both(spare)] == [2, 2]
    assert setting(spare).plan(Vm(cpus=2)).steps == ()

    fewer = setting(spare)(Vm(cpus=1))
    assert [change.when for change in fewer.changes] == ["next boot"]
    assert [Vm.read(document.root).cpus for document in both(spare)] == [2, 1]


def test_a_vm_that_is_off_is_changed_for_its_next_boot(spare: Machine, setting: Setting) -> None:
    wish = Vm(title="off", memory=Size(48 * MIB), nics=(Nic(mac=NEW_CARD, type="user"),), on_crash="restart")
    plan = setting(spare).plan(wish)
    assert len(plan.steps) == 1

    done = carry_out(plan, spare.site)

    assert {change.when for change in done.changes} == {"next boot"}
    assert list(diff(Vm.read(spare.document(next_boot=True).root), wish)) == []
    assert setting(spare).plan(wish).steps == ()


WRONG = {
    "a card without its address": (Vm(nics=(Nic(link="down"),)), "say which one"),
    "another name": (Vm(name="other"), "does not change"),
    "an image": (Vm(image="debian-12"), "does not change"),
    "a disk of unknown format": (Vm(disks=(Disk(target="vdz", file="/srv/z"),)), "format"),
    "a disk to be grown that is not there": (Vm(disks=(Disk(target="vdz", size=Size(MIB)),)), "no disk"),
    "an address that a network gives": (Vm(nics=(Nic(mac=CARD, ip="10.0.0.2"),)), "network"),
}


@pytest.mark.parametrize(("wish", "word"), WRONG.values(), ids=WRONG.keys())
def test_a_wish_that_makes_no_sense_is_refused_before_anything_is_done(
    wish: Vm, word: str, bare: Machine, setting: Setting, both: Both
) -> None:
    before = [document.text() for document in both(bare)]
    with pytest.raises(KvistError) as wrong:
        setting(bare)(Vm(title="never", **dict(wish.items())))
    assert isinstance(wrong.value, Invalid)
    told = " ".join(f"{problem.path} {problem.what} {problem.hint}" for problem in wrong.value.problems)
    assert word in told
    assert [document.text() for document in both(bare)] == before


def test_virsh_knows_the_commands_that_are_shown_and_their_options(bare: Machine, setting: Setting) -> None:
    wish = Vm(
        title="shown", cpu_shares=512, tags=("a",), nics=(Nic(mac=CARD, link="down"),),
        disks=(Disk(target="vda", total_bytes=Size(2 * MIB)),), balloon=Balloon(stats_period=7),
        memory_hard_limit=Size(1 << 31), rngs=(Rng(source="/dev/urandom"),), emulator_cpuset="1",
    )  # fmt: skip
    commands = setting(bare).plan(wish).commands()
    verbs = [command.argv[1] for command in commands]
    assert verbs == [
        "schedinfo", "memtune", "emulatorpin", "desc", "metadata", "update-device", "blkdeviotune", "dommemstat",
        "attach-device", "define",
    ]  # fmt: skip
    for command in commands:
        options = {word.partition("=")[0] for word in command.argv if word.startswith("--")}
        described = run(["virsh", "help", command.argv[1]]).text
        assert [option for option in options if option not in described] == []
