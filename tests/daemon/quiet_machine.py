"""A machine on which nobody else works: namespaces around a test, so that "nothing is left" can be compared exactly.

Run as `unshare -m -u -i -n -p --fork --kill-child --mount-proc python quiet_machine.py VICTIM`: start a sandbox with a
guest, kill the victim, switch the sandbox off where that did not, and print what the machine was like before and after.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from kvist.host import kvm, namespaces
from kvist.host.run import run
from kvist.sandbox import reservation
from kvist.sandbox import sandbox as sandboxes
from kvist.sandbox.sandbox import Sandbox

GUEST = b"""
<domain type='qemu'>
  <name>guest</name>
  <memory unit='MiB'>16</memory>
  <os><type>hvm</type></os>
  <devices><interface type='network'><source network='default'/></interface><serial type='pty'/></devices>
</domain>
"""
WATCHED = ("/run", "/tmp", "/var/lib", "/etc/libvirt")
CODE = (Path(sandboxes.__file__).resolve().parents[2], Path(sys.prefix))
ENDS_ALL = ("first", "unshare")
"""Victims with which the whole sandbox has to go, without anybody's help."""


def snapshot() -> dict[str, list[str]]:
    """Describe everything a sandbox could leave behind."""
    tables = [["ip", "-br", "link"], ["nft", "list", "ruleset"], ["iptables-save"], ["ip6tables-save"]]
    return {
        **{argv[0]: [line for line in run(argv).text.splitlines() if not line.startswith("#")] for argv in tables},
        "processes": sorted(f"{pid} {command(pid)}" for pid in namespaces.processes()),
        "namespaces": sorted({one for pid in namespaces.processes() for one in namespaces.identities(pid)}),
        "mounts": Path("/proc/self/mountinfo").read_text().splitlines(),
        "files": sorted(files()),
        "names": reservation.names(),
    }


def files() -> Iterator[str]:
    for top in WATCHED:
        for directory, subdirectories, names in os.walk(top):
            subdirectories[:] = [name for name in subdirectories if Path(directory, name) not in CODE]
            yield from (f"{directory}/{name}" for name in (*subdirectories, *names))


def command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return "gone"


def make_private() -> None:
    """Cover what others write to, and give this machine a libvirt state that must not show in a sandbox."""
    # kvist's own code may be below what is covered: it is held elsewhere meanwhile, and put back to its place.
    namespaces.mount("held", "/mnt", "tmpfs")
    for number, code in enumerate(CODE):
        held = Path("/mnt", str(number))
        held.mkdir()
        namespaces.bind(code, held)
    for top in WATCHED:
        namespaces.mount("quiet", top, "tmpfs")
    for number, code in enumerate(CODE):
        if not code.exists():
            code.mkdir(parents=True)
            namespaces.bind(Path("/mnt", str(number)), code)
    for place in ("/etc/libvirt/qemu/own.xml", "/var/lib/libvirt/images/own.qcow2", "/run/libvirt/own"):
        Path(place).parent.mkdir(parents=True, exist_ok=True)
        Path(place).touch()


def victim(box: Sandbox, wanted: str) -> int:
    """Find the process to kill, by the machine's own number."""
    if wanted == "first":
        return box.pid
    if wanted == "unshare":
        return namespaces.parent(box.pid)
    inside = namespaces.identities(box.pid) - namespaces.identities()
    program = {"libvirtd": "libvirtd", "virtlogd": "virtlogd", "qemu": "qemu-system-", "dnsmasq": "dnsmasq"}[wanted]
    return next(pid for pid in namespaces.inhabitants(inside) if Path(command(pid).split()[0]).name.startswith(program))


def collect() -> None:
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return


def scenario(wanted: str) -> dict[str, object]:
    make_private()
    kvm.probe(own_node=True)  # its answer is kept in /run on purpose
    before = snapshot()
    box = sandboxes.up("leaky")
    shown = [
        place
        for place in ("/etc/libvirt/qemu/own.xml", "/var/lib/libvirt/images/own.qcow2", "/run/libvirt/own")
        if (box.root / place.lstrip("/")).exists()
    ]
    run(box.enter(["virsh", "create", "/dev/stdin"]), input=GUEST)
    during = snapshot()
    inside = namespaces.identities(box.pid) - namespaces.identities()
    if wanted != "none":
        os.kill(victim(box, wanted), signal.SIGKILL)
    if wanted in ENDS_ALL:
        deadline = time.monotonic() + 10
        while namespaces.inhabitants(inside) and time.monotonic() < deadline:
            time.sleep(0.01)
    was_up = sandboxes.down("leaky")
    if wanted in ENDS_ALL:
        # Here this process is everybody's last parent, and has to ask for their end.
        deadline = time.monotonic() + 2
        while snapshot()["processes"] != before["processes"] and time.monotonic() < deadline:
            sandboxes.down("leaky")
            collect()
    return {"before": before, "during": during, "after": snapshot(), "was_up": was_up, "shown": shown}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(scenario(sys.argv[1])))
