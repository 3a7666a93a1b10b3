"""Making VMs on a real libvirt: every option, twice; what is wrong, all of it; and what it would have taken by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from kvist.host.run import run
from kvist.resources.hosts.host import Host
from kvist.sandbox.sandbox import Sandbox
from kvist.specs.disk import Disk
from kvist.specs.vm import Vm
from kvist.values import Size
from kvist.xml.document import Document
from kvist.xml.rng import violations

if TYPE_CHECKING:
    from tests.daemon.conftest import Kvist, Traces

MICRO = ("--image", "micro", "--memory", "128M", "--cpus", "1")
MAC = "52:54:00:aa:00:01"

OPTIONS: dict[str, tuple[str, ...]] = {
    "an image": MICRO,
    "a full copy": (*MICRO, "--full"),
    "a grown full copy": (*MICRO, "--full", "--disk", "1G"),
    "a larger disk": (*MICRO, "--disk", "1G"),
    "more disks": (*MICRO, "--disk", "1G", "--disk", "2G,format=raw", "--disk", "3G,bus=scsi,cache=none"),
    "targets": (*MICRO, "--disk", "1G,target=vdb", "--disk", "1G,target=vda", "--disk", "1G"),
    "no card": (*MICRO, "--nic", "none"),
    "two cards": (*MICRO, "--nic", f"default,mac={MAC}", "--nic", "default,model=e1000e"),
    "a bridge": (*MICRO, "--nic", "virbr0"),
    "no screen": (*MICRO, "--graphics", "none"),
    "vnc": (*MICRO, "--graphics", "vnc,port=5999"),
    "bios": (*MICRO, "--firmware", "bios"),
    "uefi": (*MICRO, "--firmware", "efi"),
    "secure boot": (*MICRO, "--secure-boot", "on", "--machine", "q35"),
    "a tpm": (*MICRO, "--tpm", "2.0"),
    "the old board": (*MICRO, "--machine", "pc"),
    "autostart": (*MICRO, "--autostart", "on"),
    "cloud-init": (*MICRO, "--user", "root", "--run", "true", "--packages", "hello", "--hostname", "other"),
    "limits": (*MICRO, "--memory-max", "256M", "--cpus-max", "4"),
    "words": (*MICRO, "--title", "a <title> & more", "--description", "what it's for", "--tags", "one,two"),
    "system": (*MICRO, "--os", "debian12"),
    "only pxe": ("--pxe",),
    "a boot order": ("--pxe", "--disk", "1G", "--boot", "network,hd"),
    "an empty disk and pxe": ("--pxe", "--disk", "1G"),
    "emulated": (*MICRO, "--virt", "qemu"),
    "cpu": (*MICRO, "--cpu-mode", "maximum"),
}


def refused(line: Kvist, *words: str, code: int, tells: tuple[str, ...]) -> str:
    told = line.refused(*words, code=code)
    for each in tells:
        assert each in told, f"“{each}” is not in:\n{told}"
    assert "Traceback" not in told and "stumbled" not in told
    return told


@pytest.mark.parametrize("words", OPTIONS.values(), ids=OPTIONS.keys())
def test_made_twice_the_second_time_there_is_nothing_to_do_and_deleted_nothing_is_left(
    line: Kvist, host: Host, clean: Callable[[], Traces], words: tuple[str, ...]
) -> None:
    first = line.json("create", "twice", *words, "--no-start")
    assert first["changed"] is True
    again = line.json("create", "twice", *words, "--no-start")
    assert (again["changed"], again["changes"], again["steps"]) == (False, [], [])
    document = Document.parse(host.connection.domains.xml("twice", next_boot=True))
    assert violations(document) == []
    assert line.json("show", "twice")["state"] == "off"
    assert line.json("delete", "twice", "--purge")["changed"] is True
    assert line.json("delete", "twice", "--purge")["changed"] is False


@pytest.mark.parametrize(
    ("words", "differs"),
    [
        (("--memory", "256M"), "memory is 128M, not 256M"),
        (("--cpus", "2"), "cpus is 1, not 2"),
        (("--disk", "2G"), "disk vda has 1G, not 2G"),
        (("--disk", "1G", "--disk", "1G"), "it has 1 disks of its own, not 2"),
        (("--disk", "1G,cache=unsafe"), "cache of disk vda is not set, not unsafe"),
        (("--nic", "none"), "it has 1 cards, not 0"),
        (("--nic", f"default,mac={MAC}"), f"not {MAC}"),
        (("--nic", "default,model=e1000e"), "is virtio, not e1000e"),
        (("--tpm", "2.0"), "tpm is not set, not 2.0"),
        (("--graphics", "none"), "graphics is vnc, not none"),
        (("--machine", "pc"), "not pc"),
        (("--firmware", "efi"), "firmware is not set, not efi"),
        (("--cdrom", "/etc/hostname"), "it has no disk on"),
    ],
)
def test_another_vm_under_a_taken_name_is_a_conflict_that_names_each_difference(
    line: Kvist, other: str, words: tuple[str, ...], differs: str
) -> None:
    refused(line, "create", other, "--image", "micro", *words, code=1, tells=(differs, f"kvist show {other}"))


@pytest.fixture(scope="module")
def other(line: Kvist) -> Iterator[str]:
    line("create", "other", *MICRO, "--disk", "1G", "--no-start")
    yield "other"
    line("delete", "other", "--purge")


def test_all_that_is_wrong_is_told_at_once_and_nothing_is_changed(line: Kvist, clean: Callable[[], Traces]) -> None:
    told = refused(
        line, "create", "no good", "--image", "nope", "--memory", "900G", "--cpus", "9999", "--nic", "nonet",
        "--disk", "10G,pool=nopool", "--disk", "/no/such/file", "--cdrom", "/no/such.iso", "--ssh-key", "/no/key",
        code=2,
        tells=(
            '"no good"', 'there is no image "nope"', "kvist image ls", "900G is more than the host has",
            "9999 is more than", 'there is no network "nonet"', 'no pool "nopool"', '"/no/such/file"',
            '"/no/such.iso"', '"/no/key"',
        ),
    )  # fmt: skip
    assert told.count("error:") >= 9


@pytest.mark.parametrize(
    ("words", "tells"),
    [
        (("--disk", "10G,colour=blue"), ("colour",)),
        (("--memroy", "1G"), ("--memroy", "--memory")),
        (("--memory", "lots"), ('"lots"',)),
        (("--disk", "10Q"), ('"Q" is not a unit',)),
        ((*MICRO, "--disk", "1M"), ("1M is smaller than image",)),
        ((*MICRO, "--disk", "/etc"), ('"/etc" is a directory',)),
        ((*MICRO, "--cdrom", "/etc"), ('"/etc" is a directory',)),
        ((*MICRO, "--disk", "/etc/hostname"), ('"/etc/hostname" is no disk image', "format=raw")),
        ((*MICRO, "--nic", "default,mac=01:00:00:00:00:01"), ("01:00:00:00:00:01",)),
        ((*MICRO, "--memory", "1M"), ("1M is too little",)),
        ((*MICRO, "--memory-max", "64M"), ("--memory-max",)),
        ((*MICRO, "--cpus", "4", "--cpus-max", "2"), ("--cpus-max",)),
        ((*MICRO, "--memory-max", "900G"), ("900G is more than the host has",)),
        ((*MICRO, "--arch", "s390x"), ("s390x",)),
        ((*MICRO, "--os", "nosuchsystem"), ("nosuchsystem",)),
        ((*MICRO, "--user-data", "/no/file"), ("--user-data",)),
        (("--memory", "128M"), ("nothing to boot from",)),
        (("--pxe", "--nic", "none"), ("--pxe",)),
        (("--install", "/no/such/tree"), ("--install", "/no/such/tree")),
        ((*MICRO, "--firmware", "bios", "--secure-boot", "on"), ("--secure-boot",)),
        ((*MICRO, "--disk", "1G,target=vda", "--disk", "1G,target=vda"), ("vda",)),
        ((*MICRO, "--nic", f"default,mac={MAC}", "--nic", f"default,mac={MAC}"), (MAC,)),
    ],
)
def test_a_wish_that_makes_no_sense_is_refused_with_code_2_and_changes_nothing(
    line: Kvist, clean: Callable[[], Traces], words: tuple[str, ...], tells: tuple[str, ...]
) -> None:
    refused(line, "create", "wrong", *words, code=2, tells=tells)


def test_an_image_that_is_cut_off_and_one_whose_base_is_gone_are_refused(
    line: Kvist, sandbox: Sandbox, clean: Callable[[], Traces]
) -> None:
    whole = next((sandbox.root / "var/lib/libvirt/kvist-images").glob("micro-*.qcow2"))
    srv = sandbox.root / "srv"
    (srv / "cut.qcow2").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    run(sandbox.enter(["qemu-img", "create", "-q", "-f", "qcow2", "/srv/base.qcow2", "1M"]))
    run(
        sandbox.enter(
            ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", "/srv/base.qcow2", "/srv/top.qcow2"]
        )
    )
    (srv / "base.qcow2").unlink()
    try:
        refused(line, "create", "wrong", "--disk", "/srv/cut.qcow2", code=2, tells=('"/srv/cut.qcow2" is cut off',))
        refused(
            line,
            "create",
            "wrong",
            "--disk",
            "/srv/top.qcow2",
            code=2,
            tells=('lies on "/srv/base.qcow2", which is not',),
        )
    finally:
        for name in ("cut.qcow2", "top.qcow2"):
            (srv / name).unlink()


def test_a_volume_that_is_left_is_never_taken_for_the_new_vms(line: Kvist, clean: Callable[[], Traces]) -> None:
    line("create", "kept", *MICRO, "--no-start")
    line("delete", "kept", "--keep-disks", "--purge")
    refused(line, "create", "kept", *MICRO, code=2, tells=('"default/kept.qcow2" exists already', "vol-delete"))
    again = line.json(
        "create", "kept", "--disk", "/var/lib/libvirt/images/kept.qcow2", "--memory", "128M", "--no-start"
    )
    assert again["changed"] is True
    line("delete", "kept", "--disk", "vda", "--purge")
    run_virsh_delete(line)


def run_virsh_delete(line: Kvist) -> None:
    line("sandbox", "exec", line.where.partition(":")[2], "virsh", "vol-delete", "kept-seed.iso", "default")


def test_a_dry_run_tells_every_step_and_takes_none(line: Kvist, clean: Callable[[], Traces]) -> None:
    before = clean()
    told = line("create", "dry", *MICRO, "--disk", "1G", "--disk", "1G", "--autostart", "on", "--dry-run").text
    assert told.splitlines() == [
        'would create volume "default/dry.qcow2"',
        'would create volume "default/dry-vdb.qcow2"',
        'would bring "dry-seed.iso" into pool "default"',
        'would define VM "dry"',
        'would start VM "dry"',
        'would start VM "dry" with the host',
    ]
    data = line.json("create", "dry", *MICRO, "--dry-run")
    assert [each["step"] for each in data["would"]][-1] == 'start VM "dry"'
    assert clean() == before


@pytest.mark.parametrize(
    "words",
    [
        ("--disk", "64M", "--disk", "64M,format=raw", "--pxe", "--memory", "128M"),
        ("--disk", "64M", "--firmware", "efi", "--pxe", "--tpm", "2.0", "--title", "it's <odd>"),
        (*MICRO, "--user", "root", "--run", "true"),
        (*MICRO, "--full", "--disk", "100M"),
        (*MICRO, "--full"),
    ],
)
def test_the_commands_that_are_shown_do_the_same_when_they_are_pasted(
    line: Kvist, host: Host, sandbox: Sandbox, clean: Callable[[], Traces], words: tuple[str, ...]
) -> None:
    made = line("create", "typed", *words, "--nic", f"default,mac={MAC}", "--no-start", "--show-virsh", "--quiet")
    script = made.err.decode()
    first = host.connection.domains.xml("typed", next_boot=True)
    volumes = line_volumes(host)
    line("delete", "typed", "--purge")
    done = run(sandbox.enter(["sh", "-e"]), input=script.encode(), check=False)
    assert done.code == 0, f"{script}\n{done.complaint}"
    assert host.connection.domains.xml("typed", next_boot=True) == first
    assert line_volumes(host) == volumes
    shown = line("delete", "typed", "--dry-run", "--show-virsh", "--quiet", "--purge").err
    assert run(sandbox.enter(["sh", "-e"]), input=shown, check=False).code == 0
    assert line.json("delete", "typed", "--purge")["changed"] is False


def line_volumes(host: Host) -> list[tuple[str, int, bytes]]:
    pools = host.connection.pools
    pools.refresh("default")
    return [
        (volume.name, volume.capacity, pools.download("default", volume.name) if "seed" in volume.name else b"")
        for volume in pools.volumes("default")
    ]


def test_volumes_of_two_vms_never_have_one_name(line: Kvist, clean: Callable[[], Traces]) -> None:
    line("create", "web", *MICRO, "--disk", "1G", "--disk", "1G", "--no-start")
    line("create", "web-1", *MICRO, "--no-start")
    line("delete", "web", "web-1", "--purge")


def test_an_inactive_pool_is_started_and_one_that_is_not_there_is_made(
    line: Kvist, virsh: Callable[..., str], clean: Callable[[], Traces]
) -> None:
    virsh("pool-destroy", "default")
    done = line.json("create", "pooled", *MICRO, "--no-start")
    assert 'start pool "default"' in done["steps"]
    virsh("pool-destroy", "default")
    told = line.refused("delete", "pooled", code=1)
    assert 'pool "default" is not active' in told and "virsh pool-start default, or --keep-disks" in told
    virsh("pool-start", "default")
    line("delete", "pooled", "--purge")
    virsh("pool-destroy", "default")
    virsh("pool-undefine", "default")
    done = line.json("create", "pooled", *MICRO, "--no-start")
    assert 'create pool "default"' in done["steps"]
    line("delete", "pooled", "--purge")
    assert "default" in virsh("pool-list", "--autostart", "--name")


def test_an_operation_of_python_is_planned_and_done_and_undone_to_the_letter(
    host: Host, clean: Callable[[], Traces]
) -> None:
    before = clean()
    create = host.vms.create
    plan = create.plan("api", Vm(memory=Size(128 << 20), cpus=1), image="micro", disk=(Disk(size=Size(1 << 30)),))
    for step in plan:
        step.apply(host.site)
    assert not create.plan("api", Vm(memory=Size(128 << 20), cpus=1), image="micro", disk=(Disk(size=Size(1 << 30)),))
    for step in reversed(plan.steps):
        step.undo(host.site)
        step.undo(host.site)
    assert clean() == before


def test_a_card_with_an_address_of_its_own_is_told_to_cloud_init(line: Kvist, host: Host) -> None:
    line("create", "static", *MICRO, "--nic", "default,ip=192.168.122.77/24,gateway=192.168.122.1", "--no-start")
    from kvist.guest.iso import unpack

    files = unpack(host.connection.pools.download("default", "static-seed.iso"))
    assert b"192.168.122.77/24" in files["network-config"]
    assert b"hostname: static" in files["meta-data"] or b"static" in files["meta-data"]
    line("delete", "static", "--purge")
