"""What a host's distribution calls what VMs need, and how it installs it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from kvist.errors import Unsupported

if TYPE_CHECKING:
    from kvist.host.hand import Hand

RELEASE = ("/etc/os-release", "/usr/lib/os-release")
"""Source: os-release(5)."""
MONOLITHIC: tuple[str, ...] = ("libvirtd.service",)
MODULAR = tuple(
    f"virt{part}d.socket" for part in ("qemu", "network", "nodedev", "nwfilter", "secret", "storage", "log")
)
"""A daemon for each part, which its socket starts. Source: https://libvirt.org/daemons.html"""


class Family(NamedTuple):
    """Distributions whose packages have the same names and are installed the same way."""

    name: str
    ids: tuple[str, ...]
    """As os-release calls them, in ID or ID_LIKE."""
    common: tuple[str, ...]
    by_arch: Mapping[str, tuple[str, ...]]
    """Emulator and firmware for guests of the host's own architecture."""
    query: tuple[str, ...]
    """Asks which packages are there; their names follow."""
    lacking: Callable[[str, Sequence[str]], list[str]]
    """Reads the answer: what of these is not there."""
    refresh: tuple[str, ...]
    install: tuple[str, ...]
    """Installs without asking; names follow."""


class Distribution(NamedTuple):
    """The distribution of a host."""

    family: Family
    title: str
    packages: tuple[str, ...]
    """What VMs need there."""
    units: tuple[str, ...]
    """What systemd has to run there."""

    def missing(self, hand: Hand) -> list[str]:
        """List the packages that the host lacks."""
        told = hand.run([*self.family.query, *self.packages], check=False)
        return self.family.lacking(told.text, self.packages)


def _dpkg(text: str, names: Sequence[str]) -> list[str]:
    there = {line.partition(":")[0] for line in text.splitlines() if line.endswith(":installed")}
    return [name for name in names if name not in there]


def _rpm(text: str, names: Sequence[str]) -> list[str]:
    gone = set(re.findall(r"^no package provides (\S+)$", text, re.MULTILINE))
    return [name for name in names if name in gone]


def _pacman(text: str, names: Sequence[str]) -> list[str]:
    return [name for name in names if name in text.split()]


RPM = ("env", "LC_ALL=C", "rpm", "-q", "--whatprovides")
FAMILIES = (
    Family(
        "Debian",
        ("debian", "ubuntu"),
        (
            *("libvirt-daemon", "libvirt-daemon-system", "libvirt-clients", "qemu-utils", "dnsmasq-base", "nftables"),
            *("iptables", "iproute2", "acl", "swtpm", "swtpm-tools", "libnss-libvirt"),
        ),
        {"x86_64": ("qemu-system-x86", "ovmf", "seabios"), "aarch64": ("qemu-system-arm", "qemu-efi-aarch64")},
        ("dpkg-query", "-W", "-f", "${Package}:${db:Status-Status}\\n"),
        _dpkg,
        ("apt-get", "update"),
        ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "--no-install-recommends"),
    ),
    Family(
        "Red Hat",
        ("fedora", "rhel", "centos"),
        ("libvirt-daemon-kvm", "libvirt-client", "qemu-img", "dnsmasq", "nftables", "iptables", "iproute", "acl"),
        {"x86_64": ("qemu-kvm",), "aarch64": ("qemu-kvm",)},
        RPM,
        _rpm,
        (),
        ("dnf", "-y", "install"),
    ),
    Family(
        "SUSE",
        ("suse", "opensuse", "sles"),
        (
            *("libvirt-daemon-qemu", "libvirt-client", "libvirt-daemon-config-network", "qemu-tools", "dnsmasq"),
            *("nftables", "iptables", "iproute2", "acl", "swtpm"),
        ),
        {"x86_64": ("qemu-x86", "qemu-ovmf-x86_64"), "aarch64": ("qemu-arm", "qemu-uefi-aarch64")},
        RPM,
        _rpm,
        ("zypper", "--non-interactive", "refresh"),
        ("zypper", "--non-interactive", "install", "--no-recommends"),
    ),
    Family(
        "Arch",
        ("arch",),
        ("libvirt", "dnsmasq", "nftables", "iptables", "iproute2", "acl", "swtpm"),
        {"x86_64": ("qemu-base", "edk2-ovmf"), "aarch64": ("qemu-system-aarch64", "edk2-aarch64")},
        ("pacman", "-T"),
        _pacman,
        (),
        ("pacman", "-S", "--needed", "--noconfirm"),
    ),
)
NEWER = ("swtpm", "swtpm-tools", "libvirt-nss", "edk2-ovmf")
"""What Red Hat's has since its eighth."""


def look(hand: Hand) -> Distribution:
    """Find out which distribution a host has. Raises Unsupported for one whose packages are not known."""
    told = release(next((text for path in RELEASE if (text := hand.read(path)) is not None), ""))
    ids = [told.get("ID", ""), *told.get("ID_LIKE", "").split()]
    title = told.get("PRETTY_NAME") or told.get("NAME") or ids[0] or "a distribution without os-release"
    # SUSE's call themselves opensuse-leap, opensuse-tumbleweed.
    words = [part for each in ids for part in (each, each.partition("-")[0])]
    family = next((each for word in words for each in FAMILIES if word in each.ids), None)
    if family is None:
        raise Unsupported(
            f"kvist does not know the packages of {title}",
            hint="install QEMU, libvirt with its QEMU driver, dnsmasq and nftables, then: kvist host check",
        )
    arch = hand.run(["uname", "-m"]).text.strip()
    if arch not in family.by_arch:
        raise Unsupported(f"kvist does not know the packages of {title} for {arch}")
    packages, units = (*family.common, *family.by_arch[arch]), MONOLITHIC
    if family.name == "Red Hat":
        version = int(re.match(r"\d*", told.get("VERSION_ID", ""))[0] or 99)  # type: ignore[index] # it fits always
        old = 8 if ids[0] != "fedora" else 0
        if version >= old:
            packages = (*packages, *(each for each in NEWER if arch == "x86_64" or each != "edk2-ovmf"))
        else:
            family = family._replace(install=("yum", "-y", "install"))
        if version >= (9 if old else 35):
            units = MODULAR
    return Distribution(family, title, packages, units)


def release(text: str) -> dict[str, str]:
    """Read os-release."""
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line and not line.startswith("#"))
    return {name.strip(): " ".join(shlex.split(value)) for name, _, value in pairs}
