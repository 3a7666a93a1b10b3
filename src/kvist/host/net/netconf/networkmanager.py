"""NetworkManager: one profile for the bridge, one for each port, as keyfiles.

Source: nm-settings-keyfile(5).
"""

from __future__ import annotations

from configparser import ConfigParser
from io import StringIO
from typing import TYPE_CHECKING

from kvist.host.net.netconf.manager import File, Kept

if TYPE_CHECKING:
    from kvist.host.hand import Hand
    from kvist.host.net.guard import Words

ROOM = "/etc/NetworkManager/system-connections"
ROOMS = (ROOM, "/run/NetworkManager/system-connections")
SUFFIX = ".nmconnection"
NOTES = "/run/NetworkManager/devices"
"""A file for each interface, by its number."""
PRIVATE = 0o600
"""It reads no profile that others can read."""
MOVES = ("ipv4", "ipv6", "proxy")
"""Sections of a port's profile that its bridge takes over."""
NMCLI = ("nmcli", "--wait", "40")
"""A DHCP server that does not answer is given up before the guard is."""
HANDED_OVER = (
    # Without a cable no profile fits, and it would write a new one of what it finds; so it is to find nothing and look
    # anew, and takes the port up by its own profile when the cable is back.
    'if [ "$(cat "/sys/class/net/$1/carrier")" = 0 ]; then '
    'ip address flush dev "$1" scope global; nmcli device set "$1" managed no; nmcli device set "$1" managed yes; '
    'elif ! nmcli --wait 20 connection up uuid "$2" ifname "$1" && '
    '[ -n "$(nmcli --get-values CONNECTIONS.AVAILABLE-CONNECTION-PATHS device show "$1")" ]; '
    'then nmcli --wait 20 device connect "$1"; fi'
)
"""Has it take up a port again: by the profile that was in force, else by one that fits."""
FIRST = "999"
"""The highest priority there is: a person's own profile of a port stays as it is, and is not taken."""


class NetworkManager:
    """NetworkManager."""

    name = "NetworkManager"
    lacks: tuple[str, ...] = ()

    def owns(self, hand: Hand, port: str) -> bool:
        # The directory is there while it runs.
        return bool(hand.names("/run/NetworkManager"))

    def files(self, hand: Hand, name: str) -> list[str]:
        return [
            f"{ROOM}/{each}"
            for each in hand.names(ROOM)
            if each == f"kvist-{name}{SUFFIX}" or (each.startswith(f"kvist-{name}@") and each.endswith(SUFFIX))
        ]

    def write(self, hand: Hand, kept: Kept) -> list[File]:
        if kept.carry and not kept.profile:
            kept = kept._replace(profile=_active(hand, kept.carry))
        wanted = [_file(kept, f"kvist-{kept.name}", self._bridge(hand, kept))]
        wanted += [
            _file(kept, f"kvist-{kept.name}@{port}", _profile(f"kvist-{kept.name}@{port}", "ethernet", port, kept.name))
            for port in kept.ports
        ]
        stale = set(self.files(hand, kept.name)) - {one.path for one in wanted}
        return [*wanted, *(_gone(path) for path in sorted(stale))]

    def remove(self, hand: Hand, name: str) -> list[File]:
        return [_gone(path) for path in self.files(hand, name)]

    def reload(self, hand: Hand, kept: Kept) -> list[Words]:
        names = [f"kvist-{kept.name}", *(f"kvist-{kept.name}@{port}" for port in kept.ports)]
        return [("nmcli", "connection", "reload"), *((*NMCLI, "connection", "up", name) for name in names)]

    def release(self, hand: Hand, kept: Kept) -> list[Words]:
        ports = [
            ("-", "sh", "-c", HANDED_OVER, "sh", port, (port == kept.carry and kept.profile) or _active(hand, port))
            for port in kept.ports
            if not self._foreign(hand, port)
        ]
        return [("nmcli", "connection", "reload"), *ports]

    def _foreign(self, hand: Hand, port: str) -> bool:
        """Tell whether a port is set up by somebody else, at whom it only looks on."""
        told = hand.run(["nmcli", "--get-values", "GENERAL.STATE", "device", "show", port], check=False)
        return "externally" in told.text

    def _bridge(self, hand: Hand, kept: Kept) -> dict[str, dict[str, str]]:
        profile = _profile(f"kvist-{kept.name}", "bridge", kept.name)
        profile["bridge"] = {"stp": _true(kept.stp), "vlan-filtering": _true(kept.vlan_aware)}
        if kept.mac:
            profile["bridge"]["mac-address"] = kept.mac.upper()
        if kept.mtu:
            profile["ethernet"] = {"mtu": str(kept.mtu)}
        known = self._known(hand, kept) if kept.carry else {}
        return profile | (known or _addresses(kept))

    def _known(self, hand: Hand, kept: Kept) -> dict[str, dict[str, str]]:
        """Read what a person's profile says of a port's addresses: that which was in force, else the first of it."""
        found: dict[str, dict[str, str]] = {}
        for room in ROOMS:
            for file in hand.names(room):
                text = hand.read(f"{room}/{file}") or ""
                if file.startswith("kvist-") or not file.endswith(SUFFIX):
                    continue
                read = _parser()
                read.read_string(text)
                moves = {name: dict(read[name]) for name in MOVES if read.has_section(name)}
                if kept.profile and read.get("connection", "uuid", fallback="") == kept.profile:
                    return moves
                if read.get("connection", "interface-name", fallback="") == kept.carry:
                    found = found or moves
        return found


def _active(hand: Hand, port: str) -> str:
    """Say which profile of a port is in force, from its own notes; empty where it has none."""
    if not hand.names(NOTES):
        return ""
    number = (hand.read(f"/sys/class/net/{port}/ifindex") or "").strip()
    read = _parser()
    read.read_string(hand.read(f"{NOTES}/{number}") or "")
    return read.get("device", "connection-uuid", fallback="")


def _profile(name: str, kind: str, interface: str, bridge: str = "") -> dict[str, dict[str, str]]:
    from uuid import NAMESPACE_URL, uuid5

    connection = {"id": name, "uuid": str(uuid5(NAMESPACE_URL, f"kvist:{name}")), "type": kind}
    connection |= {"interface-name": interface, "autoconnect": "true", "autoconnect-priority": FIRST}
    if bridge:
        connection |= {"master": bridge, "slave-type": "bridge"}
    else:
        # A bridge that comes up brings its ports with it.
        connection["autoconnect-slaves"] = "1"
    return {"connection": connection}


def _addresses(kept: Kept) -> dict[str, dict[str, str]]:
    found = {}
    for family, sign in (("ipv4", "."), ("ipv6", ":")):
        # A dot or a colon tells the families apart.
        mine = [each for each in kept.addresses if sign in each]
        section = {"method": "auto" if kept.dhcp else "manual" if mine else "disabled"}
        section |= {f"address{number}": each for number, each in enumerate(mine, 1)}
        if gateway := next((each for each in kept.gateways if sign in each), ""):
            section["gateway"] = gateway
        if dns := [each for each in kept.dns if sign in each]:
            section["dns"] = "".join(f"{each};" for each in dns)
        found[family] = section
    return found


def _file(kept: Kept, name: str, profile: dict[str, dict[str, str]]) -> File:
    text = StringIO()
    text.write(f"# {kept.mark}\n")
    write = _parser()
    write.read_dict(profile)
    write.write(text, space_around_delimiters=False)
    return File(f"{ROOM}/{name}{SUFFIX}", text.getvalue(), PRIVATE)


def _gone(path: str) -> File:
    # The mode is for the way back.
    return File(path, "", PRIVATE)


def _parser() -> ConfigParser:
    read = ConfigParser(interpolation=None, delimiters=("=",), comment_prefixes=("#",), strict=False)
    read.optionxform = str  # type: ignore[assignment,method-assign]
    return read


def _true(on: bool) -> str:
    return "true" if on else "false"
