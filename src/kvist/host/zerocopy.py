"""Zero-copy of vhost_net: whether the kernel sends packets of guests straight from their memory.

It is a parameter of a module, which the kernel reads when the module is loaded. Source: Linux, drivers/vhost/net.c,
experimental_zcopytx.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from kvist.errors import Unsupported
from kvist.host.net.passage import asked

if TYPE_CHECKING:
    from kvist.host.hand import Hand

MODULE = "vhost_net"
PARAMETER = "experimental_zcopytx"
VALUE = f"/sys/module/{MODULE}/parameters/{PARAMETER}"
DIRECTORY = "/etc/modprobe.d"
KEPT = f"{DIRECTORY}/kvist.conf"
"""The file that says it at each load. Source: modprobe.d(5)."""
HEADER = "# Set by kvist; see `kvist log`.\n"
DEVICE = "/dev/vhost-net"
_OPTION = re.compile(rf"^\s*options\s+vhost[_-]net\s(?:.*\s)?{PARAMETER}=(\S+)", re.MULTILINE)
_GUEST = re.compile(r"\0guest=([^,\0]+)")


class Zerocopy(NamedTuple):
    """What a host says of it."""

    now: str = ""
    """1 or 0; empty where the module is not loaded, or has no such parameter."""
    loaded: bool = False
    builtin: bool = False
    """The module is part of the kernel."""
    known: bool = False
    """There is such a module."""
    used: bool = False
    """Somebody uses the loaded module, so that it cannot be loaded anew."""


def now(hand: Hand) -> str:
    """Give the value that is in force; empty where the module is not loaded, or has no such parameter."""
    return (hand.read(VALUE) or "").strip()


def look(hand: Hand) -> Zerocopy:
    """Look whether the host has the module, whether it is in use, and what it says."""
    value = now(hand)
    # It is there for what was loaded, and not for what is part of the kernel.
    count = hand.read(f"/sys/module/{MODULE}/refcnt")
    if count is not None:
        return Zerocopy(value, loaded=True, known=True, used=count.strip() != "0")
    if value:
        return Zerocopy(value, builtin=True, known=True)
    told = asked(hand, "modprobe", "--show-depends", MODULE)
    return Zerocopy(builtin=f"builtin {MODULE}" in (told or ""), known=told is not None)


def need(seen: Zerocopy, value: str) -> None:
    """Raise Unsupported where the host cannot come to this value, with the way that there is."""
    if not seen.known:
        raise Unsupported(
            f"the kernel of the host has no {MODULE}, by which it could send packets of guests",
            hint=f"modprobe {MODULE} says why; nothing is lost but speed: guests are served by QEMU",
        )
    if (seen.loaded or seen.builtin) and not seen.now:
        raise Unsupported(f"{MODULE} of the host's kernel knows no zero-copy: it has no parameter {PARAMETER}")
    if seen.builtin and seen.now != value:
        raise Unsupported(
            f"{MODULE} is part of the host's kernel, which reads {PARAMETER} when it starts, and never again",
            hint=f"add {MODULE}.{PARAMETER}={value} to the kernel's command line, and start the host anew",
        )


def kept(text: str | None) -> str | None:
    """Give the value that a file of modprobe's says; None where it says none."""
    found = _OPTION.findall(text or "")
    return str(found[-1]) if found else None


def keeping(text: str | None, value: str) -> str:
    """Give kvist's file with this value; what else stands in it stays."""
    line = f"options {MODULE} {PARAMETER}={value}"
    if kept(text) is None:
        return f"{text or HEADER}{line}\n"
    return re.sub(rf"({PARAMETER}=)\S+", rf"\g<1>{value}", text or "")


def overruled(hand: Hand, value: str) -> str:
    """Name the file that says otherwise and is read later; empty when none does."""
    for name in hand.names(DIRECTORY):
        if name.endswith(".conf") and name > KEPT.rpartition("/")[2]:
            said = kept(hand.read(f"{DIRECTORY}/{name}"))
            if said not in (None, value):
                return f"{DIRECTORY}/{name}"
    words = (hand.read("/proc/cmdline") or "").replace("vhost-net.", "vhost_net.").split()
    told = [word for word in words if word.startswith(f"{MODULE}.{PARAMETER}=")]
    return "/proc/cmdline" if told and told[-1].partition("=")[2] != value else ""


def users(hand: Hand) -> list[str]:
    """Name the guests whose packets the module carries at this moment, and processes that are no guests by number."""
    where = ("find", "/proc", "-mindepth", "3", "-maxdepth", "3", "-path", "/proc/*/fd/*", "-lname", DEVICE)
    # Processes that end meanwhile make it complain.
    numbers = {path.split("/")[2] for path in hand.run([*where], check=False).text.split()}
    names = set()
    for number in numbers - {"self", "thread-self"}:
        found = _GUEST.search(hand.read(f"/proc/{number}/cmdline") or "")
        names.add(found[1] if found else f"process {number}")
    return sorted(names)


def reload(hand: Hand) -> None:
    """Load the module anew, so that it reads what modprobe's files say."""
    unload(hand)
    hand.run(["modprobe", MODULE])


def unload(hand: Hand) -> None:
    """Take the module out of the kernel; one that is out stays out."""
    hand.run(["modprobe", "-r", MODULE])
