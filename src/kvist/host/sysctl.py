"""Settings of a host's kernel: read, set now, and kept for its next boot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvist.errors import Failed

if TYPE_CHECKING:
    from kvist.host.hand import Hand

KEPT = "/etc/sysctl.d/90-kvist.conf"
"""The file that says them at boot. Source: sysctl.d(5)."""

HEADER = "# Set by kvist; see `kvist log`.\n"


def path(key: str) -> str:
    """Give the file of the kernel's that has a setting: net.ipv4.ip_forward is /proc/sys/net/ipv4/ip_forward."""
    return f"/proc/sys/{key.replace('.', '/')}"


def read(hand: Hand, key: str) -> str:
    """Give what the kernel says now; empty when it has no such setting."""
    return (hand.read(path(key)) or "").strip()


def kept(hand: Hand) -> dict[str, str]:
    """Give the settings that kvist keeps for the next boot."""
    pairs = (line.partition("=") for line in (hand.read(KEPT) or "").splitlines() if "=" in line and line[0] != "#")
    return {key.strip(): value.strip() for key, _, value in pairs}


def overruled(hand: Hand, key: str, value: str) -> str:
    """Name the file that says otherwise and is read later at boot; empty when none does."""
    ours = KEPT.rpartition("/")[2]
    later = [name for name in hand.names("/etc/sysctl.d") if name > ours and name.endswith(".conf")]
    for file in (*(f"/etc/sysctl.d/{name}" for name in later), "/etc/sysctl.conf"):
        for line in (hand.read(file) or "").splitlines():
            name, _, said = line.partition("=")
            if name.strip().replace("/", ".") == key and said.strip() != value:
                return file
    return ""


def put(hand: Hand, key: str, value: str) -> None:
    """Set it now and read it back. Raises Failed when the kernel did not take it."""
    hand.write(path(key), value)
    if (now := read(hand, key)) != value:
        raise Failed(f"the kernel did not take {key} = {value}: it is {now or 'unknown'}")


def keep(hand: Hand, key: str, value: str | None) -> None:
    """Keep it for the next boot, or with None no longer; a file that says nothing any more goes."""
    settings = {name: said for name, said in kept(hand).items() if name != key}
    if value is not None:
        settings[key] = value
    if settings:
        hand.write(KEPT, HEADER + "".join(f"{name} = {said}\n" for name, said in sorted(settings.items())))
    else:
        hand.remove(KEPT)
