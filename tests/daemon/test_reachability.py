"""Who may reach whom on a network of each mode, proven with packets: host, sibling, outside host, other networks.

A guest is a network namespace here, plugged into the bridge as a VM's tap is: to the rules of the host it is the same,
and it is there at once. One booted guest proves that.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import PIPE
from typing import TYPE_CHECKING

import pytest
from tests.daemon.outside import Outside, outside

from kvist.host.run import Result, run, spawn
from kvist.sandbox.sandbox import Sandbox

if TYPE_CHECKING:
    from tests.daemon.conftest import Kvist, Virsh

NET, BRIDGE, SUBNET = "reach", "reachbr", "10.77.0"
OTHER, OTHER_BRIDGE, OTHER_SUBNET = "elsewhere", "elsebr", "10.78.0"
SEES = """
import socket
server = socket.socket()
server.settimeout(4)
server.bind(("", 7))
server.listen()
try:
    print(server.accept()[1][0])
except TimeoutError:
    print("nobody")
"""
"""Says who knocks."""
KNOCKS = """
import socket, sys, time
for _ in range(30):
    try:
        socket.create_connection((sys.argv[1], 7), 1)
        break
    except OSError:
        time.sleep(0.1)
"""

PROMISED = {
    "isolated": (True, True, False, False, False, ""),
    "nat": (True, True, False, True, False, "host"),
    "route": (True, True, True, True, True, "guest"),
    "open": (True, True, True, True, True, "guest"),
}
"""May reach: host to guest, sibling to guest, outside host to guest, guest to outside, other NAT network's guest to it;
and whose address the outside host sees. Source: https://wiki.libvirt.org/VirtualNetworking.html"""


class Guests:
    """Namespaces on bridges of the sandbox."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox

    def inside(self, *argv: str) -> None:
        run(self.sandbox.enter(list(argv)))

    @contextmanager
    def plugged(
        self, name: str, bridge: str, subnet: str, last: int, *, gateway: int = 1, prefix: int = 24
    ) -> Iterator[str]:
        """Plug a guest in; its gateway is the host."""
        self.inside("ip", "netns", "add", name)
        try:
            self.inside("ip", "link", "add", f"t-{name}", "type", "veth", "peer", "name", "eth0", "netns", name)
            self.inside("ip", "link", "set", f"t-{name}", "master", bridge, "up")
            for words in (
                ("link", "set", "eth0", "up"),
                ("address", "add", f"{subnet}.{last}/{prefix}", "dev", "eth0"),
                ("route", "add", "default", "via", f"{subnet}.{gateway}"),
            ):
                self.at(name, "ip", *words)
            yield f"{subnet}.{last}"
        finally:
            run(self.sandbox.enter(["ip", "link", "delete", f"t-{name}"]), check=False)
            self.inside("ip", "netns", "delete", name)

    def at(self, name: str, *argv: str, check: bool = True) -> Result:
        return run(self.sandbox.enter(["nsenter", f"--net=/run/netns/{name}", "--", *argv]), check=check, timeout=20)

    def pings(self, name: str, address: str) -> bool:
        """Tell whether an echo comes back. The first packets may wait for a bridge's port to forward."""
        words = ("ping", "-n", "-c", "4", "-i", "0.2", "-W", "1", address)
        return self.at(name, *words, check=False).code == 0


@pytest.fixture
def world(sandbox: Sandbox) -> Iterator[Outside]:
    """An outside host that knows the way to the network, as other hosts of a routed one have to."""
    with outside(sandbox, "beyond", "10.97.0") as beyond:
        beyond("ip", "route", "add", f"{SUBNET}.0/24", "via", beyond.here)
        yield beyond


@pytest.fixture
def other(line: Kvist) -> Iterator[None]:
    line("net", "create", OTHER, "--bridge", OTHER_BRIDGE, "--subnet", f"{OTHER_SUBNET}.0/24", "--stp", "off")
    yield
    line("net", "delete", OTHER)


@pytest.mark.parametrize("mode", PROMISED)
def test_each_mode_lets_those_reach_each_other_that_it_promises(
    mode: str, line: Kvist, sandbox: Sandbox, world: Outside, other: None
) -> None:
    guests = Guests(sandbox)
    words = ("net", "create", NET, "--mode", mode, "--bridge", BRIDGE, "--subnet", f"{SUBNET}.0/24", "--stp", "off")
    assert line.json(*words)["changed"] is True
    assert line.json(*words)["changed"] is False
    try:
        with (
            guests.plugged("one", BRIDGE, SUBNET, 10) as one,
            guests.plugged("two", BRIDGE, SUBNET, 11),
            guests.plugged("far", OTHER_BRIDGE, OTHER_SUBNET, 10),
        ):
            reached = (
                run(sandbox.enter(["ping", "-n", "-c", "4", "-i", "0.2", "-W", "1", one]), check=False).code == 0,
                guests.pings("two", one),
                world("ping", "-n", "-c", "2", "-i", "0.2", "-W", "1", one, check=False).code == 0,
                guests.pings("one", world.address),
                guests.pings("far", one),
                seen_outside(guests, world),
            )
            source = {one: "guest", world.here: "host", "nobody": ""}[reached[-1]]
            assert (*reached[:-1], source) == PROMISED[mode]
    finally:
        line("net", "delete", NET)
    links = run(sandbox.enter(["ip", "-br", "link"])).text
    assert BRIDGE not in links
    assert f"{SUBNET}." not in run(sandbox.enter(["iptables-save"])).text


def seen_outside(guests: Guests, world: Outside) -> str:
    """Give the address that the outside host sees of a guest's connection; `nobody` when there is none."""
    with spawn(world.enter("python3", "-c", SEES), stdout=PIPE) as server:
        guests.at("one", "timeout", "4", "python3", "-c", KNOCKS, world.address, check=False)
        assert server.stdout is not None
        return server.stdout.read().decode().strip()


def test_a_network_of_kvists_own_is_exposed_until_it_is_not_or_goes(
    line: Kvist, sandbox: Sandbox, virsh: Virsh, world: Outside
) -> None:
    def reaches(one: str) -> bool:
        return world("ping", "-n", "-c", "2", "-i", "0.2", "-W", "1", one, check=False).code == 0

    def rules() -> str:
        return run(sandbox.enter(["nft", "list", "ruleset"])).text

    expose, unexpose = ("net", "expose", NET, "--from", world.uplink), ("net", "unexpose", NET)
    line("net", "create", NET, "--bridge", BRIDGE, "--subnet", f"{SUBNET}.0/24", "--stp", "off")
    with Guests(sandbox).plugged("one", BRIDGE, SUBNET, 10) as one:
        assert not reaches(one)
        for words, after in ((expose, True), (unexpose, False), (expose, True)):
            assert line.json(*words)["changed"] is True
            assert line.json(*words)["changed"] is False
            assert reaches(one) is after
            # libvirt keeps one element of a namespace: what was there before must not go.
            assert 'made-by="kvist"' in virsh("net-dumpxml", NET, "--inactive").replace("'", '"')
    line("net", "delete", NET)
    assert BRIDGE not in rules()
    line("undo")
    assert BRIDGE in rules() and line.json(*expose)["changed"] is False
    line(*unexpose)
    line("net", "delete", NET)
    assert "kvist" not in rules()


def test_guests_appear_on_the_network_of_an_interface_that_cannot_be_bridged(
    line: Kvist, sandbox: Sandbox, world: Outside
) -> None:
    def answers() -> str:
        return run(sandbox.enter(["sysctl", "-n", f"net.ipv4.conf.{world.uplink}.proxy_arp"])).text.strip()

    mine = ("--mode", "route", "--bridge", BRIDGE, "--stp", "off", "--proxy-arp", world.uplink)
    told = line.refused("net", "create", NET, "--subnet", "10.50.0.0/27", *mine, code=2)
    assert "is no part of the network" in told
    assert "the host's own address" in line.refused("net", "create", NET, "--subnet", "10.97.0.0/27", *mine, code=2)
    words = ("net", "create", NET, "--subnet", "10.97.0.64/27", *mine)
    assert line.json(*words)["changed"] is True
    assert line.json(*words)["changed"] is False
    with Guests(sandbox).plugged("one", BRIDGE, "10.97.0", 70, gateway=65, prefix=27) as one:
        assert answers() == "1"
        # Nobody told the outside host a way: it asks by ARP on its own network.
        assert world("ping", "-n", "-c", "3", "-W", "2", one, check=False).code == 0
        assert Guests(sandbox).pings("one", world.address)
    line("net", "delete", NET)
    assert (answers(), (sandbox.root / "etc/sysctl.d/90-kvist.conf").exists()) == ("0", False)
    line("undo")
    assert (answers(), line.json("net", "show", NET)["subnet"]) == ("1", "10.97.0.64/27")
    line("net", "delete", NET)


def test_a_booted_guest_is_no_other_than_these(line: Kvist, sandbox: Sandbox, world: Outside) -> None:
    line("net", "create", NET, "--mode", "route", "--bridge", BRIDGE, "--subnet", f"{SUBNET}.0/24", "--stp", "off")
    try:
        card = f"{NET},ip={SUBNET}.20"
        line(
            "create", "booted", "--image", "micro", "--memory", "128M", "--cpus", "1", "--nic", card, "--wait", "agent"
        )
        assert world("ping", "-n", "-c", "2", "-W", "2", f"{SUBNET}.20", check=False).code == 0
        assert line("exec", "booted", "--", "ping", "-c", "2", "-W", "2", world.address).code == 0
        line("delete", "booted", "--force", "--purge")
    finally:
        line("net", "delete", NET)
