"""The chains that libvirt's filters become in the kernel: those of ebtables and of iptables, one set for each card."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from kvist.host.hand import Hand

FROM, TO = "I", "O"
"""What libvirt calls the chains of ebtables for what a card sends, and for what comes to it."""
_COUNTED = re.compile(r"\[(\d+):\d+\] -A ([FH][IO])-(\S+) (.*)")
_ENTRY = re.compile(r"\[(\d+):\d+\] -A (FORWARD|INPUT) -j (libvirt-\S+)")
_COMMENT = re.compile(r'--comment ("[^"]*"|\S+)')


class Installed(NamedTuple):
    """One rule of a card, as the kernel has it."""

    tap: str
    chain: str
    """I or O of ebtables; FI, FO or HI of iptables: from the card, to the card, from the card to the host.

    FORWARD and INPUT are of no card: by these rules the kernel comes to the chains of all cards.
    """
    comment: str
    packets: int
    text: str


def installed(hand: Hand) -> list[Installed]:
    """List the rules of all cards that libvirt's filters are bound to, each chain in its order.

    Raises CommandFailed for a user who may not see them.
    """
    found: list[Installed] = []
    if hand.has("ebtables"):
        found += _frames(hand.run(["ebtables", "-t", "nat", "-L", "--Lc"]).text)
    for program, version in (("iptables-save", "ip"), ("ip6tables-save", "ip6")):
        if hand.has(program):
            found += _packets(hand.run([program, "-c", "-t", "filter"]).text, version)
    return found


def _frames(listing: str) -> list[Installed]:
    found: list[Installed] = []
    chain = tap = ""
    for line in listing.splitlines():
        if line.startswith("Bridge chain: "):
            name = line.removeprefix("Bridge chain: ").partition(",")[0]
            ours = name.startswith(("libvirt-I-", "libvirt-O-"))
            chain, tap = (name[8], name[10:]) if ours else ("", "")
        elif chain and " , pcnt = " in line:
            text, _, counted = line.partition(" , pcnt = ")
            found.append(Installed(tap, chain, "", int(counted.split()[0]), f"bridge {text}"))
    return found


def _packets(listing: str, version: str) -> list[Installed]:
    found: list[Installed] = []
    for line in listing.splitlines():
        if entry := _ENTRY.fullmatch(line):
            found.append(Installed("", entry[2], "", int(entry[1]), f"{version} -j {entry[3]}"))
        elif told := _COUNTED.fullmatch(line):
            packets, chain, tap, text = told.groups()
            comment = _COMMENT.search(text)
            said = comment[1].strip('"') if comment else ""
            found.append(Installed(tap, chain, said, int(packets), f"{version} {text}"))
    return found
