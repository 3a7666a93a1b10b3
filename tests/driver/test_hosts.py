"""Hosts by name: kept in a file, chosen by the line, the environment or `use`, and asked all at once."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import kvist
from kvist.cli.main import main
from kvist.errors import Conflict, Corrupt, Invalid, NotFound, Unreachable
from kvist.resources.hosts import book as hostbook
from kvist.resources.hosts import host as hosts_of
from kvist.resources.hosts import naming as hosts
from kvist.resources.hosts.host import SESSION, SYSTEM, choose, locate


@pytest.fixture
def node(tmp_path: Path) -> str:
    file = tmp_path / "host.xml"
    vm = "<domain type='test'><name>{}</name><memory>4096</memory><os><type>hvm</type></os></domain>"
    file.write_text(f"<node>{vm.format('web')}{vm.format('db')}</node>")
    return f"test://{file}"


@pytest.fixture
def deaf() -> Iterator[str]:
    """A host that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"qemu+tcp://127.0.0.1:{listening.getsockname()[1]}/system"


def test_a_host_is_added_listed_used_and_removed_and_a_second_time_there_is_nothing_to_do(node: str) -> None:
    assert hosts.add("lab", node).changed
    assert not hosts.add("lab", node).changed
    assert hosts.ls() == [hosts.Row("lab", node, False)]
    assert [(one.before, one.after) for one in hosts.use("lab").changes] == [(None, "lab")]
    assert not hosts.use("lab").changed
    assert hosts.ls() == [hosts.Row("lab", node, True)]
    assert hosts.remove(("lab", "other")).changed
    assert not hosts.remove(("lab",)).changed
    assert hosts.ls() == []
    assert choose(None).where == SYSTEM


def test_a_name_stands_for_its_host_on_the_line_in_the_environment_and_in_use(
    node: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["host", "add", "lab", node, "-q"]) == 0
    capsys.readouterr()
    assert main(["--host", "lab", "ls", "-o", "name"]) == 0
    monkeypatch.setenv("KVIST_HOST", "lab")
    assert main(["ls", "-o", "name"]) == 0
    monkeypatch.delenv("KVIST_HOST")
    assert main(["host", "use", "lab", "-q"]) == 0
    assert main(["ls", "-o", "name"]) == 0
    assert capsys.readouterr().out == "db\nweb\n" * 3


@pytest.mark.parametrize("line", [("host", "add", "lab", "test:///default"), ("sandbox", "down"), ("ssh", "web")])
def test_a_line_that_cannot_be_tried_dry_is_refused_and_not_done(
    line: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*line, "--dry-run"]) == 2
    assert "--dry-run" in capsys.readouterr().err
    assert hosts.ls() == []


def test_the_line_wins_over_the_environment_and_that_over_the_host_in_use(
    node: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts.add("lab", node)
    assert choose(None).default
    hosts.use("lab")
    assert choose(None).where == "lab" and "kvist host use" in choose(None).why
    monkeypatch.setenv("KVIST_HOST", "hv2")
    assert choose(None) == ("hv2", "KVIST_HOST names it", False)
    assert choose("hv3") == ("hv3", "it was named", False)


def test_show_says_which_host_and_why(node: str, capsys: pytest.CaptureFixture[str]) -> None:
    hosts.add("lab", node)
    hosts.use("lab")
    assert main(["host", "show", "-o", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["host"], told["uri"], told["vms"], told["running"]) == ("lab", node, 2, 2)
    assert told["why"] == "it is in use: kvist host use"


def test_a_host_in_use_that_is_dead_is_told_with_the_reason_why_it_was_meant() -> None:
    hosts.add("gone", "test:///no/such/file.xml")
    hosts.use("gone")
    with pytest.raises(Unreachable, match="in use"):
        kvist.connect()


@pytest.mark.parametrize(("name", "uri"), [("a/b", "test:///default"), ("hv2", "hv2.example.org")])
def test_a_name_or_uri_that_is_none_is_refused(name: str, uri: str) -> None:
    with pytest.raises(Invalid):
        hosts.add(name, uri)
    assert hosts.ls() == []


def test_a_name_is_not_given_to_another_host_by_the_way() -> None:
    hosts.add("hv2", "qemu+ssh://root@a/system")
    with pytest.raises(Conflict, match="qemu\\+ssh://root@a/system"):
        hosts.add("hv2", "qemu+ssh://root@b/system")
    with pytest.raises(NotFound, match="hv3"):
        hosts.use("hv3")
    with pytest.raises(Invalid) as error:
        locate("hv3")
    assert error.value.hint.startswith("there is hv2; ")


def test_a_file_that_is_broken_is_named_and_left_alone() -> None:
    hosts.add("hv2", "qemu+ssh://root@a/system")
    hostbook.path().write_text('{"hosts": ["x"]}')
    with pytest.raises(Corrupt, match=r"hosts\.json"):
        hosts.add("hv3", "qemu+ssh://root@b/system")
    assert hostbook.path().read_text() == '{"hosts": ["x"]}'


def test_many_writers_at_once_lose_no_name_and_readers_see_whole_files() -> None:
    names = [f"hv{number}" for number in range(20)]
    threads = [
        threading.Thread(target=hosts.add, args=(name, f"qemu+ssh://root@{name}/system"), daemon=True) for name in names
    ]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        hostbook.read()
    assert {row.name for row in hosts.ls()} == set(names)
    assert os.listdir(hostbook.path().parent) == ["hosts.json"]
    assert hostbook.path().stat().st_mode & 0o777 == 0o600


def test_all_hosts_are_asked_at_once_and_a_silent_one_is_named(
    node: str, deaf: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from kvist.resources.hosts import everywhere

    monkeypatch.setattr(everywhere.ls, "__kwdefaults__", {"report": None, "timeout": 1.0})
    for name, uri in (("lab", node), ("deaf1", deaf), ("deaf2", deaf), ("gone", "test:///no/such/file.xml")):
        hosts.add(name, uri)
    hosts.use("lab")
    began = time.monotonic()
    assert main(["ls", "--all-hosts", "-o", "json"]) in (1, 5)
    assert time.monotonic() - began < 2.5
    printed = capsys.readouterr()
    assert [(row["host"], row["name"], row["state"]) for row in json.loads(printed.out)] == [
        ("lab", "db", "running"),
        ("lab", "web", "running"),
    ]
    for name in ("deaf1", "deaf2", "gone"):
        assert f'host \\"{name}\\": ' in printed.err
    assert main(["ls", "--all-hosts", "--host", "lab"]) == 2


def test_all_hosts_are_those_with_names_and_the_one_that_is_taken_anyway(node: str) -> None:
    from kvist.resources.hosts.everywhere import hosts as all_hosts

    assert all_hosts() == [SYSTEM]
    hosts.add("lab", node)
    assert all_hosts() == ["lab", SYSTEM]
    hosts.use("lab")
    assert all_hosts() == ["lab"]


def test_an_ordinary_user_who_may_not_use_the_system_gets_a_session_of_his_own(
    node: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locate_here(where: str) -> hosts_of.Place:
        # What stands in for the two libvirts: one that says no, and one that answers.
        return hosts_of.Place({SYSTEM: "test:///no/such/file.xml", SESSION: node}[where], where)

    monkeypatch.setattr(hosts_of, "locate", locate_here)
    with pytest.raises(Unreachable):
        kvist.connect()
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(hostbook.path().parent))
    host = kvist.connect()
    assert host.place.name == SESSION
    assert host.why.startswith("qemu:///system is not for this user (cannot connect to ")
