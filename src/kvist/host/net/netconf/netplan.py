"""netplan: one file, and the port's addresses taken out of the file that has them.

netplan puts what several files say of an interface together: lists grow, and no file can take an entry of another away.
So the port's addresses leave the file they stand in, of which a copy stays beside it, and stand with the bridge.
Source: netplan(5), the section on how files are merged.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from kvist.errors import Conflict, Corrupt
from kvist.host.net.netconf.manager import File, Kept

if TYPE_CHECKING:
    from kvist.host.hand import Hand
    from kvist.host.net.guard import Words

ROOM = "/etc/netplan"
KINDS = ("ethernets", "bonds", "vlans")
MOVES = (
    *("addresses", "dhcp4", "dhcp6", "dhcp4-overrides", "dhcp6-overrides", "dhcp-identifier", "gateway4", "gateway6"),
    *("nameservers", "routes", "routing-policy", "accept-ra", "ipv6-privacy", "link-local"),
)
"""What netplan says of an interface's addresses, and so moves to the bridge."""


class Place(NamedTuple):
    """Where a person has set a port up: the file, all it says, and under which name."""

    path: str
    text: str
    whole: dict[str, Any]
    kind: str
    key: str

    @property
    def about(self) -> dict[str, Any]:
        told: dict[str, Any] = self.whole["network"][self.kind][self.key]
        return told


class Netplan:
    """netplan."""

    name = "netplan"
    lacks: tuple[str, ...] = ("vlan_aware",)

    def owns(self, hand: Hand, port: str) -> bool:
        return any(name.endswith(".yaml") for name in hand.names(ROOM))

    def files(self, hand: Hand, name: str) -> list[str]:
        return [_own(name)] if _own(name).rpartition("/")[2] in hand.names(ROOM) else []

    def write(self, hand: Hand, kept: Kept) -> list[File]:
        places = {port: self._place(hand, port, kept.name) for port in kept.ports}
        bridge: dict[str, Any] = {
            "interfaces": [place.key if (place := places[port]) else port for port in kept.ports],
            "parameters": {"stp": kept.stp},
        }
        if kept.mac:
            bridge["macaddress"] = kept.mac
        if kept.mtu:
            bridge["mtu"] = kept.mtu
        carried = self._carried(hand, kept, places)
        bridge |= carried or _addresses(kept)
        network: dict[str, Any] = {"version": 2, "bridges": {kept.name: bridge}}
        for port, place in places.items():
            kind, key = (place.kind, place.key) if place else ("ethernets", port)
            network.setdefault(kind, {})[key] = {"dhcp4": False, "dhcp6": False}
        text = f"# {kept.mark}\n{json.dumps({'network': network}, indent=2)}\n"
        return [File(_own(kept.name), text, 0o600), *self._emptied(hand, kept.name, places)]

    def remove(self, hand: Hand, name: str) -> list[File]:
        files = [File(path, "", 0o600) for path in self.files(hand, name)]
        for copy in (f"{ROOM}/{each}" for each in hand.names(ROOM) if each.endswith(_beside(name))):
            path, before = copy.removesuffix(_beside(name)), hand.read(copy) or ""
            now = hand.read(path) or ""
            if _emptied(path, before, _entries(hand, name)) != _parsed(path, now):
                raise Conflict(
                    f'"{path}" has been changed since bridge "{name}" was made, and cannot be put back as it was',
                    hint=f"put what {copy} has more back into {path}, and remove {copy}",
                )
            files += [File(path, before, 0o600), File(copy, "", 0o600)]
        return files

    def reload(self, hand: Hand, kept: Kept) -> list[Words]:
        return [("netplan", "apply")] if hand.has("netplan") else []

    def release(self, hand: Hand, kept: Kept) -> list[Words]:
        return self.reload(hand, kept)

    def _carried(self, hand: Hand, kept: Kept, places: dict[str, Place | None]) -> dict[str, Any]:
        place = places.get(kept.carry)
        if place is None:
            return {}
        return {key: value for key, value in place.about.items() if key in MOVES}

    def _emptied(self, hand: Hand, bridge: str, places: dict[str, Place | None]) -> list[File]:
        """Take the ports' addresses out of the files of persons, and keep a copy of each beside it."""
        import yaml

        entries = {(place.kind, place.key) for place in places.values() if place}
        copies = [f"{ROOM}/{each}" for each in hand.names(ROOM) if each.endswith(_beside(bridge))]
        wanted = {place.path: place.text for place in places.values() if place}
        wanted |= {copy.removesuffix(_beside(bridge)): hand.read(copy) or "" for copy in copies}
        files = []
        for path, before in wanted.items():
            whole, copy = _emptied(path, before, entries), f"{path}{_beside(bridge)}"
            if whole == _parsed(path, before):
                files += [File(path, before, 0o600), File(copy, "", 0o600)] if copy in copies else []
                continue
            text = f"# What is missing here stands in {_own(bridge)}, by kvist; as it was: {copy}\n"
            text += yaml.safe_dump(whole, sort_keys=False)
            files += [File(copy, before, 0o600), File(path, text, 0o600)]
        return files

    def _place(self, hand: Hand, port: str, bridge: str) -> Place | None:
        """Find where a person has set a port up; the last file that speaks of it counts."""
        found = None
        for name in hand.names(ROOM):
            path = f"{ROOM}/{name}"
            if not name.endswith(".yaml") or path == _own(bridge):
                continue
            # As it was before the bridge, where the bridge has changed it.
            text = hand.read(f"{path}{_beside(bridge)}") or hand.read(path) or ""
            whole = _parsed(path, text)
            for kind in KINDS:
                for key, about in (whole.get("network", {}).get(kind) or {}).items():
                    if isinstance(about, dict) and port in _names(hand, key, about):
                        found = Place(path, text, whole, kind, key)
        return found


def _entries(hand: Hand, bridge: str) -> set[tuple[str, str]]:
    """Name the entries that kvist's own file speaks of."""
    own = _parsed(_own(bridge), hand.read(_own(bridge)) or "").get("network", {})
    return {(kind, key) for kind in KINDS for key in own.get(kind, {})}


def _emptied(path: str, text: str, entries: set[tuple[str, str]]) -> dict[str, Any]:
    """Give what a file says without what moves of these entries; a switch stays, for kvist's file has the last word."""
    whole = _parsed(path, text)
    for kind, key in entries:
        about = whole.get("network", {}).get(kind, {}).get(key, {})
        for setting in [each for each in about if each in MOVES and each not in ("dhcp4", "dhcp6")]:
            del about[setting]
    return whole


def _own(name: str) -> str:
    return f"{ROOM}/90-kvist-{name}.yaml"


def _beside(name: str) -> str:
    return f".before-kvist-{name}"


def _parsed(path: str, text: str) -> dict[str, Any]:
    import yaml

    try:
        told = yaml.safe_load(text)
    except yaml.YAMLError as wrong:
        raise Corrupt(f'cannot read "{path}": {" ".join(str(wrong).split())}', hint="netplan generate") from wrong
    return told if isinstance(told, dict) and isinstance(told.get("network"), dict) else {}


def _names(hand: Hand, key: str, about: dict[str, Any]) -> list[str]:
    """Name the interface that an entry is about; it may be matched by its MAC address."""
    match = about.get("match") or {}
    if "macaddress" in match:
        mac = str(match["macaddress"]).lower()
        return [
            name
            for name in hand.names("/sys/class/net")
            if (hand.read(f"/sys/class/net/{name}/address") or "").strip() == mac
        ]
    return [str(about.get("set-name") or match.get("name") or key)]


def _addresses(kept: Kept) -> dict[str, Any]:
    found: dict[str, Any] = {"dhcp4": kept.dhcp}
    if kept.addresses:
        found["addresses"] = list(kept.addresses)
    if kept.gateways:
        found["routes"] = [{"to": "default" if ":" not in each else "::/0", "via": each} for each in kept.gateways]
    if kept.dns:
        found["nameservers"] = {"addresses": list(kept.dns)}
    return found
