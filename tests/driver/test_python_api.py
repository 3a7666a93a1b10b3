"""What docs/python.md shows: the same verbs as typed calls."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import kvist
from kvist.errors import Conflict, Invalid, NotFound
from kvist.specs.disk import Disk
from kvist.specs.nic import Nic
from kvist.specs.vm import Vm
from kvist.values import Size


@pytest.fixture
def host() -> Iterator[kvist.Host]:
    # Closed, for all that is open at a time to this URI is the same host: other tests would find what these did.
    opened = kvist.connect("test:///default")
    yield opened
    opened.close()


def test_a_vm_is_made_changed_and_removed_by_calls(host: kvist.Host) -> None:
    # The test driver has a pool of its own and leaves no file.
    wish = Vm(memory=Size.parse("64M"), cpus=1, title="a trial")
    disk, nic = Disk(size=Size.parse("1G")), Nic(network="default")
    made = host.vms.create("trial", wish, disk=(disk,), nic=(nic,), start=False)
    assert made.changed
    assert {change.field for change in made.changes} >= {"memory", "cpus", "nic"}
    vm = host.vm("trial")
    assert vm.show()["title"] == "a trial"
    assert [step.describe() for step in vm.start.plan()] == ['start VM "trial"']
    assert vm.start().changed and not vm.start().changed
    assert vm.stop(force=True).changed
    assert vm.delete().changed and not vm.delete().changed
    with pytest.raises(NotFound):
        vm.show()


def test_what_a_call_does_not_allow_is_an_error_of_the_tree(host: kvist.Host) -> None:
    with pytest.raises(Invalid) as wrong:
        host.vms.create("trial", Vm(memory=Size.parse("1T")), nic=(Nic(network="nowhere"),))
    assert [problem.path for problem in wrong.value.problems] == ["--memory", "", "--nic"]
    with pytest.raises(Conflict, match="cannot resume"):
        host.vm("test").stop(force=True)
        host.vm("test").resume()
