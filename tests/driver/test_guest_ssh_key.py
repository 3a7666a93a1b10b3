"""Keys made by the real ssh-keygen, and options read by the real ssh."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kvist.errors import Failed
from kvist.guest.ssh import Target, argv, config_entry, ensure_key
from kvist.host.run import run

UUID = "2f5d0d0a-7a3c-4e53-a6c5-8a8f7c0f2a11"


def test_a_user_without_a_key_gets_one_that_only_they_can_read_and_keeps_it(tmp_path: Path) -> None:
    first = ensure_key(tmp_path, tmp_path / "data")
    assert first.made is True
    assert first.text.startswith("ssh-ed25519 ")
    assert first.identity.stat().st_mode & 0o777 == 0o600
    again = ensure_key(tmp_path, tmp_path / "data")
    assert again.made is False
    assert again.text == first.text
    assert [entry.name for entry in (tmp_path / "data").iterdir()] == ["ssh"]


def test_several_at_once_end_with_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        keys = list(pool.map(lambda _: ensure_key(tmp_path, tmp_path / "data"), range(4)))
    assert len({key.text for key in keys}) == 1
    assert [key.made for key in keys].count(True) == 1
    assert [entry.name for entry in (tmp_path / "data").iterdir()] == ["ssh"]


def test_something_else_in_the_place_of_the_key_is_told_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "data" / "ssh").mkdir(parents=True)
    (tmp_path / "data" / "ssh" / "notes").write_text("mine")
    with pytest.raises(Failed, match="cannot put a new ssh key"):
        ensure_key(tmp_path, tmp_path / "data")
    assert (tmp_path / "data" / "ssh" / "notes").read_text() == "mine"


def test_ssh_understands_every_option_on_the_command_line_and_in_a_file(tmp_path: Path) -> None:
    key = tmp_path / "a key"
    target = Target("fe80::1%eth0", UUID, "anna", key, 2222, ["nc", "%h", "%p"])
    known = tmp_path / "known 50% hosts"
    line = argv(target, known, batch=True, multiplex=tmp_path)
    printed = run([line[0], "-F", "none", "-G", *line[1:]]).text.splitlines()
    assert {
        "hostname fe80::1%eth0",
        "port 2222",
        "user anna",
        f"hostkeyalias {UUID}",
        "proxycommand nc %h %p",
        "batchmode yes",
        "stricthostkeychecking accept-new",
        f"identityfile {key!s}",
    } <= set(printed)
    file = tmp_path / "config"
    file.write_text(config_entry("web", target, known))
    assert f"hostkeyalias {UUID}" in run(["ssh", "-F", str(file), "-G", "web"]).text.splitlines()
