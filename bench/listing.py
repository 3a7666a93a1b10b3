"""The race of `ls`: hosts of libvirt's test driver with a few VMs and with many."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from bench.programs import BARE, KVIST, PYTHON
from bench.race import Line, Rival, race, steady
from bench.report import Row, compare
from lxml import etree

from kvist.specs.disk import Disk
from kvist.specs.nic import Nic
from kvist.specs.vm import Vm
from kvist.values import Mac, Size
from kvist.xml.document import Document

TEST = "http://libvirt.org/schemas/domain/test/1.0"
"""The test driver's namespace (https://libvirt.org/drvtest.html)."""
SHUT_OFF = "5"

ASKED = 25
"""How many VMs are asked for by a process each; the rest of many is reckoned from them."""

BARE_CALLS = "bare libvirt calls"
EACH = "virsh list, dominfo each"
ONE_VIRSH = "the same in one virsh"
OPENING = "opening the host"


def rows(*, quick: bool, environment: Mapping[str, str], scratch: Path) -> Sequence[Row]:
    """Race it with 10 and 1000 VMs and give the rows of the table."""
    found: list[Row] = []
    for count, rounds, within in ((10, 3 if quick else 9, 20), (1000, 2 if quick else 5, 45)):
        uri = f"test://{host_of(count, scratch)}"
        rivals = (
            Rival("kvist", steady(KVIST, "--host", uri, "ls")),
            Rival(BARE_CALLS, steady(PYTHON, str(BARE / "list_vms.py"), uri)),
            Rival(OPENING, steady(PYTHON, "-c", "import libvirt, sys; libvirt.open(sys.argv[1])", uri)),
            Rival(ONE_VIRSH, steady("virsh", "-q", "-c", uri, "; ".join(["list --all", *_questions(count)]))),
            Rival(EACH, _each(uri, count)),
        )
        result = race(rivals, rounds, within=within, environment=environment)
        what = f"kvist ls, {count} VMs"
        found += (
            compare(what, "CPU", result, BARE_CALLS, aim=2 if count == 1000 else None),
            compare(what, "wall", result, BARE_CALLS),
            compare(what, "CPU", result, ONE_VIRSH),
            compare(what, "CPU", result, EACH, aim=0.1 if count == 1000 else None),
            compare(what, "wall", result, EACH),
        )
        if count == 1000:
            found.append(compare(what, "CPU", result, BARE_CALLS, less=OPENING))
        else:
            found.append(compare(what, "CPU", result, 0.150, aim=1))
    return found


def _questions(count: int) -> Iterable[str]:
    return (f"dominfo {_name(number)}" for number in range(count))


def _each(uri: str, count: int) -> Callable[[int], Iterable[Line]]:
    asked = min(count, ASKED)

    def lines(_run: int) -> Iterable[Line]:
        yield Line(("virsh", "-q", "-c", uri, "list", "--all"))
        for number in range(asked):
            yield Line(("virsh", "-q", "-c", uri, "dominfo", _name(number)), times=count // asked)

    return lines


def _name(number: int) -> str:
    return f"vm{number:04}"


def host_of(count: int, scratch: Path) -> Path:
    """Write a host of the test driver: VMs with a disk and a card each, every other one running."""
    host = etree.Element("node")
    for number in range(count):
        document = Document.new("domain")
        Vm(
            virt="test",
            os_type="hvm",
            name=_name(number),
            memory_max=Size(2 << 30),
            cpus_max=2,
            disks=(Disk(file=f"/images/{_name(number)}.qcow2", format="qcow2", target="vda", bus="virtio"),),
            nics=(
                Nic(network="default", mac=Mac(f"52:54:00:00:{number >> 8:02x}:{number & 255:02x}"), model="virtio"),
            ),
        ).write(document.root)
        if number % 2:
            etree.SubElement(document.root, f"{{{TEST}}}runstate", nsmap={"test": TEST}).text = SHUT_OFF
        host.append(document.root)
    path = scratch / f"host-{count}.xml"
    path.write_bytes(etree.tostring(host))
    return path
