"""The way to guests: which command line leads to them, and who counts as being there."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from kvist.guest.ssh import Target, argv, keys_at_hand
from kvist.resources.hosts.host import Place
from kvist.resources.reaching.route import Route
from kvist.sandbox.sandbox import Sandbox

KNOWN = Path("/k/known_hosts")
HERE = Place("qemu:///system", "qemu:///system")


def test_guests_of_this_machine_need_no_detour() -> None:
    route = Route(HERE)
    assert (route.prefix, route.proxy, route.lasting_proxy) == ([], [], [])


def test_guests_of_a_sandbox_are_reached_from_its_network() -> None:
    route = Route(Place("qemu+unix:///system", "sandbox:lab", Sandbox("lab", 42)))
    assert route.prefix == ["nsenter", "--target=42", "--net", "--"]
    assert route.proxy == []


def test_a_file_finds_a_sandbox_by_its_name_for_its_process_changes() -> None:
    line = Route(Place("qemu+unix:///system", "sandbox:lab", Sandbox("lab", 42))).lasting_proxy
    assert line[1:] == ["-m", "kvist.sandbox.wire", "lab", "%h", "%p"]


@pytest.mark.parametrize(
    ("uri", "login"),
    [
        ("qemu+ssh://root@hv2/system", ["root@hv2"]),
        ("qemu+ssh://hv2:2222/system", ["-p", "2222", "hv2"]),
        ("qemu+ssh://root@[fd00::1]/system", ["root@fd00::1"]),
        ("qemu+ssh://root@[fd00::1]:2222/system", ["-p", "2222", "root@fd00::1"]),
    ],
)
def test_guests_behind_a_host_are_reached_through_it(uri: str, login: list[str]) -> None:
    proxy = Route(Place(uri, uri)).proxy
    assert proxy == ["ssh", *login, "-W", "[%h]:%p"]
    line = argv(Target("10.0.0.2", "u-u-i-d", proxy=proxy), KNOWN)
    assert f"ProxyCommand=ssh {' '.join(login)} -W '[%h]:%p'" in line


def test_an_address_behind_another_host_cannot_be_tried_from_here() -> None:
    assert Route(Place("qemu+ssh://hv2/system", "hv2")).answers("10.0.0.2") is None


def scripted(monkeypatch: pytest.MonkeyPatch, said: bytes | OSError) -> socket.socket:
    """Let the next connection be answered with these bytes, or fail so; gives the guest's end."""
    ours, theirs = socket.socketpair()
    if isinstance(said, bytes):
        theirs.sendall(said)
        theirs.shutdown(socket.SHUT_WR)

    def dial(_route: Route, _address: str, _port: int, _timeout: float) -> socket.socket:
        if isinstance(said, OSError):
            raise said
        return ours

    monkeypatch.setattr(Route, "dial", dial)
    return theirs


@pytest.mark.parametrize(
    ("said", "there"), [(b"", True), (ConnectionRefusedError(), True), (TimeoutError(), False), (OSError(113), False)]
)
def test_a_refusal_shows_that_somebody_is_there_and_silence_does_not(
    monkeypatch: pytest.MonkeyPatch, said: bytes | OSError, there: bool
) -> None:
    scripted(monkeypatch, said)
    assert Route(HERE).answers("10.0.0.2") is there


@pytest.mark.parametrize(
    ("said", "greets"),
    [
        (b"SSH-2.0-dropbear\r\n", True),
        (b"Welcome.\r\nSSH-2.0-OpenSSH_9.2\r\n", True),
        (b"HTTP/1.0 400 no SSH-2.0 here\r\n", False),
        (b"", False),
        (ConnectionRefusedError(), False),
    ],
)
def test_only_an_ssh_server_that_greets_counts(
    monkeypatch: pytest.MonkeyPatch, said: bytes | OSError, greets: bool
) -> None:
    scripted(monkeypatch, said)
    assert Route(HERE).greets("10.0.0.2") is greets


def test_the_server_is_greeted_back_so_that_it_logs_no_attack(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = scripted(monkeypatch, b"SSH-2.0-x\r\n")
    assert Route(HERE).greets("10.0.0.2")
    assert theirs.recv(64).startswith(b"SSH-2.0-")


def test_kvists_own_key_is_offered_beside_all_of_the_users(tmp_path: Path) -> None:
    home, data = tmp_path / "home", tmp_path / "data"
    (home / ".ssh").mkdir(parents=True)
    own = home / ".ssh" / "id_rsa"
    own.touch()
    assert keys_at_hand(home, data) == []
    made = data / "ssh" / "id_ed25519"
    made.parent.mkdir(parents=True)
    made.touch()
    assert keys_at_hand(home, data) == [made, own]
    line = argv(Target("10.0.0.2", "u-u-i-d", offer=[made, own]), KNOWN)
    assert [word for word in line if word.startswith("IdentityFile=")] == [
        f"IdentityFile={made}",
        f"IdentityFile={own}",
    ]
    assert "IdentitiesOnly=yes" not in line
