"""libvirt's QEMU driver in this process and a real QEMU behind it, without any daemon.

From its first test on, this process lives in a network and a mount namespace of its own: bridges and taps are made
there, and /dev has no kvm, so that libvirt neither probes a KVM that may hang nor finds guests faster on one machine
than on another. It needs root. Where there is none, the tier fails and says why; it never skips.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from lxml import etree

from kvist.engine.operation import Bound
from kvist.host import namespaces
from kvist.host.bake.cache import cached
from kvist.host.run import run
from kvist.resources.changing.setting import set as set_
from kvist.resources.hosts.host import Host, Place
from kvist.resources.vms.vm import Machine
from kvist.specs.vm import Vm
from kvist.virt.connection import Connection
from kvist.xml.document import Document

PREFIX = "kvist-embed-"
DEVICES = ("null", "zero", "full", "random", "urandom", "tty", "net/tun", "vhost-net", "vhost-vsock")
"""What QEMU and libvirt look for in /dev, but for kvm."""
NEW_MOUNTS, NEW_NETWORK = 0x20000, 0x40000000
PRIVATE, MOVE = 0x4000 | 0x40000, 0x2000
SETTINGS = """\
stdio_handler = "file"
security_driver = "none"
namespaces = []
user = "root"
group = "root"
"""
STOPS_WITHIN = 10.0


def isolate(work: Path) -> None:
    """Leave the machine's network and its /dev behind."""
    if ctypes.CDLL(None, use_errno=True).unshare(NEW_MOUNTS | NEW_NETWORK):
        pytest.fail(f"the embed tier needs root, for namespaces: {os.strerror(ctypes.get_errno())}")
    namespaces.mount("none", "/", "", PRIVATE)
    namespaces.raise_loopback()
    dev = work / "dev"
    dev.mkdir()
    namespaces.mount("none", dev, "tmpfs", options="mode=755")
    for name in DEVICES:
        # Only single nodes are shown here too: what is removed in a directory that is shown is removed for everybody.
        if Path("/dev", name).exists():
            (dev / name).parent.mkdir(exist_ok=True)
            (dev / name).touch()
            namespaces.bind(Path("/dev", name), dev / name)
    for name, type, options in (("pts", "devpts", "newinstance,ptmxmode=0666"), ("shm", "tmpfs", "mode=1777")):
        (dev / name).mkdir()
        namespaces.mount("none", dev / name, type, options=options)
    links = (("ptmx", "pts/ptmx"), ("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2"))
    for name, there in links:
        (dev / name).symlink_to(there)
    namespaces.mount(str(dev), "/dev", "", MOVE)
    # A sysfs shows the network it was mounted in.
    groups = work / "cgroup"
    groups.mkdir()
    namespaces.bind("/sys/fs/cgroup", groups, recursive=True)
    namespaces.mount("none", "/sys", "sysfs")
    namespaces.mount(str(groups), "/sys/fs/cgroup", "", MOVE)


def reap(root: Path) -> list[int]:
    """Kill every QEMU that libvirt started below this directory; gives their process numbers."""
    found = []
    for pid in namespaces.processes():
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:  # it ended between two looks
            continue
        if b"qemu-system" in command[0] and any(str(root).encode() in word for word in command):
            os.kill(pid, signal.SIGKILL)
            found.append(pid)
    end = time.monotonic() + STOPS_WITHIN
    while any(Path(f"/proc/{pid}/cmdline").exists() and _cmdline(pid) for pid in found) and time.monotonic() < end:
        time.sleep(0.02)
    return found


def _cmdline(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def clear(root: Path) -> None:
    """Remove what a run has made: its QEMUs, their control groups, its files."""
    reap(root)
    for group in Path("/sys/fs/cgroup").glob("*/machine/qemu-embed-*"):
        for inner in (*group.glob("*/"), group):
            # A group in which something still runs is not removed by the kernel.
            with suppress(OSError):
                inner.rmdir()
    mounted = [mount.point for mount in namespaces.mounts() if mount.point.startswith(f"{root}/")]
    assert mounted == [], "a file that is removed below a mount may be the machine's own"
    shutil.rmtree(root, ignore_errors=True)


def sweep(above: Path) -> None:
    """Remove what runs left behind that were killed."""
    for left in above.glob(f"{PREFIX}*"):
        owner = left.name.removeprefix(PREFIX)
        if owner.isdigit() and not Path("/proc", owner).exists():
            clear(left)


@pytest.fixture(scope="session")
def micro() -> Path:
    """The micro guest's image, baked before the tier leaves the network behind."""
    return cached("micro", "amd64", lambda _what, _share: None).path


@pytest.fixture(scope="session")
def work(micro: Path) -> Iterator[Path]:
    """A directory for all that the tier makes; it and every QEMU in it are gone at the end, however that comes."""
    above = Path("/tmp")
    sweep(above)
    root = above / f"{PREFIX}{os.getpid()}"
    root.mkdir()
    atexit.register(clear, root)
    isolate(root)
    yield root
    clear(root)


@pytest.fixture(scope="session")
def host(work: Path, monkeypatch_session: pytest.MonkeyPatch) -> Iterator[Host]:
    """The host that the tier's VMs run on, with two bridges."""
    monkeypatch_session.setenv("XDG_STATE_HOME", str(work / "state"))
    root = work / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc" / "qemu.conf").write_text(SETTINGS)
    for bridge in ("br0", "br1"):
        run(["ip", "link", "add", bridge, "type", "bridge"])
        run(["ip", "link", "set", bridge, "up"])
    uri = f"qemu:///embed?root={root}"
    connection = Connection.open(uri, timeout=60)
    yield Host(connection, Place(uri, "embed"))
    for shot in connection.domains.snapshot():
        if shot.state.active:
            connection.domains.destroy(shot.name)
    connection.close()


@pytest.fixture(scope="session")
def monkeypatch_session() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


BARE = """\
<domain type='qemu'>
  <name>bare</name>
  <title>bare</title>
  <metadata>
    <libosinfo:libosinfo xmlns:libosinfo="http://libosinfo.org/xmlns/libvirt/domain/1.0">
      <libosinfo:os id="http://debian.org/debian/11"/>
    </libosinfo:libosinfo>
    <kvist:vm xmlns:kvist="urn:kvist:1" os="debian11" user="root">
      <kvist:tag>first</kvist:tag>
    </kvist:vm>
    <other:note xmlns:other="urn:other">kept</other:note>
  </metadata>
  <memory unit='MiB'>64</memory>
  <vcpu current='1'>2</vcpu>
  <cputune>
    <shares>1024</shares>
    <period>100000</period>
    <quota>90000</quota>
    <vcpupin vcpu='0' cpuset='0'/>
    <emulatorpin cpuset='0'/>
  </cputune>
  <os>
    <type arch='x86_64' machine='pc-q35-6.0'>hvm</type>
  </os>
  <features>
    <acpi/>
  </features>
  <devices>
    <controller type='usb' index='0' model='qemu-xhci'/>
    <controller type='scsi' index='0' model='virtio-scsi'/>
    <controller type='virtio-serial' index='0'/>
    {ports}
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2'/>
      <source file='{root}/a.qcow2'/>
      <target dev='vda' bus='virtio'/>
      <iotune>
        <total_bytes_sec>1048576</total_bytes_sec>
        <group_name>shared</group_name>
      </iotune>
      <serial>a</serial>
    </disk>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2'/>
      <source file='{root}/b.qcow2'/>
      <target dev='vdb' bus='virtio'/>
      <serial>b</serial>
    </disk>
    <disk type='file' device='cdrom'>
      <driver name='qemu' type='raw'/>
      <source file='{root}/a.iso'/>
      <target dev='sda' bus='sata'/>
      <readonly/>
    </disk>
    <interface type='bridge'>
      <mac address='52:54:00:00:00:01'/>
      <source bridge='br0'/>
      <target dev='kvisttap1'/>
      <model type='virtio'/>
    </interface>
    <serial type='null'/>
    <graphics type='vnc' passwd='old' port='-1' autoport='yes' listen='127.0.0.1'/>
    <memballoon model='virtio'>
      <stats period='5'/>
    </memballoon>
  </devices>
</domain>
"""
"""A VM that boots nothing. A board as old as this takes a card out at once, as long as no guest has switched its slot
on; later ones ask a guest in any case."""


@pytest.fixture(scope="session")
def bare(host: Host, work: Path, booting: Machine) -> Machine:
    """A running VM without a guest system."""
    for name in ("a", "b", "c", "d"):
        run(["qemu-img", "create", "-q", "-f", "qcow2", str(work / f"{name}.qcow2"), "8M"])
        (work / f"{name}.iso").write_bytes(bytes(1 << 20))
    (work / "dir").mkdir()
    ports = "".join(f"<controller type='pci' index='{index}' model='pcie-root-port'/>" for index in range(1, 16))
    ports += "<controller type='pci' index='16' model='pcie-to-pci-bridge'/>"
    host.connection.domains.define(BARE.format(root=work, ports=ports), name="bare")
    machine = host.vm("bare")
    machine.start()
    return machine


MICRO = """\
<domain type='qemu'>
  <name>micro</name>
  <memory unit='MiB'>256</memory>
  <currentMemory unit='MiB'>192</currentMemory>
  <vcpu current='1'>2</vcpu>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
  </os>
  <features>
    <acpi/>
  </features>
  <devices>
    {ports}
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2'/>
      <source file='{root}/micro.qcow2'/>
      <target dev='vda' bus='virtio'/>
    </disk>
    <interface type='bridge'>
      <mac address='52:54:00:00:00:11'/>
      <source bridge='br0'/>
      <target dev='kvisttap11'/>
      <model type='virtio'/>
    </interface>
    <serial type='file'>
      <source path='{root}/micro.log'/>
    </serial>
    <memballoon model='virtio'/>
  </devices>
</domain>
"""
BOOTS_WITHIN = 120.0


@pytest.fixture(scope="session")
def booting(host: Host, work: Path, micro: Path) -> Machine:
    """A VM with a micro guest in it, begun early so that it boots beside the tests that need none."""
    backing = ["-b", str(micro), "-F", "qcow2"]
    run(["qemu-img", "create", "-q", "-f", "qcow2", *backing, str(work / "micro.qcow2")])
    ports = "".join(f"<controller type='pci' index='{index}' model='pcie-root-port'/>" for index in range(1, 10))
    host.connection.domains.define(MICRO.format(root=work, ports=ports), name="micro")
    machine = host.vm("micro")
    machine.start()
    return machine


@pytest.fixture(scope="session")
def guest(booting: Machine, work: Path) -> Machine:
    """The same, answering."""
    end = time.monotonic() + BOOTS_WITHIN
    while b"login:" not in (work / "micro.log").read_bytes():
        assert time.monotonic() < end, (work / "micro.log").read_text(errors="replace")[-2000:]
        time.sleep(0.2)
    return booting


@pytest.fixture(scope="session")
def setting() -> Callable[[Machine], Bound[[Vm]]]:
    """The operation `set` of a VM."""

    def bound(machine: Machine) -> Bound[[Vm]]:
        found = set_.__get__(machine, Machine)
        assert isinstance(found, Bound)
        return found

    return bound


@pytest.fixture(scope="session")
def both() -> Callable[[Machine], tuple[Document, Document]]:
    """Read both documents of a VM: what runs, and what the next boot will use."""

    def read(machine: Machine) -> tuple[Document, Document]:
        domains = machine.host.connection.domains
        return (
            Document.parse(domains.xml(machine.name, secure=True)),
            Document.parse(domains.xml(machine.name, next_boot=True, secure=True)),
        )

    return read


@pytest.fixture(scope="session")
def lines() -> Callable[[Document], list[str]]:
    """Print what a document says in lines that can be compared."""

    def said(document: Document) -> list[str]:
        copy = document.copy()
        for metadata in copy.root.iterfind("metadata"):
            # libvirt puts what it was given last at the end.
            metadata[:] = sorted(metadata, key=lambda each: str(each.tag))
        for source in copy.root.iterfind("devices/disk/source[@index]"):
            # QEMU counts the media that were in a drive.
            del source.attrib["index"]
        return str(etree.canonicalize(copy.text(), strip_text=True)).replace("><", ">\n<").splitlines()

    return said
