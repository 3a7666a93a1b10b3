"""Whether guests of a host run on its processor (KVM) or are emulated (TCG)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from kvist.errors import Unsupported

if TYPE_CHECKING:
    from kvist.resources.hosts.host import Host


class Accel(NamedTuple):
    """The type of a domain (`kvm`, `qemu`, `test`), and what has to be said about it."""

    kind: str
    warning: str = ""


def accel(host: Host, arch: str) -> Accel:
    """Choose for guests of an architecture: KVM only where a guest has been seen to run on it, emulation elsewhere.

    On a remote host libvirt's word is taken, for nothing can be tried there without leaving traces.
    Raises Unsupported when the host runs no guests of this architecture.
    """
    if host.connection.scheme == "test":
        return Accel("test")
    offered = host.connection.capabilities.architectures
    if arch not in offered:
        known = ", ".join(sorted(offered)) or "none"
        raise Unsupported(
            f'this host runs no guests of architecture "{arch}"; it has: {known}', hint=f"apt install {_package(arch)}"
        )
    if "kvm" not in offered[arch]:
        foreign = arch != host.connection.capabilities.arch
        return Accel("qemu", "" if foreign else "KVM is not there: the guest is emulated, about ten times slower")
    if not (host.place.local or host.place.sandbox):
        return Accel("kvm")
    from kvist.host.kvm import probe

    verdict = probe()
    if verdict.usable:
        return Accel("kvm")
    return Accel(
        "qemu", f"KVM runs no guest here ({verdict.reason}): emulated, about ten times slower; see kvist host check"
    )


def _package(arch: str) -> str:
    families = {"x86_64": "x86", "i686": "x86", "aarch64": "arm", "armv7l": "arm", "ppc64le": "ppc"}
    return f"qemu-system-{families.get(arch, 'misc')}"
