"""VMs that virsh or virt-install made are kvist's too, and kvist's are virsh's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kvist.host.run import run
from kvist.resources.hosts.host import Host
from kvist.sandbox.sandbox import Sandbox

if TYPE_CHECKING:
    from tests.daemon.conftest import Kvist, Traces

LOGIN = ("--send", r"\n", "--expect", "login: ")
BY_HAND = """\
<!-- kept by hand since 2009 -->
<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>byhand</name>
  <description>Bob's &lt;box&gt;</description>
  <metadata><my:note xmlns:my='http://example.org/my'><!-- do not touch --><my:x a='1'/></my:note></metadata>
  <memory unit='MB'>134</memory>
  <vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type><boot dev='hd'/></os>
  <features><acpi/><apic/><pae/></features>
  <clock offset='variable' adjustment='0' basis='utc'/>
  <on_crash>preserve</on_crash>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2' cache='unsafe'/><source file='/srv/byhand.qcow2'/><target dev='hda' bus='ide'/>
    </disk>
    <disk type='file' device='cdrom'><target dev='hdc' bus='ide'/><readonly/></disk>
    <interface type='network'>
      <mac address='52:54:00:aa:bb:01'/><source network='default'/><model type='e1000'/>
    </interface>
    <serial type='pty'/>
    <video><model type='cirrus'/></video>
  </devices>
  <qemu:commandline><qemu:env name='ODD' value='1'/></qemu:commandline>
</domain>
"""


@pytest.fixture
def own(line: Kvist, sandbox: Sandbox) -> Iterator[Callable[[str], Path]]:
    """Copies of the micro guest's disk that are nobody's."""
    made: list[Path] = []

    def make(name: str) -> Path:
        image = next((sandbox.root / "var/lib/libvirt/kvist-images").glob("micro-*.qcow2"))
        path = sandbox.root / "srv" / name
        path.write_bytes(image.read_bytes())
        made.append(path)
        return path

    yield make
    for path in made:
        assert path.exists(), "a disk that kvist did not make is gone"
        path.unlink()


def lived(line: Kvist, name: str, boot: float) -> None:
    """Show, start, console, stop, rename and remove it by kvist."""
    assert name in line("ls", "-o", "name").text.split()
    assert line.json("show", name)["state"] in ("off", "running")
    line("start", name)
    assert line.json("start", name)["changed"] is False
    line("console", name, *LOGIN, "--timeout", f"{boot:g}s")
    assert line.json("stop", name)["changed"] is True
    assert line.json("stop", name)["changed"] is False
    line("rename", name, f"{name}-2")
    assert line.json("rename", name, f"{name}-2")["changed"] is False
    told = line.json("delete", f"{name}-2", "--purge")
    assert [change["field"] for change in told["changes"]] == ["definition"]
    assert line.json("delete", f"{name}-2", "--purge")["changed"] is False


def test_a_vm_that_virsh_defined_is_shown_started_stopped_and_removed_and_its_disk_stays(
    line: Kvist, virsh: Callable[..., str], own: Callable[[str], Path], clean: Callable[[], Traces]
) -> None:
    disk = own("byhand.qcow2")
    virsh("define", "/dev/stdin", input=BY_HAND)
    document = virsh("dumpxml", "--inactive", "byhand")
    shown = line.json("show", "byhand")
    assert shown["description"] == "Bob's <box>"
    assert (shown["made_by"], shown["virt"], shown["autostart"]) == (None, "qemu", False)
    advice = " / ".join(shown["advice"])
    assert "disk hda is on an emulated ide bus" in advice and "e1000" in advice
    line("autostart", "byhand")
    line("autostart", "byhand", "off")
    assert virsh("dumpxml", "--inactive", "byhand") == document
    lived(line, "byhand", 60)
    assert disk.exists()


def test_a_vm_that_virt_install_made_is_shown_stopped_and_removed_and_its_disk_stays(
    line: Kvist, sandbox: Sandbox, virsh: Callable[..., str], own: Callable[[str], Path], clean: Callable[[], Traces]
) -> None:
    own("installed.qcow2")
    run(
        sandbox.enter(
            ["virt-install", "--connect", "qemu:///system", "--import", "--name", "installed", "--memory", "128",
             "--vcpus", "1", "--disk", "/srv/installed.qcow2", "--osinfo", "linux2022", "--graphics", "none",
             "--network", "network=default", "--virt-type", "qemu", "--noautoconsole"]
        ),
        timeout=60,
    )  # fmt: skip
    for pool in virsh("pool-list", "--all", "--name").split():
        if pool == "srv":
            virsh("pool-destroy", pool)
            virsh("pool-undefine", pool)
    assert line.json("show", "installed")["state"] == "running"
    lived(line, "installed", 60)


def test_a_vm_that_kvist_made_is_shown_dumped_edited_started_and_stopped_by_virsh(
    line: Kvist, host: Host, sandbox: Sandbox, virsh: Callable[..., str], clean: Callable[[], Traces]
) -> None:
    words = ("create", "ours", "--image", "micro", "--memory", "128M", "--cpus", "1", "--no-start")
    line(*words)
    assert "ours" in virsh("list", "--all", "--name").split()
    assert "Used memory:    131072 KiB" in virsh("dominfo", "ours")
    assert "ours.qcow2" in virsh("domblklist", "ours")
    edited = sandbox.enter(["env", "EDITOR=sed -i 's|<on_crash>destroy|<on_crash>restart|'", "virsh", "edit", "ours"])
    assert "edited" in run(edited).text
    assert "<on_crash>restart</on_crash>" in virsh("dumpxml", "ours")
    assert line.json(*words)["changed"] is False
    virsh("define", "/dev/stdin", input=virsh("dumpxml", "ours").replace("131072", "163840"))
    assert line.json("show", "ours")["memory"] == 160 << 20
    assert "memory is 160M, not 128M" in line.refused(*words, code=1)
    virsh("start", "ours")
    line("console", "ours", *LOGIN)
    virsh("shutdown", "ours", "--mode", "acpi")
    line("wait", "ours", "off", "--timeout", "30s")
    line("delete", "ours", "--purge")


def test_a_vm_that_lives_only_as_long_as_it_runs_is_stopped_and_gone(
    line: Kvist, virsh: Callable[..., str], own: Callable[[str], Path], clean: Callable[[], Traces]
) -> None:
    own("byhand.qcow2")
    virsh("create", "/dev/stdin", input=BY_HAND)
    shown = line.json("show", "byhand")
    assert (shown["state"], shown["persistent"]) == ("running", False)
    assert line.json("delete", "byhand", "--force", "--purge")["changed"] is True
    assert line.json("delete", "byhand", "--force", "--purge")["changed"] is False


SORTED = """<domain type='qemu'>
  <name>sorted</name>
  <memory unit='MiB'>64</memory>
  <vcpu>1</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <devices>
    <controller type='pci' index='0' model='pcie-root'/>
    <controller type='pci' index='1' model='dmi-to-pci-bridge'/>
    <controller type='sata' index='0'/>
    <controller type='usb' index='0' model='ich9-ehci1'/>
    <controller type='pci' index='2' model='pci-bridge'/>
  </devices>
</domain>"""
"""A VM whose controllers libvirt puts into another order whenever its own document is defined again."""


def test_undo_leaves_a_vm_whose_devices_libvirt_would_sort_anew_as_it_was(
    line: Kvist, virsh: Callable[..., str], clean: Callable[[], Traces]
) -> None:
    virsh("define", "/dev/stdin", input=SORTED)
    before = virsh("dumpxml", "sorted")
    for words in (("--title", "one", "--memory", "48M"), ("--description", "two")):
        line("set", "sorted", *words)
        assert virsh("dumpxml", "sorted") != before
        line("undo")
        assert virsh("dumpxml", "sorted") == before
    line("delete", "sorted", "--purge")
