"""What is wrong with the firewall of a host: not in force, without effect, about what is not there."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import TYPE_CHECKING

from kvist.host import sysctl
from kvist.host.firewall import tables
from kvist.resources.firewall.backends.backend import chosen
from kvist.resources.firewall.filtercheck import Wrong, wrong_filters
from kvist.resources.firewall.groups import named_by
from kvist.resources.firewall.policies import Guest, Said, is_network, read, unreadable
from kvist.resources.firewall.policing import useless
from kvist.resources.firewall.replacing import CLEAN
from kvist.specs.policy import GROUP, HOST, NAMED, Policy, Rule, Service

if TYPE_CHECKING:
    from kvist.resources.firewall.firewall import Firewall


def check(self: Firewall) -> list[Wrong]:
    """Find what is wrong with policies: not in force, rules that never match, names of what is not there.

    VMs that nothing keeps from taking another's address are listed too, and what is wrong with libvirt's own filters:
    nobody uses them, they are named and not there, or not bound to the running card.

    Example: kvist fw check
    """
    said = Said(self.site)
    rows = list(_in_force(self, said))
    for guest in sorted(said.guests.values()):
        own = read(guest.lines)
        if wrong := unreadable(guest.lines):
            rows.append(
                Wrong(guest.name, f"nothing passes, for its policy says {wrong}", f"kvist fw reset {guest.name}")
            )
        rows += _of_rules(said, guest.name, own, said.policy(guest))
        rows += _of_cards(guest, said.policy(guest))
    for name, group in sorted(said.groups.items()):
        policy = read(group.policy)
        if wrong := unreadable(group.policy):
            what = f"nothing passes for its members, for its policy says {wrong}"
            rows.append(Wrong(GROUP + name, what, f"kvist fw reset {GROUP}{name}"))
        rows += _of_rules(said, GROUP + name, policy, policy)
        if not said.members(name):
            rows.append(Wrong(GROUP + name, "it has no members", f"kvist fw group add {name} VM"))
        elif not policy.lines and not named_by(said, name):
            rows.append(Wrong(GROUP + name, "no rule names it", f"kvist fw group delete {name}"))
    return [*rows, *wrong_filters(self.host.connection)]


def _in_force(self: Firewall, said: Said) -> Iterator[Wrong]:
    if not said.in_force():
        return
    have = chosen(self.site)
    if trouble := have.intact(self.site, said):
        yield Wrong("host", f"policies are not in force: {trouble}", "kvist fw restore")
        return
    for key in tables.NETFILTER:
        if sysctl.read(self.site.hand, key) != "1":
            yield Wrong("host", f"{key} is off: nothing of what guests with a policy send passes", f"sysctl -w {key}=1")
    for vm, mac, tap in have.unbound(self.site, said):
        yield Wrong(vm, f"interface {tap} of card {mac} is not bound to its policy", "kvist fw restore")


def _of_rules(said: Said, name: str, own: Policy, whole: Policy) -> Iterator[Wrong]:
    for number, rule in enumerate(own.rules, 1):
        remove = f"kvist fw remove {name} {number}"
        peer = rule.peer
        if peer.startswith(GROUP):
            if peer.removeprefix(GROUP) not in said.groups:
                yield Wrong(name, f"rule {number} names a group that is not there: {rule}", remove)
        elif peer and peer != HOST and not is_network(peer) and peer not in said.guests:
            yield Wrong(name, f"rule {number} names a VM that is not there: {rule}", remove)
        before = next((n for n, one in enumerate(own.rules[: number - 1], 1) if covers(one, rule)), 0)
        if before:
            yield Wrong(name, f"rule {number} never matches, for rule {before} does before: {rule}", remove)
        elif rule == whole.rules[-1] and (why := useless(whole, rule)):
            yield Wrong(name, f"rule {number} changes nothing: {why}", remove)


def covers(one: Rule, other: Rule) -> bool:
    """Tell whether all that a rule matches is matched by another, which stands before it."""
    return (
        one.out == other.out
        and not one.most
        and one.nic in ("", other.nic)
        and _wider(one.peer, other.peer)
        and _wider(one.own, other.own)
        and _more(one.service, other.service)
    )


def _wider(one: str, other: str) -> bool:
    if not one or one == other:
        return True
    if not other or not is_network(one) or not is_network(other):
        return False
    net, inner = ip_network(one, strict=False), ip_network(other, strict=False)
    if isinstance(net, IPv4Network) and isinstance(inner, IPv4Network):
        return inner.subnet_of(net)
    return isinstance(net, IPv6Network) and isinstance(inner, IPv6Network) and inner.subnet_of(net)


def _more(one: Service, other: Service) -> bool:
    if one == other:
        return True
    if one.protocol == "any":
        return other.protocol not in NAMED
    if one.protocol != other.protocol:
        return False
    if not one.ports and not one.message:
        return True
    return bool(other.ports) and all(any(a <= c and d <= b for a, b in one.ports) for c, d in other.ports)


def _of_cards(guest: Guest, policy: Policy) -> Iterator[Wrong]:
    for card in guest.cards:
        if policy.lines and not policy.off and card.trouble:
            yield Wrong(guest.name, f"card {card.mac} is not judged: {card.trouble}", f"kvist nic ls {guest.name}")
        if not card.trouble and not (policy.antispoof and not policy.off) and card.filter not in CLEAN:
            what = f"card {card.mac} may take another's address: it has no anti-spoofing"
            yield Wrong(guest.name, what, f"kvist fw antispoof {guest.name}")
