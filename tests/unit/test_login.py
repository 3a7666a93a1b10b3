"""The words that log in to a host, from the URI of its libvirt."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvist.errors import Invalid
from kvist.host.login import shared, words


@pytest.mark.parametrize(
    ("uri", "wanted"),
    [
        ("qemu+ssh://hv2/system", ["hv2"]),
        ("qemu+ssh://root@hv2:2222/system", ["-p", "2222", "root@hv2"]),
        ("qemu+ssh://root@[fd00::2]:22/system", ["-p", "22", "root@fd00::2"]),
        ("qemu+ssh://hv2/system?keyfile=/root/my%20key", ["-i", "/root/my key", "hv2"]),
        ("qemu+ssh://hv2/system?no_verify=1", ["-o", "StrictHostKeyChecking=no", "hv2"]),
        ("qemu+ssh://hv2/system?no_verify=0", ["hv2"]),
    ],
)
def test_a_uri_becomes_the_words_of_ssh(uri: str, wanted: list[str]) -> None:
    assert words(uri) == wanted


def test_a_uri_without_a_host_is_refused() -> None:
    with pytest.raises(Invalid, match="names no host"):
        words("qemu+ssh:///system")


def test_a_user_without_a_directory_of_his_own_shares_no_login(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    assert shared() == []
    monkeypatch.setenv("XDG_RUNTIME_DIR", f"/{'x' * 60}")
    assert shared() == [], "the name of the socket would be too long"
    monkeypatch.setattr("kvist.host.login.LONGEST", 200)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert f"ControlPath={tmp_path}/kvist/ssh/%C" in shared()
    assert (tmp_path / "kvist/ssh").stat().st_mode & 0o777 == 0o700
