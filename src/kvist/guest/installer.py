"""Find the kernel and initrd of an installer, and tell which system it installs.

Red Hat's family says so in a .treeinfo (https://release-engineering.github.io/productmd/treeinfo-1.0.html); the
others are known by where their files lie.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from kvist.errors import NotFound
from kvist.guest.media import Labels, Tree, fetch

ANACONDA, DEBIAN, CASPER, SUSE, ALPINE, ARCH = "anaconda", "debian", "casper", "suse", "alpine", "arch"

_DEBIAN_ARCHES = {"amd64": "x86_64", "arm64": "aarch64", "i386": "i686", "ppc64el": "ppc64le", "s390x": "s390x"}
_DEBIAN_ROOTS = ("", "text/", "netboot/", "images/netboot/", "current/images/netboot/")
_DISTRIBUTIONS = (
    ("red hat enterprise linux", "rhel"),
    ("rhel", "rhel"),
    ("centos stream", "centos-stream"),
    ("centos", "centos"),
    ("rocky", "rocky"),
    ("almalinux", "almalinux"),
    ("oracle", "ol"),
    ("fedora", "fedora"),
    ("opensuse", "opensuse"),
    ("suse", "sles"),
    ("ubuntu", "ubuntu"),
    ("debian", "debian"),
)
_WITHOUT_MINOR = {"debian", "almalinux", "rocky", "fedora", "centos-stream"}
"""Distributions whose name in the osinfo database has no minor version."""


class Installer(NamedTuple):
    """A kernel and an initrd in a tree, and what they are."""

    family: str
    kernel: str
    initrd: str
    arch: str
    distribution: str = ""
    version: str = ""
    labels: Labels = Labels()
    medium: bool = False

    @property
    def os(self) -> str | None:
        """The system as the osinfo database would name it (`debian12`, `rhel7.9`), if that can be told."""
        if not self.distribution:
            return None
        version = self.version
        if self.distribution in _WITHOUT_MINOR:
            version = version.split(".", 1)[0]
        return f"{self.distribution}{version}"


class _Place(NamedTuple):
    family: str
    kernel: str
    initrds: tuple[str, ...]
    arch: str = ""
    medium: bool = False
    """The initrd looks for the rest of the installer on the medium that it came from."""


def _places() -> Iterator[_Place]:
    for short, arch in (("amd", "x86_64"), ("a64", "aarch64"), ("386", "i686")):
        yield _Place(DEBIAN, f"install.{short}/vmlinuz", (f"install.{short}/initrd.gz",), arch, True)
    for name, arch in _DEBIAN_ARCHES.items():
        for root in (*_DEBIAN_ROOTS, f"main/installer-{name}/current/images/netboot/"):
            for base in (f"debian-installer/{name}", f"ubuntu-installer/{name}"):
                yield _Place(DEBIAN, f"{root}{base}/linux", (f"{root}{base}/initrd.gz",), arch)
    yield _Place(CASPER, "casper/vmlinuz", ("casper/initrd", "casper/initrd.lz", "casper/initrd.gz"), "", True)
    for arch in ("x86_64", "aarch64"):
        yield _Place(SUSE, f"boot/{arch}/loader/linux", (f"boot/{arch}/loader/initrd",), arch)
        yield _Place(SUSE, f"boot/{arch}/linux", (f"boot/{arch}/initrd",), arch)
        yield _Place(ARCH, f"arch/boot/{arch}/vmlinuz-linux", (f"arch/boot/{arch}/initramfs-linux.img",), arch, True)
    for flavour in ("virt", "lts"):
        yield _Place(ALPINE, f"boot/vmlinuz-{flavour}", (f"boot/initramfs-{flavour}",), "", True)
    yield _Place(ANACONDA, "images/pxeboot/vmlinuz", ("images/pxeboot/initrd.img",), "", True)
    yield _Place(ANACONDA, "isolinux/vmlinuz", ("isolinux/initrd.img",), "", True)
    yield _Place(DEBIAN, "install/vmlinuz", ("install/initrd.gz",), "", True)


def find(tree: Tree, arch: str = "x86_64") -> Installer:
    """Find the installer in a tree; `arch` is chosen where there are several, and taken where the tree says none.

    Raises NotFound when there is none that can be started by its kernel.
    """
    told = _by_treeinfo(tree, arch)
    if told is not None:
        return told
    # The wanted architecture first, so that a medium for several gives the right one.
    for place in sorted(_places(), key=lambda place: place.arch not in {arch, ""}):
        if not tree.has(place.kernel):
            continue
        initrd = next((path for path in place.initrds if tree.has(path)), None)
        if initrd is not None:
            distribution, version, own_arch = _described(tree, place.family)
            return Installer(
                place.family,
                place.kernel,
                initrd,
                place.arch or own_arch or arch,
                distribution,
                version,
                tree.labels,
                place.medium,
            )
    raise NotFound(
        f'"{tree.source}" has no installer whose kernel is known to kvist',
        hint="boot the ISO itself with --cdrom FILE, or name the files: --kernel FILE --initrd FILE --cmdline TEXT",
    )


def extract(tree: Tree, installer: Installer, directory: Path) -> tuple[Path, Path]:
    """Copy kernel and initrd into a directory and give their paths."""
    return (
        fetch(tree, installer.kernel, directory / "kernel"),
        fetch(tree, installer.initrd, directory / "initrd"),
    )


def _by_treeinfo(tree: Tree, arch: str) -> Installer | None:
    text = tree.text(".treeinfo") or tree.text("treeinfo")
    if not text:
        return None
    from configparser import ConfigParser, Error

    info = ConfigParser(interpolation=None, strict=False)
    try:
        info.read_string(text)
    except Error:
        # A server may answer any name with a page of its own.
        return None
    own = info.get("general", "arch", fallback=info.get("tree", "arch", fallback=arch))
    for section in (f"images-{arch}", f"images-{own}"):
        kernel, initrd = info.get(section, "kernel", fallback=""), info.get(section, "initrd", fallback="")
        if kernel and initrd:
            break
    else:
        return None
    name = info.get("general", "family", fallback=info.get("release", "name", fallback=""))
    version = info.get("general", "version", fallback=info.get("release", "version", fallback=""))
    distribution = _distribution(name)
    if distribution == "centos" and version in {"8-stream", "9-stream", "9", "10"}:
        distribution, version = "centos-stream", version.removesuffix("-stream")
    family = SUSE if distribution in {"opensuse", "sles"} else ANACONDA
    return Installer(
        family, kernel, initrd, section.removeprefix("images-"), distribution, version, tree.labels, family == ANACONDA
    )


def _described(tree: Tree, family: str) -> tuple[str, str, str]:
    """Read distribution, version and architecture from the files that media of each family carry."""
    if family in {DEBIAN, CASPER}:
        text = tree.text(".disk/info")
        if not text:
            text = next((found for root in _DEBIAN_ROOTS if (found := tree.text(f"{root}version.info"))), "")
        arch = next((ours for theirs, ours in _DEBIAN_ARCHES.items() if re.search(rf"\b{theirs}\b", text)), "")
        return _distribution(text), _number(text), arch
    if family == ALPINE:
        return "alpinelinux", _number(tree.text(".alpine-release")), ""
    if family == ARCH:
        return "archlinux", "", ""
    distribution = _distribution(tree.labels.volume)
    return distribution, _number(tree.labels.volume) if distribution else "", ""


def _number(text: str) -> str:
    found = re.search(r"\d+(?:\.\d+)?", text)
    return found[0] if found else ""


def _distribution(text: str) -> str:
    lowered = text.lower()
    return next((ours for theirs, ours in _DISTRIBUTIONS if theirs in lowered), "")
