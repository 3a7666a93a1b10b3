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
MOVES = ("ipv4", "ipv6", "proxy")
"""Sections of a port's profile that its bridge takes over."""
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
        wanted = [_file(kept, f"kvist-{kept.name}", self._bridge(hand, kept))]
        wanted += [
            _file(kept, f"kvist-{kept.name}@{port}", _profile(f"kvist-{kept.name}@{port}", "ethernet", port, kept.name))
            for port in kept.ports
        ]
        stale = set(self.files(hand, kept.name)) - {one.path for one in wanted}
        return [*wanted, *(File(path, "") for path in sorted(stale))]

    def remove(self, hand: Hand, name: str) -> list[File]:
        return [File(path, "") for path in self.files(hand, name)]

    def reload(self, hand: Hand, kept: Kept) -> list[Words]:
        ports = [("nmcli", "connection", "up", f"kvist-{kept.name}@{port}") for port in kept.ports]
        return [("nmcli", "connection", "reload"), ("nmcli", "connection", "up", f"kvist-{kept.name}"), *ports]

    def release(self, hand: Hand, kept: Kept) -> list[Words]:
        ports = [("-", "nmcli", "device", "connect", port) for port in kept.ports]
        return [("nmcli", "connection", "reload"), *ports]

    def _bridge(self, hand: Hand, kept: Kept) -> dict[str, dict[str, str]]:
        profile = _profile(f"kvist-{kept.name}", "bridge", kept.name)
        profile["bridge"] = {"stp": _true(kept.stp), "vlan-filtering": _true(kept.vlan_aware)}
        if kept.mac:
            profile["bridge"]["mac-address"] = kept.mac.upper()
        if kept.mtu:
            profile["ethernet"] = {"mtu": str(kept.mtu)}
        known = self._known(hand, kept.carry) if kept.carry else {}
        return profile | (known or _addresses(kept))

    def _known(self, hand: Hand, port: str) -> dict[str, dict[str, str]]:
        """Read what a person's profile says of a port's addresses."""
        for room in ROOMS:
            for file in hand.names(room):
                text = hand.read(f"{room}/{file}") or ""
                if file.startswith("kvist-") or not file.endswith(SUFFIX):
                    continue
                read = _parser()
                read.read_string(text)
                if read.get("connection", "interface-name", fallback="") == port:
                    return {name: dict(read[name]) for name in MOVES if read.has_section(name)}
        return {}


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
    # It reads no profile that others can read.
    return File(f"{ROOM}/{name}{SUFFIX}", text.getvalue(), 0o600)


def _parser() -> ConfigParser:
    read = ConfigParser(interpolation=None, delimiters=("=",), comment_prefixes=("#",), strict=False)
    read.optionxform = str  # type: ignore[assignment,method-assign]
    return read


def _true(on: bool) -> str:
    return "true" if on else "false"
