"""Command lines of ssh and scp, host keys by UUID, and the choice of a key."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvist.errors import Invalid, NotFound
from kvist.guest.ssh import (
    Endpoint,
    Target,
    argv,
    config_entry,
    data_directory,
    ensure_key,
    forget,
    parse_endpoint,
    read_key,
    scp_argv,
)

UUID = "2f5d0d0a-7a3c-4e53-a6c5-8a8f7c0f2a11"
KNOWN = Path("/home/anna/.local/share/kvist/known_hosts")
WEB = Target("192.168.122.10", UUID, user="anna", key=Path("/home/anna/.ssh/id_ed25519"))


def chosen(line: list[str]) -> dict[str, str]:
    pairs = [line[at + 1] for at, word in enumerate(line) if word == "-o"]
    return dict(pair.split("=", 1) for pair in pairs)


def test_host_keys_are_remembered_by_uuid_in_a_file_of_our_own() -> None:
    given = chosen(argv(WEB, KNOWN))
    assert given["HostKeyAlias"] == UUID
    assert given["UserKnownHostsFile"] == str(KNOWN)
    assert given["StrictHostKeyChecking"] == "accept-new"
    assert given["HashKnownHosts"] == "no"
    assert (given["HostName"], given["User"], given["Port"]) == ("192.168.122.10", "anna", "22")
    assert (given["IdentityFile"], given["IdentitiesOnly"]) == ("/home/anna/.ssh/id_ed25519", "yes")


def test_a_line_without_key_and_user_leaves_both_to_ssh() -> None:
    given = chosen(argv(Target("10.0.0.2", UUID), KNOWN))
    assert not {"User", "IdentityFile", "IdentitiesOnly", "ProxyCommand", "BatchMode", "ControlPath"} & given.keys()


def test_a_script_is_never_asked_and_never_waits_long() -> None:
    given = chosen(argv(WEB, KNOWN, ["true"], batch=True, timeout=3))
    assert given["BatchMode"] == "yes"
    assert given["ConnectTimeout"] == "3"


def test_one_word_of_command_is_a_shell_line_and_several_keep_their_boundaries() -> None:
    assert argv(WEB, KNOWN, ["ls | wc -l"])[-3:] == ["--", UUID, "ls | wc -l"]
    assert argv(WEB, KNOWN, ["touch", "a b", "$HOME"])[-1] == "touch 'a b' '$HOME'"
    assert argv(WEB, KNOWN)[-2:] == ["--", UUID]


@pytest.mark.parametrize(("tty", "flag"), [(True, "-t"), (False, "-T")])
def test_a_terminal_is_asked_for_or_forbidden(tty: bool, flag: str) -> None:
    assert flag in argv(WEB, KNOWN, ["top"], tty=tty)
    assert not {"-t", "-T"} & set(argv(WEB, KNOWN, ["top"]))


def test_a_proxy_command_keeps_its_words_and_its_tokens() -> None:
    target = WEB._replace(proxy=["kvist", "--host", "my host", "net", "connect", "%h", "%p"])
    assert chosen(argv(target, KNOWN))["ProxyCommand"] == "kvist --host 'my host' net connect %h %p"


def test_paths_with_spaces_and_percent_signs_survive_ssh() -> None:
    given = chosen(argv(WEB, Path("/home/a b/50%/known"), multiplex=Path("/run/a b")))
    assert given["UserKnownHostsFile"] == '"/home/a b/50%%/known"'
    assert given["ControlPath"] == '"/run/a b/%C"'
    assert given["ControlMaster"] == "auto"


@pytest.mark.parametrize("address", ["-oProxyCommand=x", "a b", "", "x;y"])
def test_an_address_that_could_be_an_option_or_a_command_is_refused(address: str) -> None:
    with pytest.raises(Invalid, match="not an address"):
        argv(WEB._replace(address=address), KNOWN)


def test_a_link_local_address_keeps_its_zone() -> None:
    assert chosen(argv(WEB._replace(address="fe80::1%virbr0"), KNOWN))["HostName"] == "fe80::1%%virbr0"


def test_a_copy_into_the_guest_and_one_out_of_it() -> None:
    into = scp_argv(WEB, KNOWN, [Endpoint(None, "a:b"), Endpoint(None, "dir/c:d")], Endpoint("web", "/tmp"))
    assert into[-4:] == ["--", "./a:b", "dir/c:d", f"{UUID}:/tmp"]
    out = scp_argv(WEB, KNOWN, [Endpoint("web", "/etc/hosts", "root")], Endpoint(None, "."), recursive=True)
    assert out[-3:] == ["--", f"{UUID}:/etc/hosts", "."]
    assert "-r" in out
    assert chosen(out)["User"] == "root"


@pytest.mark.parametrize(
    ("sources", "destination"),
    [
        ([Endpoint(None, "a")], Endpoint(None, "b")),
        ([Endpoint("web", "a")], Endpoint("web", "b")),
        ([Endpoint("web", "a"), Endpoint("db", "a")], Endpoint(None, "b")),
        ([Endpoint("web", "a"), Endpoint(None, "a")], Endpoint(None, "b")),
        ([], Endpoint("web", "b")),
    ],
)
def test_a_copy_without_exactly_one_guest_side_is_refused(sources: list[Endpoint], destination: Endpoint) -> None:
    with pytest.raises(Invalid, match="a copy goes"):
        scp_argv(WEB, KNOWN, sources, destination)


def test_a_copy_by_two_users_is_refused() -> None:
    with pytest.raises(Invalid, match="one user"):
        scp_argv(WEB, KNOWN, [Endpoint("web", "a", "root"), Endpoint("web", "b", "anna")], Endpoint(None, "."))


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("web:/etc/hosts", Endpoint("web", "/etc/hosts")),
        ("web:", Endpoint("web", ".")),
        ("root@web:x:y", Endpoint("web", "x:y", "root")),
        ("./web:x", Endpoint(None, "./web:x")),
        ("/a/b:c", Endpoint(None, "/a/b:c")),
        ("plain", Endpoint(None, "plain")),
    ],
)
def test_endpoints_are_read_as_scp_reads_them(text: str, endpoint: Endpoint) -> None:
    assert parse_endpoint(text) == endpoint


@pytest.mark.parametrize("text", ["", ":/x", "@web:x", "root@:x"])
def test_an_endpoint_without_a_vm_or_path_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        parse_endpoint(text)


def test_a_configuration_entry_names_the_guest_and_holds_one_option_per_line() -> None:
    lines = config_entry("web", WEB, KNOWN).splitlines()
    assert lines[0] == "Host web"
    assert "    HostName 192.168.122.10" in lines
    assert f"    HostKeyAlias {UUID}" in lines


def test_a_line_break_cannot_be_smuggled_into_the_configuration() -> None:
    with pytest.raises(Invalid, match="line break"):
        config_entry("web", WEB._replace(user="anna\nProxyCommand x"), KNOWN)


def test_the_users_best_key_is_chosen_and_its_public_half_is_enough(tmp_path: Path) -> None:
    own = tmp_path / ".ssh"
    own.mkdir()
    (own / "id_rsa.pub").write_text("ssh-rsa AAAA me\n")
    (own / "id_rsa").write_text("secret")
    assert ensure_key(tmp_path).identity == own / "id_rsa"
    (own / "id_ed25519.pub").write_text("ssh-ed25519 AAAA me\n")
    key = ensure_key(tmp_path)
    assert (key.identity, key.text, key.made) == (own / "id_ed25519.pub", "ssh-ed25519 AAAA me", False)


def test_a_named_key_is_taken_by_either_half(tmp_path: Path) -> None:
    (tmp_path / "deploy.pub").write_text("ssh-ed25519 AAAA\n")
    (tmp_path / "deploy").write_text("secret")
    assert read_key(tmp_path / "deploy") == read_key(tmp_path / "deploy.pub")
    assert read_key(tmp_path / "deploy").identity == tmp_path / "deploy"
    with pytest.raises(NotFound, match="public half"):
        read_key(tmp_path / "other")


def test_the_host_keys_of_one_vm_are_forgotten_and_those_of_others_stay(tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    assert forget(UUID, known) is False
    known.write_text(f"{UUID} ssh-ed25519 AAAA\nother ssh-rsa BBBB\n{UUID} ssh-rsa CCCC\n")
    assert forget(UUID, known) is True
    assert known.read_text() == "other ssh-rsa BBBB\n"
    assert forget(UUID, known) is False
    assert [entry.name for entry in tmp_path.iterdir()] == ["known_hosts"]


def test_the_data_directory_is_private_and_follows_xdg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert data_directory() == tmp_path / "data" / "kvist"
    assert data_directory().stat().st_mode & 0o777 == 0o700
