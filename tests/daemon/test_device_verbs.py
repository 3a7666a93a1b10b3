"""Rows of the notebook on settings and devices, typed twice, on a guest whose uptime tells that it went on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from kvist.resources.hosts.host import Host

if TYPE_CHECKING:
    from tests.daemon.conftest import Kvist

GUEST = "verbs"
CARD = "52:54:00:1a:b3:4a"
MIB = 1 << 20
MEDIUM = bytes(0x8001) + b"CD001"
"""As much of a CD-ROM as tells that it is one."""
SEEN_WITHIN = 15.0


@pytest.fixture(scope="module")
def guest(line: Kvist) -> Iterator[str]:
    """A guest that is up, with the room to grow that a VM has when nobody says."""
    line("create", GUEST, "--image", "micro", "--memory", "128M", "--cpus", "1", "--wait", "agent")
    yield GUEST
    line("delete", GUEST, "--force", "--purge")
    line("trash", "empty", "--yes")


def inside(line: Kvist, *words: str) -> str:
    return line("exec", GUEST, "--", *words).text


def uptime(line: Kvist) -> float:
    return float(inside(line, "cat", "/proc/uptime").split()[0])


def seen(line: Kvist, path: str, wanted: str) -> None:
    """Wait until a file in the guest says what is wanted."""
    end = time.monotonic() + SEEN_WITHIN
    while (found := inside(line, "sh", "-c", f"cat {path} 2>/dev/null || true").strip()) != wanted:
        assert time.monotonic() < end, f"{path}: {found!r}, not {wanted!r}"
        time.sleep(0.2)


@pytest.fixture
def twice(line: Kvist, guest: str) -> Any:
    """Type a line twice: it is done live, then there is nothing to do, and the guest has not noticed a restart."""

    def ask(*words: str, when: str = "live") -> dict[str, Any]:
        before, began = uptime(line), time.monotonic()
        first: dict[str, Any] = line.json(*words)
        assert first["changed"] is True
        assert {change["when"] for change in first["changes"] if change["field"] not in ("disk", "volume")} == {when}
        again = line.json(*words)
        assert (again["changed"], again["steps"]) == (False, [])
        gone = time.monotonic() - began
        assert before + 0.3 * gone <= uptime(line) <= before + gone + 2, "the guest went on all the time"
        assert line.json("pending", GUEST) == []
        return first

    return ask


def cards(line: Kvist) -> dict[str, dict[str, Any]]:
    return {row["mac"]: row for row in line.json("nic", "ls", GUEST)}


def test_rows_28_and_29_a_card_comes_up_in_the_guest_is_changed_and_goes(line: Kvist, twice: Any) -> None:
    twice("nic", "add", GUEST, "default", "--mac", CARD)
    seen(line, "/sys/class/net/eth1/address", CARD)
    seen(line, "/sys/class/net/eth1/operstate", "up")
    twice("nic", "set", GUEST, CARD, "--link", "down")
    seen(line, "/sys/class/net/eth1/carrier", "0")
    twice("nic", "set", GUEST, CARD, "--link", "up")
    seen(line, "/sys/class/net/eth1/carrier", "1")
    assert "add --allow replug" in line.refused("nic", "set", GUEST, CARD, "--vhost", "off", code=4)
    twice("nic", "set", GUEST, CARD, "--vhost", "off", "--allow", "replug", when="replug")
    seen(line, "/sys/class/net/eth1/address", CARD)
    twice("nic", "remove", GUEST, CARD)
    assert CARD not in cards(line)
    seen(line, "/sys/class/net/eth1/address", "")


def test_rows_43_to_45_a_disk_is_made_plugged_in_grown_and_taken_out(line: Kvist, host: Host, twice: Any) -> None:
    twice("disk", "add", GUEST, "20M", "--target", "vdb")
    seen(line, "/sys/block/vdb/serial", f"{GUEST}-vdb")
    twice("disk", "set", GUEST, "vdb", "--size", "32M")
    seen(line, "/sys/block/vdb/size", str(32 * MIB // 512))
    row = next(row for row in line.json("disk", "ls", GUEST) if row["target"] == "vdb")
    assert (row["size"], row["format"], row["state"]) == (32 * MIB, "qcow2", "plugged in")
    twice("disk", "set", GUEST, "vdb", "--read-bytes", "1M")
    twice("disk", "remove", GUEST, "vdb")
    seen(line, "/sys/block/vdb/size", "")
    assert host.connection.pools.volume("default", f"{GUEST}-vdb.qcow2") is not None
    twice("disk", "add", GUEST, f"default/{GUEST}-vdb.qcow2")
    seen(line, "/sys/block/vdb/size", str(32 * MIB // 512))
    twice("disk", "remove", GUEST, "vdb", "--delete")


def test_a_medium_is_put_into_a_new_drive_and_taken_out_with_it(line: Kvist, twice: Any) -> None:
    (line.home / "one.iso").write_bytes(MEDIUM.ljust(MIB, b"\0"))
    twice("cdrom", "insert", GUEST, "one.iso")
    seen(line, "/sys/block/sr1/size", str(MIB // 512))
    drive = next(row["target"] for row in line.json("disk", "ls", GUEST) if "one.iso" in str(row["source"]))
    twice("disk", "remove", GUEST, drive)


def test_the_medium_of_a_drive_is_exchanged_and_taken_out(line: Kvist, twice: Any) -> None:
    (line.home / "two.iso").write_bytes(MEDIUM.ljust(2 * MIB, b"\0"))
    seed = next(row for row in line.json("disk", "ls", GUEST) if row["device"] == "cdrom")
    twice("cdrom", "insert", GUEST, "two.iso", "--drive", seed["target"])
    # The kernel of the guest looks at the medium when somebody reads it.
    assert int(inside(line, "sh", "-c", "wc -c < /dev/sr0")) == 2 * MIB
    twice("cdrom", "eject", GUEST, "--drive", seed["target"])
    twice("cdrom", "insert", GUEST, f"default/{GUEST}-seed.iso", "--drive", seed["target"])
    assert seed["source"] in {row["source"] for row in line.json("disk", "ls", GUEST)}


@pytest.mark.parametrize(
    ("words", "device"),
    [
        (("rng",), "rng:1"),
        (("channel", "org.example.0"), "org.example.0"),
        (("input", "tablet,bus=usb"), "tablet:usb"),
        (("controller", "scsi,index=3,model=virtio-scsi"), "scsi:3"),
    ],
    ids=["rng", "channel", "input", "controller"],
)
def test_a_device_of_another_kind_comes_and_goes_live(
    words: tuple[str, ...], device: str, line: Kvist, twice: Any
) -> None:
    first = line.json("device", "add", GUEST, *words)
    assert {change["when"] for change in first["changes"]} == {"live"}
    assert device in {row["device"] for row in line.json("device", "ls", GUEST)}
    twice("device", "remove", GUEST, device)
    assert device not in {row["device"] for row in line.json("device", "ls", GUEST)}


def test_row_20_memory_and_processors_grow_live_and_the_rest_waits_or_restarts(line: Kvist, twice: Any) -> None:
    twice("set", GUEST, "--memory", "160M")
    assert int(inside(line, "sed", "-n", "s/MemTotal: *\\([0-9]*\\) kB/\\1/p", "/proc/meminfo")) > 110 * 1024
    twice("set", GUEST, "--cpus", "2", "--title", "grown")
    seen(line, "/sys/devices/system/cpu/present", "0-1")
    twice("unset", GUEST, "title")
    waits = line.json("set", GUEST, "--memory-max", "320M")
    assert [change["when"] for change in waits["changes"]] == ["next boot"]
    assert [(row["field"], row["next_boot"]) for row in line.json("pending", GUEST)] == [("memory_max", "320M")]
    line("pending", GUEST, "--revert", "memory_max")
    assert line.json("pending", GUEST) == []
    restarted = ("set", GUEST, "--memory-max", "320M", "--allow", "restart")
    before = uptime(line)
    assert {"field": "memory_max", "when": "restart"}.items() <= line.json(*restarted)["changes"][1].items()
    line("wait", GUEST, "agent")
    assert uptime(line) < before + 3
    assert line.json(*restarted)["changed"] is False
    assert line.json("pending", GUEST) == []


def test_row_44_a_disk_of_a_vm_that_is_off_is_added_grown_and_removed(line: Kvist, guest: str) -> None:
    line("stop", GUEST)
    for words in (
        ("disk", "add", GUEST, "20M", "--target", "vdb"),
        ("disk", "set", GUEST, "vdb", "--size", "32M"),
        ("nic", "add", GUEST, "default", "--mac", CARD),
        ("nic", "set", GUEST, CARD, "--vhost", "off"),
    ):
        assert line.json(*words)["changed"] is True
        assert line.json(*words)["changed"] is False
    line("start", GUEST)
    line("wait", GUEST, "agent")
    seen(line, "/sys/block/vdb/size", str(32 * MIB // 512))
    seen(line, "/sys/class/net/eth1/address", CARD)
    line("nic", "remove", GUEST, CARD)
    line("disk", "remove", GUEST, "vdb", "--delete")
