"""From what is asked of a bridge to the one step that does it, with its way back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from kvist.errors import Conflict, Invalid, NotFound
from kvist.host.net.bridges import LINUX, OVS, Address, Path, Wiring, gateways, near, paths
from kvist.host.net.guard import Words
from kvist.host.net.netconf.manager import File, Kept, Manager, keeper, owner, recorded
from kvist.host.net.rewiring import Form, attach, default_route, detach, give, make, mtu, stp, take, unmake, vlan_aware
from kvist.resources.bridges.users import users
from kvist.resources.bridges.wish import DHCP, Look, Wish
from kvist.resources.steps.rewiring import Rewire

if TYPE_CHECKING:
    from kvist.engine.step import Step
    from kvist.resources.hosts.host import Host

NOW_ONLY = "now only"
NOBODY = "nobody: no network manager of this host is known"


class Moved(NamedTuple):
    """What an interface has that moves to another."""

    dev: str
    addresses: list[Address]
    paths: list[Path]

    @property
    def shown(self) -> str | None:
        return ", ".join(each.cidr for each in self.addresses) or None


class Bridging:
    """Plans one change of one bridge."""

    def __init__(self, host: Host, wish: Wish, within: float) -> None:
        self.host, self.wish, self.within = host, wish, within
        self.hand = host.hand
        self.wiring = Wiring(self.hand)
        self.look = Look(host, self.wiring, wish)
        self._leased = False
        """A DHCP client that kvist starts gives it its address."""

    def create(self) -> Iterator[Step]:
        """Make the bridge; nothing when it is there as wished."""
        wish, wiring = self.wish, self.wiring
        if wish.name in wiring.bridges:
            self._must_be_alike()
            return
        manager = None if wish.ovs else owner(self.hand, wish.ports[0] if wish.ports else "")
        self._leased = wish.address == DHCP and manager is None
        self.look.new(manager)
        uplink = self._uplink()
        if manager is None and uplink.dev and wiring.dynamic(uplink.dev):
            self.host.site.report(f"{uplink.shown} is a lease, and nobody known here renews it on the bridge", 1.0)
        form = Form(
            wish.name,
            OVS if wish.ovs else LINUX,
            mac=wiring.mac(uplink.dev or wish.ports[0]) if wish.ports else "",
            mtu=wish.mtu or 0,
            stp=bool(wish.stp),
            vlan_aware=bool(wish.vlan_aware),
            datapath=wish.datapath,
        )
        ports = {port: wiring.mtu(port) for port in wish.ports}
        new, routes = self._new_addresses(uplink)
        forward = [*make(form), *(words for port in ports for words in attach(form, port, wish.mtu or 0))]
        forward += [*take(uplink.dev, uplink.addresses), *give(wish.name, new, routes), *self._gateway(wish.name)]
        backward = [words for port, size in ports.items() for words in detach(form, port, size if wish.mtu else 0)]
        backward += [*unmake(form), *_given_back(uplink.dev, uplink, manager)]
        start, end = self._client()
        kept = self._kept(form, uplink, manager)
        yield self._step(
            f'make bridge "{wish.name}"' + (f" of {', '.join(wish.ports)}" if wish.ports else ""),
            forward=[*forward, *start],
            backward=[*end, *backward],
            files=manager.write(self.hand, kept) if manager else [],
            manager=manager,
            kept=kept,
            before=uplink,
            after=wish.name,
            shown=[
                ("bridge", None, form.kind),
                *((f"port {port}", None, "plugged in") for port in wish.ports),
                *self._address_shown(uplink, new),
                *((key, None, value) for key, value in (("mac", form.mac), ("mtu", form.mtu)) if value),
                *((key, None, True) for key in ("stp", "vlan_aware") if getattr(wish, key)),
                self._keeper_shown(manager, kept, ovs=wish.ovs),
            ],
        )

    def set(self) -> Iterator[Step]:
        """Change what is otherwise."""
        wish, bridge = self.wish, self._known()
        self.look.changed()
        form = Form(bridge.name, bridge.kind)
        forward: list[Words] = []
        backward: list[Words] = []
        shown: list[tuple[str, Any, Any]] = []
        for key, command in (("stp", stp), ("vlan_aware", vlan_aware), ("mtu", mtu)):
            was, want = getattr(bridge, key), getattr(wish, key)
            if want is not None and want != was:
                forward += command(form, want)
                backward += command(form, was)
                shown.append((key, was, want))
        have = self._moved(bridge.name)
        before = Moved("", [], [])
        if (wish.address and wish.address not in bridge.addresses) or wish.gateway not in ("", *gateways(have.paths)):
            before = have
            new, ways = self._new_addresses(have)
            away = have.addresses if wish.address else []
            forward += [*take(bridge.name, away), *give(bridge.name, new, ways), *self._gateway(bridge.name)]
            backward += [*take(bridge.name, new if wish.address else []), *give(bridge.name, *have[1:])]
            shown += [("address", have.shown, Moved("", new, []).shown)] if wish.address else []
            shown += [("gateway", ", ".join(gateways(have.paths)) or None, wish.gateway)] if wish.gateway else []
        manager = keeper(self.hand, bridge.name)
        known = recorded(self.hand, manager, bridge.name) if manager else None
        kept = self._changed(known, have, bool(before.dev)) if known else None
        if kept is not None and known is not None and kept.dns != known.dns:
            shown.append(("dns", ", ".join(known.dns) or None, ", ".join(kept.dns)))
        if shown:
            yield self._step(
                f'change {", ".join(key for key, _, _ in shown)} of bridge "{bridge.name}"',
                forward=forward,
                backward=backward,
                files=manager.write(self.hand, kept) if manager and kept else [],
                manager=manager,
                kept=kept,
                before=before,
                after=bridge.name,
                shown=shown,
                known=known,
            )

    def add_ports(self) -> Iterator[Step]:
        """Plug in those that are not."""
        wish, bridge = self.wish, self._known()
        ports = [port for port in wish.ports if port not in bridge.ports]
        self.look.ports(bridge.name)
        if not ports:
            return
        form = Form(bridge.name, bridge.kind)
        uplink = self._uplink()
        forward = [words for port in ports for words in attach(form, port)]
        forward += [*take(uplink.dev, uplink.addresses), *give(bridge.name, *uplink[1:])]
        backward = [words for port in ports for words in detach(form, port)]
        backward += [*take(bridge.name, uplink.addresses), *give(uplink.dev, *uplink[1:])]
        manager = keeper(self.hand, bridge.name)
        known = recorded(self.hand, manager, bridge.name) if manager else None
        kept = known._replace(ports=(*known.ports, *ports), carry=known.carry or uplink.dev) if known else None
        yield self._step(
            f'plug {", ".join(ports)} into bridge "{bridge.name}"',
            forward=forward,
            backward=backward,
            files=manager.write(self.hand, kept) if manager and kept else [],
            manager=manager,
            kept=kept,
            before=uplink,
            after=bridge.name,
            shown=[*((f"port {port}", None, "plugged in") for port in ports), *self._address_shown(uplink, uplink[1])],
            known=known,
        )

    def remove_ports(self) -> Iterator[Step]:
        """Unplug those that are plugged in."""
        bridge = self._known()
        ports = [port for port in self.wish.ports if port in bridge.ports]
        guests = [port for port in ports if port in self.wiring.taps(bridge.name)]
        if guests:
            raise Conflict(f"{', '.join(guests)} belongs to a guest", hint="kvist nic ls VM")
        if not ports:
            return
        if bridge.addresses and set(ports) == set(self.wiring.ports(bridge.name)):
            raise Conflict(
                f'"{ports[0]}" is the way by which the host reaches the network with {", ".join(bridge.addresses)}',
                hint=f"kvist bridge delete {bridge.name} gives it its address back",
            )
        form = Form(bridge.name, bridge.kind)
        manager = keeper(self.hand, bridge.name)
        known = recorded(self.hand, manager, bridge.name) if manager else None
        kept = known._replace(ports=tuple(port for port in known.ports if port not in ports)) if known else None
        yield self._step(
            f'unplug {", ".join(ports)} from bridge "{bridge.name}"',
            forward=[words for port in ports for words in detach(form, port)],
            backward=[words for port in ports for words in attach(form, port)],
            files=manager.write(self.hand, kept) if manager and kept else [],
            manager=manager,
            kept=kept,
            before=Moved("", [], []),
            after=bridge.name,
            shown=[(f"port {port}", "plugged in", None) for port in ports],
            known=known,
        )

    def delete(self) -> Iterator[Step]:
        """Remove the bridge, and give its addresses back to its port; nothing when it is not there."""
        name = self.wish.name
        if name not in self.wiring.bridges:
            if name in self.wiring:
                raise Conflict(f'"{name}" is no bridge', hint="kvist bridge ls")
            yield from self._forget()
            return
        bridge = self._known()
        if used := users(self.host.connection).get(name):
            raise Conflict(f'bridge "{name}" is in use: {", ".join(used)}', hint=f"kvist bridge show {name}")
        if taps := self.wiring.taps(name):
            raise Conflict(f'bridge "{name}" is in use: {", ".join(taps)}', hint=f"kvist bridge show {name}")
        ports = self.wiring.ports(name)
        manager = keeper(self.hand, name)
        known = recorded(self.hand, manager, name) if manager else None
        kept = known or Kept(name, ports)
        have = self._moved(name)
        to = self._heir(name, known) if have.addresses else ""
        form = Form(
            name,
            bridge.kind,
            mac=bridge.mac,
            stp=bridge.stp,
            vlan_aware=bridge.vlan_aware,
            datapath=self.wiring.switches[name].datapath if bridge.kind == OVS else "",
        )
        forward = [*(words for port in ports for words in detach(form, port)), *unmake(form)]
        forward += _given_back(to, have, manager) if to else []
        backward = [*make(form), *(words for port in ports for words in attach(form, port))]
        backward += [*(take(to, have.addresses) if to else ()), *give(name, *have[1:])]
        yield self._step(
            f'remove bridge "{name}"',
            forward=[*forward, *(manager.release(self.hand, kept) if manager else ())],
            backward=[*backward, *(manager.reload(self.hand, kept) if manager else ())],
            files=manager.remove(self.hand, name) if manager else [],
            manager=None,
            kept=None,
            before=have if to else Moved("", [], []),
            after=to,
            shown=[
                ("bridge", bridge.kind, None),
                *((f"port {port}", "plugged in", None) for port in ports),
                *(
                    [("address", f"{have.shown} on {name}", f"{have.shown} on {to}" if to else None)]
                    if have.shown
                    else ()
                ),
                *([("kept by", manager.name, None)] if manager else ()),
            ],
        )

    def _forget(self) -> Iterator[Step]:
        """Take a bridge that is not there out of the files by which it would come at the next boot."""
        name = self.wish.name
        if manager := keeper(self.hand, name):
            yield self._step(
                f'forget bridge "{name}"',
                forward=[],
                backward=[],
                files=manager.remove(self.hand, name),
                manager=None,
                kept=None,
                before=Moved("", [], []),
                after="",
                shown=[("kept by", manager.name, None)],
            )

    def _must_be_alike(self) -> None:
        """Raise Conflict where the bridge that is there is another than the wished one."""
        wish, bridge = self.wish, self._known()
        wanted = {
            "kind": OVS if wish.ovs else LINUX,
            "mtu": wish.mtu,
            "stp": wish.stp,
            "vlan-aware": wish.vlan_aware,
        }
        have = {"kind": bridge.kind, "mtu": bridge.mtu, "stp": bridge.stp, "vlan-aware": bridge.vlan_aware}
        other = [
            f"{key} is {have[key]}, not {value}" for key, value in wanted.items() if value not in (None, have[key])
        ]
        other += [f'"{port}" is no port of it' for port in wish.ports if port not in bridge.ports]
        if wish.address not in ("", DHCP, *bridge.addresses):
            other.append(f"its address is {', '.join(bridge.addresses) or 'none'}, not {wish.address}")
        if wish.gateway and wish.gateway not in (known := gateways(paths(self.hand, wish.name))):
            other.append(f"its gateway is {', '.join(known) or 'none'}, not {wish.gateway}")
        if other:
            raise Conflict(
                f'bridge "{wish.name}" is there already: {"; ".join(other)}',
                hint=f"kvist bridge set {wish.name}, or kvist bridge add-port {wish.name} INTERFACE",
            )

    def _known(self) -> Any:
        bridge = self.wiring.bridges.get(self.wish.name)
        if bridge is None:
            raise NotFound(f'there is no bridge "{self.wish.name}"', hint="kvist bridge ls")
        return bridge

    def _uplink(self) -> Moved:
        """Give the port whose addresses move, and what it has."""
        for port in self.wish.ports:
            if port in self.wiring and self.wiring.addresses(port):
                return self._moved(port)
        return Moved("", [], [])

    def _moved(self, dev: str) -> Moved:
        return Moved(dev, self.wiring.addresses(dev), paths(self.hand, dev))

    def _typed(self) -> Address:
        return Address(self.wish.address, (self.wish.address,))

    def _new_addresses(self, uplink: Moved) -> tuple[list[Address], list[Path]]:
        # A manager keeps what there is until it has a lease; a plain client begins with nothing.
        if not self.wish.address or (self.wish.address == DHCP and not self._leased):
            return uplink.addresses, uplink.paths
        if self.wish.address == DHCP:
            return [], []
        return [self._typed()], [] if self.wish.gateway else self._ways(uplink)

    def _ways(self, uplink: Moved) -> list[Path]:
        """Give the default routes that a new address can use too. Raises Invalid when it cannot reach the gateway."""
        typed = self._typed()
        ours = [path for path in uplink.paths if path.to == "default" and (":" in path.via) == (":" in typed.cidr)]
        if lost := [path.via for path in ours if path.via and not near([typed], path.via)]:
            raise Invalid(
                f"the host's gateway {lost[0]} is not on the network of {typed.cidr}; name the new one",
                hint="--gateway ADDRESS",
                path="--address",
            )
        return [path.without_source for path in ours]

    def _gateway(self, dev: str) -> list[Words]:
        return [default_route(self.wish.gateway, dev)] if self.wish.gateway else []

    def _heir(self, name: str, known: Kept | None) -> str:
        """Name the port that a bridge's addresses go back to."""
        ports = self.wiring.ports(name)
        if known and known.carry in ports:
            return known.carry
        alike = [port for port in ports if self.wiring.mac(port) == self.wiring.mac(name)]
        return next(iter((*alike, *ports)), "")

    def _client(self) -> tuple[list[Words], list[Words]]:
        """Give the commands that ask for a lease where no manager does, and those that end it."""
        return self.look.client() if self._leased else ([], [])

    def _kept(self, form: Form, uplink: Moved, manager: Manager | None) -> Kept:
        wish = self.wish
        carry = uplink.dev if not wish.address else ""
        dynamic = bool(carry) and self.wiring.dynamic(carry)
        return Kept(
            name=wish.name,
            ports=wish.ports,
            mac=form.mac,
            mtu=form.mtu,
            stp=form.stp,
            vlan_aware=form.vlan_aware,
            dhcp=dynamic or wish.address == DHCP,
            addresses=() if dynamic or wish.address == DHCP else tuple(a.cidr for a in self._new_addresses(uplink)[0]),
            gateways=self._kept_gateways(uplink, dynamic=dynamic),
            dns=wish.dns,
            carry=carry,
        )

    def _kept_gateways(self, uplink: Moved, *, dynamic: bool) -> tuple[str, ...]:
        if self.wish.gateway:
            return (self.wish.gateway,)
        return () if dynamic or self.wish.address == DHCP else gateways(self._new_addresses(uplink)[1])

    def _changed(self, known: Kept, have: Moved, readdressed: bool) -> Kept:
        """Give what is kept of a bridge once the wish is fulfilled."""
        wish = self.wish
        kept = known._replace(
            stp=known.stp if wish.stp is None else wish.stp,
            vlan_aware=known.vlan_aware if wish.vlan_aware is None else wish.vlan_aware,
            mtu=wish.mtu or known.mtu,
            dns=wish.dns or known.dns,
        )
        if not readdressed and kept.dns == known.dns:
            return kept
        # From here on its address is its own, and not what is known of a port.
        addresses = (wish.address,) if wish.address else known.addresses
        ways = (wish.gateway,) if wish.gateway else gateways(self._new_addresses(have)[1]) or known.gateways
        return kept._replace(carry="", dhcp=known.dhcp and not wish.address, addresses=addresses, gateways=ways)

    def _address_shown(self, uplink: Moved, new: list[Address]) -> list[tuple[str, Any, Any]]:
        after = DHCP if self.wish.address == DHCP else Moved("", new, []).shown
        before = f"{uplink.shown} on {uplink.dev}" if uplink.shown else None
        return [("address", before, f"{after} on {self.wish.name}")] if after or before else []

    def _keeper_shown(self, manager: Manager | None, kept: Kept, *, ovs: bool) -> tuple[str, Any, Any]:
        if manager is not None:
            lacks = [key for key in manager.lacks if getattr(kept, key)]
            return ("kept by", None, manager.name + (f", without {', '.join(lacks)}" if lacks else ""))
        if ovs:
            return ("kept by", None, "Open vSwitch" + (", without its address" if kept.addresses else ""))
        return ("kept by", None, NOBODY)

    def _step(
        self,
        what: str,
        *,
        forward: list[Words],
        backward: list[Words],
        files: list[File],
        manager: Manager | None,
        kept: Kept | None,
        before: Moved,
        after: str,
        shown: list[tuple[str, Any, Any]],
        known: Kept | None = None,
    ) -> Rewire:
        """Make the step, which has the manager take over in both directions; `known` is what it knew of the bridge."""
        if manager and kept:
            forward = [*forward, *manager.reload(self.hand, kept)]
            # NetworkManager gives a bridge the MTU it met it with where its file says none: the old one comes last.
            back = [*manager.reload(self.hand, known), *backward] if known else None
            backward = back or [*backward, *manager.release(self.hand, kept)]
        texts = [(file.path, self.hand.read(file.path) or "", file.text, file.mode) for file in files]
        ways = gateways(before.paths)
        new_ways = (self.wish.gateway,) if self.wish.gateway else ways
        peer = self._peer(before)
        return Rewire(
            name=self.wish.name,
            what=what,
            forward=tuple(forward),
            backward=tuple(backward),
            files=tuple(each for each in texts if each[1] != each[2]),
            gateways=(*ways, *peer),
            new_gateways=(*new_ways, *peer),
            dev=before.dev,
            new_dev=after if before.dev else "",
            within=float(self.within),
            shown=tuple(shown),
            when="now" if texts or self._kind() == OVS else NOW_ONLY,
        )

    def _kind(self) -> str:
        bridge = self.wiring.bridges.get(self.wish.name)
        return bridge.kind if bridge else OVS if self.wish.ovs else LINUX

    def _peer(self, before: Moved) -> tuple[str, ...]:
        """Name who sits at the other end of the ssh connection, where that is a neighbour on the same network."""
        if not before.dev or self.host.place.sandbox is not None:
            return ()
        told = self.hand.run(["printenv", "SSH_CONNECTION"], check=False).text.split()
        return tuple(told[:1]) if told and near(before.addresses, told[0]) else ()


def _given_back(dev: str, what: Moved, manager: Manager | None) -> list[Words]:
    """Give a port its addresses again; a manager of the host's does so at the same time, and has the last word."""
    return [("-", *words) if manager else words for words in give(dev, what.addresses, what.paths)]
