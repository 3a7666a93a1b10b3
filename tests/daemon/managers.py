"""Programs that keep a host's network and packet filter: Debian's own, run by hand in a sandbox.

They are unpacked there and installed nowhere: a firewalld that is installed begins to filter the machine of whoever
runs the tests.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from kvist.host.bake.cache import directory
from kvist.host.bake.debs import Apt
from kvist.host.hand import Hand
from kvist.host.run import need, run
from kvist.sandbox.sandbox import Sandbox

SECONDS = 40.0


class Keeper(NamedTuple):
    """A sandbox, in which such programs are started."""

    sandbox: Sandbox
    hand: Hand

    def __call__(self, *argv: str, check: bool = True) -> str:
        return self.hand.run(list(argv), check=check).text.strip()

    def unpack(self, *packages: str) -> None:
        """Bring packages, and those that they need and the machine has not, into the private root."""
        asked = [need("apt-get", "apt"), "install", "--simulate", "--no-install-recommends", *packages]
        lacks = [line.split()[1] for line in run(asked).text.splitlines() if line.startswith("Inst ")]
        apt = Apt()
        files = apt.download(apt.resolve(lacks), directory().parent / "debs") if lacks else []
        for file in files:
            # dpkg-deb alone would put directories where a merged /usr has links.
            tree = run(["dpkg-deb", "--fsys-tarfile", str(file)]).out
            self.hand.run(["tar", "-C", "/", "-x", "--keep-directory-symlink"], input=tree)
        self("ldconfig")

    def start(self, *argv: str) -> None:
        """Start a program that stays; it ends with the sandbox, or by `stop`."""
        name = argv[0].rpartition("/")[2]
        self.hand.run(
            ["sh", "-c", f'setsid "$@" </dev/null >/var/log/{name}.out 2>&1 & echo $! >/run/{name}.test', "sh", *argv]
        )

    def stop(self, name: str) -> None:
        """End a program that `start` has started, and wait for its end."""
        pid = self("cat", f"/run/{name}.test")
        self("kill", pid)
        until(lambda: pid not in self.hand.names("/proc"), f"{name} to end")

    def bus(self) -> None:
        """Start D-Bus, and have libvirt see it, which looks for it once."""
        self("mkdir", "-p", "/run/dbus")
        self.start("dbus-daemon", "--system", "--nofork", "--nopidfile")
        until(lambda: self("busctl", "list", check=False) != "", "D-Bus")

    def libvirt_anew(self) -> None:
        """Let libvirtd end and be started again."""
        old = self("cat", "/run/libvirtd.pid")
        self("kill", old)
        until(lambda: self("cat", "/run/libvirtd.pid", check=False) not in ("", old), "another libvirtd")
        until(lambda: "active" in self("virsh", "-q", "net-list", check=False), "libvirtd")


def keeper(sandbox: Sandbox) -> Keeper:
    return Keeper(sandbox, Hand(prefix=sandbox.enter([]), root=str(sandbox.root)))


def until(holds: Callable[[], bool], what: str, within: float = SECONDS) -> None:
    """Wait until something holds."""
    end = time.monotonic() + within
    while not holds():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.2)
