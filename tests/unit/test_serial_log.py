"""Logs of serial ports, which are turned by virtlogd while somebody reads."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from kvist.guest.serial_log import follow, kept
from kvist.resources.making.defaults import serial_log


def test_what_is_kept_is_read_oldest_first(tmp_path: Path) -> None:
    log = tmp_path / "web.log"
    for name, text in (("web.log.1", b"oldest "), ("web.log.0", b"older "), ("web.log", b"new")):
        (tmp_path / name).write_bytes(text)
    (tmp_path / "web.log.bak").write_bytes(b"not ours")
    assert b"".join(kept(log)) == b"oldest older new"


def test_following_goes_through_a_turn_of_the_file_and_misses_nothing(tmp_path: Path) -> None:
    log = tmp_path / "web.log"
    log.write_bytes(b"one ")
    running = threading.Event()

    def write() -> None:
        time.sleep(0.3)
        with log.open("ab") as file:
            file.write(b"two ")
        log.rename(tmp_path / "web.log.0")
        time.sleep(0.3)
        log.write_bytes(b"three ")
        time.sleep(0.6)
        running.set()

    writer = threading.Thread(target=write)
    writer.start()
    began = time.monotonic()
    assert b"".join(follow(log, lambda: not running.is_set())) == b"one two three "
    writer.join()
    assert time.monotonic() - began < 5


def test_what_was_written_last_is_told_though_the_guest_is_off_already(tmp_path: Path) -> None:
    log = tmp_path / "web.log"
    log.write_bytes(b"Power down")
    assert list(follow(log, lambda: False)) == [b"Power down"]


def test_a_log_is_made_where_virtlogd_is_and_never_shared_by_two_vms() -> None:
    one = serial_log("qemu+ssh://root@hv2/system", "web", "75ab5079-31d7-40cb-a667-51d23488ce8f")
    assert one == "/var/log/libvirt/qemu/web-75ab5079-serial0.log"
    assert serial_log("qemu+unix:///system?socket=/x", "web", "998f7724-31d7-40cb-a667-51d23488ce8f") != one
    assert serial_log("qemu:///session", "web", "75ab5079") is None
    assert serial_log("test:///default", "web", "75ab5079") is None
