"""From what a person writes to a spec, with every mistake named at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kvist.errors import Invalid
from kvist.specs.disk import Disk
from kvist.specs.nic import FilterParameter, Nic
from kvist.specs.pool import Pool
from kvist.specs.processor import CpuFeature
from kvist.specs.tpm import Tpm
from kvist.specs.vm import Vm
from kvist.values import Size
from kvist.xml.options import from_mapping, parse_options
from kvist.xml.spec import Spec


def complaints(caught: pytest.ExceptionInfo[Invalid]) -> list[str]:
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("kind", "line", "expected"),
    [
        (Nic, "lab", Nic(network="lab")),
        (Nic, "lab,ip=10.10.0.5,vhost=off", Nic(network="lab", ip="10.10.0.5", vhost=False)),
        (Nic, "bridge=br0,vlan=10+20,trunk", Nic(bridge="br0", vlan=(10, 20), trunk=True)),
        (Nic, "lab,filter=,mtu=none", Nic(network="lab", filter=None, mtu=None)),
        (Nic, "lab,dns=1.1.1.1,dns=8.8.8.8", Nic(network="lab", dns=("1.1.1.1", "8.8.8.8"))),
        (
            Nic,
            "lab,filter=x,filter-parameters.IP=10.0.0.5",
            Nic(network="lab", filter="x", filter_parameters=(FilterParameter(name="IP", value="10.0.0.5"),)),
        ),
        (Disk, "20G", Disk(size=Size(20 << 30))),
        (Disk, "20G,format=raw", Disk(size=Size(20 << 30), format="raw")),
        (Disk, "/srv/a.qcow2,readonly,detect-zeroes=on", Disk(path="/srv/a.qcow2", readonly=True, detect_zeroes="on")),
        (Disk, "/srv/a,,b.qcow2,cache=none", Disk(path="/srv/a,b.qcow2", cache="none")),
        (Disk, "/srv/a=b.img,2G", Disk(path="/srv/a=b.img", size=Size(2 << 30))),
        (Tpm, "2.0", Tpm(version="2.0")),
        (Vm, "tpm.version=2.0,tpm.model=tpm-crb", Vm(tpm=Tpm(version="2.0", model="tpm-crb"))),
        (Vm, "cpu_features.vmx=require", Vm(cpu_features=(CpuFeature(name="vmx", policy="require"),))),
        (Nic, "", Nic()),
    ],
)
def test_a_line_of_options_is_a_spec(kind: type[Spec], line: str, expected: Spec) -> None:
    assert parse_options(kind, line) == expected


def test_the_keys_of_bare_words_can_be_named() -> None:
    assert parse_options(Nic, "lab,blue", first=("network", "portgroup")) == Nic(network="lab", portgroup="blue")


def test_all_mistakes_of_a_line_are_reported_at_once_each_with_its_place() -> None:
    with pytest.raises(Invalid) as caught:
        parse_options(Nic, "lab,nettwork=x,mtu=1,link=dwon,what,mac=1,mac=2", path="--nic")
    assert complaints(caught) == [
        '--nic: there is no key "nettwork"; network?',
        "--nic.mtu: 1 is not between 68 and 65521",
        '--nic.link: "dwon" is not one of up, down; down?',
        '--nic: "what" has no key',
        '--nic.mac: "1" is not a MAC address such as 52:54:00:1a:b3:4a',
        '--nic.mac: "2" is not a MAC address such as 52:54:00:1a:b3:4a',
    ]
    assert "filter-parameters" not in caught.value.hint and "filter_parameters" in caught.value.hint


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("lab,mtu=1400,mtu=1500", ".mtu: is given twice"),
        ("lab,bridge=br0", "network, bridge do not go together: they belong to different types"),
        ("lab,mtu.x=1", 'there is no key "mtu.x"'),
    ],
)
def test_a_line_that_contradicts_itself_is_refused(line: str, complaint: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_options(Nic, line)
    assert complaints(caught)[0].startswith(complaint)


def test_a_path_may_start_where_the_person_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/ann")
    assert parse_options(Disk, "./a.raw").path == str(tmp_path / "a.raw")
    assert parse_options(Disk, "~/vm/a.raw").path == "/home/ann/vm/a.raw"
    assert parse_options(Disk, "/srv/a.raw").path == "/srv/a.raw"
    with pytest.raises(Invalid, match=r'--disk\.path: "a.raw" is not a path; a file of this directory is ./a.raw'):
        parse_options(Disk, "a.raw", path="--disk")


def test_a_disk_without_a_unit_is_asked_for_one() -> None:
    with pytest.raises(Invalid, match=r"--disk\.size: give a unit: 20M or 20G\?"):
        parse_options(Disk, "20", path="--disk")


def test_what_libvirt_tells_cannot_be_set() -> None:
    with pytest.raises(Invalid, match=r"--pool\.available: is told by libvirt"):
        parse_options(Pool, "/srv,available=1G", path="--pool")


def test_the_same_keys_work_in_a_file() -> None:
    data = {
        "name": "web",
        "memory": "4G",
        "cpus": 2,
        "boot": ["hd", "network"],
        "nics": ["lab,ip=10.10.0.5", {"bridge": "br0", "vlan": 7, "vhost": False}],
        "disks": "20G",
        "cpu-features": {"vmx": "require", "svm": None},
        "tpm": {"version": "2.0"},
        "description": None,
    }
    assert from_mapping(Vm, data) == Vm(
        name="web",
        memory=Size(4 << 30),
        cpus=2,
        boot=("hd", "network"),
        nics=(Nic(network="lab", ip="10.10.0.5"), Nic(bridge="br0", vlan=(7,), vhost=False)),
        disks=(Disk(size=Size(20 << 30)),),
        cpu_features=(CpuFeature(name="vmx", policy="require"), CpuFeature.removed(name="svm")),
        tpm=Tpm(version="2.0"),
        description=None,
    )


def test_values_of_pythons_own_types_are_taken_as_they_are() -> None:
    spec = Vm(memory=Size(4 << 30), nics=(Nic(network="lab"),), boot=("hd",))
    assert from_mapping(Vm, dict(spec.items())) == spec


def test_what_yaml_makes_of_on_is_understood_where_it_is_a_word() -> None:
    assert from_mapping(Disk, {"detect_zeroes": True}) == Disk(detect_zeroes="on")
    with pytest.raises(Invalid, match="a word such as on or yes needs quotes"):
        from_mapping(Nic, {"network": True})


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        ({"memory": 4}, ".vms.web.memory: give a unit: 4M or 4G?"),
        ({"cpus": 1.5}, ".vms.web.cpus: 1.5 is not a value here; does it need quotes?"),
        ({"cpus": 0}, ".vms.web.cpus: 0 is not between 1 and 2147483647"),
        ({"nics": ["lab", {"mac": "zz"}]}, '.vms.web.nics[1].mac: "zz" is not a MAC address such as 52:54:00:1a:b3:4a'),
        ({"nics": [3]}, ".vms.web.nics[0]: 3 is neither keys with values nor a line such as key=value,key=value"),
        ({"cpu_features": {"vmx": "maybe"}}, '.vms.web.cpu_features[vmx].policy: "maybe" is not one of force, require'),
        ({"tpm": {"versoin": "2.0"}}, '.vms.web.tpm: there is no key "versoin"; version?'),
        ({"boot": ["hd", "net"]}, '.vms.web.boot: "net" is not one of hd, cdrom, network, fd'),
    ],
)
def test_a_mistake_in_a_file_is_named_with_its_path(data: dict[str, Any], complaint: str) -> None:
    with pytest.raises(Invalid) as caught:
        from_mapping(Vm, data, ".vms.web")
    assert len(caught.value.problems) == 1
    assert complaints(caught)[0].startswith(complaint)


def test_all_mistakes_of_a_file_are_reported_at_once() -> None:
    with pytest.raises(Invalid) as caught:
        from_mapping(Vm, {"memry": "4G", "nics": [{"mtu": "x"}, {"link": "x"}], "disks": [{"bus": ["a"]}]}, ".vms.web")
    assert [problem.path for problem in caught.value.problems] == [
        ".vms.web",
        ".vms.web.nics[0].mtu",
        ".vms.web.nics[1].link",
        ".vms.web.disks[0].bus",
    ]


def test_a_model_of_card_that_nobody_has_is_refused_and_those_there_are_named() -> None:
    with pytest.raises(
        Invalid, match=r'"virtoi" is not one of virtio, .*usb-net or [0-9]+ rare ones; virtio\?'
    ) as wrong:
        parse_options(Nic, "lab,model=virtoi", path="--nic")
    assert wrong.value.problems[0].path == "--nic.model"
    assert parse_options(Nic, "lab,model=i82551").model == "i82551"
