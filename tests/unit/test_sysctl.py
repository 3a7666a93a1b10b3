"""Settings of the kernel: kept in a file of kvist's own, which goes with the last of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvist.host import sysctl
from kvist.host.hand import Hand


@pytest.fixture
def hand(tmp_path: Path) -> Hand:
    return Hand(root=str(tmp_path))


def test_a_setting_is_kept_beside_others_and_the_file_goes_with_the_last(hand: Hand, tmp_path: Path) -> None:
    file = tmp_path / sysctl.KEPT.lstrip("/")
    sysctl.keep(hand, "net.ipv4.ip_forward", "1")
    sysctl.keep(hand, "kernel.x", "2")
    sysctl.keep(hand, "net.ipv4.ip_forward", "0")
    assert sysctl.kept(hand) == {"net.ipv4.ip_forward": "0", "kernel.x": "2"}
    sysctl.keep(hand, "net.ipv4.ip_forward", None)
    assert "kernel.x = 2\n" in file.read_text()
    sysctl.keep(hand, "kernel.x", None)
    assert not file.exists()


@pytest.mark.parametrize(
    ("path", "text", "overrules"),
    [
        ("etc/sysctl.conf", "net.ipv4.ip_forward=0\n", True),
        ("etc/sysctl.d/99-site.conf", "net/ipv4/ip_forward = 0\n", True),
        ("etc/sysctl.d/99-site.conf", "net.ipv4.ip_forward = 1\n", False),
        ("etc/sysctl.d/10-site.conf", "net.ipv4.ip_forward = 0\n", False),
        ("etc/sysctl.d/99-site.conf", "#net.ipv4.ip_forward = 0\n", False),
    ],
)
def test_a_file_that_is_read_later_and_says_otherwise_is_named(
    hand: Hand, tmp_path: Path, path: str, text: str, overrules: bool
) -> None:
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_text(text)
    assert sysctl.overruled(hand, "net.ipv4.ip_forward", "1") == (f"/{path}" if overrules else "")
