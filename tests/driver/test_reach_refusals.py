"""What cannot be reached is refused with the way out, before anything is tried."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kvist.cli.main import main
from kvist.cli.render import plain
from kvist.errors import Conflict, Invalid, Unsupported
from kvist.resources.hosts.check import check
from kvist.resources.hosts.host import Host, beforehand, connect
from kvist.resources.reaching.copying import cp
from kvist.resources.reaching.reach import execute, ssh, ssh_config
from kvist.resources.reaching.screen import screenshot
from kvist.resources.reaching.terminal import console
from kvist.resources.vms.show import show


@pytest.fixture
def host() -> Iterator[Host]:
    opened = connect("test:///default")
    yield opened
    opened.close()


def test_a_vm_that_is_off_cannot_be_reached_in_any_way(host: Host) -> None:
    host.connection.domains.destroy("test")
    vm = host.vm("test")
    for act in (
        lambda: console(vm),
        lambda: execute(vm, command=("true",)),
        lambda: ssh(vm),
        lambda: screenshot(vm),
        lambda: cp(host, ("test:/etc/hosts",), "."),
    ):
        with pytest.raises(Conflict, match="it is off") as refused:
            act()
        assert refused.value.hint == "kvist start test"


def test_a_vm_that_is_suspended_is_not_waited_for(host: Host) -> None:
    host.connection.domains.suspend("test")
    began = time.monotonic()
    with pytest.raises(Conflict, match="it is suspended") as refused:
        ssh(host.vm("test"))
    assert refused.value.hint == "kvist resume test"
    assert time.monotonic() - began < 2


def test_every_word_of_an_environment_that_is_none_is_told(host: Host) -> None:
    with pytest.raises(Invalid) as wrong:
        execute(host.vm("test"), command=("true",), env=("A=1", "B", "=2"))
    assert [problem.what.split()[0] for problem in wrong.value.problems] == ['"B"', '"=2"']


def test_a_vm_without_a_video_card_has_no_screen(host: Host, tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="no video card"):
        screenshot(host.vm("test"), tmp_path / "x.png")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("sources", "to"), [(("a",), "b"), (("web:a",), "db:b"), (("web:a", "db:a"), "."), ((), "b")])
def test_a_copy_has_one_vm_on_one_side(host: Host, sources: tuple[str, ...], to: str) -> None:
    with pytest.raises(Invalid, match="from this machine to one VM"):
        cp(host, sources, to)


def test_running_nothing_is_refused(host: Host) -> None:
    with pytest.raises(Invalid, match="nothing to run"):
        execute(host.vm("test"))


def test_a_host_without_addresses_gives_an_empty_ssh_configuration(host: Host) -> None:
    assert ssh_config(host) == ""


def test_all_that_is_known_is_plain_data_also_of_a_vm_that_somebody_else_made(host: Host) -> None:
    told = json.loads(json.dumps(plain(show(host.vm("test")))))
    assert (told["name"], told["state"], told["persistent"], told["agent"]) == ("test", "running", True, False)
    assert told["memory"] == 2 << 30
    assert told["nics"][0] == {"mac": "aa:bb:cc:dd:ee:ff", "type": "network", "source": "default",
                               "model": None, "address": None}  # fmt: skip
    assert told["pending"] == []
    host.connection.domains.destroy("test")
    assert show(host.vm("test")).keys() == told.keys()


def test_the_exit_code_of_a_host_check_says_whether_something_is_in_the_way(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from kvist.host.checks import seen
    from kvist.host.checks.finding import Finding, Remedy, Typed

    found = [Finding("module", True, "loaded"), Finding("flag", None, "not to be told")]
    monkeypatch.setattr(seen, "look", lambda _hand, **_: None)
    monkeypatch.setattr(seen, "findings", lambda _seen: found)
    here = beforehand("qemu:///system")
    assert check(here).exit == 0
    load = Typed(("modprobe", "kvm_intel"), ("modprobe", "-r", "kvm_intel"))
    found.append(Finding("device", False, "there is none", Remedy((load,))))
    assert check(here).exit == 1
    assert main(["--host", "qemu:///system", "host", "check", "-o", "json"]) == 1
    told = capsys.readouterr()
    assert json.loads(told.out)[2] == {
        "check": "device", "ok": False, "proof": "there is none", "fix": "modprobe kvm_intel"
    }  # fmt: skip
    assert json.loads(told.err)["hint"] == "kvist host check --fix"
