"""A spec is written down as plain data and comes back as it was."""

from __future__ import annotations

import json

from kvist.specs.balloon import Balloon
from kvist.specs.disk import Disk
from kvist.specs.hostdev import Hostdev
from kvist.specs.nic import FilterParameter, Nic
from kvist.specs.vm import Vm
from kvist.values import Mac, PciAddress, Size
from kvist.xml.record import recalled, record

WISH = Vm(
    title=None,
    memory=Size(1 << 30),
    tags=("a", "b c"),
    boot=("hd", "network"),
    smm=True,
    autostart=False,
    balloon=Balloon(stats_period=5),
    tpm=None,
    nics=(
        Nic(mac=Mac("52:54:00:00:00:01"), vlan=(1, 2), vhost=False, in_average=Size(1 << 20), filter=None),
        Nic.removed(mac=Mac("52:54:00:00:00:02")),
        Nic(mac=Mac("52:54:00:00:00:03"), filter_parameters=(FilterParameter(name="IP", value="10.0.0.2"),)),
    ),
    disks=(Disk(target="vda", total_bytes=Size(1 << 20), size=Size(1 << 33), readonly=True),),
    hostdevs=(Hostdev(pci=PciAddress(0, 3, 0, 1)),),
    rngs=(),
)


def test_a_spec_comes_back_from_json_as_it_was() -> None:
    assert recalled(Vm, json.loads(json.dumps(record(WISH)))) == WISH


def test_an_item_that_is_to_go_is_still_to_go_when_it_comes_back() -> None:
    again = recalled(Vm, json.loads(json.dumps(record(WISH))))
    assert [nic.is_removed for nic in again.nics] == [False, True, False]


def test_what_nobody_set_is_not_written_down() -> None:
    assert record(Vm(title="a")) == {"title": "a"}
