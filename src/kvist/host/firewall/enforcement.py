"""Put on a host what kvist lets cross it, see whether it is in force, and take it away without a trace."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from kvist.errors import Denied, Unsupported
from kvist.host.firewall import nft, restoring
from kvist.host.firewall.crossing import OURS, TABLE, Crossing
from kvist.host.firewall.nft import mark, one_of

if TYPE_CHECKING:
    from kvist.host.hand import Hand
    from kvist.values import Mac

RULES = restoring.CROSSING
PORTS = f"{restoring.DIRECTORY}/crossing.ports"
RESTORE = restoring.RESTORE
WHY = "kvist: port forwards and exposed networks"
PASS = ("-m", "connmark", "--mark", f"{OURS:#010x}/{OURS:#010x}", "-m", "comment", "--comment", WHY, "-j", "ACCEPT")
LIBVIRTS = ("ip", "libvirt_network", "forward")
"""Where libvirt has its rules when its firewall_backend is nftables, since 10.4."""


def written(hand: Hand) -> bool:
    """Tell whether the host has anything of this."""
    return hand.read(RULES) is not None


def enforce(hand: Hand, wanted: Crossing) -> None:
    """Make the host let through what is wanted, now and after restarts; with nothing wanted nothing is left of it."""
    before = _ports(hand)
    wanted = wanted.remembering(told(hand))
    if not wanted.openings and not wanted.exposures:
        _dismantle(hand, before)
        return
    after = [(card.bridge, _tail(card.mac)) for card in wanted.cards]
    text = wanted.table().text()
    # Tried before anything is written: what a kernel or nft of another age does not take changes nothing.
    hand.run(["nft", "--check", "--file", "-"], input=text.encode())
    hand.write(RULES, text)
    if after:
        hand.write(PORTS, "".join(f"{bridge} {card}\n" for bridge, card in after))
    else:
        hand.remove(PORTS)
    _close(hand, [each for each in before if each not in after], {bridge for bridge, _ in after})
    restoring.install(hand)
    hand.run([RESTORE])
    left = {card for _, card in before} & {card for _, card in set(after) - set(before)}
    for card in wanted.cards:
        if _tail(card.mac) in left:
            # It is on another bridge now: what was learnt of it there is wrong here.
            for known in ("leased", "seen"):
                hand.run(["nft", "delete", "element", "inet", TABLE, known, one_of((mark(card.key),))], check=False)


def intact(hand: Hand, wanted: Crossing) -> str:
    """Say what of it is not as wanted on the host; empty when all is."""
    table = wanted.table()
    if _rules(hand.read(RULES) or "") != _rules(table.text()):
        return "the host's copy of it is not there or says otherwise"
    if lacking := restoring.lacking(hand):
        return f"{next(iter(lacking))} is not there or not kvist's"
    found = nft.loaded(hand, TABLE)
    if found is None or found.rules != {chain.name: len(chain.rules) for chain in table.chains}:
        return f"table {TABLE} was flushed or changed"
    if not _passes(hand):
        return "the rule that lets them pass those of libvirt is gone, or behind them"
    return _closed(hand, [(card.bridge, _tail(card.mac)) for card in wanted.cards])


def _passes(hand: Hand) -> bool:
    """Tell whether what is marked passes libvirt's rules, in either of the forms that libvirt writes."""
    if hand.has("iptables"):
        lines = hand.run(["iptables", "-w", "10", "-S", "FORWARD"], check=False).text.splitlines()
        first = next((line for line in lines if WHY in line or "-j LIBVIRT_" in line), "")
        if WHY not in first:
            return False
    theirs = hand.run(["nft", "list", "chain", *LIBVIRTS], check=False)
    return bool(theirs.code) or WHY in theirs.text


def _closed(hand: Hand, ports: list[tuple[str, str]]) -> str:
    """Name a bridge or port that was made anew since, and so lacks what a forward needs of it; empty when none was."""
    for bridge in dict.fromkeys(bridge for bridge, _ in ports):
        if (hand.read(_localnet(bridge)) or "").strip() == "0":
            return f"bridge {bridge} was made anew"
    plugged = json.loads(hand.run(["ip", "-json", "-details", "link", "show", "type", "tun"]).text or "[]")
    for link in filter(None, plugged):
        known = (str(link.get("master", "")), str(link.get("address", ""))[3:]) in ports
        if known and not link.get("linkinfo", {}).get("info_slave_data", {}).get("hairpin", True):
            return f"port {link['ifname']} was plugged anew"
    return ""


def whereabouts(hand: Hand) -> dict[int, str]:
    """Give the address that forwards to each card lead to at this moment, by the card's key."""
    found = nft.loaded(hand, TABLE) if written(hand) else None
    maps = found.maps if found else {}
    return {**maps.get("told", {}), **maps.get("seen", {}), **maps.get("leased", {})}


def _rules(text: str) -> list[str]:
    """Give what a table says, less the addresses that were told: the kernel learns those anew."""
    return [line for line in text.splitlines() if not line.startswith("add element ")]


def told(hand: Hand) -> dict[int, str]:
    """Give the addresses that kvist's own copy of the table has, by the card's key."""
    found: dict[int, str] = {}
    for line in (hand.read(RULES) or "").splitlines():
        if line.startswith(f"add element inet {TABLE} told "):
            key, _, address = line.partition("{ ")[2].removesuffix(" }").partition(" : ")
            found[int(key, 16)] = address
    return found


def _dismantle(hand: Hand, before: list[tuple[str, str]]) -> None:
    restoring.release(hand, RULES, PORTS)
    _close(hand, before, set())
    if nft.loaded(hand, TABLE) is not None:
        hand.run(["nft", "delete", "table", "inet", TABLE])
    # Each of them ends with an error when there is none left.
    while hand.has("iptables") and not hand.run(["iptables", "-w", "10", "-D", "FORWARD", *PASS], check=False).code:
        continue
    for handle in _inserted(hand):
        hand.run(["nft", "delete", "rule", *LIBVIRTS, "handle", str(handle)])


def _inserted(hand: Hand) -> list[int]:
    """Give the handles of our rules in libvirt's table."""
    done = hand.run(["nft", "-j", "list", "chain", *LIBVIRTS], check=False)
    told = json.loads(done.text)["nftables"] if done.code == 0 else []
    return [each["rule"]["handle"] for each in told if each.get("rule", {}).get("comment") == WHY]


def _close(hand: Hand, gone: list[tuple[str, str]], kept: set[str]) -> None:
    for bridge, card in gone:
        if bridge not in kept and hand.read(_localnet(bridge)) == "1\n":
            hand.write(_localnet(bridge), "0\n")
        for port in hand.names(f"/sys/class/net/{bridge}/brif"):
            if (hand.read(f"/sys/class/net/{port}/address") or "").strip()[3:] == card:
                hand.write(f"/sys/class/net/{bridge}/brif/{port}/hairpin_mode", "0\n")


def _ports(hand: Hand) -> list[tuple[str, str]]:
    """Give the bridges and cards that the host's copy names."""
    pairs = (line.split() for line in (hand.read(PORTS) or "").splitlines())
    return [(words[0], words[1]) for words in pairs if len(words) == 2]


def _tail(mac: Mac) -> str:
    """Give what a card and its tap have in common: libvirt makes the first byte of the tap's address another."""
    return mac[3:]


def _localnet(bridge: str) -> str:
    return f"/proc/sys/net/ipv4/conf/{bridge}/route_localnet"


def check_tools(hand: Hand) -> None:
    """Raise Unsupported when the host lacks a program that this needs, Denied when this user may not use it."""
    if not hand.has("nft"):
        raise Unsupported('program "nft" is not installed on the host', hint="apt install nftables")
    if hand.run(["id", "-u"]).text.strip() != "0":
        raise Denied("the firewall of the host is root's", hint="sudo kvist forward add 8080 web:80")
