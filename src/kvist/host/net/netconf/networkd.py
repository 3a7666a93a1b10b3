"""systemd-networkd: one file for the device, one for its addresses, one for each port.

Source: systemd.netdev(5), systemd.network(5).
"""

from __future__ import annotations

from fnmatch import fnmatch
from typing import TYPE_CHECKING

from kvist.host.net.netconf.ini import Section, emit, parse
from kvist.host.net.netconf.manager import File, Kept

if TYPE_CHECKING:
    from kvist.host.hand import Hand
    from kvist.host.net.guard import Words

ROOM = "/etc/systemd/network"
ROOMS = (ROOM, "/run/systemd/network", "/usr/lib/systemd/network")
FIRST = "00-kvist-"
"""The first file that fits an interface counts, in the order of names: kvist's stand before a person's."""
OF_THE_DEVICE = ("Match", "Link")
"""Sections that are about the card itself, and stay with it."""


DHCPV4 = ("DHCPv4", "DHCP")
"""How the section is called, and was once."""
LEASES = "/run/systemd/netif/leases"
"""A file for each interface that has a lease, by its number."""


class Networkd:
    """systemd-networkd."""

    name = "systemd-networkd"
    lacks: tuple[str, ...] = ()

    def owns(self, hand: Hand, port: str) -> bool:
        # It keeps a file for each interface there while it runs.
        if not hand.names("/run/systemd/netif/links"):
            return False
        return not port or bool(self._sections(hand, port)) or not hand.names("/run/NetworkManager")

    def files(self, hand: Hand, name: str) -> list[str]:
        own = [each for each in hand.names(ROOM) if each.startswith(FIRST)]
        ours = [each for each in own if each.removeprefix(FIRST).partition(".")[0].partition("@")[0] == name]
        return [f"{ROOM}/{each}" for each in ours]

    def write(self, hand: Hand, kept: Kept) -> list[File]:
        if kept.dhcp and kept.carry and not kept.iaid:
            kept = kept._replace(iaid=_iaid(hand, kept.carry))
        mark = kept.mark
        device = [("Name", kept.name), ("Kind", "bridge")]
        device += [("MACAddress", kept.mac)] if kept.mac else []
        device += [("MTUBytes", str(kept.mtu))] if kept.mtu else []
        # A kernel without VLANs takes none of them where this is among them, even as "no".
        bridge = [("STP", _yes(kept.stp)), *((("VLANFiltering", "yes"),) if kept.vlan_aware else ())]
        wanted = [
            File(
                f"{ROOM}/{FIRST}{kept.name}.netdev",
                emit(mark, [Section("NetDev", tuple(device)), Section("Bridge", tuple(bridge))]),
            ),
            File(
                f"{ROOM}/{FIRST}{kept.name}.network",
                emit(mark, [Section("Match", (("Name", kept.name),)), *self._network(hand, kept)]),
            ),
        ]
        wanted += [self._port(hand, kept, port, mark) for port in kept.ports]
        stale = set(self.files(hand, kept.name)) - {one.path for one in wanted}
        return [*wanted, *(File(path, "") for path in sorted(stale))]

    def remove(self, hand: Hand, name: str) -> list[File]:
        return [File(path, "") for path in self.files(hand, name)]

    def reload(self, hand: Hand, kept: Kept) -> list[Words]:
        names = [kept.name, *kept.ports]
        return [("networkctl", "reload"), *(("-", "networkctl", "reconfigure", name) for name in names)]

    def release(self, hand: Hand, kept: Kept) -> list[Words]:
        return [("networkctl", "reload"), *(("-", "networkctl", "reconfigure", port) for port in kept.ports)]

    def _network(self, hand: Hand, kept: Kept) -> list[Section]:
        known = self._sections(hand, kept.carry) if kept.carry else []
        moved = [section for section in known if section.name not in OF_THE_DEVICE]
        if moved:
            own = {key for section in moved if section.name in DHCPV4 for key, _ in section.items}
            told = {"IAID", "ClientIdentifier"} & own or not kept.iaid
            return moved if told else [*moved, Section(DHCPV4[0], (("IAID", str(kept.iaid)),))]
        items = [("DHCP", "yes")] if kept.dhcp else []
        items += [("Address", each) for each in kept.addresses]
        items += [("Gateway", each) for each in kept.gateways]
        items += [("DNS", each) for each in kept.dns]
        # Without an address of its own the host has no business on the bridge.
        items += [] if items else [("LinkLocalAddressing", "no"), ("IPv6AcceptRA", "no")]
        # It waits for no guest before it calls the host online.
        return [Section("Network", tuple(items)), Section("Link", (("RequiredForOnline", _yes(bool(kept.ports))),))]

    def _port(self, hand: Hand, kept: Kept, port: str, mark: str) -> File:
        own = [section for section in self._sections(hand, port) if section.name == "Link"]
        network = Section("Network", (("Bridge", kept.name), ("LinkLocalAddressing", "no")))
        text = emit(mark, [Section("Match", (("Name", port),)), *own, network])
        return File(f"{ROOM}/{FIRST}{kept.name}@{port}.network", text)

    def _sections(self, hand: Hand, name: str) -> list[Section]:
        """Read the file of a person's that an interface is set up by."""
        found = {
            file: f"{room}/{file}"
            for room in reversed(ROOMS)
            for file in hand.names(room)
            if file.endswith(".network") and not file.startswith(FIRST)
        }
        for file in sorted(found):
            sections = parse(hand.read(found[file]) or "")
            if any(section.name == "Match" and _fits(section, hand, name) for section in sections):
                return sections
        return []


def _fits(match: Section, hand: Hand, name: str) -> bool:
    if any(fnmatch(name, pattern) for value in match.all("Name") for pattern in value.split()):
        return True
    macs = [each.lower() for value in match.all("MACAddress") for each in value.split()]
    return bool(macs) and (hand.read(f"/sys/class/net/{name}/address") or "").strip() in macs


def _iaid(hand: Hand, port: str) -> int:
    """Say by which number a DHCP server knows a port: it is made of the interface's name, and a bridge has another."""
    if not hand.names(LEASES):
        return 0
    number = (hand.read(f"/sys/class/net/{port}/ifindex") or "").strip()
    lines = (hand.read(f"{LEASES}/{number}") or "").splitlines()
    client = next((line.removeprefix("CLIENTID=") for line in lines if line.startswith("CLIENTID=")), "")
    # Source: RFC 4361, section 6.1: 255, the IAID, and a DUID.
    return int(client[2:10], 16) if client.startswith("ff") else 0


def _yes(on: bool) -> str:
    return "yes" if on else "no"
