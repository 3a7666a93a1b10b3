"""What cannot be reached is refused with the way out, before anything is tried."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kvist.cli.main import main
from kvist.cli.render import plain
from kvist.errors import Conflict, Denied, Invalid, Unsupported
from kvist.guest.ssh import Target
from kvist.resources.hosts.check import check
from kvist.resources.hosts.host import Host, beforehand, connect
from kvist.resources.reaching import copying, reach
from kvist.resources.reaching.copying import cp
from kvist.resources.reaching.reach import execute, ssh, ssh_config
from kvist.resources.reaching.screen import screenshot
from kvist.resources.reaching.shutout import judge
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


SSH = """#!/bin/sh
echo "$0 $*" >> "{log}"
echo "anna@uuid: Permission denied ({methods})." >&2
exit 255
"""
ENDS_BY_ITSELF = """#!/bin/sh
case "$*" in *BatchMode*) exit 0;; esac
exit 255
"""


@pytest.fixture
def answering(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A guest whose ssh answers; gives the place for programs that are to stand for ssh and scp."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    for module in (reach, copying):
        monkeypatch.setattr(module, "find_ssh", lambda _vm, _timeout=None: "192.0.2.7")
    monkeypatch.setattr(copying, "greeting_address", lambda _vm: "192.0.2.7")
    yield tmp_path


def program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


@pytest.mark.parametrize("line", [("ssh", "test"), ("cp", "test:/etc/hosts", ".")], ids=" ".join)
def test_a_guest_that_does_not_know_the_key_is_told_with_the_ways_in(
    line: tuple[str, ...], answering: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("ssh", "scp"):
        program(answering / name, SSH.format(log=answering / "log", methods="publickey"))
    assert main(["--host", "test:///default", *line, "--user", "anna"]) == 1
    told = capsys.readouterr().err
    assert 'cannot log in to VM "test" as "anna": its ssh does not know any key of yours (publickey)' in told
    assert "hint:  kvist ssh test --user NAME or --key FILE; " in told
    assert "kvist console test to put your key into ~anna/.ssh/authorized_keys" in told


def test_a_command_that_ends_as_ssh_does_when_it_fails_is_no_failed_login(answering: Path, host: Host) -> None:
    program(answering / "ssh", ENDS_BY_ITSELF)
    assert ssh(host.vm("test"), command=("false",)) == 255


def test_who_was_asked_for_a_password_has_been_told_by_ssh_itself(host: Host) -> None:
    goal = Target("192.0.2.7", "uuid", user="anna")
    judge(host.vm("test"), goal, "anna@uuid: Permission denied (publickey,password).", asked=True)
    judge(host.vm("test"), goal, "ssh: connect to host 192.0.2.7 port 22: Connection refused")
    with pytest.raises(Denied):
        judge(host.vm("test"), goal, "anna@uuid: Permission denied (publickey,password).", asked=False)
