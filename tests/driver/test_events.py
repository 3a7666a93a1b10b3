"""What is told while VMs change, and what they use, on libvirt's test driver."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.driver.test_vm_lifecycle import Counting, write_host

import kvist
from kvist.cli.main import main
from kvist.errors import Invalid, NotFound
from kvist.resources.vms.events import Happening, happenings
from kvist.values import Duration


@pytest.fixture
def host(tmp_path: Path) -> Iterator[kvist.Host]:
    opened = kvist.connect(write_host(tmp_path / "host.xml", 3))
    yield opened
    opened.close()


def told(host: kvist.Host, name: str | None) -> list[Happening]:
    def act() -> None:
        time.sleep(0.3)
        host.vm("vm000").suspend()
        host.vm("vm001").stop(force=True)

    acting = threading.Thread(target=act)
    acting.start()
    found = list(happenings(host, name, 1.2))
    acting.join()
    return found


def test_what_happens_is_told_in_its_order_with_its_time(host: kvist.Host) -> None:
    found = told(host, None)
    assert [(one.name, one.kind, one.what) for one in found] == [
        ("vm000", "lifecycle", "suspended"),
        ("vm001", "lifecycle", "stopped"),
    ]
    assert all(one.time.startswith(time.strftime("%Y-")) for one in found)


def test_only_the_vm_that_is_named_is_told_of(host: kvist.Host) -> None:
    assert [one.name for one in told(host, "vm001")] == ["vm001"]
    with pytest.raises(NotFound, match='"nobody"'):
        host.vms.events("nobody")


def test_the_line_ends_after_its_time_and_by_default_never(host: kvist.Host) -> None:
    began = time.monotonic()
    assert list(host.vms.events(for_=Duration(0.4))) == []
    assert 0.4 <= time.monotonic() - began < 3


def test_all_counters_are_read_in_one_look_at_the_host(host: kvist.Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.vm("vm002").stop(force=True)
    counting = Counting(host.connection.handle)
    monkeypatch.setattr(host.connection.counters, "_handle", counting)
    rows = host.vms.top(once=True, interval=Duration(0.1))
    assert isinstance(rows, list)
    assert sorted(row.name for row in rows) == ["vm000", "vm001"], "one that is off uses nothing"
    assert {row.memory for row in rows} == {512 << 20}
    assert counting.calls.count("getAllDomainStats") == 2 and set(counting.calls) == {"getAllDomainStats", "getType"}
    for wrong in (0.0, 7200.0):
        with pytest.raises(Invalid, match="no interval"):
            host.vms.top(interval=Duration(wrong))


def test_without_a_terminal_the_table_comes_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = write_host(tmp_path / "host.xml", 2)
    assert main(["--host", where, "top", "--interval", "0.1s"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].split()[:3] == ["NAME", "CPU", "CPUS"] and len(printed) == 3
    assert main(["--host", where, "top", "--interval", "0.1s", "-o", "json"]) == 0
    assert {row["name"] for row in json.loads(capsys.readouterr().out)} == {"vm000", "vm001"}
