"""The addresses that rules mean where they name the host, VMs and groups: libvirt's filters know nobody else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cached_property
from ipaddress import ip_address
from typing import TYPE_CHECKING

from kvist.errors import Conflict, GuestFailed, NotFound, TimedOut, Unsupported
from kvist.host.firewall.cardrules import Guarded, Judgement, Peer, sixes
from kvist.host.firewall.restoring import FILTERS
from kvist.specs.network import Network
from kvist.specs.policy import GROUP, HOST, PROTOCOLS, Rule
from kvist.xml.document import Document

if TYPE_CHECKING:
    from kvist.resources.firewall.policies import Guest, Said

BOTH = tuple(one for one in PROTOCOLS if one not in ("ipv4", "ipv6"))
AGENT = "devices/channel/target[@name='org.qemu.guest_agent.0'][@state='connected']"


class Whereabouts:
    """Who has which address on a host at this moment."""

    def __init__(self, said: Said) -> None:
        self.said = said
        self.found: dict[str, tuple[str, ...]] = {}
        """What was asked for, by MAC address."""

    def meant(self, card: Guarded, rules: list[Rule]) -> Guarded:
        """Give a card whose rules are about addresses. `rules` are the policy's own, in the same order.

        An address that is reserved for it is its own before it has a lease.
        """
        made = [one for rule, judgement in zip(rules, card.rules, strict=True) for one in self._about(rule, judgement)]
        own = dict.fromkeys((*card.addresses, *self._reserved.get(str(card.mac), ())))
        return card._replace(rules=tuple(made), addresses=tuple(own))

    def _about(self, rule: Rule, judgement: Judgement) -> Iterator[Judgement]:
        if judgement.peer == Peer() or judgement.peer.network:
            yield judgement
            return
        for address in self._of_peer(rule.peer):
            family = "ipv6" if ":" in address else "ipv4"
            if (not rule.own or (":" in rule.own) == (":" in address)) and judgement.protocol in (family, *BOTH):
                yield judgement._replace(peer=Peer(network=address))

    def _of_peer(self, peer: str) -> list[str]:
        if peer == HOST:
            return self.of_host
        if peer.startswith(GROUP):
            guests = self.said.members(peer.removeprefix(GROUP))
        else:
            guests = [self.said.guests[peer]] if peer in self.said.guests else []
        return list(dict.fromkeys(address for guest in sorted(guests) for address in self.of(guest)))

    @cached_property
    def of_host(self) -> list[str]:
        """All addresses of the host itself, but those that it calls only itself by."""
        from kvist.host.net.links import links

        found = [one.address for link in links(self.said.at.hand) for one in link.addresses]
        return sorted({one for one in found if not ip_address(one).is_loopback})

    def of(self, guest: Guest) -> list[str]:
        """Give a guest's addresses: those that its policy, leases, reservations, agent and the host's neighbours tell.

        Of one that tells none at the moment, it is those that it had when somebody last asked.
        """
        macs = [str(card.mac) for card in guest.judged]
        local = [sixes(Guarded(card.mac, ""))[0] for card in guest.judged]
        known = list(self.said.addresses(guest))
        known += [address for mac in macs for address in self._reserved.get(mac, ())]
        known += [address for mac, address in (*self._neighbours, *self._by_agent(guest.name)) if mac in macs]
        told = sorted({one for one in known if _useful(one)})
        told = told or [one for mac in macs for one in self._remembered.get(mac, ())]
        for mac in macs:
            self.found[mac] = tuple(told)
        return [*told, *local] if told else []

    @cached_property
    def _reserved(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for xml in self.said.at.connection.networks.stored().values():
            for host in (host for ip in Network.read(Document.parse(xml).root).ips for host in ip.hosts):
                if host.mac and host.ip:
                    found.setdefault(str(host.mac), []).append(str(host.ip))
        return found

    @cached_property
    def _neighbours(self) -> list[tuple[str, str]]:
        told = json.loads(self.said.at.hand.run(["ip", "-json", "neigh"]).text or "[]")
        lost = {"FAILED", "INCOMPLETE"}
        return [
            (str(one["lladdr"]).lower(), str(one["dst"]))
            for one in told
            if one.get("lladdr") and not lost & set(one.get("state", ()))
        ]

    def _by_agent(self, name: str) -> list[tuple[str, str]]:
        domains = self.said.at.connection.domains
        try:
            if not domains.state(name).active or Document.parse(domains.xml(name)).root.find(AGENT) is None:
                return []
            return [(one.mac.lower(), one.address) for one in domains.addresses(name, "agent")]
        except (GuestFailed, TimedOut, Unsupported, Conflict, NotFound):
            # It came and went, or is too old to tell: the others know too.
            return []

    @cached_property
    def _remembered(self) -> dict[str, tuple[str, ...]]:
        lines = [line.split() for line in (self.said.at.hand.read(FILTERS) or "").splitlines()]
        return {words[0]: tuple(words[1:]) for words in lines if words and words[0] != "#"}


def _useful(address: str) -> bool:
    parsed = ip_address(address)
    return not (parsed.is_loopback or parsed.is_link_local or parsed.is_multicast)
