"""The host's uplink becomes a port of a bridge under each manager of networks: the real programs, and real packets."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import pytest
from tests.daemon.managers import Keeper, keeper, until
from tests.daemon.outside import Outside, outside

from kvist.host.net.links import links, routes
from kvist.host.run import spawn
from kvist.sandbox.sandbox import Sandbox

if TYPE_CHECKING:
    from tests.daemon.conftest import Kvist

PORT = "up-road"
STATIC, LEASED = "10.96.0.2", "10.96.0.60"
KINDS = {"static": STATIC, "dhcp": LEASED}
GUARD = "4"
SYSTEMCTL = """\
#!/bin/sh
# What netplan asks of systemd, for a host whose first process is another.
case "$*" in
*is-active*systemd-networkd*) pidof systemd-networkd >/dev/null ;;
*is-active*) exit 3 ;;
*stop*systemd-networkd*) kill "$(pidof systemd-networkd)" ;;
*start*systemd-networkd*)
    pidof systemd-networkd >/dev/null ||
        setsid /lib/systemd/systemd-networkd </dev/null >/var/log/systemd-networkd.out 2>&1 &
    ;;
esac
"""


class Manager(NamedTuple):
    """One program, and how it is told of the uplink."""

    name: str
    file: str
    said: dict[str, str]
    """What its file says, by kind of address."""
    begin: Callable[[Keeper], None]
    """Has it set the host up, as at a boot."""
    end: Callable[[Keeper], None]
    """Ends it."""
    mode: int = 0o600


def nm_begin(keep: Keeper) -> None:
    keep.start("NetworkManager", "--no-daemon")
    until(lambda: keep("nmcli", "-g", "RUNNING", "general", check=False) == "running", "NetworkManager")


def nm_end(keep: Keeper) -> None:
    keep.stop("NetworkManager")
    keep("rm", "-rf", "/run/NetworkManager")


def networkd_begin(keep: Keeper) -> None:
    room = "/run/systemd/netif"
    keep("mkdir", "-p", *(f"{room}/{each}" for each in ("links", "leases", "lldp")))
    keep("chown", "-R", "systemd-network:systemd-network", room)
    keep.start("/lib/systemd/systemd-networkd")
    until(lambda: "incomplete" not in keep.hand.run(["networkctl"], check=False).err.decode(), "systemd-networkd")


def networkd_end(keep: Keeper) -> None:
    keep("sh", "-c", "kill $(pidof systemd-networkd); rm -rf /run/systemd/netif /run/systemd/network")
    until(lambda: keep("pidof", "systemd-networkd", check=False) == "", "systemd-networkd to end")


def netplan_begin(keep: Keeper) -> None:
    keep.hand.write("/usr/local/bin/systemctl", SYSTEMCTL, mode=0o755)
    networkd_begin(keep)
    keep("netplan", "apply")


def netplan_end(keep: Keeper) -> None:
    networkd_end(keep)
    keep("rm", "-f", "/usr/local/bin/systemctl")


def ifupdown_begin(keep: Keeper) -> None:
    keep("mkdir", "-p", "/var/lib/dhcp", "/run/network")
    keep("ifup", "-a")


def ifupdown_end(keep: Keeper) -> None:
    # As networking.service is stopped: it takes down all that it knows to be up.
    keep("ifdown", "-a")
    keep("sh", "-c", "ip link set lo up; rm -rf /run/network; kill $(pidof dhclient); true")


ADDRESSED = f"[Match]\nName={PORT}\n\n[Network]\n"
PROFILE = f"[connection]\nid=house\ntype=ethernet\ninterface-name={PORT}\n\n[ipv6]\nmethod=disabled\n\n[ipv4]\n"
NETPLAN = f"network:\n  version: 2\n  ethernets:\n    {PORT}:\n      "
INTERFACES = f"source /etc/network/interfaces.d/*\n\nauto lo\niface lo inet loopback\n\nauto {PORT}\niface {PORT} inet "
MANAGERS = {
    one.name: one
    for one in (
        Manager(
            "NetworkManager",
            "/etc/NetworkManager/system-connections/house.nmconnection",
            {
                "static": f"{PROFILE}method=manual\naddress1={STATIC}/24,10.96.0.1\ndns=10.96.0.1;\n",
                "dhcp": f"{PROFILE}method=auto\n",
            },
            nm_begin,
            nm_end,
        ),
        Manager(
            "systemd-networkd",
            "/etc/systemd/network/10-house.network",
            {
                "static": f"{ADDRESSED}Address={STATIC}/24\nGateway=10.96.0.1\nDNS=10.96.0.1\n",
                "dhcp": f"{ADDRESSED}DHCP=ipv4\n",
            },
            networkd_begin,
            networkd_end,
            # It is no root's process.
            0o644,
        ),
        Manager(
            "netplan",
            "/etc/netplan/50-house.yaml",
            {
                "static": f"{NETPLAN}addresses: [{STATIC}/24]\n      routes: [{{to: default, via: 10.96.0.1}}]\n",
                "dhcp": f"{NETPLAN}dhcp4: true\n",
            },
            netplan_begin,
            netplan_end,
        ),
        Manager(
            "ifupdown",
            "/etc/network/interfaces",
            {
                "static": f"{INTERFACES}static\n    address {STATIC}/24\n    gateway 10.96.0.1\n",
                "dhcp": f"{INTERFACES}dhcp\n",
            },
            ifupdown_begin,
            ifupdown_end,
        ),
    )
}


@pytest.fixture(scope="module")
def far(sandbox: Sandbox) -> Iterator[Outside]:
    with outside(sandbox, "road", "10.96.0") as host:
        yield host


@pytest.fixture
def leases(far: Outside, keep: Keeper) -> Iterator[None]:
    """The gateway gives addresses: first the one that is meant, then others to whom it does not know."""
    serve = ("dnsmasq", "--conf-file=/dev/null", "--port=0", "--interface=eth0", "--bind-interfaces", "--no-ping")
    pool = ("--dhcp-sequential-ip", f"--dhcp-range={LEASED},10.96.0.69,1h", "--dhcp-leasefile=/run/road-leases")
    far(*serve, *pool, "--pid-file=/run/road-dnsmasq.pid")
    yield
    keep("sh", "-c", "kill $(cat /run/road-dnsmasq.pid); rm -f /run/road-leases /var/lib/dhcp/*")


@pytest.fixture(scope="module")
def keep(sandbox: Sandbox, far: Outside) -> Keeper:
    keep = keeper(sandbox)
    keep.unpack("network-manager", "netplan.io", "ifupdown", "isc-dhcp-client", "dbus", "systemd")
    keep.bus()
    # Each test writes its manager's own.
    keep("rm", "-f", "/etc/network/interfaces")
    return keep


class House(NamedTuple):
    """A host that is set up by a manager."""

    keep: Keeper
    far: Outside
    manager: Manager
    address: str
    before: tuple[str, str]

    def on(self, dev: str) -> bool:
        """Tell whether an interface has the host's address and its way out, and no other has them."""
        found = {
            one.name: [each.address for each in one.addresses if ":" not in each.address]
            for one in links(self.keep.hand)
        }
        ways = [(route.via, route.dev) for route in routes(self.keep.hand) if route.to == "default"]
        held = [name for name in ("br0", PORT) if found.get(name)]
        return held == [dev] and found[dev] == [self.address] and ways == [(self.far.address, dev)]

    def reached(self) -> bool:
        return self.far("ping", "-n", "-c", "1", "-W", "1", self.address, check=False).code == 0

    def leased(self, dev: str) -> bool:
        """Tell whether somebody has asked for a lease there; dhclient leaves an address that it finds as it is."""
        there = "dynamic" in self.keep("ip", "-4", "address", "show", "dev", dev)
        return there or bool(self.keep("pgrep", "-f", f"^dhclient.* {dev}$", check=False))

    def files(self) -> str:
        """Name the files that the manager reads."""
        rooms = ("/etc/NetworkManager/system-connections", "/etc/systemd/network", "/etc/netplan", "/etc/network")
        return self.keep("find", *rooms, "-type", "f", check=False)

    def own(self) -> tuple[str, str]:
        return self.files(), self.keep.hand.read(self.manager.file) or ""


def bare(keep: Keeper) -> None:
    """Leave nothing of what a manager has set up, as if the host were switched on."""
    keep("ip", "link", "delete", "br0", check=False)
    keep("ip", "address", "flush", "dev", PORT)
    keep("ip", "link", "set", PORT, "down")


@pytest.fixture
def house(name: str, kind: str, keep: Keeper, far: Outside, leases: None) -> Iterator[House]:
    manager = MANAGERS[name]
    bare(keep)
    keep.hand.write(manager.file, manager.said[kind], mode=manager.mode)
    keep("mkdir", "-p", "/etc/network/interfaces.d")
    keep("ip", "link", "set", PORT, "up")
    manager.begin(keep)
    house = House(keep, far, manager, KINDS[kind], ("", ""))
    house = house._replace(before=house.own())
    until(lambda: house.on(PORT), f"{name} to set up the uplink")
    yield house
    manager.end(keep)
    keep.hand.remove(manager.file)


every_manager = pytest.mark.parametrize("name", MANAGERS)


@every_manager
@pytest.mark.parametrize("kind", ["static"])
def test_a_manager_keeps_the_bridge_when_it_and_the_host_are_started_anew_and_gives_it_back(
    name: str, kind: str, house: House, line: Kvist
) -> None:
    words = ("bridge", "create", "br0", "--port", PORT)
    done = line.json(*words)
    assert {change["when"] for change in done["changes"]} == {"now"}
    assert house.on("br0") and house.reached()
    assert line.json(*words)["changed"] is False
    assert line.json("bridge", "show", "br0")["kept_by"] == name
    house.manager.end(house.keep)
    house.manager.begin(house.keep)
    until(lambda: house.on("br0") and house.reached(), "the bridge, after a restart of its manager")
    house.manager.end(house.keep)
    bare(house.keep)
    house.manager.begin(house.keep)
    until(lambda: house.on("br0") and house.reached(), "the bridge, after a boot of the host")
    line("bridge", "delete", "br0")
    until(lambda: house.on(PORT) and house.reached(), "the uplink")
    assert house.own() == house.before
    line("undo")
    until(lambda: house.on("br0") and house.reached(), "the bridge once more")
    line("undo")
    until(lambda: house.on(PORT) and house.reached(), "the uplink once more")
    assert house.own() == house.before


@every_manager
@pytest.mark.parametrize("kind", ["dhcp"])
def test_a_lease_goes_on_upon_the_bridge_with_the_same_address(name: str, kind: str, house: House, line: Kvist) -> None:
    words = ("bridge", "create", "br0", "--port", PORT)
    if line.typed(*words).code:
        # A lease may come after the guard has lost patience, on a busy machine: then all is as it was, for another try.
        assert house.own() == house.before
        until(lambda: house.on(PORT) and house.reached(), "the uplink as it was")
        line(*words)
    until(lambda: house.leased("br0"), "a lease on the bridge")
    assert house.on("br0") and house.reached()
    line("undo")
    until(lambda: house.leased(PORT), "a lease on the port")
    assert house.on(PORT) and house.reached()
    assert house.own() == house.before


@every_manager
@pytest.mark.parametrize("kind", ["dhcp"])
def test_an_uplink_whose_gateway_is_out_of_reach_afterwards_is_the_managers_again(
    name: str, kind: str, house: House, line: Kvist, far: Outside
) -> None:
    # Another one that is silent, and then a cable that is pulled in the middle.
    typed = ("--address", "10.96.0.50/24", "--gateway", "10.96.0.77")
    words = ("bridge", "create", "br0", "--port", PORT, "--within", GUARD)
    assert "gateway 10.96.0.77 did not answer" in line.refused(*words, *typed, code=5)
    until(lambda: house.on(PORT) and house.reached(), "the uplink")
    assert house.own() == house.before
    pulled = threading.Thread(target=pull, args=(far,))
    pulled.start()
    assert f"gateway {far.address} did not answer" in line.refused(*words, code=5)
    pulled.join()
    assert house.own() == house.before
    far("ip", "link", "set", "eth0", "up")
    until(lambda: house.on(PORT) and house.reached(), "the uplink, with its cable")
    assert house.own() == house.before


def pull(far: Outside) -> None:
    """Pull the cable as soon as there is a bridge."""
    with spawn(far.sandbox.enter(["ip", "-o", "monitor", "link"]), stdout=-1) as monitor:
        assert monitor.stdout is not None
        for told in monitor.stdout:
            if b" br0:" in told:
                far("ip", "link", "set", "eth0", "down")
                break
        monitor.kill()
