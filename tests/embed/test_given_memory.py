"""The memory that a VM was given, before its guest has a say and after."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kvist.resources.hosts.host import Host
from kvist.resources.vms.memory import given, untaken
from kvist.resources.vms.vm import Machine
from kvist.values import Size
from kvist.virt.domains import Snapshot

MIB = 1 << 20
EARLY = """\
<domain type='qemu'>
  <name>early</name>
  <memory unit='MiB'>96</memory>
  <currentMemory unit='MiB'>64</currentMemory>
  <vcpu>1</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <devices><memballoon model='virtio'/></devices>
</domain>
"""


@pytest.fixture
def early(host: Host) -> Iterator[Machine]:
    """A VM that runs and has no guest in it, so that nobody takes memory off it."""
    host.connection.domains.define(EARLY, name="early")
    machine = host.vm("early")
    machine.start()
    yield machine
    host.connection.domains.destroy("early")
    host.connection.domains.undefine("early")


def shot(machine: Machine) -> Snapshot:
    return next(one for one in machine.host.connection.domains.snapshot() if one.name == machine.name)


def test_a_guest_whose_balloon_does_not_run_yet_was_given_no_more_than_was_wished(early: Machine) -> None:
    looked = shot(early)
    assert (looked.memory, looked.memory_max, looked.unasked) == (96 * MIB, 96 * MIB, True)
    assert given(early.host, looked) == 64 * MIB
    assert untaken(early.host, looked) == [
        "until its balloon driver runs the guest may use 96M, not the 64M it was given"
    ]


def test_a_guest_that_answers_was_given_what_it_has(guest: Machine) -> None:
    looked = shot(guest)
    assert not looked.unasked
    assert given(guest.host, looked) == Size(looked.memory)
    assert untaken(guest.host, looked) == []
