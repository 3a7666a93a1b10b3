"""A guest that needs no network of the host's: user-mode network, reached through a port that QEMU forwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from kvist.resources.hosts.host import Host
from kvist.resources.reaching.forwarding import forwarded
from kvist.resources.reaching.route import Route

if TYPE_CHECKING:
    from tests.daemon.conftest import Kvist, Traces

VM = "usermode"


def test_a_guest_with_user_mode_network_is_reached_by_ssh_cp_and_any_port(
    line: Kvist, host: Host, clean: Callable[[], Traces]
) -> None:
    before = clean()
    line("create", VM, "--image", "micro", "--memory", "128M", "--nic", "user", "--wait", "ssh")
    way = line.json("ip", VM)
    assert way[0]["source"] == "forward" and way[0]["address"].startswith("127.0.0.1:")
    assert line("wait", VM, "ssh").text.strip() == way[0]["address"], "the forward is made once"
    assert line("ssh", VM, "--", "hostname").text.strip() == VM
    (line.home / "given").write_text("carried\n")
    line("cp", "given", f"{VM}:/tmp/given")
    assert line("ssh", VM, "--", "cat /tmp/given").text == "carried\n"
    vm = host.vm(VM)
    web = forwarded(vm, vm.spec.nics[0], 80)
    with Route(host.place).dial(web, 80, 10) as wire:
        wire.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert wire.recv(64).startswith(b"HTTP/1.")
    # Nobody but this host comes in by it.
    assert "0.0.0.0" not in host.connection.domains.monitor(VM, "info usernet")
    line("delete", VM, "--force", "--purge")
    assert clean() == before
