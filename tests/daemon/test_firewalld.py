"""kvist beside a real firewalld: networks, forwards and policies hold, also when it is reloaded and started anew."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from tests.daemon.managers import Keeper, keeper, until
from tests.daemon.outside import Outside, outside
from tests.daemon.test_forwards import PROBE

from kvist.host.checks import seen
from kvist.host.checks.finding import Finding
from kvist.sandbox.sandbox import Sandbox

if TYPE_CHECKING:
    from tests.daemon.conftest import Kvist

WEB = "walled"
LET_BY = [f"firewall-cmd {kept}--zone=libvirt --change-interface=virbr0" for kept in ("--permanent ", "")]
ACTIONS = "/usr/share/polkit-1/actions/org.fedoraproject.FirewallD1"


@pytest.fixture(scope="module")
def out(sandbox: Sandbox) -> Iterator[Outside]:
    with outside(sandbox, "beyond", "10.97.0") as host:
        yield host


@pytest.fixture(scope="module")
def keep(sandbox: Sandbox, out: Outside, line: Kvist) -> Keeper:
    """A host with firewalld, of which libvirt knows, and a guest behind it."""
    keep = keeper(sandbox)
    keep.unpack("firewalld", "dbus", "systemd")
    # What Debian chooses when it is installed.
    keep("ln", "-sf", f"{ACTIONS}.server.policy.choice", f"{ACTIONS}.policy")
    keep.bus()
    walled(keep)
    keep.libvirt_anew()
    keep("ip", "route", "add", "default", "via", out.address)
    line("create", WEB, "--image", "micro", "--memory", "128M", "--cpus", "1", "--wait", "agent")
    line("forward", "add", "8080", f"{WEB}:80")
    return keep


def walled(keep: Keeper) -> None:
    """Start firewalld and wait for it."""
    keep.start("firewalld", "--nofork", "--nopid")
    until(lambda: keep("firewall-cmd", "--state", check=False) == "running", "firewalld")


def asked(out: Outside) -> str:
    return out("python3", "-c", PROBE, "http", out.here, "8080", "2").text.strip()


def zone(keep: Keeper, bridge: str = "virbr0") -> str:
    return keep("firewall-cmd", f"--get-zone-of-interface={bridge}", check=False)


def pings(line: Kvist, address: str) -> bool:
    ask = f"ping -c 1 -W 1 {address} >/dev/null && echo yes; true"
    return line("exec", WEB, "--no-stdin", "--", "sh", "-c", ask).text.strip() == "yes"


def checked(keep: Keeper) -> dict[str, Finding]:
    return {each.check: each for each in seen.findings(seen.look(keep.hand))}


def forwarded(line: Kvist) -> str:
    (row,) = line.json("forward", "ls")
    return str(row["state"])


def test_guests_of_a_nat_network_reach_out_and_a_forward_reaches_in(line: Kvist, keep: Keeper, out: Outside) -> None:
    assert zone(keep) == "libvirt"
    until(lambda: asked(out) == "200", "the guest")
    assert pings(line, out.address)
    assert forwarded(line) == "in force"
    found = checked(keep)
    assert found["firewalld"].proof == "back-end nftables, and it has the zone libvirt"
    assert found["forwarded packets"].proof == "nobody stops those of virbr0"


@pytest.mark.parametrize("how", ["reloaded", "started anew"])
def test_forwards_and_policies_are_in_force_again_by_themselves_when_firewalld_is(
    how: str, line: Kvist, keep: Keeper, out: Outside
) -> None:
    line("fw", "deny", WEB, "icmp", "--from", "host")
    if how == "reloaded":
        keep("firewall-cmd", "--reload")
    else:
        keep.stop("firewalld")
        walled(keep)
    # libvirt has heard of it as well, and has put its rules before ours.
    until(lambda: asked(out) == "200", "the forward")
    until(lambda: forwarded(line) == "in force", "its state")
    assert zone(keep) == "libvirt"
    rules = keep("iptables", "-S", "FORWARD").splitlines()
    assert ["kvist" in rule for rule in rules[1:3]] == [True, False]
    address = line("ip", WEB, "-o", "name").text.split()[0]
    ping = ("ping", "-n", "-c", "1", "-W", "1", address)
    assert keep.hand.run(ping, check=False).code == 1, "the policy has gone"
    line("fw", "reset", WEB)
    assert keep.hand.run(ping, check=False).code == 0


def test_row_35_a_network_in_another_zone_is_filtered_by_that_and_the_check_of_the_host_says_so(
    line: Kvist, keep: Keeper, out: Outside
) -> None:
    line("net", "set", "default", "--zone", "public", "--allow", "replug")
    assert line.json("net", "set", "default", "--zone", "public")["changed"] is False
    assert zone(keep) == "public"
    # Nobody wrote to it since: the bridge passes packets on again, and the forward is as it was.
    until(lambda: asked(out) == "200", "the forward")
    assert forwarded(line) == "in force"
    assert not pings(line, out.address)
    found = checked(keep)["forwarded packets"]
    assert (found.ok, str(found.fix)) == (False, " && ".join(LET_BY))
    assert "inet firewalld" in found.proof
    line("net", "set", "default", "--zone", "libvirt", "--allow", "replug")
    assert zone(keep) == "libvirt"
    until(lambda: pings(line, out.address), "the way out")
    assert checked(keep)["forwarded packets"].ok


def test_a_zone_that_is_not_there_is_refused_before_anything_is_done(line: Kvist, keep: Keeper, out: Outside) -> None:
    before = keep("virsh", "net-dumpxml", "default")
    told = line.refused("net", "set", "default", "--zone", "nowhere", "--allow", "replug", code=2)
    assert '--zone: firewalld has no zone "nowhere"; it has block, ' in told
    assert "firewall-cmd --permanent --new-zone=nowhere" in told
    assert 'no zone "nowhere"' in line.refused("net", "create", "lab", "--zone", "nowhere", code=2)
    assert keep("virsh", "net-dumpxml", "default") == before
    assert (zone(keep), forwarded(line), asked(out)) == ("libvirt", "in force", "200")


def test_with_the_last_forward_the_watch_on_firewalld_goes_too(line: Kvist, keep: Keeper, out: Outside) -> None:
    assert len(keep("pgrep", "-f", "/etc/kvist/watch").split()) == 2, "it, and the loop that it reads by"
    line("forward", "remove", "8080")
    assert keep("pgrep", "-f", "/etc/kvist/watch|busctl", check=False) == ""
    assert keep("find", "/etc/kvist", "/run/kvist", "-type", "f", check=False) == ""
    assert asked(out).startswith("no:")
    line("undo")
    assert asked(out) == "200"
    assert keep("pgrep", "-x", "busctl") != ""
    line("forward", "remove", "8080")
    line("delete", WEB, "--force", "--purge", "--yes")
