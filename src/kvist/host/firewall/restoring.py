"""What puts kvist's packet rules in force again on a host: one program, called by libvirt's hooks and by systemd."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kvist.host.hand import Hand

DIRECTORY = "/etc/kvist"
OWN_TAP = "kv"
"""How the names begin that cards with a policy get for their interfaces."""
RESTORE = f"{DIRECTORY}/restore"
CROSSING = f"{DIRECTORY}/crossing.nft"
FIREWALL = f"{DIRECTORY}/firewall.nft"
FILTERS = f"{DIRECTORY}/firewall.filters"
"""Cards that have a filter of libvirt's for their policy, and the addresses that cards are known by."""
PASSES = f"{DIRECTORY}/passes"
"""Rules that let bridges by in chains of others: a line of program, bridge, chain and table for each."""
PARTS = (CROSSING, FIREWALL, FILTERS, PASSES)
"""What is put in force, as far as it is there."""
HOOKS = {
    f"/etc/libvirt/hooks/{kind}.d/kvist": f"hook_{kind}.sh" for kind in ("network", "qemu", "daemon")
}  # fmt: skip
RELOADED = "/etc/systemd/system/nftables.service.d/kvist.conf"
"""Debian's nftables.service flushes the rules of everybody when it is reloaded."""
DOCKER = "/etc/systemd/system/docker.service.d/kvist.conf"
"""Docker makes its chains when it is started, and after a boot that may be later than libvirt."""
DOCKERS = ("/usr/lib/systemd/system/docker.service", "/lib/systemd/system/docker.service")
WATCH = f"{DIRECTORY}/watch"
UNIT = "kvist-forwards.service"
WATCHED = f"/etc/systemd/system/{UNIT}"
WATCHING = "/run/kvist/watch.pid"
STOP = f"""pid=$(cat {WATCHING}) && grep -q {WATCH} "/proc/$pid/cmdline" && kill -- "-$pid"; rm -f {WATCHING}"""
"""Ends the watch with all that it has started: it leads a session of its own."""
FIREWALLD = "/etc/firewalld"
"""Is there where firewalld is installed."""
DAEMONS = ("libvirtd", "virtnetworkd", "virtqemud")


def install(hand: Hand) -> None:
    """Put the program and the hooks that call it where they belong."""
    lacks = lacking(hand)
    for path, text in lacks.items():
        hand.write(path, text, mode=0o755)
    if WATCH in lacks:
        # One of an older kvist's may run; `restore` begins the new one.
        _stop_watch(hand)
    if lacks.keys() & HOOKS.keys():
        _notice(hand)
    if "system" in hand.names("/run/systemd"):
        _install_units(hand)


def _install_units(hand: Hand) -> None:
    """Let systemd call us where others flush our rules: nftables.service, and firewalld, of which only D-Bus tells.

    Where there is no systemd, `restore` begins the watch on firewalld itself.
    """
    if hand.read(RELOADED) is None:
        hand.write(RELOADED, f"[Service]\nExecStartPost=-{RESTORE}\nExecReload=-{RESTORE}\n")
        hand.run(["systemctl", "daemon-reload"])
    if hand.read(PASSES) and hand.read(DOCKER) is None and any(hand.read(path) is not None for path in DOCKERS):
        hand.write(DOCKER, f"[Service]\nExecStartPost=-{RESTORE}\n")
        hand.run(["systemctl", "daemon-reload"])
    if hand.read(WATCHED) is None and hand.read(WATCH) is not None:
        hand.write(WATCHED, _source("watch.cfg"))
        hand.run(["systemctl", "enable", "--now", UNIT])


def _source(name: str) -> str:
    """Give a file that is put on hosts as it is."""
    return files("kvist.host.firewall").joinpath(name).read_text(encoding="utf-8")


def lacking(hand: Hand) -> dict[str, str]:
    """Give the programs that the host does not have as they should be, by path."""
    wanted = {path: _source(source) for path, source in ((RESTORE, "restore.sh"), *HOOKS.items())}
    if hand.names(FIREWALLD):
        wanted[WATCH] = _source("watch.sh")
    return {path: text for path, text in wanted.items() if hand.read(path) != text}


def release(hand: Hand, part: str, *others: str) -> None:
    """Put a part in force no longer: its files go, and with the last part the program and the hooks.

    None of them may bring back what goes now: it is for the caller to take it out of the kernel after this.
    """
    if part == PASSES:
        _drop_in(hand, DOCKER)
    if all(hand.read(other) is None for other in PARTS if other != part):
        for path in (*HOOKS, RESTORE):
            hand.remove(path)
        if hand.read(WATCHED) is not None:
            hand.run(["systemctl", "disable", "--now", UNIT])
            hand.remove(WATCHED)
        if hand.read(WATCH) is not None:
            hand.remove(WATCH)
            _stop_watch(hand)
        _drop_in(hand, RELOADED)
    for path in (part, *others):
        hand.remove(path)
    empty = (*(path.rpartition("/")[0] for path in HOOKS), "/etc/libvirt/hooks", DIRECTORY)
    # Those in which somebody else has something stay.
    hand.run(["rmdir", *empty], check=False)


def _drop_in(hand: Hand, path: str) -> None:
    """Take what kvist says of somebody's unit away."""
    if hand.read(path) is not None:
        hand.remove(path)
        hand.run(["rmdir", path.rpartition("/")[0]], check=False)
        hand.run(["systemctl", "daemon-reload"])


def _stop_watch(hand: Hand) -> None:
    hand.run(["sh", "-c", STOP], check=False)


def _notice(hand: Hand) -> None:
    """Let libvirt look for hooks: it does when it is started, and once more at SIGHUP."""
    for daemon in DAEMONS:
        pid = (hand.read(f"/run/{daemon}.pid") or "").strip()
        if pid.isdecimal():
            # It may have ended since: then it looks when it is started.
            hand.run(["sh", "-c", 'kill -HUP "$0"', pid], check=False)
