"""Network cards of VMs: what is typed becomes a device."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from kvist.errors import CommandFailed, Problem
from kvist.specs.nic import Nic
from kvist.values import Mac
from kvist.xml.document import Document

if TYPE_CHECKING:
    from kvist.resources.hosts.host import Host
    from kvist.xml.spec import Spec

DEFAULT_NETWORK = "default"
"""The network that libvirt's own packages bring along."""


OVS = "openvswitch"
USER_MODE = "user"
"""The word for a card that needs no network of the host's: QEMU speaks for the guest, which is reached by forwards."""


class Nics:
    """Plans cards of a VM. What is wrong is gathered in `problems`."""

    def __init__(self, host: Host, *, model: str, problems: list[Problem], where: str = "--nic") -> None:
        self.host, self.model, self.problems, self.where = host, model, problems, where
        self._networks = {net.name: net for net in host.connection.networks.all()}

    def plan(self, wishes: Sequence[Nic]) -> tuple[Nic, ...]:
        """Give the cards that are asked for: one on network "default" when nothing is, none for `none`."""
        if not wishes:
            return (self._one(Nic(type="user") if self.host.place.session else Nic(network=DEFAULT_NETWORK)),)
        nics = tuple(self._one(wish) for wish in wishes if not nothing(wish))
        if any(nic.filter is not None for nic in nics):
            from kvist.resources.filters.use import unknown

            self.problems += unknown(self.host, nics, self.where)
        addresses = [str(nic.mac) for nic in nics]
        for twice in sorted({each for each in addresses if addresses.count(each) > 1}):
            self._wrong(f"two cards are to have the address {twice}")
        return nics

    def _one(self, wish: Nic) -> Nic:
        wish = self.plugged(wish)
        if wish.variant() is None:
            self._wrong("say what it is plugged into: a network, bridge=NAME or dev=INTERFACE")
        if wish.virtualport == OVS and wish.interface_id is None:
            from uuid import uuid4

            # libvirt would draw one for the running guest, and another for its next boot.
            wish = wish.replace(interface_id=str(uuid4()))
        # Drawn now and not by libvirt: the seed of cloud-init names its cards by their addresses.
        return wish.replace(mac=wish.mac or str(Mac.random()), model=wish.model or self.model)

    def plugged(self, wish: Nic) -> Nic:
        """Give the card with what it is plugged into: a name that is no network may be a bridge."""
        wish = wish if wish.network is None else self._plugged(wish, wish.network)
        self._must_be_there(wish)
        if wish.queues == 1:
            # Every card has that; libvirt does not keep it.
            wish = wish.replace(queues=None)
        return wish.replace(virtualport=OVS) if "virtualport" not in wish and self._by_open_vswitch(wish) else wish

    def moved(self, wish: Nic, card: Spec) -> Nic:
        """Give what is otherwise of a card that is plugged into something else, with the kind of switch behind it."""
        wish = self.plugged(wish)
        if "virtualport" not in wish and card.get("virtualport") == OVS:
            return wish.replace(virtualport=None, interface_id=None)
        return wish

    def _plugged(self, wish: Nic, name: str) -> Nic:
        known = self._networks.get(name)
        if known is None:
            if name == USER_MODE:
                return Nic(**{**dict(wish.items()), "network": None, "type": "user"})
            if self._is_bridge(name):
                return Nic(**{**dict(wish.items()), "network": None, "bridge": name})
            there = ", ".join(self._networks) or "none"
            self._wrong(
                f'there is no network "{name}"; there is {there}', hint="kvist net ls, or --nic none, or --nic user"
            )
        elif not known.active:
            self._wrong(f'network "{name}" is not active', hint=f"kvist net start {name}")
        return wish

    def _must_be_there(self, wish: Nic) -> None:
        if self._interfaces is None:
            return
        if wish.bridge is not None and not self._is_bridge(wish.bridge):
            there = ", ".join(sorted({*self._switches, *filter(self._is_bridge, self._interfaces)})) or "none"
            self._wrong(
                f'there is no bridge "{wish.bridge}"; there is {there}', hint=f"kvist bridge create {wish.bridge}"
            )
        # A device file is no interface: vDPA names one.
        if wish.dev is not None and "/" not in wish.dev and wish.dev not in self._interfaces:
            there = ", ".join(sorted(self._interfaces))
            self._wrong(f'there is no interface "{wish.dev}"; there is {there}', hint="ip -brief link")

    def _is_bridge(self, name: str) -> bool:
        return bool(self._interfaces and self._interfaces.get(name)) or name in self._switches

    @cached_property
    def _interfaces(self) -> dict[str, bool] | None:
        """The interfaces of the host, and whether each is a bridge; None where its files cannot be seen from here."""
        place = self.host.place
        if not (place.local or place.sandbox is not None):
            return None
        listed = (place.sandbox.root if place.sandbox else Path("/")) / "sys/class/net"
        return {one.name: (one / "bridge").is_dir() for one in listed.iterdir()}

    def _by_open_vswitch(self, wish: Nic) -> bool:
        """Tell whether it is plugged into Open vSwitch, by a network that does not say so itself or by a bridge."""
        if wish.bridge is not None:
            return wish.bridge in self._switches
        known = self._networks.get(wish.network or "")
        if known is None or known.bridge not in self._switches:
            return False
        document = Document.parse(self.host.connection.networks.xml(known.name))
        return document.root.find("virtualport") is None

    @cached_property
    def _switches(self) -> Collection[str]:
        """The bridges of Open vSwitch, where its files can be seen without a journey."""
        place = self.host.place
        if not (place.local or place.sandbox is not None):
            return ()
        from kvist.host.net.openvswitch import switches

        try:
            return switches(self.host.hand)
        except CommandFailed:
            # Not everybody who may use libvirt may ask Open vSwitch; they say virtualport=openvswitch themselves.
            return ()

    def _wrong(self, what: str, *, hint: str = "") -> None:
        self.problems.append(Problem(self.where, what, hint))


def nothing(wish: Nic) -> bool:
    """Tell whether what is typed is `none`: no card at all."""
    return "network" in wish and all(value is None for _, value in wish.items())


def bare(nic: Nic) -> Nic:
    """Leave out what is typed but stands in no document."""
    kept = {key: value for key, value in nic.items() if key not in ("ip", "gateway", "dns")}
    return Nic(**{key: value for key, value in kept.items() if value is not None})
