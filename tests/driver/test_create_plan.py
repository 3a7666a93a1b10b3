"""What `create` plans and gathers on libvirt's test driver, without any guest."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from kvist.engine.plan import Plan
from kvist.errors import Conflict, Invalid
from kvist.resources.hosts.host import Host, Place, connect
from kvist.resources.images.image import _image
from kvist.resources.making.creation import Creation
from kvist.resources.steps.definition import Define
from kvist.specs.disk import Disk
from kvist.specs.graphics import Graphics
from kvist.specs.nic import Nic
from kvist.specs.vm import Vm
from kvist.values import Size
from kvist.virt.capabilities import Offer
from kvist.xml.document import Document
from kvist.xml.rng import violations

GIB = 1 << 30
NODE = """\
<node>
  <cpu><nodes>1</nodes><sockets>1</sockets><cores>16</cores><threads>1</threads><active>16</active></cpu>
  <memory>33554432</memory>
  <network><name>default</name><bridge name="virbr0"/><ip address="192.168.122.1" netmask="255.255.255.0"/></network>
  <pool type="dir"><name>default-pool</name><target><path>/default-pool</path></target></pool>
</node>
"""
"""A host of the test driver's that no other test knows: its "default" one is shared by all of a process."""
SETTINGS = Vm(memory=Size(GIB), cpus=2)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "node.xml").write_text(NODE)
    up = connect(f"test://{tmp_path}/node.xml")
    yield up
    up.close()


def words(plan: Plan) -> list[str]:
    return [step.describe() for step in plan]


def document(plan: Plan) -> Document:
    return Document.parse(next(step for step in plan if isinstance(step, Define)).xml)


def test_disks_come_before_the_definition_and_the_start_last(host: Host) -> None:
    plan = host.vms.create.plan("web", SETTINGS, disk=(Disk(size=Size(GIB)), Disk(size=Size(GIB))), pxe=True)
    assert words(plan) == [
        'create volume "default-pool/web.qcow2"',
        'create volume "default-pool/web-vdb.qcow2"',
        'define VM "web"',
        'start VM "web"',
    ]


def test_a_plan_changes_nothing_and_what_is_done_is_not_planned_again(host: Host) -> None:
    ask = {"disk": (Disk(size=Size(GIB)),), "pxe": True}
    before = host.connection.domains.names()
    host.vms.create.plan("web", SETTINGS, disk=(Disk(size=Size(GIB)),), pxe=True)
    assert host.connection.domains.names() == before
    assert host.vms.create("web", SETTINGS, disk=(Disk(size=Size(GIB)),), pxe=True).changed
    assert ask and not host.vms.create.plan("web", SETTINGS, disk=(Disk(size=Size(GIB)),), pxe=True)
    assert not host.vms.create.plan("web")
    host.vm("web").stop(force=True)
    assert words(host.vms.create.plan("web")) == ['start VM "web"']


def test_a_done_plan_undone_leaves_domains_and_volumes_as_they_were(host: Host) -> None:
    def picture() -> list[object]:
        return [host.connection.domains.documents(), host.connection.pools.volumes("default-pool")]

    before = picture()
    plan = host.vms.create.plan("web", Vm(memory=Size(GIB), autostart=True), disk=(Disk(size=Size(GIB)),), pxe=True)
    for step in plan:
        step.apply(host.site)
    assert picture() != before
    for step in reversed(plan.steps):
        step.undo(host.site)
    assert picture() == before


def test_every_problem_has_its_option_and_the_order_of_the_line(host: Host) -> None:
    with pytest.raises(Invalid) as wrong:
        host.vms.create(
            "-bad", Vm(memory=Size(1 << 50), cpus=4, cpus_max=2), image="nope", nic=(Nic(network="nope"),),
            disk=(Disk(path="/no/such"), Disk(size=Size(GIB), pool="nope"), Disk(volume="nope")),
        )  # fmt: skip
    assert {problem.path for problem in wrong.value.problems} == {
        "NAME", "--memory", "--cpus-max", "--image", "--disk", "--nic",
    }  # fmt: skip
    assert wrong.value.exit == 2
    assert "-bad" not in host.connection.domains.names()


def paths_of(wrong: Invalid) -> list[str]:
    return sorted(problem.path for problem in wrong.problems)


def test_what_cannot_be_meant_together_and_files_that_are_not_there_are_told_at_once(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Place, "local", True)
    with pytest.raises(Invalid) as wrong:
        host.vms.create(
            "web", Vm(kernel="/no/vmlinuz", initrd="/no/initrd"), full=True, extra_args=("x",), start=False,
            wait="ssh", console=True, user_data="/no/data", network_config="/no/config", ssh_key=("/no/a", "/no/b"),
            hostname="not_a_host",
        )  # fmt: skip
    assert paths_of(wrong.value) == [
        "--console", "--extra-args", "--full", "--hostname", "--initrd", "--kernel", "--network-config", "--ssh-key",
        "--ssh-key", "--user-data", "--wait",
    ]  # fmt: skip


def test_what_the_host_does_not_offer_is_told_before_anything_is_made(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    none = frozenset[str]()
    poor = Offer("/qemu", "pc", frozenset({"efi"}), False, (), False, True, none, none, frozenset({"ide"}), 8)
    monkeypatch.setattr(Creation, "offer", poor)
    with pytest.raises(Invalid) as wrong:
        host.vms.create(
            "web", Vm(secure_boot=True, machine="pc"), disk=(Disk(size=Size(GIB), bus="sata"),), pxe=True, tpm="2.0"
        )
    assert paths_of(wrong.value) == ["--disk", "--secure-boot", "--tpm"]


def test_what_a_guest_without_cloud_init_ignores_is_said(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    note = {"volume": "micro.qcow2", "user": "root", "arch": "x86_64", "virtual_size": GIB, "cloud_init": False}
    told: list[str] = []
    monkeypatch.setattr(host, "site", replace(host.site, report=lambda said, _share: told.append(said)))
    for has in (False, True):
        image = _image("micro", {**note, "cloud_init": has}, "/default-pool/micro.qcow2", GIB)
        monkeypatch.setattr(Creation, "image", image)
        host.vms.create.plan("web", Vm(arch="x86_64"), image="micro", user="root", run=("true",), packages=("nginx",))
    assert told == ['warning: image "micro" has no cloud-init, and its guest ignores --packages, --run']


def test_a_disk_image_is_not_taken_for_a_medium(host: Host, tmp_path: Path) -> None:
    disk = tmp_path / "disk.qcow2"
    disk.write_bytes(b"QFI\xfb" + bytes(508))
    with pytest.raises(Invalid, match="is a disk image of format qcow2, not a medium"):
        host.vms.create.plan("web", cdrom=(str(disk),))


def test_a_place_in_the_boot_order_that_is_typed_is_kept(host: Host) -> None:
    disks = (Disk(size=Size(GIB)), Disk(size=Size(GIB), boot_order=1), Disk(size=Size(GIB)))
    plan = host.vms.create.plan("web", disk=disks, nic=(Nic(network="default", boot_order=3),), pxe=True)
    vm = Vm.read(document(plan).root)
    assert [disk.boot_order for disk in vm.disks] == [2, 1, 4]
    assert [nic.boot_order for nic in vm.nics] == [3]


def test_a_second_create_that_only_waits_has_nothing_to_do(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kvist.resources.reaching.waiting._LOOKS", {"ip": lambda _vm: "10.0.0.1"})
    assert host.vms.create("web", SETTINGS, pxe=True, wait="ip").changed
    again = host.vms.create("web", SETTINGS, pxe=True, wait="ip")
    assert (again.changed, again.done) == (False, ('wait for VM "web" to have an address',))


def test_a_taken_name_with_other_settings_is_a_conflict_with_each_difference(host: Host) -> None:
    host.vms.create("web", SETTINGS, disk=(Disk(size=Size(GIB)),), pxe=True)
    with pytest.raises(Conflict) as conflict:
        host.vms.create(
            "web", Vm(memory=Size(2 * GIB), cpus=1, boot_menu=True), disk=(Disk(size=Size(2 * GIB)),), user="ann",
            nic=(Nic(network=None),),
        )  # fmt: skip
    for difference in (
        "memory is 1G, not 2G",
        "boot_menu is not set, not on",
        'made for user "root", not for "ann"',
        "cpus is 2, not 1",
        "disk vda has 1G, not 2G",
        "1 cards, not 0",
    ):
        assert difference in conflict.value.what


DISKS: tuple[tuple[Disk, ...], ...] = (
    (),
    (Disk(size=Size(GIB)),),
    (
        Disk(size=Size(GIB), bus="scsi", cache="none", io="native", serial="A1"),
        Disk(size=Size(GIB), format="raw", bus="sata", discard="ignore"),
        Disk(size=Size(GIB), target="vdc", rotation_rate=1),
    ),
)
NICS: tuple[tuple[Nic, ...], ...] = (
    (),
    (Nic(network=None),),
    (Nic(network="default", ip="10.0.0.5/24"), Nic(bridge="br0", model="e1000e", mtu=9000)),
    (Nic(dev="eth0", mode="bridge"),),
)
SCREENS = (None, Graphics(type=None), Graphics(type="vnc"), Graphics(type="spice", port=5901))
VMS = (
    Vm(memory=Size(GIB)),
    Vm(memory=Size(GIB), memory_max=Size(2 * GIB), cpus=1, cpus_max=4, machine="pc", title="<&>", tags=("a", "b")),
    Vm(firmware="efi", cpu_mode="host-model", boot=("network", "hd"), boot_menu=True),
    Vm(secure_boot=True, arch="x86_64", description="it's", on_crash="preserve", clock="localtime"),
)
MATRIX = list(itertools.product(range(len(VMS)), range(len(DISKS)), range(len(NICS)), range(len(SCREENS))))


def test_every_document_that_create_writes_is_valid_by_libvirts_schema(host: Host) -> None:
    wrong: dict[tuple[int, ...], list[str]] = {}
    for vm, disk, nic, screen in MATRIX:
        plan = host.vms.create.plan(
            "web", VMS[vm], disk=DISKS[disk], nic=NICS[nic], graphics=SCREENS[screen],
            pxe=nic != 1, run=("true",) if screen else (), tpm="2.0" if disk else None, start=False,
        ) if nic != 1 or disk else None  # fmt: skip
        if plan is not None and (found := violations(document(plan))):
            wrong[(vm, disk, nic, screen)] = found
    assert wrong == {}
    assert len(MATRIX) > 150


def test_asked_for_devices_stand_in_the_document(host: Host) -> None:
    plan = host.vms.create.plan(
        "web", VMS[1], disk=DISKS[2], nic=NICS[2], graphics=SCREENS[3], tpm="1.2", pxe=True, user="me", start=False
    )
    vm = Vm.read(document(plan).root)
    assert [(disk.target, disk.bus) for disk in vm.disks] == [
        ("sda", "scsi"), ("sdb", "sata"), ("vdc", "virtio"), ("sdc", "scsi"),
    ]  # fmt: skip
    assert vm.disks[0].serial == "A1" and vm.disks[0].cache == "none"
    assert [(nic.network, nic.bridge, nic.model) for nic in vm.nics] == [
        ("default", None, "virtio"),
        (None, "br0", "e1000e"),
    ]
    assert (vm.tpm.model, vm.tpm.version) == ("tpm-tis", "1.2") if vm.tpm else False
    assert (vm.graphics[0].type, vm.graphics[0].listen, vm.graphics[0].port) == ("spice", "127.0.0.1", 5901)
    assert (vm.memory_max, vm.cpus_max, vm.user, vm.made_by) == (Size(2 * GIB), 4, "me", "kvist")
    assert vm.volumes == tuple(f"default-pool/web{end}" for end in (".qcow2", "-sdb.img", "-vdc.qcow2", "-seed.iso"))


def test_a_vm_without_the_cdrom_that_is_asked_for_is_another(host: Host, tmp_path: Path) -> None:
    host.vms.create("web", SETTINGS, disk=(Disk(size=Size(GIB)),), start=False)
    with pytest.raises(Conflict, match=r"it has no CD-ROM with /nonexistent\.iso"):
        host.vms.create.plan("web", SETTINGS, cdrom=("/nonexistent.iso",))


@pytest.mark.parametrize(
    ("asked", "has"),
    [
        (Vm(cpus=2), (2, 8)),
        (Vm(cpus=12), (12, 16)),
        (Vm(cpus=2, cpus_max=3), (2, 3)),
        (Vm(cpus_max=3), (3, 3)),
        (Vm(), (2, 8)),
    ],
    ids=["as many as asked for", "as the host has", "as said", "only the most is said", "nothing said"],
)
def test_there_is_room_for_four_times_the_processors_as_far_as_the_host_has_them(
    asked: Vm, has: tuple[int, int], host: Host
) -> None:
    plan = host.vms.create.plan("web", asked, disk=(Disk(size=Size(GIB)),), pxe=True)
    made = Vm.read(document(plan).root)
    assert (made.cpus, made.cpus_max) == has


def test_a_guest_that_may_have_no_balloon_driver_gets_the_memory_asked_for_and_no_room(host: Host) -> None:
    plan = host.vms.create.plan("web", Vm(memory=Size(GIB)), disk=(Disk(size=Size(GIB)),), pxe=True)
    made = Vm.read(document(plan).root)
    assert (made.memory, made.memory_max) == (Size(GIB), Size(GIB))
