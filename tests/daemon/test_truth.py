"""What kvist says of networks is true: each break is found, named, and mended by the very line that was printed."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import PIPE
from typing import TYPE_CHECKING, Any, NamedTuple
from xml.etree import ElementTree

import pytest
from tests.daemon.outside import Outside, outside

from kvist.host.run import Result, run, spawn
from kvist.resources.hosts.host import Host
from kvist.sandbox.sandbox import Sandbox

if TYPE_CHECKING:
    from tests.daemon.conftest import Kvist, Virsh

GUEST = "truth"
CARD = "52:54:00:0b:aa:01"
BRIDGE = "virbr0"
HOST = "192.168.122.1"
WITHIN = 20.0
HOLD = """
import socket, sys
held = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
held.bind(("0.0.0.0", 53))
sys.stdin.read()
"""
"""Holds the port until its standard input is closed: to kill nsenter would leave it behind."""
PROGRAM = str(Path(sys.executable).with_name("kvist"))

Inside = Callable[..., Result]


@pytest.fixture(scope="module")
def world(sandbox: Sandbox) -> Iterator[Outside]:
    with outside(sandbox, "far") as host:
        yield host


@pytest.fixture(scope="module")
def guest(line: Kvist, world: Outside) -> Iterator[str]:
    words = ("--memory", "128M", "--cpus", "1", "--nic", f"default,mac={CARD}", "--wait", "agent")
    line("create", GUEST, "--image", "micro", *words)
    yield GUEST
    line("delete", GUEST, "--force", "--purge")
    line("trash", "empty", "--yes")


@pytest.fixture(scope="module")
def there(sandbox: Sandbox) -> Inside:
    """Run a command on the host of the guest."""

    def ask(*argv: str, check: bool = True, input: str = "") -> Result:
        return run(sandbox.enter(list(argv)), input=input.encode(), check=check)

    return ask


class Diagnosis(NamedTuple):
    """What a line says: its rows by their check, the first that is broken, and the complaint."""

    code: int
    rows: dict[str, dict[str, Any]]
    complaint: str

    @property
    def first(self) -> dict[str, Any]:
        return next(row for row in self.rows.values() if row["ok"] is False)


def diagnosed(line: Kvist, world: Outside) -> Diagnosis:
    words = ("net", "diagnose", GUEST, "--to", world.address, "-o", "json")
    done = run([PROGRAM, *words], check=False, env=line.env)
    return Diagnosis(done.code, {row["check"]: row for row in json.loads(done.text)}, done.err.decode())


def settled(line: Kvist, world: Outside) -> Diagnosis:
    """Wait until nothing is broken any more; the last answer says what still is."""
    end = time.monotonic() + WITHIN
    while (found := diagnosed(line, world)).code:
        assert time.monotonic() < end, found.complaint
        time.sleep(0.3)
    return found


@pytest.fixture
def broken(line: Kvist, world: Outside, guest: str, there: Inside) -> Callable[[str, str], dict[str, Any]]:
    """Say which check is the first that finds something; type the line it gives; find everything in order again."""

    def ask(check: str, proof: str) -> dict[str, Any]:
        found = diagnosed(line, world)
        first = found.first
        assert (found.code, first["check"], proof in first["proof"]) == (1, check, True), found.rows
        told = json.loads(found.complaint)
        assert f'broken at "{check}"' in told["what"] and told["hint"] == first["fix"]
        if first["fix"].startswith("kvist "):
            line(*shlex.split(first["fix"])[1:])
        else:
            there("sh", "-c", first["fix"])
        settled(line, world)
        return first

    return ask


def inside(line: Kvist, *words: str) -> str:
    return line("exec", GUEST, "--", *words).text


def test_nothing_is_found_where_all_is_well_and_the_guest_is_heard_outside(
    line: Kvist, guest: str, world: Outside
) -> None:
    found = settled(line, world).rows
    assert {row["check"] for row in found.values() if row["ok"]} == set(found)
    assert (found["policy"]["proof"], found["forwards"]["proof"]) == ("it has no policy", "it has no forwards")
    assert found["return"]["proof"] == f"{world.address} answers the guest"
    assert world.here in world("ip", "neigh").text
    assert line.refused("net", "diagnose", guest, "--to", "nowhere", code=2)
    assert line.refused("net", "diagnose", "nobody", code=3)


def test_the_map_shows_the_guest_with_its_tap_bridge_and_address(
    line: Kvist, guest: str, world: Outside, there: Inside
) -> None:
    seen = line.json("net", "map")
    (card,) = [one for one in seen["cards"] if one["vm"] == guest]
    address = line("ip", guest, "-o", "name").text.split()[0]
    assert (card["mac"], card["bridge"], card["network"], card["addresses"]) == (CARD, BRIDGE, "default", [address])
    assert f"master {BRIDGE}" in there("ip", "link", "show", card["tap"]).text
    (bridge,) = [one for one in seen["bridges"] if one["name"] == BRIDGE]
    assert card["tap"] in bridge["ports"] and bridge["addresses"] == [f"{HOST}/24"]
    assert world.uplink in {one["name"] for one in seen["uplinks"]}
    drawn = line("net", "map").text.splitlines()
    at = next(number for number, text in enumerate(drawn) if text.startswith(("default  network, nat", "└─ default")))
    assert any(guest in text and card["tap"] in text and address in text for text in drawn[at + 1 :])
    picture = ElementTree.fromstring(line("net", "map", "-o", "svg").text)
    words = {text.text for text in picture.iter("{http://www.w3.org/2000/svg}text")}
    assert {guest, card["tap"], CARD, address, "default", f"bridge {BRIDGE}"} <= words
    assert "draws nothing" in line.refused("net", "ls", "-o", "svg", code=2)


def test_the_rules_say_what_each_is_for_what_is_missing_and_what_is_foreign(
    line: Kvist, guest: str, there: Inside
) -> None:
    rows = line.json("net", "rules", "default")
    assert {row["state"] for row in rows} == {"in force"}
    told = {row["purpose"] for row in rows}
    assert {"Guests may ask the host for DHCP.", "Packets of guests leave with the host's address."} <= told
    there("nft", "flush", "chain", "ip", "nat", "LIBVIRT_PRT")
    there("nft", "add table inet guard { chain gate { type filter hook forward priority 5; policy drop; }; }")
    try:
        wrong = [row for row in line.json("net", "rules", "default", code=1) if row["state"] != "in force"]
        assert {(row["state"], row["where"]) for row in wrong} == {
            ("missing", "ip nat LIBVIRT_PRT"),
            ("foreign", "inet guard gate"),
        }
        for fix in dict.fromkeys(row["fix"] for row in wrong):
            there("sh", "-c", fix)
        end = time.monotonic() + WITHIN
        while any(row["state"] != "in force" for row in rows_of(line)):
            assert time.monotonic() < end
            time.sleep(0.3)
    finally:
        there("nft", "delete", "table", "inet", "guard")
    assert "there is no network" in line.refused("net", "rules", "nowhere", code=3)


def rows_of(line: Kvist) -> list[dict[str, Any]]:
    done = run([PROGRAM, "net", "rules", "default", "-o", "json"], check=False, env=line.env)
    rows: list[dict[str, Any]] = json.loads(done.text)
    return rows


def test_a_pulled_cable_is_found(line: Kvist, broken: Any, guest: str) -> None:
    line("nic", "set", guest, CARD, "--link", "down")
    broken("link", "cable is pulled")


def test_a_card_that_is_down_in_the_guest_is_found(line: Kvist, world: Outside, guest: str) -> None:
    inside(line, "ip", "link", "set", "eth0", "down")
    found = diagnosed(line, world)
    assert (found.first["check"], "eth0 is down in the guest" in found.first["proof"]) == ("guest card", True)
    assert found.first["fix"] == f"kvist exec {guest} -- ip link set eth0 up"
    # With the card its address and its route have gone: each has a line of its own, and the last one heals it.
    end = time.monotonic() + 2 * WITHIN
    while found.code:
        assert time.monotonic() < end, found.complaint
        line(*shlex.split(found.first["fix"])[1:])
        time.sleep(1)
        found = diagnosed(line, world)


def test_a_dead_dhcp_server_is_found_and_brought_back(broken: Any, there: Inside) -> None:
    there("sh", "-c", "kill $(cat /run/libvirt/network/default.pid)")
    broken("dhcp", "nobody listens on UDP port 67")
    assert "dnsmasq" in there("ss", "-lunp").text


def test_a_guest_without_an_address_is_found(line: Kvist, broken: Any) -> None:
    inside(line, "ip", "addr", "flush", "dev", "eth0")
    first = broken("address", "eth0 has no IPv4 address")
    assert first["fix"].startswith(f"kvist exec {GUEST} -- ")


def test_a_wrong_gateway_in_the_guest_is_found(line: Kvist, broken: Any) -> None:
    inside(line, "sh", "-c", "ip route del default; ip route add default via 192.168.122.77 dev eth0")
    broken("gateway", f"the guest's gateway is 192.168.122.77, and the host is {HOST}")


def test_a_name_server_that_is_dead_is_found(line: Kvist, broken: Any) -> None:
    inside(line, "sh", "-c", "echo nameserver 192.168.122.77 > /etc/resolv.conf")
    broken("dns", "192.168.122.77 gives the guest no answer")
    assert "127.0.0.1" in inside(line, "nslookup", "localhost", HOST)


def test_questions_for_names_that_a_rule_stops_are_found(broken: Any, there: Inside) -> None:
    there("nft", "add table inet mute { chain in { type filter hook input priority 10; udp dport 53 drop; }; }")
    try:
        first = broken("dns", "table inet mute stops what the guest asks")
    finally:
        there("nft", "delete", "table", "inet", "mute")
    assert first["fix"] == f"nft insert rule inet mute in iifname {BRIDGE} accept"


def test_ip_forward_that_is_off_is_found(broken: Any, there: Inside) -> None:
    there("sysctl", "-q", "-w", "net.ipv4.ip_forward=0")
    broken("ip_forward", "net.ipv4.ip_forward = 0")
    assert there("sysctl", "-n", "net.ipv4.ip_forward").text.strip() == "1"


def test_a_masquerade_that_was_taken_away_is_found(broken: Any, there: Inside) -> None:
    there("nft", "flush", "chain", "ip", "nat", "LIBVIRT_PRT")
    broken("nat", "no rule gives icmp, tcp, udp of 192.168.122.0/24 the host's address")
    assert "masquerade" in there("nft", "list", "chain", "ip", "nat", "LIBVIRT_PRT").text


def test_a_foreign_table_that_drops_what_is_forwarded_is_found(broken: Any, there: Inside) -> None:
    there("nft", "add table inet guard { chain gate { type filter hook forward priority 5; policy drop; }; }")
    try:
        broken("firewall", "table inet guard stops packets on their way out: inet guard gate: policy drop")
    finally:
        there("nft", "delete", "table", "inet", "guard")


def test_a_foreign_table_that_drops_only_the_answers_is_found(broken: Any, there: Inside) -> None:
    gate = f"chain gate {{ type filter hook forward priority 5; oifname {BRIDGE} drop; }}"
    there("nft", f"add table inet back {{ {gate}; }}")
    try:
        broken("return", "table inet back stops packets on their way back")
    finally:
        there("nft", "delete", "table", "inet", "back")


@pytest.mark.parametrize("rule", ["<mac/>", "<all/>"], ids=["layer 2", "layer 3"])
def test_a_filter_that_drops_everything_is_found(
    rule: str, line: Kvist, broken: Any, there: Inside, guest: str, virsh: Virsh
) -> None:
    name = "shut-2" if "mac" in rule else "shut-3"
    drop = f"<rule action='drop' direction='inout' priority='500'>{rule}</rule>"
    text = f"<filter name='{name}' chain='root'>{drop}</filter>"
    there("sh", "-c", f"cat > /tmp/{name}.xml", input=text)
    virsh("nwfilter-define", f"/tmp/{name}.xml")
    line("nic", "set", guest, CARD, "--filter", name)
    broken("filter", f'filter "{name}" on')
    virsh("nwfilter-undefine", name)


def test_an_address_that_a_filter_against_spoofing_has_not_learnt_is_found(
    line: Kvist, world: Outside, guest: str, there: Inside
) -> None:
    address = line("ip", guest, "-o", "name").text.split()[0]
    line("nic", "set", guest, CARD, "--filter", "clean-traffic")
    end = time.monotonic() + WITHIN
    # libvirt learns the address from the first packets, and lets only that one out from then on.
    while f"ip saddr {address}" not in there("nft", "list", "table", "bridge", "nat").text:
        assert time.monotonic() < end
        inside(line, "sh", "-c", f"ping -c 1 -W 1 {HOST} || true")
    assert diagnosed(line, world).code == 0
    other = "192.168.122.250"
    inside(
        line, "sh", "-c", f"ip addr flush dev eth0; ip addr add {other}/24 dev eth0; ip route add default via {HOST}"
    )
    first = diagnosed(line, world).first
    assert (first["check"], first["fix"]) == ("filter", f"kvist nic set {guest} {CARD} --filter none")
    assert "stops DNS from the guest" in first["proof"]
    line(*shlex.split(first["fix"])[1:])
    inside(line, "sh", "-c", "killall -USR2 udhcpc; sleep 1; killall -USR1 udhcpc")
    settled(line, world)


def test_without_an_agent_the_host_is_enough_to_find_what_is_broken(
    line: Kvist, guest: str, world: Outside, broken: Any, there: Inside
) -> None:
    inside(line, "sh", "-c", "(sleep 1; killall -STOP qemu-ga; sleep 12; killall -CONT qemu-ga) >/dev/null 2>&1 &")
    time.sleep(1.5)
    there("nft", "flush", "chain", "ip", "nat", "LIBVIRT_PRT")
    found = diagnosed(line, world).rows
    assert found["guest card"]["ok"] is None and "no guest agent answers" in found["guest card"]["proof"]
    assert found["address"]["ok"] is True and "lease" in found["address"]["proof"]
    assert [row["check"] for row in found.values() if row["ok"] is False] == ["nat"]
    there("sh", "-c", found["nat"]["fix"])
    settled(line, world)


def test_rows_17_and_18_the_host_check_names_who_is_in_the_way_of_networks(sandbox: Sandbox, there: Inside) -> None:
    holder = spawn(sandbox.enter(["python3", "-c", HOLD]), stdin=PIPE)
    there("ip", "link", "add", "twice", "type", "bridge")
    there("ip", "address", "add", "192.168.122.200/25", "dev", "twice")
    try:
        end = time.monotonic() + WITHIN
        while not (held := checked(sandbox)["ports 53 and 67"])["proof"].startswith("python3 ("):
            assert time.monotonic() < end, held
        assert (held["ok"], held["fix"]) == (False, "systemctl stop python3")
        found = checked(sandbox)
        assert found["subnets"]["proof"] == "192.168.122.0/24 of virbr0 and 192.168.122.128/25 of twice overlap"
        assert found["packet filter"]["ok"] is True and found["firewalld"]["ok"] is True
        there("iptables", "-P", "FORWARD", "DROP")
        assert checked(sandbox)["forwarded packets"]["ok"] is True, "libvirt's own rules come before the policy"
    finally:
        there("iptables", "-P", "FORWARD", "ACCEPT")
        there("ip", "link", "delete", "twice")
        holder.communicate()
    assert checked(sandbox)["subnets"]["ok"] is True


def checked(sandbox: Sandbox) -> dict[str, dict[str, Any]]:
    done = run([PROGRAM, "--host", f"sandbox:{sandbox.name}", "host", "check", "-o", "json"], check=False)
    return {row["check"]: row for row in json.loads(done.text)}


def test_a_vm_that_is_off_is_told_to_start(line: Kvist, guest: str, host: Host) -> None:
    line("create", "sleeper", "--image", "micro", "--memory", "128M", "--no-start")
    try:
        told = line.refused("net", "diagnose", "sleeper", code=1)
        assert 'broken at "power"' in told and "kvist start sleeper" in told
    finally:
        line("delete", "sleeper", "--force", "--purge")
