"""Documents that others wrote: read, written back field by field, and not one byte different."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from lxml import etree

from kvist.specs.network import Network
from kvist.specs.nwfilter import Filter
from kvist.specs.pool import Pool
from kvist.specs.vm import Vm
from kvist.specs.volume import Volume
from kvist.xml.document import Document
from kvist.xml.spec import Spec

OWN = {
    "a vm as virt-install makes it": """<domain type='kvm' id='7'>
  <name>web</name>
  <metadata>
    <libosinfo:libosinfo xmlns:libosinfo="http://libosinfo.org/xmlns/libvirt/domain/1.0">
      <libosinfo:os id="http://debian.org/debian/12"/>
    </libosinfo:libosinfo>
  </metadata>
  <memory>2097152</memory>
  <currentMemory unit='MiB'>1024</currentMemory>
  <vcpu placement='static' current='0x2'>4</vcpu>
  <os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type><boot dev='hd'/><!-- kept --></os>
  <cpu mode='host-passthrough' check='none' migratable='on'/>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2' discard='unmap'/>
      <source file='/srv/web.qcow2' index='1'><seclabel model='dac' relabel='no'/></source>
      <target dev='vda' bus='virtio'/>
      <address type='pci' domain='0x0000' bus='0x04' slot='0x00' function='0x0'/>
    </disk>
    <interface type='network'>
      <mac address='52:54:00:AB:CD:EF'/>
      <source network='default' portid='a5f8' bridge='virbr0'/>
      <driver name='vfio'/>
      <unheard-of thing='1'>text &amp; more</unheard-of>
    </interface>
    <console type='pty' tty='/dev/pts/3'><target type='serial' port='0'/></console>
    <rng model='virtio'><backend model='egd' type='tcp'>
      <source mode='connect' host='a' service='1'/>
    </backend></rng>
  </devices>
</domain>""",
    "a domain in one line": (
        "<domain type='qemu'><name>a</name><memory unit='b'>1048577</memory><os><type>hvm</type></os></domain>"
    ),
}


def unchanged(spec: type[Spec], text: str) -> bool:
    document = Document.parse(text)
    before = etree.tostring(document.root)
    read = spec.read(document.root)
    for name, value in read.items():
        spec(**{name: value}).write(document.root)
    read.write(document.root)
    return etree.tostring(document.root) == before and spec.read(document.root) == read


def corpus(folder: str) -> list[Path]:
    directory = os.environ.get("KVIST_CORPUS")
    if not directory:
        pytest.skip("corpus not given: set KVIST_CORPUS")
    return sorted(Path(directory, folder).glob("*.xml"))


@pytest.mark.parametrize("text", OWN.values(), ids=OWN.keys())
def test_what_is_read_and_written_back_leaves_no_trace(text: str) -> None:
    assert unchanged(Vm, text)


def test_a_document_is_understood_as_it_is_meant() -> None:
    vm = Vm.read(Document.parse(OWN["a vm as virt-install makes it"]).root)
    assert (vm.memory, vm.memory_max, vm.cpus, vm.cpus_max) == (1 << 30, 2 << 30, 2, 4)
    assert vm.osinfo == "http://debian.org/debian/12"
    assert (vm.disks[0].file, vm.disks[0].discard) == ("/srv/web.qcow2", "unmap")
    assert (vm.nics[0].mac, vm.nics[0].network) == ("52:54:00:ab:cd:ef", "default")
    assert "vhost" not in vm.nics[0] and "bridge" not in vm.nics[0]
    assert "source" not in vm.rngs[0]


@pytest.mark.parametrize(
    ("folder", "spec"),
    [("domain", Vm), ("pool", Pool), ("volume", Volume), ("network", Network), ("nwfilter", Filter)],
)
def test_every_document_of_the_corpus_comes_back_byte_for_byte(folder: str, spec: type[Spec]) -> None:
    files = corpus(folder)
    assert files, f"no document in {folder}"
    assert [file.name for file in files if not unchanged(spec, file.read_text())] == []
