"""The map of networks as trees of lines: uplink, bridge, network, card."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from kvist.resources.netview.map import Bridge, CardSeen, NetMap, NetSeen, Uplink


class Branch(NamedTuple):
    """A line of a tree, and what hangs on it."""

    name: str
    text: str
    under: tuple[Branch, ...] = ()


def outline(of: NetMap) -> list[Branch]:
    """Give the trees. A thing stands below what it reaches the world by, and at the root where that is nothing."""
    return _Outline(of).trees()


class _Outline:
    def __init__(self, of: NetMap) -> None:
        self.map = of
        self.bridges = {each.name: each for each in of.bridges}
        self.drawn: set[str] = set()
        """Bridges that stand somewhere already."""

    def trees(self) -> list[Branch]:
        found = [self._uplink(each) for each in self.map.uplinks]
        known = {each.name for each in self.map.uplinks}
        found += [
            self._net(each)
            for each in self.map.networks
            if self.map.leads(each.uplink) not in known and not self._ported(each.bridge) and not self._borrows(each)
        ]
        found += [self._bridge(each) for each in self.map.bridges if each.name not in self.drawn]
        loose = [each for each in self.map.cards if not each.network and not each.bridge and each.dev not in known]
        if loose:
            found.append(Branch("-", "on no bridge", tuple(self._card(each) for each in loose)))
        return found

    def _borrows(self, of: NetSeen) -> bool:
        """Whether a network is a bridge of the host's own, below which it is drawn, beside the cards on it."""
        return of.mode == "bridge" and of.bridge in self.bridges

    def _ported(self, bridge: str) -> bool:
        """Whether a bridge has an uplink as its port, and so stands below that."""
        return any(each.bridge == bridge != "" for each in self.map.uplinks)

    def _uplink(self, of: Uplink) -> Branch:
        words = [of.name, of.kind or "uplink", *of.addresses, f"gateway {of.gateway}" if of.gateway else ""]
        under = []
        if of.bridge in self.bridges and of.bridge not in self.drawn:
            under = [self._bridge(self.bridges[of.bridge])]
        elif of.bridge:
            words.append(f"port of {of.bridge}")
        under += [
            self._net(each)
            for each in self.map.networks
            if self.map.leads(each.uplink) == of.name and not self._ported(each.bridge)
        ]
        under += [self._card(each) for each in self.map.cards if each.dev == of.name and not each.network]
        return Branch(of.name, _words(words, up=of.up), tuple(under))

    def _bridge(self, of: Bridge) -> Branch:
        """Draw a bridge of the host's own, with the networks and cards on it."""
        self.drawn.add(of.name)
        kind = "Open vSwitch bridge" if of.kind == "ovs" else "bridge"
        on = [each for each in self.map.networks if each.bridge == of.name]
        under = [self._net(each) for each in on]
        under += [self._card(each) for each in self.map.cards if each.bridge == of.name and not each.network]
        return Branch(of.name, _words([of.name, kind, *of.addresses], up=of.up), tuple(under))

    def _net(self, of: NetSeen) -> Branch:
        self.drawn.add(of.bridge)
        bridge = self.bridges.get(of.bridge)
        words = [of.name, f"network, {of.mode}", f"on {of.bridge}" if of.bridge else "", *of.addresses]
        words += ["dhcp"] if of.dhcp else []
        here = tuple(self._card(each) for each in self.map.cards if each.network == of.name)
        # Cards that name the bridge of a network of libvirt's, and not the network.
        own = not self._ported(of.bridge) and of.mode != "bridge"
        strangers = tuple(
            self._card(each) for each in self.map.cards if own and not each.network and each.bridge == of.bridge != ""
        )
        text = _words(words, up=bridge is None or bridge.up) if of.active else f"{_words(words)}  inactive"
        return Branch(of.name, text, (*here, *strangers))

    def _card(self, of: CardSeen) -> Branch:
        words = [
            of.vm,
            of.tap or of.type,
            of.mac,
            *of.addresses,
            f"filter {of.filter}" if of.filter else "",
            "" if of.link else "cable pulled",
            "" if of.running else "off",
        ]
        under = tuple(
            Branch(each.port, f"{each.proto}/{each.port}{f' of {each.on}' if each.on else ''} -> {each.to}")
            for each in self.map.forwards
            if each.to.partition(":")[0] in (of.addresses or (of.vm,))
        )
        return Branch(of.vm, _words(words), under)


def _words(words: list[str], *, up: bool = True) -> str:
    return "  ".join([*(word for word in words if word), *([] if up else ["down"])])
