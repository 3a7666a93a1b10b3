"""The commands that make, change and remove bridges, and move addresses and routes from one interface to another.

Each may be given again to a host where it, or a part of its list, has been carried out already.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from kvist.host.net.bridges import OVS, Address, Path
from kvist.host.net.guard import Words
from kvist.host.net.openvswitch import VSCTL


class Form(NamedTuple):
    """What a bridge is like, apart from its ports and addresses."""

    name: str
    kind: str
    mac: str = ""
    mtu: int = 0
    stp: bool = False
    vlan_aware: bool = False
    datapath: str = ""


def make(form: Form) -> list[Words]:
    """Make a bridge and switch it on."""
    name = form.name
    if form.kind == OVS:
        made = [*VSCTL, "--may-exist", "add-br", name]
        settings = [f"datapath_type={form.datapath}"] if form.datapath else []
        settings += [f"other-config:hwaddr={form.mac}"] if form.mac else []
        if settings:
            made += ["--", "set", "bridge", name, *settings]
        commands: list[Words] = [tuple(made)]
    else:
        # One that is there already is no mistake; whether it is, the next commands tell.
        commands = [("-", "ip", "link", "add", "name", name, "type", "bridge")]
        if form.mac:
            commands.append(("ip", "link", "set", "dev", name, "address", form.mac))
    commands += stp(form, form.stp) if form.stp else []
    commands += vlan_aware(form, form.vlan_aware) if form.vlan_aware else []
    commands += mtu(form, form.mtu) if form.mtu else []
    return [*commands, ("ip", "link", "set", "dev", name, "up")]


def unmake(form: Form) -> list[Words]:
    """Remove a bridge; one that is not there is removed."""
    if form.kind == OVS:
        return [(*VSCTL, "--if-exists", "del-br", form.name)]
    return [("-", "ip", "link", "delete", "dev", form.name)]


def stp(form: Form, on: bool) -> list[Words]:
    """Switch the spanning tree protocol on or off."""
    if form.kind == OVS:
        return [(*VSCTL, "set", "bridge", form.name, f"stp_enable={'true' if on else 'false'}")]
    return [("ip", "link", "set", "dev", form.name, "type", "bridge", "stp_state", str(int(on)))]


def vlan_aware(form: Form, on: bool) -> list[Words]:
    """Let a bridge of the kernel keep VLANs apart; one of Open vSwitch always does."""
    if form.kind == OVS:
        return []
    return [("ip", "link", "set", "dev", form.name, "type", "bridge", "vlan_filtering", str(int(on)))]


def mtu(form: Form, size: int) -> list[Words]:
    """Set the largest packet of a bridge."""
    if form.kind == OVS:
        return [(*VSCTL, "set", "interface", form.name, f"mtu_request={size}")]
    return [("ip", "link", "set", "dev", form.name, "mtu", str(size))]


def attach(form: Form, port: str, size: int = 0) -> list[Words]:
    """Make an interface a port of a bridge, and switch it on."""
    sized: list[Words] = [("ip", "link", "set", "dev", port, "mtu", str(size))] if size else []
    if form.kind == OVS:
        return [*sized, (*VSCTL, "--may-exist", "add-port", form.name, port), ("ip", "link", "set", "dev", port, "up")]
    return [*sized, ("ip", "link", "set", "dev", port, "up", "master", form.name)]


def detach(form: Form, port: str, size: int = 0) -> list[Words]:
    """Take a port out of a bridge; it keeps its state otherwise."""
    sized: list[Words] = [("ip", "link", "set", "dev", port, "mtu", str(size))] if size else []
    if form.kind == OVS:
        return [(*VSCTL, "--if-exists", "del-port", form.name, port), *sized]
    return [("ip", "link", "set", "dev", port, "nomaster"), *sized]


def give(dev: str, addresses: Iterable[Address], routes: Iterable[Path]) -> list[Words]:
    """Give an interface addresses and routes."""
    return [
        *(("ip", "address", "replace", *one.words, "dev", dev) for one in addresses),
        *(("ip", *path.before, "dev", dev, *path.after) for path in routes),
    ]


def take(dev: str, addresses: Iterable[Address]) -> list[Words]:
    """Take addresses from an interface; the routes that stand on them go with them."""
    return [
        ("ip", "-6" if ":" in one.cidr else "-4", "address", "flush", "dev", dev, "to", one.cidr.partition("/")[0])
        for one in addresses
    ]


def default_route(gateway: str, dev: str) -> Words:
    """Lay the default route by a gateway."""
    return ("ip", "-6" if ":" in gateway else "-4", "route", "replace", "default", "via", gateway, "dev", dev)


def spelled(commands: Iterable[Words]) -> list[Words]:
    """Give commands as a person types them."""
    return [words[1:] if words[0] == "-" else words for words in commands]
