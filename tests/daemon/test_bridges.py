"""Bridges of the host: its only uplink becomes a port, and it keeps its way out, whatever happens meanwhile."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.daemon.outside import Outside, outside

from kvist.host.hand import Hand
from kvist.host.net.links import links, routes
from kvist.host.run import run, spawn
from kvist.sandbox.sandbox import Sandbox

if TYPE_CHECKING:
    from tests.daemon.conftest import Kvist

GUARD = 4
"""Seconds that the guard waits in these tests."""
SLACK = 8
"""Seconds that the guard may take besides, on a busy machine."""
GUEST = "bridged"
LEASED = "10.99.0.60"
CARD = "52:54:00:1a:b3:60"
SCRIPT = str(Path(__file__).with_name("killed_kvist.py"))


@pytest.fixture(scope="module")
def far(sandbox: Sandbox) -> Iterator[Outside]:
    """The outside host, which is the gateway of the sandbox's only uplink."""
    with outside(sandbox, "street") as host:
        run(sandbox.enter(["ip", "route", "add", "default", "via", host.address, "dev", host.uplink, "metric", "77"]))
        yield host


@pytest.fixture
def hand(sandbox: Sandbox) -> Hand:
    return Hand(prefix=sandbox.enter([]), root=str(sandbox.root))


@pytest.fixture(scope="module")
def guest(line: Kvist) -> Iterator[str]:
    """A guest without a card; it gets one for each bridge."""
    line("create", GUEST, "--image", "micro", "--memory", "128M", "--cpus", "1", "--nic", "none", "--wait", "agent")
    yield GUEST
    line("delete", GUEST, "--force", "--purge")
    line("trash", "empty", "--yes")


State = tuple[Any, ...]


def state(hand: Hand) -> State:
    """What must be as it was: interfaces with their addresses, routes, files, and processes of guards."""
    seen = [(one.name, one.master, one.mac, one.mtu, one.addresses) for one in links(hand) if one.kind != "tun"]
    watching = hand.run(["pgrep", "-f", "guard.sh"], check=False).text.split()
    left = [name for name in hand.names("/run/kvist") if name.startswith("guard-")]
    stable = [
        (name, master, mac, mtu, [a for a in addresses if ":" not in a.address])
        for name, master, mac, mtu, addresses in seen
    ]
    return (stable, sorted(routes(hand)), watching, left, hand.names("/etc/netplan"))


@pytest.fixture
def same(hand: Hand, far: Outside) -> Iterator[State]:
    """What the host is like before a test, and has to be after it."""
    before = state(hand)
    yield before
    assert settled(hand, before) == before


def settled(hand: Hand, wanted: State, within: float = 5) -> State:
    """Wait until the host is as wanted, and give what it is like in the end."""
    end = time.monotonic() + within
    while (found := state(hand)) != wanted and time.monotonic() < end:
        time.sleep(0.1)
    return found


def reached(far: Outside, address: str) -> bool:
    return far("ping", "-n", "-c", "1", "-W", "1", address, check=False).code == 0


def default_by(hand: Hand, dev: str) -> list[tuple[str, int]]:
    return [(route.via, route.metric) for route in routes(hand) if route.to == "default" and route.dev == dev]


def test_the_only_uplink_becomes_a_port_and_its_address_route_and_mac_move_to_the_bridge(
    line: Kvist, hand: Hand, far: Outside, same: State
) -> None:
    mac = next(one.mac for one in links(hand) if one.name == far.uplink)
    asked = far.enter("ping", "-n", "-i", "0.1", "-w", "3", far.here)
    lost = threading.Thread(target=lambda: told.append(run(asked, check=False, timeout=20).text))
    told: list[str] = []
    lost.start()
    answer = line.json("bridge", "create", "br0", "--port", far.uplink)
    lost.join()
    assert {"object": "br0", "field": "bridge", "before": None, "after": "linux", "when": "now only"} in answer[
        "changes"
    ]
    sent, got = (int(word) for word in told[0].split("statistics ---")[1].split()[0:4:3])
    assert got >= sent - 3, "the outside host hardly noticed"
    found = {one.name: one for one in links(hand)}
    assert (found["br0"].mac, found["br0"].kind, found[far.uplink].master) == (mac, "bridge", "br0")
    assert [str(each) for each in found["br0"].addresses if ":" not in each.address] == [f"{far.here}/24"]
    assert [each for each in found[far.uplink].addresses if ":" not in each.address] == []
    assert default_by(hand, "br0") == [(far.address, 77)]
    assert reached(far, far.here)
    assert line.json("bridge", "create", "br0", "--port", far.uplink)["changed"] is False
    (row,) = [row for row in line.json("bridge", "ls") if row["name"] == "br0"]
    assert (row["kind"], row["ports"], row["addresses"]) == ("linux", [far.uplink], [f"{far.here}/24"])
    assert line.json("bridge", "show", "br0")["routes"] == ["10.99.0.0/24", f"default via {far.address}"]
    line("undo")
    assert settled(hand, same) == same
    assert reached(far, far.here)


def test_a_bridge_that_is_deleted_gives_its_port_back_what_it_took_and_undo_makes_it_again(
    line: Kvist, hand: Hand, far: Outside, same: State
) -> None:
    line("bridge", "create", "br0", "--port", far.uplink)
    bridged = state(hand)
    assert line.json("bridge", "delete", "br0")["changed"] is True
    assert settled(hand, same) == same
    assert line.json("bridge", "delete", "br0")["changed"] is False
    line("undo")
    assert settled(hand, bridged) == bridged
    assert reached(far, far.here)
    line("bridge", "delete", "br0")


def test_a_dry_run_prints_the_commands_and_does_none(line: Kvist, hand: Hand, far: Outside, same: State) -> None:
    told = line("bridge", "create", "br0", "--port", far.uplink, "--dry-run", "--show-virsh").err.decode()
    assert f"ip link set dev {far.uplink} up master br0" in told
    assert f"ip -4 route replace default via {far.address} dev br0 metric 77" in told
    assert settled(hand, same) == same


def test_a_gateway_that_does_not_answer_after_the_change_has_it_put_back(
    line: Kvist, hand: Hand, far: Outside, same: State
) -> None:
    typed = ("--address", "10.99.0.50/24", "--gateway", "10.99.0.77")
    complaint = line.refused("bridge", "create", "br0", "--port", far.uplink, *typed, "--within", str(GUARD), code=5)
    assert "gateway 10.99.0.77 did not answer" in complaint and "put back" in complaint
    assert settled(hand, same) == same
    assert reached(far, far.here)


def test_a_gateway_that_is_cut_off_during_the_change_has_it_put_back(
    line: Kvist, hand: Hand, far: Outside, same: State, sandbox: Sandbox
) -> None:
    def cut() -> None:
        with spawn(sandbox.enter(["ip", "-o", "monitor", "link"]), stdout=-1) as monitor:
            ready.set()
            assert monitor.stdout is not None
            for told in monitor.stdout:
                if b" br0:" in told:
                    far("ip", "link", "set", "eth0", "down")
                    break
            monitor.kill()

    ready = threading.Event()
    cutter = threading.Thread(target=cut)
    cutter.start()
    ready.wait()
    time.sleep(0.3)
    try:
        complaint = line.refused("bridge", "create", "br0", "--port", far.uplink, "--within", str(GUARD), code=5)
        assert f"gateway {far.address} did not answer" in complaint
        cutter.join()
        assert settled(hand, same) == same
        silent = line.refused("bridge", "create", "br0", "--port", far.uplink, code=1)
        assert f"gateway {far.address} does not answer" in silent and "nothing was changed" in silent
        assert settled(hand, same) == same
    finally:
        far("ip", "link", "set", "eth0", "up")


def test_a_gateway_that_drops_pings_is_known_by_its_mac_address(
    line: Kvist, hand: Hand, far: Outside, same: State
) -> None:
    drop = "table ip deaf { chain input { type filter hook input priority 0; icmp type echo-request drop; }; }"
    far("nft", "-f", "-", input=drop)
    try:
        assert not reached_by(hand, far.address)
        line("bridge", "create", "br0", "--port", far.uplink, "--within", str(2 * GUARD))
        assert default_by(hand, "br0") == [(far.address, 77)]
        line("bridge", "delete", "br0", "--within", str(2 * GUARD))
    finally:
        far("nft", "delete", "table", "ip", "deaf")


def reached_by(hand: Hand, address: str) -> bool:
    return hand.run(["ping", "-n", "-c", "1", "-W", "1", address], check=False).code == 0


def test_a_bridge_comes_by_its_address_by_dhcp_where_the_host_has_a_client(
    line: Kvist, hand: Hand, far: Outside, same: State, leases: None
) -> None:
    client, script = "/usr/local/sbin/udhcpc", "/etc/udhcpc/default.script"
    hand.run(["ln", "-s", "/bin/busybox", client])
    bound = "ip address add $ip/$mask dev $interface && ip route add default via $router dev $interface"
    hand.write(script, f'#!/bin/sh\n[ "$1" != bound ] || {{ {bound}; }}\n', mode=0o755)
    # Busybox of Debian and of others look in different places.
    hand.run(["mkdir", "-p", "/usr/share/udhcpc"])
    hand.run(["ln", "-sf", script, "/usr/share/udhcpc/default.script"])
    try:
        line("bridge", "create", "br0", "--port", far.uplink, "--address", "dhcp")
        found = next(one for one in links(hand) if one.name == "br0")
        assert [str(each) for each in found.addresses if ":" not in each.address] == [f"{LEASED}/24"]
        assert default_by(hand, "br0") == [(far.address, 0)]
        assert line.json("bridge", "create", "br0", "--port", far.uplink, "--address", "dhcp")["changed"] is False
        assert hand.run(["pgrep", "-x", "udhcpc"]).text.strip() == (hand.read("/run/kvist/dhcp-br0.pid") or "").strip()
        line("undo")
        assert hand.run(["pgrep", "-x", "udhcpc"], check=False).text == ""
    finally:
        hand.run(["rm", "-rf", client, "/etc/udhcpc", "/usr/share/udhcpc"])


@pytest.mark.parametrize("moment", ["before the guard hears", "at the end"])
def test_a_kvist_that_is_killed_is_no_harm(moment: str, line: Kvist, hand: Hand, far: Outside, same: State) -> None:
    words = ("bridge", "create", "br0", "--port", far.uplink, "--within", str(GUARD))
    if moment == "at the end":
        # All is done, and kvist does not come to say so: the next one takes it back.
        hit = run([sys.executable, SCRIPT, "end", "SIGKILL", "--", *words], env=line.env, check=False, timeout=60)
        assert hit.code == -signal.SIGKILL
        assert "br0" in {one.name for one in links(hand)}
    else:
        program = str(Path(sys.executable).with_name("kvist"))
        # A gateway that is not there keeps kvist waiting, and the guard too.
        typed = ("--address", "10.99.0.50/24", "--gateway", "10.99.0.77")
        with spawn([program, *words, *typed], env=line.env, stdout=-3, stderr=-3) as killed:
            appears(hand, "br0")
            time.sleep(0.5)
            killed.kill()
        assert "br0" in {one.name for one in links(hand)}
        # Nobody but the guard does that.
        assert settled(hand, same, GUARD + SLACK) == same
        assert reached(far, far.here)
    line("bridge", "ls")
    assert settled(hand, same) == same
    assert line.notes() == []


def appears(hand: Hand, name: str) -> None:
    end = time.monotonic() + 15
    while name not in hand.names("/sys/class/net"):
        assert time.monotonic() < end, f"{name} does not appear"
        time.sleep(0.02)


def test_vlan_awareness_that_the_kernel_lacks_is_told_in_its_words_and_all_is_put_back(
    line: Kvist, hand: Hand, far: Outside, same: State
) -> None:
    probe = ["ip", "link", "add", "probe", "type", "bridge"]
    hand.run(probe)
    able = hand.run(["ip", "link", "set", "probe", "type", "bridge", "vlan_filtering", "1"], check=False).code == 0
    hand.run(["ip", "link", "delete", "probe"])
    words = ("bridge", "create", "br0", "--port", far.uplink, "--vlan-aware")
    if able:
        line(*words)
        assert line.json("bridge", "show", "br0")["vlan_aware"] is True
        line("undo")
    else:
        complaint = line.refused(*words, code=1)
        assert "vlan_filtering 1: RTNETLINK answers" in complaint and "everything was put back" in complaint
    assert settled(hand, same) == same
    assert reached(far, far.here)


def test_all_that_is_wrong_is_told_at_once_and_nothing_is_changed(line: Kvist, far: Outside, same: State) -> None:
    told = line.refused(
        *("bridge", "create", "a-name-far-too-long", "--port", "nope", "--port", "virbr0", "--port", "lo"),
        *("--address", "192.168.122.0/24", "--gateway", "8.8.8.8", "--dns", "x", "--mtu", "3", "--ovs"),
        code=2,
    )
    for complaint in (
        'NAME: "a-name-far-too-long" is too long for an interface: 19 bytes of 15',
        '--port: there is no interface "nope"',
        '--port: "virbr0" is a bridge itself; bridges that are ports of each other form a loop',
        '--port: "lo" is the loopback',
        "192.168.122.0 is no host of 192.168.122.0/24",
        'overlaps with 192.168.122.1/24 on "virbr0"',
        "--gateway: 8.8.8.8 is not on",
        '--dns: "x" is not an address',
        "--mtu: 3 is not a size",
        "--ovs: Open vSwitch does not run",
    ):
        assert complaint in told
    assert "is in use: network default" in line.refused("bridge", "delete", "virbr0", code=1)
    assert 'there is no bridge "br9"' in line.refused("bridge", "set", "br9", "--stp", "on", code=3)


def test_ports_and_settings_change_one_by_one_and_a_port_of_another_bridge_is_refused(
    line: Kvist, hand: Hand, far: Outside, same: State, sandbox: Sandbox
) -> None:
    run(sandbox.enter(["ip", "link", "add", "spare", "type", "veth", "peer", "name", "spare-end"]))
    try:
        line("bridge", "create", "br1", "--address", "10.55.0.1/24")
        for words in (
            ("add-port", "br1", "spare"),
            ("set", "br1", "--stp", "on", "--mtu", "1400"),
            ("set", "br1", "--address", "10.56.0.1/24"),
        ):
            assert line.json("bridge", *words)["changed"] is True
            assert line.json("bridge", *words)["changed"] is False
        shown = line.json("bridge", "show", "br1")
        assert (shown["ports"], shown["stp"], shown["mtu"], shown["addresses"]) == (
            ["spare"],
            True,
            1400,
            ["10.56.0.1/24"],
        )
        taken = line.refused("bridge", "create", "br2", "--port", "spare", code=2)
        assert '"spare" is a port of "br1" already' in taken and "kvist bridge remove-port br1 spare" in taken
        line("undo")
        assert line.json("bridge", "show", "br1")["addresses"] == ["10.55.0.1/24"]
        line("bridge", "set", "br1", "--stp", "off")
        line("bridge", "remove-port", "br1", "spare", code=1)
        line("bridge", "delete", "br1")
    finally:
        run(sandbox.enter(["ip", "link", "delete", "spare"]))


def test_netplan_is_told_of_the_bridge_and_its_file_is_put_back_with_it(
    line: Kvist, hand: Hand, far: Outside, same: State
) -> None:
    path, copy = "/etc/netplan/50-house.yaml", "/etc/netplan/50-house.yaml.before-kvist-br0"
    own = "/etc/netplan/90-kvist-br0.yaml"
    before = f"network: {{version: 2, ethernets: {{{far.uplink}: {{addresses: [{far.here}/24]}}}}}}  # mine\n"
    hand.write(path, before)
    try:
        answer = line.json("bridge", "create", "br0", "--port", far.uplink)
        assert {change["when"] for change in answer["changes"]} == {"now"}
        assert far.here in (hand.read(own) or "") and far.here not in (hand.read(path) or "")
        assert hand.read(copy) == before
        assert line.json("bridge", "show", "br0")["kept_by"] == "netplan"
        assert line.json("bridge", "create", "br0", "--port", far.uplink)["changed"] is False
        line("bridge", "delete", "br0")
        assert (hand.read(path), hand.names("/etc/netplan")) == (before, ["50-house.yaml"])
        line("undo")
        assert hand.read(copy) == before
        line("undo")
        assert (hand.read(path), hand.names("/etc/netplan")) == (before, ["50-house.yaml"])
    finally:
        hand.remove(path)


@pytest.fixture
def leases(far: Outside, hand: Hand) -> Iterator[None]:
    """A DHCP server on the outside host, with one address to give."""
    note = "/run/street-dnsmasq.pid"
    serve = ("dnsmasq", "--conf-file=/dev/null", "--port=0", "--interface=eth0", "--bind-interfaces", "--no-ping")
    far(*serve, f"--dhcp-range={LEASED},{LEASED},1h", "--dhcp-leasefile=/run/street-leases", f"--pid-file={note}")
    yield
    hand.run(["kill", (hand.read(note) or "").strip()])
    hand.remove("/run/street-leases")


def comes(far: Outside, address: str, within: float = 20) -> None:
    """Wait until an address is reached from the outside host."""
    end = time.monotonic() + within
    while not reached(far, address):
        assert time.monotonic() < end, f"{address} does not answer"


def test_a_guest_on_the_bridge_is_reached_from_outside_and_keeps_the_bridge(
    line: Kvist, hand: Hand, far: Outside, same: State, leases: None, guest: str
) -> None:
    line("bridge", "create", "br0", "--port", far.uplink)
    told = line("nic", "add", guest, "br0", "--mac", CARD).err.decode()
    assert f'card {CARD} is "eth0" in the guest, with {LEASED}' in told
    comes(far, LEASED)
    assert line.json("bridge", "show", "br0")["used_by"] == [f"vm {guest}"]
    assert f"is in use: vm {guest}" in line.refused("bridge", "delete", "br0", code=1)
    assert reached(far, LEASED)
    line("nic", "remove", guest, CARD)
    line("bridge", "delete", "br0")
    assert 'there is no bridge "br0"; there is virbr0' in line.refused("nic", "add", guest, "bridge=br0", code=2)
    assert 'there is no interface "eth9"' in line.refused("nic", "add", guest, "dev=eth9", code=2)


@pytest.fixture
def switch(sandbox: Sandbox, hand: Hand) -> Iterator[Callable[..., str]]:
    """Open vSwitch in its own process; gives what its database says."""
    for directory in ("/run/openvswitch", "/etc/openvswitch", "/var/log/openvswitch"):
        hand.run(["mkdir", "-p", directory])
    database = "/etc/openvswitch/test.db"
    hand.run(["ovsdb-tool", "create", database, "/usr/share/openvswitch/vswitch.ovsschema"])
    socket = "punix:/run/openvswitch/db.sock"
    hand.run(["ovsdb-server", database, f"--remote={socket}", "--pidfile", "--detach", "--no-chdir", "--log-file"])
    hand.run(["ovs-vsctl", "--no-wait", "init"])
    hand.run(["ovs-vswitchd", "unix:/run/openvswitch/db.sock", "--pidfile", "--detach", "--no-chdir", "--log-file"])
    yield lambda *words: hand.run(["ovs-vsctl", *words]).text.strip()
    for name in ("ovs-vswitchd", "ovsdb-server"):
        hand.run(["ovs-appctl", "-t", name, "exit"], check=False)
    end = time.monotonic() + 10
    while hand.names("/run/openvswitch") and time.monotonic() < end:
        time.sleep(0.1)
    hand.run(["rm", "-rf", database, "/run/openvswitch"])
    run(sandbox.enter(["ip", "link", "delete", "ovs-netdev"]), check=False)


def test_an_open_vswitch_bridge_takes_the_uplink_and_a_guest_changes_its_vlan_while_it_runs(
    line: Kvist, hand: Hand, far: Outside, same: State, switch: Callable[..., str], guest: str
) -> None:
    words = ("bridge", "create", "sw0", "--ovs", "--datapath", "netdev", "--port", far.uplink)
    assert line.json(*words)["changed"] is True
    assert line.json(*words)["changed"] is False
    assert default_by(hand, "sw0") == [(far.address, 77)]
    assert reached(far, far.here)
    assert line.json("nic", "add", guest, "sw0", "--mac", CARD, "--no-up")["changed"] is True
    assert line.json("nic", "add", guest, "sw0", "--mac", CARD)["changed"] is False
    # A switch in user space passes on what the kernel calls checked and is not: DHCP's packets would be dropped.
    line("exec", guest, "--", "ip", "addr", "add", f"{LEASED}/24", "dev", "eth0")
    comes(far, LEASED)
    port = next(each for each in switch("list-ports", "sw0").split() if each != far.uplink)
    vlan = line.json("nic", "set", guest, CARD, "--vlan", "20")
    assert {(change["field"].partition(".")[2], change["when"]) for change in vlan["changes"]} == {("vlan", "live")}
    assert line.json("nic", "set", guest, CARD, "--vlan", "20")["changed"] is False
    assert switch("get", "port", port, "tag") == "20"
    assert not reached(far, LEASED), "the uplink is in no VLAN, so the guest is out of its reach"
    switch("set", "port", far.uplink, "tag=20")
    assert reached(far, LEASED), "both are in the same VLAN"
    switch("clear", "port", far.uplink, "tag")
    line("undo")
    assert switch("get", "port", port, "tag") == "[]"
    assert reached(far, LEASED)
    line("nic", "set", guest, CARD, "--vlan", "30", "--vhost", "off", "--allow", "replug")
    port = next(each for each in switch("list-ports", "sw0").split() if each != far.uplink)
    assert switch("get", "port", port, "tag") == "30"
    line("nic", "remove", guest, CARD)
    line("bridge", "delete", "sw0")
    assert switch("list-br") == ""
