"""Networks, seen from both ends: the kernel of the host, and guests that go on while theirs is changed."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from kvist.host.run import run
from kvist.sandbox.sandbox import Sandbox

if TYPE_CHECKING:
    from tests.daemon.conftest import Kvist, Virsh

NET, ONE, TWO = "lab66", "net-one", "net-two"
SEEN_WITHIN = 20.0


@pytest.fixture(scope="module")
def guests(line: Kvist) -> Iterator[None]:
    """Two guests on a network of their own; the first has a reserved address."""
    line("net", "create", NET, "--subnet", "10.66.0.0/24", "--dhcp", "10.66.0.100-150")
    line("create", ONE, "--image", "micro", "--memory", "128M", "--cpus", "1", "--nic", f"{NET},ip=10.66.0.5")
    line("create", TWO, "--image", "micro", "--memory", "128M", "--cpus", "1", "--nic", NET, "--wait", "agent")
    line("wait", ONE, "agent")
    yield
    line("delete", ONE, TWO, "--force", "--purge")
    line("net", "delete", NET)


def host(sandbox: Sandbox, *words: str, check: bool = True) -> str:
    return run(sandbox.enter(list(words)), check=check).text


def inside(line: Kvist, vm: str, *words: str) -> str:
    return line("exec", vm, "--", *words).text


def reaches(line: Kvist, vm: str, where: str) -> bool:
    said = inside(line, vm, "sh", "-c", f"ping -c 1 -W 1 {where} >/dev/null 2>&1 && echo yes || echo no")
    return said.strip() == "yes"


def uptime(line: Kvist, vm: str) -> float:
    return float(inside(line, vm, "cat", "/proc/uptime").split()[0])


def address(line: Kvist, vm: str) -> str:
    return inside(line, vm, "sh", "-c", "ip -4 -o addr show eth0 | sed 's,.*inet ,,;s,/.*,,'").strip()


def eventually(look: Callable[[], Any], wanted: Any) -> None:
    end = time.monotonic() + SEEN_WITHIN
    while (found := look()) != wanted:
        assert time.monotonic() < end, f"{found!r}, not {wanted!r}"
        time.sleep(0.3)


@contextmanager
def unbroken(line: Kvist) -> Iterator[None]:
    """See to it that the guests do not restart while the block runs."""
    before, began = (uptime(line, ONE), uptime(line, TWO)), time.monotonic()
    yield
    gone = time.monotonic() - began
    for was, vm in zip(before, (ONE, TWO), strict=True):
        assert was + 0.3 * gone <= uptime(line, vm), f"{vm} was restarted"


def twice(line: Kvist, *words: str) -> dict[str, Any]:
    """Type a line twice: the second time there is nothing to do."""
    first: dict[str, Any] = line.json(*words)
    assert first["changed"] is True
    assert (again := line.json(*words))["changed"] is False, again
    return first


def uncounted(xml: str) -> str:
    """Leave out how many cards are plugged in: libvirt forgets it with every update of a network that runs."""
    return re.sub(r" connections='\d+'", "", xml)


def links(sandbox: Sandbox) -> set[str]:
    return {each["ifname"] for each in json.loads(host(sandbox, "ip", "-json", "link"))}


def servers(sandbox: Sandbox) -> set[str]:
    """Name the networks whose dnsmasq runs."""
    told = host(sandbox, "sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' '\\n'").splitlines()
    return {line.rpartition("/")[2].removesuffix(".conf") for line in told if "/dnsmasq/" in line and "conf" in line}


@pytest.fixture
def uplink(sandbox: Sandbox) -> Iterator[str]:
    """An interface of the sandbox that a network may lie on, and a bridge."""
    host(sandbox, "ip", "link", "add", "up66", "type", "veth", "peer", "name", "up67")
    host(sandbox, "ip", "link", "add", "br66", "type", "bridge")
    yield "up66"
    host(sandbox, "ip", "link", "delete", "br66")
    host(sandbox, "ip", "link", "delete", "up66")


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("nat", ("--domain", "n.example", "--mtu", "1400")),
        ("route", ("--subnet", "10.67.0.0/24", "--bridge", "br-route")),
        ("isolated", ("--subnet", "10.67.0.0/24", "--subnet6", "fd67::/64")),
        ("open", ("--dns", "off", "--stp", "off")),
        ("bridge", ("--bridge", "br66")),
        ("macvtap", ("--dev", "up66")),
    ],
)
def test_a_network_of_each_mode_is_made_twice_and_undone_without_a_trace(
    mode: str, words: tuple[str, ...], line: Kvist, sandbox: Sandbox, virsh: Virsh, uplink: str
) -> None:
    before = (links(sandbox), servers(sandbox), line.json("net", "ls"))
    twice(line, "net", "create", "m66", "--mode", mode, *words)
    row = next(row for row in line.json("net", "ls") if row["name"] == "m66")
    assert (row["mode"], row["active"], row["autostart"]) == (mode, True, True)
    made = virsh("net-dumpxml", "m66", "--inactive")
    if mode in ("nat", "route", "isolated", "open"):
        assert row["bridge"] in links(sandbox) - before[0]
        assert "m66" in servers(sandbox), "its DHCP server"
        assert row["subnet"]
    twice(line, "net", "delete", "m66")
    assert (links(sandbox), servers(sandbox), line.json("net", "ls")) == before
    line("undo")
    assert virsh("net-dumpxml", "m66", "--inactive") == made
    assert "m66" in virsh("net-list", "--autostart", "--name")
    line("undo")
    line("net", "delete", "m66")
    assert (links(sandbox), servers(sandbox), line.json("net", "ls")) == before


def test_a_bridge_with_settings_of_its_own_has_them_in_the_kernel(line: Kvist, sandbox: Sandbox) -> None:
    line("net", "create", "m66", "--bridge", "br-own", "--stp", "off", "--mac", "52:54:00:66:66:66", "--mtu", "1300")
    told = json.loads(host(sandbox, "ip", "-json", "-details", "link", "show", "br-own"))[0]
    assert (told["address"], told["mtu"]) == ("52:54:00:66:66:66", 1300)
    assert told["linkinfo"]["info_data"]["stp_state"] == 0
    line("net", "delete", "m66")


def test_rows_19_and_28_a_card_goes_to_a_network_that_is_a_bridge_of_the_hosts_while_its_guest_runs(
    line: Kvist, sandbox: Sandbox, guests: None, uplink: str
) -> None:
    mac = "52:54:00:66:00:66"
    line("net", "create", "lan66", "--mode", "bridge", "--bridge", "br66")
    twice(line, "nic", "add", ONE, "lan66", "--mac", mac)
    assert [(row["source"], row["type"]) for row in line.json("nic", "ls", ONE) if row["mac"] == mac] == [
        ("lan66", "network")
    ]
    twice(line, "nic", "set", ONE, "lan66", "--link", "down")
    assert [row for row in line.json("pending", ONE) if mac in row["field"]] == []
    twice(line, "nic", "set", ONE, mac, "--network", NET)
    line("undo")
    ports = json.loads(host(sandbox, "ip", "-json", "link", "show", "master", "br66"))
    assert [port["address"][3:] for port in ports] == [mac[3:]]
    assert [card["network"] for card in line.json("net", "map")["cards"] if card["mac"] == mac] == ["lan66"]
    twice(line, "nic", "remove", ONE, "lan66")
    assert host(sandbox, "ip", "-brief", "link", "show", "master", "br66").strip() == ""
    line("net", "delete", "lan66")


def test_row_25_dhcp_and_names_change_live_while_guests_go_on(
    line: Kvist, sandbox: Sandbox, virsh: Virsh, guests: None
) -> None:
    stored, live = virsh("net-dumpxml", NET, "--inactive"), uncounted(virsh("net-dumpxml", NET))
    with unbroken(line):
        first = twice(line, "net", "set", NET, "--dhcp", "10.66.0.20-60")
        assert {change["when"] for change in first["changes"]} == {"live"}
        assert "dhcp-range=10.66.0.20,10.66.0.60" in host(sandbox, "cat", f"/var/lib/libvirt/dnsmasq/{NET}.conf")
        twice(line, "net", "host", "add", NET, "db.lab", "10.66.0.9")
        assert "(10.66.0.9)" in inside(line, ONE, "sh", "-c", "ping -c 1 -W 1 db.lab || true")
        twice(line, "net", "host", "remove", NET, "db.lab")
        twice(line, "net", "set", NET, "--dns-txt", "note,hello")
        twice(line, "net", "set", NET, "--portgroup", "web,in_average=1M")
    for _ in range(5):
        line("undo")
    assert virsh("net-dumpxml", NET, "--inactive").splitlines() == stored.splitlines()
    assert uncounted(virsh("net-dumpxml", NET)).splitlines() == live.splitlines()


def test_a_reservation_gives_the_address_and_the_name_to_siblings(line: Kvist, guests: None) -> None:
    assert address(line, ONE) == "10.66.0.5"
    assert reaches(line, TWO, ONE), "its name leads to it"
    assert reaches(line, ONE, TWO), "that of a guest without a reservation too: it tells its name itself"
    row = next(row for row in line.json("net", "leases", NET) if row["vm"] == ONE)
    assert (row["address"], row["hostname"], row["kind"]) == ("10.66.0.5", ONE, "reserved, leased")


def test_a_reservation_is_moved_live(line: Kvist, virsh: Virsh, guests: None) -> None:
    before = uncounted(virsh("net-dumpxml", NET))
    with unbroken(line):
        twice(line, "net", "reserve", NET, TWO, "10.66.0.141")
        twice(line, "net", "reserve", NET, TWO, "10.66.0.142")
        assert "10.66.0.141" not in virsh("net-dumpxml", NET)
        inside(line, TWO, "sh", "-c", "kill -USR1 $(pidof udhcpc)")
        eventually(lambda: address(line, TWO), "10.66.0.142")
        assert f'reserved for "{ONE}"' in line.refused("net", "reserve", NET, TWO, "10.66.0.5", code=1)
        assert "10.66.0.0/24" in line.refused("net", "reserve", NET, TWO, "10.67.0.5", code=2)
        twice(line, "net", "unreserve", NET, TWO)
    assert uncounted(virsh("net-dumpxml", NET)) == before


def test_what_is_not_live_restarts_the_network_under_its_guests_which_keep_their_leases(
    line: Kvist, sandbox: Sandbox, virsh: Virsh, guests: None
) -> None:
    stored, before = virsh("net-dumpxml", NET, "--inactive"), (address(line, ONE), address(line, TWO))
    words = ("net", "set", NET, "--domain", "lab66.example", "--isolated-ports", "on")
    assert "--allow replug" in line.refused(*words, code=4)
    with unbroken(line):
        done = twice(line, *words, "--allow", "replug")
        assert {change["object"] for change in done["changes"] if change["when"] == "replug"} == {ONE, TWO}
        assert (address(line, ONE), address(line, TWO)) == before
        # A bridge that looks for loops lets a new port wait for four seconds.
        eventually(lambda: reaches(line, ONE, "10.66.0.1"), True)
        assert not reaches(line, ONE, before[1]), "ports are isolated"
        assert "kvist-park" not in virsh("net-list", "--all", "--name")
        line.refused("undo", code=4)
        line("undo", "--allow", "replug")
        assert virsh("net-dumpxml", NET, "--inactive") == stored
        eventually(lambda: reaches(line, ONE, before[1]), True)
        assert (address(line, ONE), address(line, TWO)) == before


def test_what_a_card_takes_from_its_network_plugs_it_in_again_and_the_lease_stays(
    line: Kvist, sandbox: Sandbox, guests: None
) -> None:
    before = (address(line, ONE), address(line, TWO))
    with unbroken(line):
        twice(line, "net", "set", NET, "--mtu", "1400", "--allow", "replug")
        ports = json.loads(
            host(sandbox, "ip", "-json", "link", "show", "master", line.json("net", "show", NET)["bridge"])
        )
        assert {each["mtu"] for each in ports} == {1400}
        eventually(lambda: (address(line, ONE), address(line, TWO)), before)
        line("undo", "--allow", "replug")
        eventually(lambda: (address(line, ONE), address(line, TWO)), before)
        eventually(lambda: reaches(line, ONE, before[1]), True)


def test_a_network_that_is_used_is_not_deleted_stopped_or_renamed(line: Kvist, guests: None) -> None:
    assert ONE in line.refused("net", "delete", NET, code=4)
    assert ONE in line.refused("net", "rename", NET, "other", code=4)
    assert "--allow replug" in line.refused("net", "stop", NET, code=4)
    before = address(line, TWO)
    line("net", "stop", NET, "--allow", "replug")
    assert not reaches(line, TWO, "10.66.0.1")
    line("undo")
    eventually(lambda: reaches(line, TWO, "10.66.0.1"), True)
    assert address(line, TWO) == before


def test_row_18_who_holds_the_port_is_named_and_nothing_is_left(line: Kvist, sandbox: Sandbox) -> None:
    # IP_FREEBIND: the address is not there yet. Source: ip(7).
    bind = "s = socket.socket(2, 2); s.setsockopt(0, 15, 1); s.bind(('10.68.0.1', 53))"
    script = f"import socket, time; {bind}; time.sleep(60)"
    pid = host(sandbox, "sh", "-c", f'python3 -c "{script}" >/dev/null 2>&1 & echo $!').strip()
    try:
        eventually(lambda: "10.68.0.1:53" in host(sandbox, "ss", "-Hlnu"), True)
        said = line.refused("net", "create", "m66", "--subnet", "10.68.0.0/24", code=1)
        assert "python3" in said and f"process {pid}" in said and "port 53" in said
    finally:
        host(sandbox, "kill", pid)
    assert "m66" not in {row["name"] for row in line.json("net", "ls")}


def test_row_18_an_interface_with_the_same_subnet_is_named(line: Kvist, sandbox: Sandbox, uplink: str) -> None:
    line("net", "create", "m66", "--subnet", "10.68.0.0/24", "--no-start")
    host(sandbox, "ip", "address", "add", "10.68.0.200/24", "dev", uplink)
    host(sandbox, "ip", "link", "set", uplink, "up")
    said = line.refused("net", "start", "m66", code=1)
    assert uplink in said and "10.68.0.0/24" in said
    line("net", "delete", "m66")
    said = line.refused("net", "create", "m66", "--subnet", "10.68.0.0/16", "--dhcp", "10.1.0.5-9", code=2)
    assert f'interface "{uplink}"' in said and "10.1.0.5-10.1.0.9 is not in 10.68.0.0/16" in said


def test_a_network_is_renamed_and_a_vm_that_is_off_follows_it(line: Kvist, virsh: Virsh) -> None:
    line("net", "create", "m66")
    line("create", "net-off", "--image", "micro", "--nic", "m66", "--no-start")
    before = virsh("dumpxml", "net-off", "--inactive")
    twice(line, "net", "rename", "m66", "m67")
    assert "network='m67'" in virsh("dumpxml", "net-off", "--inactive")
    assert "m67" in virsh("net-list", "--name") and "m66" not in virsh("net-list", "--all", "--name")
    line("undo")
    assert virsh("dumpxml", "net-off", "--inactive") == before
    assert "m66" in virsh("net-list", "--name")
    line("delete", "net-off", "--purge")
    line("net", "delete", "m66")


def test_row_31_a_table_of_libvirts_own_is_stored_and_a_kernel_that_cannot_says_so(line: Kvist, virsh: Virsh) -> None:
    line("net", "create", "m66", "--no-start")
    twice(line, "net", "set", "m66", "--mac-table", "libvirt", "--zone", "libvirt")
    assert "macTableManager='libvirt'" in virsh("net-dumpxml", "m66", "--inactive")
    assert "zone='libvirt'" in virsh("net-dumpxml", "m66", "--inactive")
    twice(line, "net", "unset", "m66", "zone")
    done = line("net", "start", "m66", code=1)
    assert "filters no VLANs" in done.err.decode() and "--mac-table kernel" in done.err.decode()
    twice(line, "net", "set", "m66", "--mac-table", "kernel")
    line("net", "start", "m66")
    line("net", "delete", "m66")


def test_the_host_itself_finds_guests_by_their_names_where_that_is_wished(
    line: Kvist, sandbox: Sandbox, guests: None
) -> None:
    def found(name: str) -> str:
        return host(sandbox, "getent", "ahostsv4", name, check=False).partition(" ")[0]

    assert found(ONE) == ""
    twice(line, "host", "set", "--guest-names")
    eventually(lambda: found(ONE), "10.66.0.5")
    assert found("localhost") == "127.0.0.1"
    line("undo")
    assert found(ONE) == ""
