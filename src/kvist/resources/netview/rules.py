"""The firewall rules in force for a network: what each is for, what is missing, and whose else stand in the way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, NamedTuple

from kvist.engine.ask import Ask
from kvist.engine.rows import Rows
from kvist.errors import NotFound
from kvist.host.firewall.owners import FILTER, LIBVIRT, OURS, owner
from kvist.host.firewall.packets import Fate, Packet, stops, translated
from kvist.host.net.passage import BRIDGED, FORWARD, Daemon
from kvist.resources.netview.facts import OWN_BRIDGE, Net, inside, subnet
from kvist.resources.netview.wayout import holder, way_out

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kvist.host.firewall.ruleset import Chain, Rule, Ruleset
    from kvist.resources.networks.network import Networks

BESIDE = "192.0.2.1"
"""An address of nobody's, which stands for any host outside. Source: RFC 5737."""

SERVICES = {53: "DNS", 67: "DHCP", 68: "DHCP", 69: "TFTP"}


class NetRule(NamedTuple):
    """One rule, switch or lack: in force, missing, or foreign (another program's, in the way)."""

    state: str
    where: str
    rule: str
    purpose: str
    fix: str = ""


@dataclass(frozen=True, kw_only=True)
class Sight:
    """What is known about the rules of one network."""

    net: Net
    rules: Ruleset
    switches: Mapping[str, str]
    uplink: str = ""
    """The interface that packets for the world leave by."""
    daemon: Daemon = field(default_factory=Daemon)

    @property
    def guest(self) -> str:
        """An address that a guest could have."""
        from ipaddress import ip_interface

        for each in self.net.inet:
            own = ip_interface(str(each))
            return str(next(host for host in own.network.hosts() if host != own.ip))
        return ""

    @property
    def host(self) -> str:
        return next((each.address for each in self.net.inet), "")


def rules(self: Networks, name: Annotated[str, Ask("name of the network", complete="network")]) -> Rows[NetRule]:
    """List the firewall rules in force for a network, with what each is for, what is missing and what is in the way.

    STATE is "in force"; "missing" for what the network's mode needs and nobody does; "foreign" for a rule of Docker's,
    firewalld's, ufw's or anybody's that stops what the network promises. The last two have the command that mends it,
    and make the exit code 1. Rules are read, packets are followed through them, and nothing is sent or changed.

    Example: kvist net rules default
    """
    from kvist.host.firewall.ruleset import ruleset
    from kvist.host.net.links import routes
    from kvist.host.net.passage import daemon, switches
    from kvist.resources.netview.facts import nets

    found = next((each for each in nets(self.host.connection) if each.name == name), None)
    if found is None:
        raise NotFound(f'there is no network "{name}"', hint="kvist net ls")
    hand = self.host.hand
    ways = [each for each in routes(hand) if each.dev not in ("lo", found.bridge)]
    out = found.dev or next((each.dev for each in ways if each.to == "default"), "") or next((w.dev for w in ways), "")
    sight = Sight(net=found, rules=ruleset(hand), switches=switches(hand), uplink=out, daemon=daemon(hand))
    rows = told(sight)
    return Rows(rows, exit=int(any(row.state != "in force" for row in rows)))


def told(sight: Sight) -> list[NetRule]:
    """Give all rows: what is in force, then what is missing, then what is foreign."""
    return [*switched(sight), *in_force(sight), *missing(sight), *foreign(sight)]


def switched(sight: Sight) -> Iterator[NetRule]:
    """Tell about the kernel's switch for forwarding."""
    if not sight.net.forwards:
        return
    key, value = FORWARD.replace("/", "."), sight.switches.get(FORWARD, "?")
    on = value == "1"
    yield NetRule(
        "in force" if on else "missing",
        "kernel",
        f"{key} = {value}",
        "The host passes packets on between its networks.",
        "" if on else "kvist host set --ip-forward",
    )


def in_force(sight: Sight) -> Iterator[NetRule]:
    """Go through the rules that name the network's bridge or one of its subnets."""
    for rule in sight.rules.rules():
        if owner(rule, sight.rules) in (LIBVIRT, OURS) and _concerns(rule, sight):
            yield NetRule("in force", rule.place, rule.text or _words(rule), purpose(rule, sight))


def _concerns(rule: Rule, sight: Sight) -> bool:
    """Whether a rule names the network: its bridge, its subnet, or an address in it."""
    for match in rule.matches:
        value = match.value
        if sight.net.bridge and value == sight.net.bridge:
            return True
        if not match.field.endswith(("saddr", "daddr")):
            continue
        address = value["prefix"]["addr"] if isinstance(value, dict) and "prefix" in value else value
        if isinstance(address, str) and _is_address(address) and inside(address, sight.net.addresses):
            return True
    target = rule.target
    to = target.get("addr") if isinstance(target, dict) else None
    return isinstance(to, str) and _is_address(to) and inside(to, sight.net.addresses)


def _is_address(text: str) -> bool:
    from ipaddress import ip_address

    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _words(rule: Rule) -> str:
    return " ".join([*(f"{match.field} {match.value}" for match in rule.matches), rule.verdict])


def purpose(rule: Rule, sight: Sight) -> str:
    """Say in one sentence what a rule is for."""
    if owner(rule, sight.rules) == OURS:
        return f"{rule.comment}." if rule.comment else _ours(rule)
    incoming = rule.value("iifname") == sight.net.bridge
    outgoing = rule.value("oifname") == sight.net.bridge
    if rule.verdict in ("masquerade", "snat"):
        proto = rule.value("l4proto")
        what = f"{proto.upper()} packets" if proto in ("tcp", "udp") else "Packets"
        return f"{what} of guests leave with the host's address."
    if rule.chain.endswith("PRT") and rule.verdict == "return":
        return "Multicast and broadcast of guests keep their address."
    port = next((match.value for match in rule.matches if match.field.endswith(" dport")), None)
    if port in SERVICES:
        if rule.table == "mangle":
            return "Answers of DHCP get a checksum, which old clients ask for."
        return (
            f"Guests may ask the host for {SERVICES[port]}."
            if incoming
            else f"The host may answer by {SERVICES[port]}."
        )
    if incoming and outgoing:
        return "Guests of the network may reach each other where bridged packets come by these rules."
    if rule.verdict == "accept" and outgoing:
        established = rule.value("ct state")
        return (
            "Answers to guests may come in."
            if established or sight.net.mode == "nat"
            else "Others may reach the guests."
        )
    if rule.verdict == "accept" and incoming:
        return "Guests may send packets out, with addresses of the network only."
    if rule.verdict in ("reject", "drop"):
        return "Nothing else may come in." if outgoing else "Nothing else may go out, nor with a foreign address."
    return "It belongs to the network."


def _ours(rule: Rule) -> str:
    if rule.verdict == "dnat":
        return "A port of the host leads to a guest."
    if rule.verdict in ("masquerade", "snat"):
        return "Packets that take a forward come back by the host."
    return "kvist lets what it forwards pass." if rule.verdict == "accept" else "kvist stops what somebody has denied."


class Need(NamedTuple):
    """A packet that has to pass, by the network's mode."""

    hook: str
    packet: Packet
    purpose: str
    chain: str
    """Where libvirt has the rule for it; empty where it makes none."""


def needs(sight: Sight) -> list[Need]:
    """List what a network promises, as packets."""
    net, guest, host = sight.net, sight.guest, sight.host
    bridge, out = net.bridge, sight.uplink or "uplink"
    found: list[Need] = []
    if net.dhcp:
        asking = Packet("0.0.0.0", "255.255.255.255", bridge, "", "udp", 68, 67)  # noqa: S104 - so DHCP asks
        found.append(Need("input", asking, "Guests may ask the host for DHCP.", "LIBVIRT_INP"))
    if net.dns and host:
        found.append(
            Need(
                "input",
                Packet(guest, host, bridge, "", "udp", 40000, 53),
                "Guests may ask the host for DNS.",
                "LIBVIRT_INP",
            )
        )
    if net.mode == "bridge" and sight.switches.get(BRIDGED) == "1":
        passing = Packet(BESIDE, BESIDE, bridge, bridge, "tcp", 40000, 443)
        found.append(Need("forward", passing, "Guests may reach whoever is on the bridge.", ""))
    if net.forwards and guest:
        leaving = Packet(guest, BESIDE, bridge, out, "tcp", 40000, 443)
        answer = Packet(BESIDE, guest, out, bridge, "tcp", 443, 40000, "established")
        own = net.mode != "open"
        found += [
            Need("forward", leaving, "Guests may send packets out.", "LIBVIRT_FWO" if own else ""),
            Need("forward", answer, "Answers to guests may come in.", "LIBVIRT_FWI" if own else ""),
        ]
        if net.mode in ("route", "open"):
            coming = answer._replace(sport=40000, dport=443, state="new")
            found.append(Need("forward", coming, "Others may reach the guests.", "LIBVIRT_FWI" if own else ""))
    return found


def missing(sight: Sight) -> Iterator[NetRule]:
    """Find what the network's mode needs and no rule does."""
    net = sight.net
    if not net.active or net.mode not in OWN_BRIDGE:
        return
    if net.mode == "nat" and sight.guest:
        for proto in ("tcp", "udp", "icmp"):
            packet = Packet(sight.guest, BESIDE, net.bridge, sight.uplink or "uplink", proto, 40000, 443)
            if translated(sight.rules, packet).action == "accept":
                yield NetRule(
                    "missing",
                    "ip nat LIBVIRT_PRT",
                    f"masquerade of {proto} from {subnet(net.inet[0])}",
                    f"{proto.upper()} packets of guests leave with the host's address.",
                    _remake(sight, "LIBVIRT_PRT"),
                )
    for need in needs(sight):
        if not need.chain or sight.rules.table("ip", "libvirt_network"):
            continue
        if _accepted(sight, need):
            continue
        what = f"accept {need.packet.words}"
        yield NetRule("missing", f"ip filter {need.chain}", what, need.purpose, _remake(sight, need.chain))


def _accepted(sight: Sight, need: Need) -> bool:
    """Whether the chain that libvirt made for it accepts the packet, and is called at all."""
    from kvist.host.firewall.packets import through

    made = sight.rules.chains.get(("ip", "filter", need.chain))
    called = any(rule.target == need.chain for rule in sight.rules.rules() if rule.verdict in ("jump", "goto"))
    if made is None or not called:
        return False
    found = through(sight.rules, made, need.packet)
    return found.rule is not None and found.action == "accept"


def _remake(sight: Sight, chain: str) -> str:
    """Give the command that lets libvirt write its rules anew: chains that are gone too come back at a restart only."""
    called = any(rule.target == chain for rule in sight.rules.rules() if rule.verdict == "jump")
    return sight.daemon.reload if called else sight.daemon.restart


def foreign(sight: Sight) -> Iterator[NetRule]:
    """Find rules of others that stop what the network promises."""
    if not sight.net.bridge:
        return
    seen: set[tuple[str, str]] = set()
    for need in needs(sight):
        for found in stops(sight.rules, need.hook, need.packet):
            where = found.rule or found.chain
            assert where is not None
            whose = holder(found, sight.rules)
            key = (where.place, found.rule.text if found.rule else "policy")
            if whose in (LIBVIRT, FILTER, OURS) or key in seen:
                continue
            seen.add(key)
            yield _foreign(sight, need, found, where, whose)


def _foreign(sight: Sight, need: Need, found: Fate, where: Rule | Chain, whose: str) -> NetRule:
    rule = found.rule.text or _words(found.rule) if found.rule else f"policy {found.action}"
    unsure = "" if found.sure else ", it seems"
    return NetRule(
        "foreign",
        where.place,
        rule,
        f"{whose[0].upper()}{whose[1:]} stops it{unsure}: {need.purpose}",
        way_out(found, sight.rules, sight.net.bridge, sight.daemon, input=need.hook == "input"),
    )
