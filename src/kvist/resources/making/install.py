"""Start an installer by its own kernel, so that it talks on the serial console from its first line."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

from kvist.guest import bootline, installer
from kvist.guest.media import opened
from kvist.specs.nic import Nic
from kvist.specs.vm import Vm
from kvist.values import Cidr

if TYPE_CHECKING:
    from kvist.resources.devices.disk import Disks
    from kvist.resources.making.wish import Wish


class Installation(NamedTuple):
    """What a VM has during its installation only: kernel, initrd and their arguments."""

    kernel: str
    initrd: str
    cmdline: str

    @classmethod
    def plan(cls, wish: Wish, found: installer.Installer, disks: Disks, nics: Sequence[Nic]) -> Self:
        """Fetch kernel and initrd here, and plan to bring them to the host."""
        source = str(wish.install)
        web = source.startswith(("http://", "https://"))
        with opened(source) as tree:
            kernel, initrd = installer.extract(tree, found, _kept(source))
        if found.medium and not web and Path(source).is_file():
            disks.medium(source, "--install")
        words = bootline.arguments(
            found,
            url=source if web else None,
            static=_static(nics),
            hostname=wish.hostname or "",
            graphics=wish.graphics is not None and wish.graphics.type is not None,
            extra=[word for text in wish.extra_args for word in text.split()],
        )
        return cls(disks.upload(kernel, "install-kernel"), disks.upload(initrd, "install-initrd"), " ".join(words))

    def applied(self, vm: Vm) -> Vm:
        """Give the VM as it is while it is installed: the reboot at the end switches it off for its first start."""
        return vm.replace(kernel=self.kernel, initrd=self.initrd, cmdline=self.cmdline, on_reboot="destroy")


def _kept(source: str) -> Path:
    from os import environ

    base = Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    where = base / "kvist" / "installers" / sha256(source.encode()).hexdigest()[:16]
    where.mkdir(parents=True, exist_ok=True)
    return where


def _static(nics: Sequence[Nic]) -> bootline.Static | None:
    for nic in nics:
        if nic.ip and "/" in str(nic.ip):
            return bootline.Static(Cidr.parse(str(nic.ip)), nic.gateway or "", nic.dns or ())
    return None
