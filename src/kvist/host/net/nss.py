"""The name services of a host: where its programs look names up."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from kvist.errors import Unsupported

if TYPE_CHECKING:
    from kvist.host.hand import Hand

CONF = "/etc/nsswitch.conf"
GUESTS = ("libvirt", "libvirt_guest")
"""Names that guests told the DHCP server, and names of VMs. Source: https://libvirt.org/nss.html"""
PACKAGE = "libnss-libvirt"
_HOSTS = re.compile(r"^(\s*hosts:[ \t]*)(.*)$", re.MULTILINE)


def services(text: str) -> list[str]:
    """List the services that names of hosts are looked up in, in order; nsswitch.conf(5)."""
    found = _HOSTS.search(text)
    return found[2].partition("#")[0].split() if found else ["files", "dns"]


def with_guests(text: str, *, on: bool) -> str:
    """Give the text with the names of guests looked up, or not: after the host's own file, before name servers."""
    others = [word for word in services(text) if word not in GUESTS]
    place = others.index("files") + 1 if "files" in others else 0
    wanted = [*others[:place], *GUESTS, *others[place:]] if on else others
    if wanted == services(text):
        return text
    line = f"hosts:          {' '.join(wanted)}"
    return _HOSTS.sub(line, text, count=1) if _HOSTS.search(text) else f"{text.rstrip()}\n{line}\n".lstrip()


def need_module(hand: Hand) -> None:
    """Raise Unsupported where the host has no module that knows the names of guests."""
    if f"libnss_{GUESTS[1]}." not in hand.run(["ldconfig", "-p"]).text:
        raise Unsupported("this host cannot look up names of guests: its module is not installed",
                          hint=f"apt install {PACKAGE}")  # fmt: skip
