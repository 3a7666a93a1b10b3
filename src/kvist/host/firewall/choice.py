"""What policies stand on at a host: nft tables of kvist's own, or filters of libvirt's that are made from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from kvist.host.firewall.restoring import DIRECTORY, FILTERS, FIREWALL

if TYPE_CHECKING:
    from kvist.host.hand import Hand

NFT: Final = "nft"
NWFILTER: Final = "nwfilter"
Name = Literal["nft", "nwfilter"]
CHOICE = f"{DIRECTORY}/firewall.backend"
"""Says the one that somebody has chosen; not there where it is the usual one."""
OF_FILTER = "kvist-fw-"
"""How the names of filters begin that are made from policies."""
PROBE = b"add table bridge kvist-fw-probe\nadd table inet kvist-fw-probe\n"


def chosen(hand: Hand) -> Name:
    """Give what policies stand on: what somebody has chosen, else what those in force stand on, else the usual."""
    said = told(hand)
    if said is not None:
        return said
    if hand.read(FIREWALL) is None:
        return NWFILTER if hand.read(FILTERS) is not None else usual(hand)
    return NFT


def told(hand: Hand) -> Name | None:
    """Give what somebody has chosen; None where nobody has."""
    said = (hand.read(CHOICE) or "").strip()
    return NFT if said == NFT else NWFILTER if said == NWFILTER else None


def usual(hand: Hand) -> Name:
    """Give nft where it works on this host, and libvirt's filters where it does not."""
    return NWFILTER if lacking(hand) else NFT


def lacking(hand: Hand) -> str:
    """Say why nft does not work on this host; empty where it does, or where this user may not find out."""
    if not hand.has("nft"):
        return 'program "nft" is not installed on the host'
    tried = hand.run(["nft", "--check", "--file", "-"], input=PROBE, check=False)
    may = "not permitted" not in tried.complaint
    return f"the kernel takes no such tables: {tried.complaint}" if tried.code and may else ""


def choose(hand: Hand, name: Name | None) -> None:
    """Write down what is chosen; None for the usual one."""
    if name is None:
        hand.remove(CHOICE)
        hand.run(["rmdir", DIRECTORY], check=False)
    else:
        hand.write(CHOICE, f"{name}\n")


def filter_of(mac: str) -> str:
    """Give the name of the filter that says the policy of a card."""
    return OF_FILTER + mac.replace(":", "")
