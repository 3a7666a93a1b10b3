"""Kernel arguments for an installer on a serial console: where it speaks, where its packages are, its address."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from kvist.errors import Invalid
from kvist.guest.installer import ALPINE, ANACONDA, ARCH, CASPER, DEBIAN, SUSE, Installer
from kvist.values import Cidr

SERIAL = {"aarch64": "ttyAMA0", "armv7l": "ttyAMA0", "ppc64le": "hvc0", "ppc64": "hvc0", "s390x": "ttysclp0"}
"""Names of the first serial line where it is not ttyS0."""


class Static(NamedTuple):
    """An address that the installer is to use instead of DHCP."""

    address: Cidr
    gateway: str = ""
    dns: Sequence[str] = ()

    @property
    def netmask(self) -> str:
        """The prefix as older programs want it: 255.255.255.0; the bare prefix for IPv6."""
        from ipaddress import ip_interface

        interface = ip_interface(str(self.address))
        return str(interface.netmask) if interface.version == 4 else str(self.address.prefix)


def serial(arch: str) -> str:
    """Name the guest's first serial line, as `console=` wants it."""
    return SERIAL.get(arch, "ttyS0")


def arguments(
    installer: Installer,
    *,
    url: str | None = None,
    static: Static | None = None,
    hostname: str = "",
    graphics: bool = False,
    extra: Sequence[str] = (),
) -> list[str]:
    """Give the arguments for an installer's kernel, those of the user last, where they win.

    `url` is the tree that its packages come from, when that is a web server. With `graphics` the screen shows the
    kernel's messages as well. Debian and Ubuntu hand what stands behind `---` on to the installed system.
    """
    line = serial(installer.arch)
    console = [*(["console=tty0"] if graphics else []), f"console={line}"]
    own = [*console, *_FAMILIES[installer.family](installer, url), *_network(installer, static, hostname)]
    if installer.family not in {DEBIAN, CASPER}:
        return [*own, *extra]
    before, after = list(extra), list[str]()
    if "---" in extra:
        cut = before.index("---")
        before, after = before[:cut], before[cut + 1 :]
    return [*own, *before, "---", *console, *after]


def _anaconda(installer: Installer, url: str | None) -> list[str]:
    old = _major(installer) in range(1, 7) and installer.distribution != "fedora"
    prefix = "" if old else "inst."
    words = [f"{prefix}text"]
    if url:
        words.append(f"{prefix}repo={url}")
    elif installer.labels.volume and not old:
        # Found on whatever bus the medium is; the label's spaces would end the word.
        words.append("inst.stage2=hd:LABEL=" + installer.labels.volume.replace(" ", r"\x20"))
    return words


def _debian(_installer: Installer, _url: str | None) -> list[str]:
    # The frame buffer would be probed in vain, and its absence is no reason to stop.
    return ["fb=false"]


def _casper(_installer: Installer, url: str | None) -> list[str]:
    return [f"url={url}"] if url and url.endswith(".iso") else []


def _suse(_installer: Installer, url: str | None) -> list[str]:
    return ["textmode=1", *([f"install={url}"] if url else [])]


def _alpine(_installer: Installer, url: str | None) -> list[str]:
    words = ["modules=loop,squashfs,sd-mod,usb-storage"]
    return [*words, f"alpine_repo={url}"] if url else words


def _arch(installer: Installer, url: str | None) -> list[str]:
    words = ["archisobasedir=arch"]
    if url:
        words.append(f"archiso_http_srv={url.rstrip('/')}/")
    elif installer.labels.volume:
        words.append(f"archisolabel={installer.labels.volume}")
    return words


_FAMILIES = {
    ANACONDA: _anaconda,
    DEBIAN: _debian,
    CASPER: _casper,
    SUSE: _suse,
    ALPINE: _alpine,
    ARCH: _arch,
}


def _network(installer: Installer, static: Static | None, hostname: str) -> list[str]:
    if installer.family == DEBIAN:
        named = [f"hostname={hostname}", "domain="] if hostname else []
        return [*named, *(_netcfg(static) if static else [])]
    if static is None:
        return [f"hostname={hostname}"] if hostname and installer.family == SUSE else []
    if installer.family == SUSE:
        # https://en.opensuse.org/SDB:Linuxrc: ifcfg=INTERFACE=ADDRESSES,GATEWAYS,NAMESERVERS
        fields = ",".join((str(static.address), static.gateway, " ".join(static.dns))).rstrip(",")
        quoted = f'"ifcfg=*={fields}"' if " " in fields else f"ifcfg=*={fields}"
        return [quoted, *([f"hostname={hostname}"] if hostname else [])]
    word = _ip(static, hostname)
    if installer.family == ANACONDA:
        return [word, *(f"nameserver={server}" for server in static.dns)]
    if ":" in static.address.address:
        raise Invalid(
            f'this installer takes no IPv6 address such as "{static.address}" on its kernel\'s line', path="ip"
        )
    # klibc's and busybox's form has room for two name servers at its end.
    return [":".join((word, *static.dns[:2]))]


def _ip(static: Static, hostname: str) -> str:
    """Write dracut.cmdline(7)'s and the kernel's `ip=`: client, server, gateway, mask, host, interface, autoconf."""
    return f"ip={_bracketed(static.address.address)}::{_bracketed(static.gateway)}:{static.netmask}:{hostname}::none"


def _netcfg(static: Static) -> list[str]:
    words = [
        "netcfg/disable_autoconfig=true",
        f"netcfg/get_ipaddress={static.address.address}",
        f"netcfg/get_netmask={static.netmask}",
        f"netcfg/get_gateway={static.gateway or 'none'}",
        # One only: a kernel argument ends at a space, which is what parts them.
        f"netcfg/get_nameservers={static.dns[0] if static.dns else static.gateway}",
        "netcfg/confirm_static=true",
    ]
    if ":" in static.address.address:
        # netcfg wants the prefix inside the address then.
        words[1:3] = [f"netcfg/get_ipaddress={static.address}"]
    return words


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _major(installer: Installer) -> int:
    digits = installer.version.split(".", 1)[0]
    return int(digits) if digits.isdigit() else 0
