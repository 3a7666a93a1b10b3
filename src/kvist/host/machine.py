"""Facts about the machine kvist runs on."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

from kvist.values import Size

QEMU_CONF = Path("/etc/libvirt/qemu.conf")
QEMU_USERS = ("libvirt-qemu", "qemu")
"""The users that Debian and its children, Fedora and its children made for QEMU."""


def architecture() -> str:
    """Give the architecture by libvirt's name for it: `x86_64`, `aarch64`."""
    return platform.machine()


def cpus() -> int:
    """Count the processors this process may use."""
    return len(os.sched_getaffinity(0))


def memory() -> Size:
    """Give the memory of the machine."""
    return Size(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


def memory_available() -> Size:
    """Give the memory that programs can still have. Source: proc(5), MemAvailable."""
    found = re.search(r"^MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    return Size(int(found[1]) * 1024) if found else memory()


def cpu_flags() -> frozenset[str]:
    """Give the features of the processor as Linux names them; `vmx` or `svm` is hardware virtualisation on x86."""
    return flags_in(Path("/proc/cpuinfo").read_text())


def flags_in(cpuinfo: str) -> frozenset[str]:
    """Give the features that /proc/cpuinfo of some machine lists."""
    found = re.search(r"^(?:flags|Features)\s*:(.*)$", cpuinfo, re.MULTILINE)
    return frozenset(found[1].split()) if found else frozenset()


def boot() -> str:
    """Give what tells this boot of the machine from every other one."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def qemu_user() -> str:
    """Give the user that the system libvirt runs QEMU as: from qemu.conf, else the distribution's, else root."""
    from pwd import getpwall

    try:
        chosen = user_in(QEMU_CONF.read_text())
    except OSError:  # not installed, or (0600 on Debian) not for us to read
        chosen = ""
    if chosen:
        return chosen
    known = {entry.pw_name for entry in getpwall()}
    return next((user for user in QEMU_USERS if user in known), "root")


def user_in(conf: str) -> str:
    """Give the user that a qemu.conf names for QEMU; empty where it names none."""
    chosen = re.findall(r'^\s*user\s*=\s*"\+?([^"]+)"', conf, re.MULTILINE)
    return str(chosen[-1]) if chosen else ""
