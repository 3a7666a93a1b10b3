"""What a guest itself says of its network: a program for its shell, run by the agent, and the reading of the answer."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, NamedTuple

from kvist.errors import GuestFailed, TimedOut

if TYPE_CHECKING:
    from kvist.guest.agent import Agent, Interface

ASKED = r"""
say() { printf '\n@ %s\n' "$1"; }
say links
for at in /sys/class/net/*; do
    printf '%s %s %s %s\n' "${at##*/}" "$(cat $at/address)" "$(cat $at/flags)" "$(cat $at/carrier 2>/dev/null)"
done
say routes
cat /proc/net/route
say resolver
known=/run/systemd/resolve/resolv.conf
[ -e $known ] || known=/etc/resolv.conf
cat $known
say client
for each in networkctl nmcli dhclient dhcpcd udhcpc; do
    command -v "$each" && break
    busybox "$each" --help >/dev/null 2>&1 && echo "$each" && break
done
say onboot
grep -HiE '^(ONBOOT|BOOTPROTO)=' /etc/sysconfig/network-scripts/ifcfg-* 2>/dev/null
say answers
reached() {
    ping -c 1 -W 1 "$1" >/dev/null 2>&1 || ping -c 1 -W 1 "$1" >/dev/null 2>&1
    echo "ping $1 $?"
}
named() {
    told=$(timeout 3 nslookup localhost "$1" 2>&1) && told=NXDOMAIN
    case $told in *NXDOMAIN* | *SERVFAIL* | *REFUSED*) echo "name $1 0" ;; *) echo "name $1 1" ;; esac
}
if [ "$#" -gt 0 ]; then
    # All at the same time, for each may have to wait in vain.
    for each in "$@"; do reached "$each" & done
    if command -v nslookup >/dev/null; then
        for each in $(sed -n 's/^nameserver //p' $known); do named "$each" & done
    fi
    wait
fi
say end
"""
"""Asks nothing of the guest but a POSIX shell, sysfs and procfs; what it lacks leaves its part empty."""

WITHIN = 20.0


class GuestLink(NamedTuple):
    """An interface of the guest: whether it was set up there, and whether its cable is plugged in."""

    name: str
    mac: str
    up: bool
    carrier: bool


class GuestRoute(NamedTuple):
    """A route of the guest's; `to` is `default` or a network, `via` empty where it is on the wire."""

    to: str
    via: str
    dev: str


class GuestNet(NamedTuple):
    """The network as the guest has it."""

    interfaces: tuple[Interface, ...] = ()
    links: tuple[GuestLink, ...] = ()
    routes: tuple[GuestRoute, ...] = ()
    resolvers: tuple[str, ...] = ()
    client: str = ""
    """The program that asks for addresses there: networkctl, nmcli, dhclient, dhcpcd or udhcpc."""
    onboot: tuple[str, ...] = ()
    """What its configuration says of the next boot: ONBOOT=no, where the guest has such files."""
    pings: tuple[tuple[str, bool], ...] = ()
    """Addresses that it was to reach, and whether they answered."""
    names: tuple[tuple[str, bool], ...] = ()
    """Name servers that it asked, and whether they answered; empty where it has no program to ask with."""
    ran: bool = False
    """Whether the agent may run programs; without it only the interfaces are known."""

    def link(self, mac: str) -> GuestLink | None:
        return next((each for each in self.links if each.mac == mac), None)

    def interface(self, mac: str) -> Interface | None:
        return next((each for each in self.interfaces if each.mac == mac), None)

    def answers(self, address: str) -> bool | None:
        """Tell whether an address answered the guest; None where nobody asked."""
        return dict(self.pings).get(address)


def look(agent: Agent, addresses: tuple[str, ...]) -> GuestNet:
    """Ask a guest about its network; where there are addresses, it pings them, and asks its name servers.

    Raises GuestFailed where no agent answers, TimedOut where it is too slow.
    """
    interfaces = tuple(agent.interfaces())
    try:
        done = agent.exec(["sh", "-c", ASKED, "sh", *addresses], timeout=WITHIN)
    except (GuestFailed, TimedOut):
        # Many agents may not run programs (a block list, Windows): the interfaces are what there is then.
        return GuestNet(interfaces)
    return read(done.out.decode(errors="replace"))._replace(interfaces=interfaces, ran=True)


def read(text: str) -> GuestNet:
    """Read what the program printed."""
    parts: dict[str, list[str]] = {}
    part = ""
    for line in text.splitlines():
        if line.startswith("@ "):
            part = line[2:]
        elif line.strip():
            parts.setdefault(part, []).append(line.strip())
    return GuestNet(
        links=tuple(_link(line.split()) for line in parts.get("links", ()) if len(line.split()) > 2),
        routes=tuple(_route(line.split()) for line in parts.get("routes", ())[1:]),
        resolvers=tuple(line.split()[1] for line in parts.get("resolver", ()) if line.startswith("nameserver ")),
        client=next((line.rpartition("/")[2] for line in parts.get("client", ())), ""),
        onboot=tuple(line.rpartition("/")[2] for line in parts.get("onboot", ())),
        pings=_answers(parts.get("answers", []), "ping"),
        names=_answers(parts.get("answers", []), "name"),
    )


def _answers(lines: list[str], kind: str) -> tuple[tuple[str, bool], ...]:
    """Read addresses with the exit code of the program that asked them."""
    words = [line.split() for line in lines]
    return tuple((each[1], each[2] == "0") for each in words if each[0] == kind)


def _link(words: list[str]) -> GuestLink:
    name, mac, flags, *carrier = words
    # Source: <linux/if.h>, IFF_UP.
    return GuestLink(name, mac.lower(), bool(int(flags, 16) & 1), carrier == ["1"])


def _route(words: list[str]) -> GuestRoute:
    """Read a line of /proc/net/route, whose addresses are little-endian numbers. Source: route(8), proc(5)."""
    dev, to, via = words[0], _dotted(words[1]), _dotted(words[2])
    length = ipaddress.ip_network(f"0.0.0.0/{_dotted(words[7])}").prefixlen
    return GuestRoute(f"{to}/{length}" if length else "default", "" if via == "0.0.0.0" else via, dev)  # noqa: S104


def _dotted(number: str) -> str:
    return str(ipaddress.IPv4Address(int.from_bytes(bytes.fromhex(number), "little")))
