"""The way from this machine to a screen."""

from __future__ import annotations

import pytest

from kvist.errors import Conflict
from kvist.resources.hosts.host import Place
from kvist.resources.reaching.viewing import View, view
from kvist.sandbox.sandbox import Sandbox
from kvist.specs.graphics import Graphics

HERE = Place("qemu:///system", "here")
FAR = Place("qemu+ssh://root@hv2:2222/system", "hv2")
BOX = Place("qemu+unix:///system?socket=/x", "sandbox:a", Sandbox("a", 77))


def test_a_screen_of_this_machine_needs_nothing_but_its_address() -> None:
    assert view(Graphics(type="vnc", port=5901, listen="127.0.0.1"), HERE) == View("vnc://127.0.0.1:5901")
    assert view(Graphics(type="spice", port=5902, listen="0.0.0.0"), HERE) == View("spice://127.0.0.1:5902")
    assert view(Graphics(type="vnc", port=5903, listen="fe80::1"), HERE) == View("vnc://[fe80::1]:5903")


def test_a_screen_of_a_remote_host_is_led_here_by_ssh() -> None:
    found = view(Graphics(type="vnc", port=5901, listen="127.0.0.1"), FAR)
    assert found == View("vnc://127.0.0.1:5901", "ssh -N -L 5901:127.0.0.1:5901 -p 2222 root@hv2")
    found = view(Graphics(type="vnc", socket="/run/web.vnc"), FAR)
    assert found == View("vnc://127.0.0.1:5900", "ssh -N -L 5900:/run/web.vnc -p 2222 root@hv2")


def test_a_screen_in_a_sandbox_is_looked_at_from_within_its_network() -> None:
    found = view(Graphics(type="vnc", port=5900), BOX)
    assert (found.address, found.first) == ("vnc://127.0.0.1:5900", "")
    assert found.prefix == ("nsenter", "--target=77", "--net", "--")
    assert view(Graphics(type="vnc", socket="/run/s"), BOX).address == "vnc+unix:///proc/77/root/run/s"


def test_a_screen_without_a_port_is_no_screen_yet() -> None:
    with pytest.raises(Conflict, match="no port yet"):
        view(Graphics(type="vnc", port=-1), HERE)
