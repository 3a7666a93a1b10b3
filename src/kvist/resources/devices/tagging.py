"""VLANs of cards that hang on Open vSwitch: changed while the guest runs, behind libvirt's back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from kvist.engine.step import Disruption
from kvist.errors import CommandFailed
from kvist.host.net.openvswitch import Tags, port_of, tags
from kvist.resources.steps.tagging import Retag
from kvist.specs.nic import Nic

if TYPE_CHECKING:
    from kvist.engine.step import Step
    from kvist.resources.devices.naming import Found, Part

LIVE = ("vlan", "trunk")


def by_open_vswitch(part: Part, found: Found, wish: Nic, *, restart: bool) -> Iterator[Step]:
    """Work out what changes a card, and have Open vSwitch change the VLAN of one that hangs on it.

    libvirt refuses that change, and goes on to tell the VLAN that the card had at its boot: what is in force is read
    from Open vSwitch. A card that is plugged in again gets its VLAN with that.
    """
    mac = str(found.running.get("mac")) if found.running is not None else ""
    port = _port(part, mac, needed=any(name in wish for name in LIVE)) if mac else ""
    if not port:
        yield from part.alter(found.wish(wish), restart=restart)
        return
    if wish.trunk is False:
        # libvirt stores no trunk that is off.
        wish = wish.replace(trunk=None)
    wanted = {name: wish.get(name) if name in wish else found.item.get(name) for name in LIVE}
    have, after = tags(part.vm.host.hand, port), _tags(wanted["vlan"] or (), trunk=bool(wanted["trunk"]))
    retag = Retag(
        name=part.name,
        mac=mac,
        port=port,
        tag_before=have.tag,
        trunks_before=have.trunks,
        tag=after.tag,
        trunks=after.trunks,
    )
    rest = Nic(**{name: value for name, value in wish.items() if name not in LIVE})
    told = [change.field for change in retag.changes()]
    steps = list(part.alter(found.wish(wish), restart=restart, live_wish=found.wish(rest), told=told))
    if any(step.disruption >= Disruption.REPLUG for step in steps):
        again = found.wish(rest.replace(**wanted))
        yield from part.alter(found.wish(wish), restart=restart, live_wish=again)
        return
    if have != after:
        yield retag
    yield from steps


def _port(part: Part, mac: str, *, needed: bool) -> str:
    """Name the port of a card in Open vSwitch; empty where it has none."""
    place = part.vm.host.place
    if not (place.local or place.ssh or place.sandbox is not None):
        return ""
    try:
        return port_of(part.vm.host.hand, mac)
    except CommandFailed:
        # Not everybody who may use libvirt may ask Open vSwitch; who does not change a VLAN does not have to.
        if needed:
            raise
        return ""


def _tags(numbers: tuple[int, ...], *, trunk: bool) -> Tags:
    # More than one tag can only be a trunk. Source: libvirt's format of a network card, section on VLANs.
    if trunk or len(numbers) > 1:
        return Tags(None, tuple(sorted(numbers)))
    return Tags(numbers[0] if numbers else None, ())
