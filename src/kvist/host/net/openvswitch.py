"""Open vSwitch of a host: its bridges, and the VLANs of the ports that guests hang on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from kvist.host.hand import Hand
    from kvist.host.net.guard import Words

VSCTL = ("ovs-vsctl", "--timeout=10")
_ASK = [*VSCTL, "--format=json", "--data=json"]


class Switch(NamedTuple):
    """A bridge of Open vSwitch, as its database has it."""

    ports: tuple[str, ...]
    stp: bool
    datapath: str


class Tags(NamedTuple):
    """The VLANs of a port: the one whose tag it takes off, or those whose packets keep their tags."""

    tag: int | None
    trunks: tuple[int, ...]

    @property
    def told(self) -> str | None:
        """What a person reads."""
        many = ", ".join(map(str, self.trunks))
        return many if many else None if self.tag is None else str(self.tag)


def runs(hand: Hand) -> bool:
    """Tell whether Open vSwitch runs on a host; costs no process where its files are seen from here."""
    return "db.sock" in hand.names("/run/openvswitch")


def switches(hand: Hand) -> dict[str, Switch]:
    """Read the bridges of Open vSwitch in one call; none where it does not run."""
    if not runs(hand):
        return {}
    asked = ("--", "--columns=name,ports,stp_enable,datapath_type", "list", "Bridge")
    told = hand.run([*_ASK, *asked, "--", "--columns=_uuid,name", "list", "Port"]).text
    bridges, ports = (_rows(line) for line in told.splitlines() if line.strip())
    names = {str(one["_uuid"][1]): str(one["name"]) for one in ports}
    return {
        str(one["name"]): Switch(
            tuple(names[uuid[1]] for uuid in _set(one["ports"]) if uuid[1] in names),
            bool(one["stp_enable"]),
            str(one["datapath_type"]),
        )
        for one in bridges
    }


def port_of(hand: Hand, mac: str) -> str:
    """Name the port that a card of a running guest hangs on; empty when there is none.

    libvirt writes the card's MAC address to its interface. Source: src/util/virnetdevopenvswitch.c of libvirt.
    """
    if not runs(hand):
        return ""
    told = hand.run([*_ASK, "--columns=name", "find", "Interface", f'external_ids:attached-mac="{mac}"']).text
    return next((str(one["name"]) for one in _rows(told)), "")


def tags(hand: Hand, port: str) -> Tags:
    """Read the VLANs of a port."""
    (told,) = _rows(hand.run([*_ASK, "--columns=tag,trunks", "list", "Port", port]).text)
    return Tags(next(iter(_set(told["tag"])), None), tuple(sorted(_set(told["trunks"]))))


def tagged(port: str, wanted: Tags) -> Words:
    """Give the command that gives a port its VLANs, all at once."""
    settings = [f"tag={wanted.tag}"] if wanted.tag is not None else []
    settings += [f"trunks={','.join(map(str, wanted.trunks))}"] if wanted.trunks else []
    rest = ("--", "set", "port", port, *settings) if settings else ()
    return (*VSCTL, "clear", "port", port, "tag", "trunks", *rest)


def _rows(text: str) -> list[dict[str, Any]]:
    table = json.loads(text)
    return [dict(zip(table["headings"], row, strict=True)) for row in table["data"]]


def _set(value: Any) -> list[Any]:
    """Give the members of a set: one is written as it is, others in ["set", [...]]. Source: RFC 7047, 5.1."""
    return list(value[1]) if isinstance(value, list) and value[:1] == ["set"] else [value]
