"""What the kernel of a host does with packets that are not its own: its switches, and the way it would send one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from kvist.errors import Unsupported

if TYPE_CHECKING:
    from kvist.host.hand import Hand

FORWARD = "net/ipv4/ip_forward"
FORWARD6 = "net/ipv6/conf/all/forwarding"
BRIDGED = "net/bridge/bridge-nf-call-iptables"
"""On: packets between the ports of a bridge come by the rules of iptables too. Not there without br_netfilter."""
STRICT = "net/ipv4/conf/all/rp_filter"


class Way(NamedTuple):
    """How the host would send a packet."""

    dev: str
    via: str
    source: str


def switches(hand: Hand) -> Mapping[str, str]:
    """Read the kernel's switches about forwarding in one call; one that it does not have is left out."""
    names = (FORWARD, FORWARD6, BRIDGED, STRICT)
    # grep ends with 2 where one of the files is not there.
    told = hand.run(["grep", "-s", "-H", ".", *(f"/proc/sys/{name}" for name in names)], check=False).text
    pairs = (line.partition(":") for line in told.splitlines())
    return {path.removeprefix("/proc/sys/"): value.strip() for path, _, value in pairs}


def way(hand: Hand, address: str) -> Way | None:
    """Ask the kernel which way a packet to an address would go; None when there is none."""
    done = hand.run(["ip", "-json", "route", "get", address], check=False)
    told = json.loads(done.text or "[]") if not done.code else []
    if not told:
        return None
    return Way(str(told[0].get("dev", "")), str(told[0].get("gateway", "")), str(told[0].get("prefsrc", "")))


def answers(hand: Hand, address: str) -> bool | None:
    """Tell whether an address answers a ping of the host's; None where the host has no ping."""
    if not hand.has("ping"):
        return None
    return asked(hand, "ping", "-n", "-c", "1", "-W", "1", address) is not None


class Daemon(NamedTuple):
    """A daemon of libvirt's, and whether systemd runs it."""

    name: str = "libvirtd"
    systemd: bool = True

    @property
    def reload(self) -> str:
        """Make it write its rules anew and start a dnsmasq that has died; no guest notices."""
        return f"systemctl reload-or-restart {self.name}" if self.systemd else f"pkill -HUP -x {self.name}"

    @property
    def restart(self) -> str:
        """Make it write its chains anew too; guests go on."""
        if self.systemd:
            return f"systemctl restart {self.name}"
        return f"pkill -x {self.name}; sleep 2; pgrep -x {self.name} || {self.name} -d"


def daemon(hand: Hand) -> Daemon:
    """Tell which daemon of libvirt's runs the networks, and whether systemd runs it."""
    modular = asked(hand, "pidof", "virtnetworkd") is not None
    if not modular and asked(hand, "pidof", "libvirtd") is None:
        # The modular daemon ends when nobody has asked it anything for two minutes.
        modular = hand.has("virtnetworkd")
    return Daemon("virtnetworkd" if modular else "libvirtd", "system" in hand.names("/run/systemd"))


def asked(hand: Hand, *argv: str) -> str | None:
    """Give what a program of the host says; None where it says no, or is not there."""
    try:
        done = hand.run(argv, check=False)
    except Unsupported:
        # Not installed here. Elsewhere a shell says so, by its exit code.
        return None
    return None if done.code else done.text
