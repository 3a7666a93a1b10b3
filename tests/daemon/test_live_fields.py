"""The live fields that need networks, filters and pools, on a VM that runs in a sandbox: the rest is in tests/embed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import kvist
from kvist.engine.execute import carry_out
from kvist.resources.vms.vm import Machine
from kvist.sandbox.sandbox import Sandbox
from kvist.specs.disk import Disk
from kvist.specs.nic import FilterParameter, Nic
from kvist.specs.vm import Vm
from kvist.values import Mac
from kvist.xml.diff import diff
from kvist.xml.document import Document

CARD = Mac("52:54:00:00:02:01")

NETWORK = """<network>
  <name>{name}</name>
  <bridge name='{bridge}'/>
  <portgroup name='plain' default='yes'/>
  <portgroup name='other'/>
</network>"""

POOL = "<pool type='dir'><name>media</name><target><path>/var/lib/media</path></target></pool>"
VOLUME = "<volume><name>{name}.iso</name><capacity unit='bytes'>1048576</capacity></volume>"

DOMAIN = """<domain type='qemu'>
  <name>fields</name>
  <memory unit='MiB'>64</memory>
  <vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc-q35-6.0'>hvm</type></os>
  <features><acpi/></features>
  <devices>
    <disk type='volume' device='cdrom'>
      <driver name='qemu' type='raw'/>
      <source pool='media' volume='one.iso'/>
      <target dev='sda' bus='sata'/>
      <readonly/>
    </disk>
    <interface type='network'>
      <mac address='52:54:00:00:02:01'/>
      <source network='fields-a' portgroup='plain'/>
      <target dev='kvistfields'/>
      <model type='virtio'/>
    </interface>
    <memballoon model='none'/>
  </devices>
</domain>"""


@pytest.fixture(scope="module")
def vm(sandbox: Sandbox) -> Iterator[Machine]:
    """A running VM without a guest system, on a network that has nothing else on it."""
    host = kvist.connect(f"sandbox:{sandbox.name}")
    handle = host.connection.handle
    networks = [
        handle.networkDefineXML(NETWORK.format(name=f"fields-{letter}", bridge=f"vfields{letter}"))
        for letter in ("a", "b")
    ]
    for network in networks:
        network.create()
    pool = handle.storagePoolDefineXML(POOL, 0)
    pool.build(0)
    pool.create(0)
    for name in ("one", "two"):
        pool.createXML(VOLUME.format(name=name), 0)
    host.connection.domains.define(DOMAIN, name="fields")
    machine = host.vm("fields")
    machine.start()
    yield machine
    machine.delete(force=True, keep_disks=True)
    for network in networks:
        network.destroy()
        network.undefine()
    pool.destroy()
    pool.undefine()
    host.close()


def card(**wish: object) -> Vm:
    return Vm(nics=(Nic(mac=CARD, **wish),))  # type: ignore[arg-type]


WISHES = {
    "network": card(network="fields-b"),
    "a network's bridge": card(bridge="vfieldsb"),
    "filter": card(filter="no-mac-spoofing"),
    "filter_parameters": card(
        filter="clean-traffic", filter_parameters=(FilterParameter(name="IP", value="10.77.0.5"),)
    ),
    "volume": Vm(disks=(Disk(target="sda", volume="two.iso"),)),
    "pool, taken out": Vm(disks=(Disk(target="sda", pool=None, volume=None),)),
}


def both(vm: Machine) -> list[Document]:
    domains = vm.host.connection.domains
    return [Document.parse(domains.xml(vm.name, next_boot=next_boot, secure=True)) for next_boot in (False, True)]


@pytest.mark.parametrize("wish", WISHES.values(), ids=WISHES.keys())
def test_a_live_field_reaches_the_running_vm_and_the_next_boot(wish: Vm, vm: Machine) -> None:
    before = [Vm.read(document.root) for document in both(vm)]
    plan = vm.set.plan(wish)

    done = carry_out(plan, vm.site)

    try:
        assert {change.when for change in done.changes} == {"live"}
        for document in both(vm):
            assert list(diff(Vm.read(document.root), wish)) == []
        assert vm.set.plan(wish).steps == ()
    finally:
        for step in reversed(plan.steps):
            step.undo(vm.site)
    assert [Vm.read(document.root) for document in both(vm)] == before
