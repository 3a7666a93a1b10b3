"""ifupdown: one file in interfaces.d, and the lines about the ports made comments where a person wrote them.

ifupdown sets up every stanza it finds: a port that stays in /etc/network/interfaces would get its address again beside
the bridge. Its lines are made comments, with a word in front by which they are found again.
Source: interfaces(5).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from kvist.host.net.netconf.manager import File, Kept

if TYPE_CHECKING:
    from kvist.host.hand import Hand
    from kvist.host.net.guard import Words

MAIN = "/etc/network/interfaces"
ROOM = "/etc/network/interfaces.d"
BEGINS = ("iface", "auto", "mapping", "source", "source-directory", "rename", "no-auto-down", "no-scripts")
"""Words that a stanza begins with; so does all of allow-*."""
STAYS = ("hwaddress", "mtu", "bridge_ports", "bridge-ports")
"""Options of a port that are about the card itself."""


STATE = "/run/network/ifstate"
NOTED = (
    f'test -e {STATE} || exit 0; sign=-; for each; do case "$each" in [+-]) sign=$each ;; *) '
    f'sed -i "/^$each=/d" {STATE}; rm -f "{STATE}.$each"; '
    f'test "$sign" = - || {{ echo "$each=$each" >>{STATE}; echo "$each" >"{STATE}.$each"; }} ;; esac; done'
)
"""Puts down what is up (`+`) and what is not (`-`): ifdown, and so a restart of networking, goes by that."""


LEASES = "/var/lib/dhcp/dhclient"
KNOWN = f'sed "s/^  interface \\"$1\\";/  interface \\"$2\\";/" "{LEASES}.$1.leases" >"{LEASES}.$2.leases"'
"""Has the DHCP client ask for a port's address for the bridge: as who it asks stands in a file for each interface."""


class Stanza(NamedTuple):
    """One stanza: the numbers of its lines, its words, and its options."""

    lines: tuple[int, ...]
    words: tuple[str, ...]
    options: tuple[str, ...]


class Ifupdown:
    """ifupdown."""

    name = "ifupdown"
    lacks: tuple[str, ...] = ()

    def owns(self, hand: Hand, port: str) -> bool:
        if not {"ifup"} & {*hand.names("/usr/sbin"), *hand.names("/sbin")} or hand.read(MAIN) is None:
            return False
        return not port or any(_about(stanza, port) for path in self._sources(hand) for stanza in _read(hand, path))

    def files(self, hand: Hand, name: str) -> list[str]:
        return [f"{ROOM}/kvist-{name}"] if f"kvist-{name}" in hand.names(ROOM) else []

    def write(self, hand: Hand, kept: Kept) -> list[File]:
        changed: list[File] = []
        carried: list[Stanza] = []
        for path in self._sources(hand):
            text = hand.read(path) or ""
            plain = _uncommented(text, kept.name)
            stanzas = _parsed(plain)
            carried += [each for each in stanzas if kept.carry and each.words[:2] == ("iface", kept.carry)]
            new = _commented(plain, stanzas, kept)
            if path == MAIN and not _reads_room(stanzas):
                new = f"{new.rstrip()}\n{_source(kept.name)}\n"
            if new != text:
                changed.append(File(path, new))
        return [File(f"{ROOM}/kvist-{kept.name}", _bridge(kept, carried)), *changed]

    def remove(self, hand: Hand, name: str) -> list[File]:
        files = [File(path, "") for path in self.files(hand, name)]
        for path in self._sources(hand):
            text = hand.read(path) or ""
            if (plain := _uncommented(text, name)) != text:
                files.append(File(path, plain))
        return files

    def reload(self, hand: Hand, kept: Kept) -> list[Words]:
        noted: Words = ("sh", "-c", NOTED, "sh", "+", kept.name, "-", *kept.ports)
        # Everything is up by now as ifup would bring it up; a lease is the one thing that needs a program that goes on.
        if not kept.dhcp:
            return [noted]
        # The client of the port would go on renewing its lease where it is not any more.
        known: list[Words] = [("-", "sh", "-c", KNOWN, "sh", kept.carry, kept.name)] if kept.carry else []
        return [*_clients_ended(*kept.ports), *known, ("ifup", "--force", kept.name), noted]

    def release(self, hand: Hand, kept: Kept) -> list[Words]:
        noted: Words = ("sh", "-c", NOTED, "sh", "-", kept.name, "+", *kept.ports)
        if not kept.dhcp:
            return [noted]
        return [*_clients_ended(kept.name), *(("-", "ifup", "--force", port) for port in kept.ports), noted]

    def _sources(self, hand: Hand) -> list[str]:
        """List the files of persons: the main one, and those it reads."""
        own = [name for name in hand.names(ROOM) if not name.startswith("kvist-")]
        return [MAIN, *(f"{ROOM}/{name}" for name in own)]


def _clients_ended(*names: str) -> list[Words]:
    return [("-", "dhclient", "-x", "-pf", f"/run/dhclient.{name}.pid", name) for name in names]


def _read(hand: Hand, path: str) -> list[Stanza]:
    return _parsed(hand.read(path) or "")


def _parsed(text: str) -> list[Stanza]:
    found: list[Stanza] = []
    more = False
    for number, line in enumerate(text.splitlines()):
        words = tuple(line.split())
        if more:
            found[-1] = _with(found[-1], number, line.strip().rstrip("\\"))
        elif not words or words[0].startswith("#"):
            continue
        elif words[0] in BEGINS or words[0].startswith("allow-"):
            found.append(Stanza((number,), tuple(word for word in words if word != "\\"), ()))
        elif found:
            found[-1] = _with(found[-1], number, line.strip().rstrip("\\"))
        more = line.rstrip().endswith("\\") and bool(found)
    return found


def _with(stanza: Stanza, number: int, option: str) -> Stanza:
    return stanza._replace(lines=(*stanza.lines, number), options=(*stanza.options, option))


def _about(stanza: Stanza, port: str) -> bool:
    return port in stanza.words[1:2] if stanza.words[0] == "iface" else port in stanza.words[1:]


def _commented(text: str, stanzas: list[Stanza], kept: Kept) -> str:
    lines = text.splitlines()
    for stanza in stanzas:
        ports = [port for port in kept.ports if _about(stanza, port)]
        if not ports or not (stanza.words[0] in ("iface", "auto") or stanza.words[0].startswith("allow-")):
            continue
        for number in stanza.lines:
            lines[number] = f"{_sign(kept.name)}{lines[number]}"
        if others := [word for word in stanza.words[1:] if word not in ports] if stanza.words[0] != "iface" else []:
            # They share the line with a port, and go on.
            lines[stanza.lines[0]] += f"\n{_instead(kept.name)}\n{' '.join((stanza.words[0], *others))}"
    return "".join(f"{line}\n" for line in lines)


def _uncommented(text: str, name: str) -> str:
    lines: list[str] = []
    kept_out = False
    for line in text.splitlines():
        if not kept_out and line not in (_instead(name), _source(name)):
            lines.append(line.removeprefix(_sign(name)))
        # The line behind this mark is kvist's.
        kept_out = line == _instead(name)
    return "".join(f"{line}\n" for line in lines)


def _sign(name: str) -> str:
    return f"#kvist-{name}# "


def _instead(name: str) -> str:
    return f"#kvist-{name}: without its ports"


def _source(name: str) -> str:
    return f"source {ROOM}/kvist-{name}"


def _reads_room(stanzas: list[Stanza]) -> bool:
    return any(
        stanza.words[0].startswith("source") and re.fullmatch(r"(?:/etc/network/)?interfaces\.d(?:/\*)?/?", word)
        for stanza in stanzas
        for word in stanza.words[1:]
    )


def _bridge(kept: Kept, carried: list[Stanza]) -> str:
    lines = [f"# {kept.mark}", f"auto {kept.name}"]
    made = ["pre-up ip link add name $IFACE type bridge || true"]
    if kept.mac:
        made.append(f"pre-up ip link set dev $IFACE address {kept.mac}")
    made.append(f"pre-up ip link set dev $IFACE type bridge stp_state {int(kept.stp)}")
    if kept.vlan_aware:
        made.append("pre-up ip link set dev $IFACE type bridge vlan_filtering 1")
    if kept.mtu:
        made.append(f"pre-up ip link set dev $IFACE mtu {kept.mtu}")
    made += [f"pre-up ip link set dev {port} up master $IFACE" for port in kept.ports]
    gone = ["post-down ip link delete dev $IFACE || true"]
    stanzas = [
        (f"iface {kept.name} {' '.join(each.words[2:])}", [one for one in each.options if one.split()[0] not in STAYS])
        for each in carried
    ] or _stanzas(kept)
    for number, (head, options) in enumerate(stanzas):
        # The bridge is made once, however many families its addresses have.
        lines += ["", head, *(f"    {one}" for one in (*(made if not number else ()), *options))]
        lines += [f"    {one}" for one in gone] if number == len(stanzas) - 1 else []
    return "\n".join(lines) + "\n"


def _stanzas(kept: Kept) -> list[tuple[str, list[str]]]:
    if kept.dhcp:
        return [(f"iface {kept.name} inet dhcp", [])]
    found: list[tuple[str, list[str]]] = []
    for address in kept.addresses:
        family = "inet6" if ":" in address else "inet"
        first = not any(head.endswith(f"{family} static") for head, _ in found)
        sign = ":" if family == "inet6" else "."
        options = [f"address {address}"]
        options += [f"gateway {each}" for each in kept.gateways if first and sign in each]
        options += [f"dns-nameservers {' '.join(kept.dns)}"] if kept.dns and not found else []
        found.append((f"iface {kept.name} {family} static", options))
    return found or [(f"iface {kept.name} inet manual", [])]
