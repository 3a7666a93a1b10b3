"""The verbs on settings and devices from the command line, on VMs of libvirt's test driver that are off."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kvist.cli.main import main
from kvist.errors import Problem
from kvist.resources.filters import use
from kvist.resources.hosts.host import Host, connect
from kvist.resources.vms.vm import Machine
from kvist.specs.disk import Disk
from kvist.specs.nic import Nic
from kvist.specs.vm import Vm
from kvist.values import Mac, Size

NODE = """\
<node>
  <cpu><nodes>1</nodes><sockets>1</sockets><cores>16</cores><threads>1</threads><active>16</active></cpu>
  <memory>33554432</memory>
  <network><name>default</name><bridge name="virbr0"/><ip address="192.168.122.1" netmask="255.255.255.0"/></network>
  <network><name>lan</name><bridge name="virbr1"/><ip address="192.168.123.1" netmask="255.255.255.0"/></network>
  <pool type="dir"><name>default-pool</name><target><path>/default-pool</path></target></pool>
</node>
"""
GIB = 1 << 30
CARD = "52:54:00:00:00:09"


@pytest.fixture
def uri(tmp_path: Path) -> str:
    (tmp_path / "node.xml").write_text(NODE)
    return f"test://{tmp_path}/node.xml"


@pytest.fixture
def vm(uri: str) -> Iterator[Machine]:
    host: Host = connect(uri)
    host.vms.create("web", Vm(memory=Size(GIB), cpus=2), disk=(Disk(size=Size(GIB)),), pxe=True, start=False)
    yield host.vm("web")
    host.close()


class Answers:
    """What kvist answers to a line, and the end of it."""

    def __init__(self, uri: str, capsys: pytest.CaptureFixture[str]) -> None:
        self.uri, self.capsys = uri, capsys

    def __call__(self, *words: str, code: int = 0) -> Any:
        ended = main(["--host", self.uri, "-o", "json", *words])
        printed = self.capsys.readouterr()
        assert ended == code, printed.err
        return json.loads(printed.out) if printed.out else printed.err

    def twice(self, *words: str) -> Any:
        first = self(*words)
        assert first["changed"] is True
        assert self(*words)["changed"] is False
        return first


@pytest.fixture
def line(uri: str, vm: Machine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Answers:
    """kvist's command line; a host of the test driver's is there for one connection only, so lines share it."""
    monkeypatch.setattr("kvist.resources.hosts.host.connect", lambda *_asked, **_how: vm.host)
    return Answers(uri, capsys)


def stored(vm: Machine) -> Vm:
    return Vm.read(vm.document(next_boot=True).root)


LINES = {
    "a card": ("nic", "add", "web", "lan", "--mac", CARD),
    "a disk by its target": ("disk", "add", "web", "2G", "--target", "vdb"),
    "a disk by its alias": ("disk", "add", "web", "2G,alias=ua-data"),
    "a channel": ("device", "add", "web", "channel", "org.example.0"),
    "a watchdog": ("device", "add", "web", "watchdog", "i6300esb,action=reset"),
    "a card with a name": ("nic", "add", "web", "lan", "--alias", "front"),
    "a TPM": ("device", "add", "web", "tpm", "2.0"),
    "a screen": ("device", "add", "web", "graphics", "vnc,listen=127.0.0.1"),
    "a device of the host": ("device", "add", "web", "0000:03:00.0"),
    "a card as a device": ("device", "add", "web", "nic", f"lan,mac={CARD}"),
    "a setting of a card": ("nic", "set", "web", "0", "--link", "down"),
    "a setting of a disk": ("disk", "set", "web", "vda", "--cache", "none"),
    "a setting of a device": ("device", "set", "web", "vda", "read_bytes=1M"),
    "a card that goes": ("nic", "remove", "web", "default"),
    "a disk that goes": ("disk", "remove", "web", "vda"),
    "a disk that goes with its volume": ("disk", "remove", "web", "vda", "--delete"),
    "a device that goes": ("device", "remove", "web", "rng"),
}


@pytest.mark.parametrize("words", LINES.values(), ids=LINES.keys())
def test_a_line_typed_twice_has_nothing_to_do_the_second_time(words: tuple[str, ...], line: Answers) -> None:
    if words[:2] == ("device", "remove"):
        line("device", "add", "web", "rng")
        line("device", "remove", "web", "rng:1")
    line.twice(*words)


def test_a_card_is_what_the_line_says_and_a_second_without_a_name_is_another(line: Answers, vm: Machine) -> None:
    line("nic", "add", "web", "lan,link=down", "--mac", CARD)
    card = next(nic for nic in stored(vm).nics if nic.mac == Mac(CARD))
    assert (card.network, card.link, card.model) == ("lan", "down", stored(vm).nics[0].model)
    line("nic", "add", "web", "lan")
    assert [nic.network for nic in stored(vm).nics] == ["default", "lan", "lan"]
    assert "52:54:00:00:00:09" in line("nic", "set", "web", "lan", "--link", "up", code=2)


def test_a_card_that_is_there_and_another_is_a_conflict(line: Answers) -> None:
    line("nic", "add", "web", "lan", "--mac", CARD)
    assert "network is lan, not default" in line("nic", "add", "web", "default", "--mac", CARD, code=1)


def test_a_device_is_called_by_the_name_that_was_typed_for_it(line: Answers, vm: Machine) -> None:
    line("nic", "add", "web", "lan", "--alias", "front", "--mac", CARD)
    assert stored(vm).nics[-1].alias == "ua-front"
    line("nic", "set", "web", "front", "--link", "down")
    assert stored(vm).nics[-1].link == "down"
    line.twice("nic", "remove", "web", "ua-front")
    assert "has more in it than letters" in line("nic", "add", "web", "lan", "--alias", "front door", code=2)


def test_a_device_without_a_key_is_called_by_its_number(line: Answers, vm: Machine) -> None:
    domains = vm.host.connection.domains
    line("device", "add", "web", "channel", "org.example.0")
    nameless = "".join(
        f"<channel type='pty'><target type='guestfwd' address='10.0.2.{last}' port='4600'/></channel>"
        for last in (1, 2)
    )
    domains.define(domains.xml("web", next_boot=True).replace("</devices>", f"{nameless}</devices>"), name="web")
    first = next(number for number, channel in enumerate(stored(vm).channels) if channel.name is None)
    line("device", "remove", "web", f"channel:{first}")
    left = [target.get("address") for target in vm.document().root.iterfind("devices/channel/target")]
    assert [each for each in left if each] == ["10.0.2.2"]
    assert "org.example.0" in [channel.name for channel in stored(vm).channels]


def test_a_size_is_told_as_one_when_it_is_undone_or_looked_up(
    line: Answers, vm: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    line("set", "web", "--memory-max", "2G")
    number = vm.host.history.log()[0].number
    assert "1G  2G" in _printed(line, capsys, "log", "show", str(number))
    assert "2G -> 1G" in _printed(line, capsys, "undo")


def _printed(line: Answers, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["--host", line.uri, *words]) == 0
    return capsys.readouterr().out


def test_a_network_that_does_not_exist_is_named_with_those_that_do(line: Answers) -> None:
    assert "default, lan" in line("nic", "add", "web", "lam", code=2)
    assert "default, lan" in line("nic", "set", "web", "0", "--network", "lam", code=2)


def test_a_new_disk_has_a_volume_of_its_own_that_goes_with_the_vm(line: Answers, vm: Machine) -> None:
    line("disk", "add", "web", "2G", "--target", "vdb")
    pools = vm.host.connection.pools
    assert [volume.name for volume in pools.volumes("default-pool")] == ["web-vdb.qcow2", "web.qcow2"]
    assert stored(vm).volumes == ("default-pool/web.qcow2", "default-pool/web-vdb.qcow2")
    row = next(row for row in line("disk", "ls", "web") if row["target"] == "vdb")
    assert (row["size"], row["format"], row["state"]) == (2 * GIB, "qcow2", "stored")


def test_a_disk_that_is_unplugged_keeps_its_data_and_can_be_plugged_in_again(line: Answers, vm: Machine) -> None:
    line("disk", "add", "web", "2G", "--target", "vdb")
    line("disk", "remove", "web", "vdb")
    assert vm.host.connection.pools.volume("default-pool", "web-vdb.qcow2") is not None
    assert stored(vm).volumes == ("default-pool/web.qcow2",)
    line.twice("disk", "add", "web", "default-pool/web-vdb.qcow2")
    assert [disk.file for disk in stored(vm).disks] == ["/default-pool/web.qcow2", "/default-pool/web-vdb.qcow2"]
    line("disk", "remove", "web", "vdb")
    line("disk", "add", "web", "1G")
    assert stored(vm).disks[-1].file == "/default-pool/web-vdb.2.qcow2", "what is there is not taken for new"


def test_a_disk_of_another_size_is_a_conflict_and_a_smaller_one_is_refused(line: Answers) -> None:
    line("disk", "add", "web", "2G", "--target", "vdb")
    assert "it has 2G, not 3G" in line("disk", "add", "web", "3G", "--target", "vdb", code=1)
    assert "can only grow" in line("disk", "set", "web", "vdb", "--size", "1G", code=2)


def test_a_device_that_is_not_there_is_named_with_those_that_are(line: Answers) -> None:
    assert "it has vda" in line("disk", "set", "web", "vdz", "--cache", "none", code=3)


def test_settings_are_read_and_taken_away(line: Answers, vm: Machine) -> None:
    line("set", "web", "--title", "the shop", "--cpu-shares", "512")
    assert line("get", "web", "title", "cpus") == [
        {"name": "web", "field": "title", "now": None, "next_boot": "the shop"},
        {"name": "web", "field": "cpus", "now": None, "next_boot": 2},
    ]
    done = line.twice("unset", "web", "title", "cpu_shares", f"nics[{stored(vm).nics[0].mac}].model")
    assert {change["field"].rpartition(".")[2] for change in done["changes"]} == {"title", "cpu_shares", "model"}
    assert (stored(vm).title, stored(vm).cpu_shares) == (None, None)
    assert [each["next_boot"] for each in line("get", "web", "title")] == [None]


def test_what_is_wrong_with_a_device_is_told_by_what_was_typed(line: Answers, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object) -> list[Problem]:
        return [Problem(".nics[0].filter", "there is no such filter")]

    # The test driver has no filters of its own.
    monkeypatch.setattr(use, "unknown", unknown)
    assert "--filter: there is no such filter" in line("nic", "set", "web", "0", "--filter", "zzz", code=2)
    assert "SPEC.filter: there is no such filter" in line("device", "set", "web", "nic", "filter=zzz", code=2)


def test_a_device_is_not_unset_but_removed(line: Answers) -> None:
    assert "kvist device remove web" in line("unset", "web", "nics", code=2)


def test_what_every_vm_has_is_not_unset(line: Answers, vm: Machine) -> None:
    said = line("unset", "web", "memory", "cpus-max", code=2)
    assert ".memory: every VM has one" in said and "kvist set web --memory 2G" in said
    assert ".cpus_max: every VM has one" in said
    assert stored(vm).memory == GIB


def test_every_setting_of_several_vms_is_printed(line: Answers, vm: Machine) -> None:
    rows = line("get", "*", "memory")
    assert [(row["name"], row["next_boot"]) for row in rows] == [("web", GIB)]
    assert len(line("get", "web")) > 20


def test_memory_that_the_host_does_not_have_is_refused(line: Answers, vm: Machine) -> None:
    said = line("set", "web", "--memory", "9T", "--memory-max", "9T", code=2)
    assert said.count("9T is more than the host has (32G)") == 2
    assert stored(vm).memory == GIB


def test_what_waits_is_listed_and_taken_back_one_by_one_or_all_at_once(line: Answers, vm: Machine) -> None:
    vm.start()
    assert line("pending", "web") == []
    line("set", "web", "--memory-max", "2G", "--on-crash", "restart", "--clock", "localtime")
    assert {row["field"] for row in line("pending", "web")} == {"memory_max", "on_crash", "clock"}
    line.twice("pending", "web", "--revert", "memory-max", "--revert", "clock")
    assert [row["field"] for row in line("pending", "web")] == ["on_crash"]
    line.twice("pending", "web", "--all")
    assert stored(vm).on_crash == "destroy" and line("pending", "web") == []


def test_a_maximum_that_is_taken_back_tells_of_the_memory_that_goes_down_with_it(line: Answers, vm: Machine) -> None:
    vm.start()
    line("set", "web", "--memory", "2G")
    planned = line("pending", "web", "--revert", "memory_max", "--dry-run")
    wanted = [("memory_max", 2 * GIB, GIB), ("memory", 2 * GIB, GIB)]
    assert [(each["field"], each["before"], each["after"]) for each in planned["changes"]] == wanted
    line("pending", "web", "--revert", "memory_max")
    assert (stored(vm).memory, line("pending", "web")) == (GIB, [])


def test_a_device_that_waits_is_taken_back_whole(line: Answers, vm: Machine) -> None:
    vm.start()
    line("device", "add", "web", "tpm", "version=2.0")
    assert "tpm.version" in [each["field"] for each in line("pending", "web")]
    line("pending", "web", "--all")
    assert (line("pending", "web"), stored(vm).tpm) == ([], None)


def test_a_medium_is_brought_under_another_name_where_one_of_that_name_is_there(
    line: Answers, vm: Machine, tmp_path: Path
) -> None:
    (tmp_path / "x.iso").write_bytes(bytes(0x8001) + b"CD001")
    pools = vm.host.connection.pools
    there = "<volume><name>web-x.iso</name><capacity>2048</capacity></volume>"
    pools.create("default-pool", there, name="web-x.iso")
    plan = vm.drives.insert.plan(str(tmp_path / "x.iso"))
    assert next(change.after for change in plan.changes()) == "default-pool/web-x.2.iso"


def test_what_waits_is_not_taken_back_by_a_dry_run(line: Answers, vm: Machine) -> None:
    vm.start()
    line("set", "web", "--on-crash", "restart")
    line("pending", "web", "--all", "--dry-run")
    assert stored(vm).on_crash == "restart"


def test_a_restart_is_planned_only_where_something_waits(vm: Machine) -> None:
    vm.start()
    words = [step.describe() for step in vm.set.plan(Vm(on_crash="restart"), restart_now=True)]
    assert words == [
        'shut down VM "web" to restart it',
        'store the new definition of VM "web" for its next boot',
        'start VM "web"',
    ]
    assert {change.when for change in vm.set.plan(Vm(on_crash="restart"), restart_now=True).changes()} == {
        "now",
        "restart",
    }
    assert not any("restart" in step.describe() for step in vm.set.plan(Vm(title="x"), restart_now=True))


def test_the_typed_calls_do_the_same(vm: Machine) -> None:
    assert vm.nics.add("lan", Nic(mac=Mac(CARD))).changed
    assert not vm.nics.add("lan", Nic(mac=Mac(CARD))).changed
    assert [card.source for card in vm.nics.ls()] == ["default", "lan"]
    assert vm.devices.remove(CARD).changed
    assert [disk.target for disk in vm.disks.ls()] == ["vda"]
