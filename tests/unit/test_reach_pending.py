"""What waits for the next boot, and advice on emulated devices."""

from __future__ import annotations

from kvist.resources.changing.pending import Pending, differences
from kvist.resources.vms.show import advice
from kvist.specs.graphics import Graphics
from kvist.specs.vm import Vm
from kvist.values import Size
from kvist.xml.document import Document

NEXT = """<domain type='qemu'><name>web</name><memory unit='KiB'>131072</memory><vcpu>2</vcpu>
  <cpu mode='custom' match='exact' check='none'><model>qemu64</model></cpu>
  <devices>
    <disk type='file' device='disk'><source file='/a.qcow2'/><target dev='vda' bus='virtio'/></disk>
    <interface type='network'><mac address='52:54:00:00:00:01'/><source network='default'/></interface>
    <serial type='pty'><target port='0'/></serial>
    <graphics type='vnc' port='-1' autoport='yes'/>
  </devices></domain>"""
LIVE = """<domain type='qemu' id='3'><name>web</name><memory unit='KiB'>131072</memory><vcpu>2</vcpu>
  <cpu mode='custom' match='exact' check='full'><model>qemu64</model><feature policy='require' name='hypervisor'/></cpu>
  <devices>
    <disk type='file' device='disk'><source file='/a.qcow2' index='1'/><target dev='vda' bus='virtio'/>
      <alias name='virtio-disk0'/></disk>
    <interface type='network'><mac address='52:54:00:00:00:01'/><source network='default' bridge='virbr0'/>
      <target dev='vnet0'/><alias name='net0'/></interface>
    <serial type='pty'><source path='/dev/pts/3'/><target port='0'/><alias name='serial0'/></serial>
    <graphics type='vnc' port='5900' autoport='yes'/>
  </devices></domain>"""


def vm(text: str) -> Vm:
    return Vm.read(Document.parse(text).root)


def between(now: str, later: str) -> list[Pending]:
    return list(differences(vm(now), vm(later)))


def test_what_libvirt_fills_in_at_a_start_does_not_wait() -> None:
    assert between(LIVE, NEXT) == []


def test_a_processor_taken_from_the_host_does_not_wait() -> None:
    assert between(LIVE, NEXT.replace("mode='custom' match='exact' check='none'", "mode='host-model'")) == []


def test_a_changed_setting_waits_with_both_values() -> None:
    assert between(LIVE, NEXT.replace("131072", "262144")) == [
        Pending("memory_max", "128M", "256M"),
        Pending("memory", "128M", "256M"),
    ]


def test_a_setting_of_a_device_waits_under_the_name_of_the_device() -> None:
    later = NEXT.replace("<source network='default'/>", "<source network='lab'/>")
    assert between(LIVE, later) == [Pending("nics[52:54:00:00:00:01].network", "default", "lab")]


def test_a_device_that_comes_and_one_that_goes_wait() -> None:
    more = "<disk type='file' device='disk'><source file='/b.raw'/><target dev='vdb' bus='virtio'/></disk>"
    (coming,) = between(LIVE, NEXT.replace("<serial", f"{more}<serial"))
    assert (coming.field, coming.now) == ("disks[vdb]", None)
    assert coming.next_boot is not None
    assert "/b.raw" in coming.next_boot
    start, end = NEXT.index("<interface"), NEXT.index("<serial")
    (going,) = between(LIVE, NEXT[:start] + NEXT[end:])
    assert (going.field, going.next_boot) == ("nics[52:54:00:00:00:01]", None)


def test_a_setting_that_goes_waits() -> None:
    assert between(LIVE.replace("<devices>", "<title>old</title><devices>"), NEXT) == [Pending("title", "old", None)]


def test_emulated_devices_are_named_once_each() -> None:
    emulated = NEXT.replace("bus='virtio'", "bus='sata'").replace("</interface>", "<model type='e1000'/></interface>")
    told = advice(vm(emulated))
    assert len(told) == 2
    assert "disk vda" in told[0]
    assert "sata" in told[0]
    assert "52:54:00:00:00:01" in told[1]
    assert "e1000" in told[1]


def test_a_cd_rom_and_virtio_devices_are_left_in_peace() -> None:
    cdrom = NEXT.replace("device='disk'", "device='cdrom'").replace("bus='virtio'", "bus='sata'")
    assert advice(vm(cdrom)) == []
    assert advice(vm(NEXT)) == []


def test_a_windows_guest_is_not_sent_to_devices_that_it_cannot_see() -> None:
    windows = "<metadata><kvist:vm xmlns:kvist='{}' os='win11'/></metadata><devices>"
    from kvist.xml.path import NAMESPACES

    text = NEXT.replace("bus='virtio'", "bus='sata'").replace("<devices>", windows.format(NAMESPACES["kvist"]))
    assert vm(text).os == "win11"
    assert advice(vm(text)) == []


def test_memory_that_the_guest_has_not_given_back_yet_does_not_wait_for_a_boot() -> None:
    most = Size(2 << 30)
    starting, stored = Vm(memory=most, memory_max=most), Vm(memory=Size(1 << 30), memory_max=most)
    assert list(differences(starting, stored)) == []
    running = Vm(memory=Size(3 << 29), memory_max=most)
    assert [each.field for each in differences(running, stored)] == ["memory"]


def test_a_secret_that_waits_is_told_as_stars() -> None:
    now, later = Vm(graphics=(Graphics(type="vnc"),)), Vm(graphics=(Graphics(type="vnc", password="hush"),))
    assert list(differences(now, later)) == [Pending("graphics[vnc].password", None, "********")]


def test_firmware_that_libvirt_has_chosen_does_not_wait_for_a_boot() -> None:
    chosen = Vm(loader="/usr/share/OVMF/OVMF_CODE_4M.fd", loader_type="pflash", nvram="/nvram/web_VARS.fd")
    assert list(differences(chosen, Vm(firmware="efi"))) == []
    assert [each.field for each in differences(Vm(), Vm(firmware="efi"))] == ["firmware"]
