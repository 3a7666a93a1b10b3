"""The private root of a sandbox: the machine's own files below, everything that is written on a tmpfs above."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

from kvist.errors import Denied, Failed
from kvist.host import namespaces
from kvist.host.namespaces import NO_DEV, NO_EXEC, NO_SUID, bind, mount
from kvist.sandbox import settings

SCRATCH = Path("/run")
"""Where the tmpfs of the sandbox hangs while the root is being made; the machine's own /run is not needed meanwhile."""

SMALL = 65536
"""Bytes up to which a mounted file is copied: containers mount their /etc/hosts, and a sandbox writes its own."""

OWN = ("/proc", "/sys", "/dev", "/run", "/tmp")  # noqa: S108 -- a sandbox has its own, nobody's file is guessed here
NODES = {
    "null": (1, 3, 0o666),
    "zero": (1, 5, 0o666),
    "full": (1, 7, 0o666),
    "random": (1, 8, 0o666),
    "urandom": (1, 9, 0o666),
    "tty": (5, 0, 0o666),
    "net/tun": (10, 200, 0o666),
}
LINKS = {"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2", "ptmx": "pts/ptmx"}


def build(name: str, *, kvm: bool, visible: list[str]) -> None:
    """Give this process, the first one of new namespaces, a private root and go there.

    `visible` are directories of the machine that stay visible as they are, also what is put there later, read-only.
    `kvm` says whether the sandbox has a /dev/kvm. Whatever is written goes to a tmpfs that ends with the namespace.
    """
    machine = [one for one in namespaces.mounts() if one.point != "/" and not _below(one.point, OWN)]
    mount("kvist", SCRATCH, "tmpfs", 0, "mode=0755")
    root = SCRATCH / "root"
    root.mkdir()
    _overlay("/", root, 0)
    for number, one in enumerate(machine, 1):
        _show(one.point, root, number)
    for path, mode in settings.PRIVATE.items():
        _empty(root, path, mode)
    _kernel(root)
    _devices(root / "dev", kvm=kvm)
    _temporary(root)
    for path in visible:
        _keep_visible(root, path)
    socket.sethostname(name)
    (root / "mnt").mkdir(exist_ok=True)
    namespaces.pivot(root, old="mnt")


def furnish(name: str) -> None:
    """Write the files of a host of its own into the private root."""
    for file in settings.files(name):
        path = Path(file.path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)  # it may be a link, such as /etc/resolv.conf to what is not here
        path.write_text(file.content)
    for link, target in settings.AUTOSTARTED.items():
        Path(link).parent.mkdir(parents=True, exist_ok=True)
        Path(link).symlink_to(target)
    filters = Path("/etc/libvirt/nwfilter")
    filters.mkdir()
    for template in Path("/usr/share/libvirt/nwfilter").glob("*.xml"):
        (filters / template.name).write_bytes(template.read_bytes())
    # libvirtd makes it for its own log of a VM, which is begun after that of the serial port.
    Path("/var/log/libvirt/qemu").mkdir()
    images = Path("/var/lib/libvirt/images")
    images.mkdir(parents=True)
    images.chmod(0o711)


def _below(path: str, tops: tuple[str, ...]) -> bool:
    return any(path == top or path.startswith(f"{top}/") for top in tops)


def _in(root: Path, path: str) -> Path:
    """Give the place of a path in the private root; a link on the way would lead out of it."""
    return root / str(Path(path).resolve()).lstrip("/")


def _overlay(lower: str, target: Path, number: int) -> None:
    upper, work = SCRATCH / f"upper{number}", SCRATCH / f"work{number}"
    for directory in (upper, work):
        directory.mkdir()
    # The top of an overlay has the mode and owner of its upper directory.
    status = Path(lower).stat()
    os.chown(upper, status.st_uid, status.st_gid)
    upper.chmod(stat.S_IMODE(status.st_mode))
    escaped = lower.replace("\\", "\\\\").replace(",", "\\,").replace(":", "\\:")
    mount("overlay", target, "overlay", 0, f"lowerdir={escaped},upperdir={upper},workdir={work}")


def _show(point: str, root: Path, number: int) -> None:
    """Bring one more file system of the machine in: an overlay does not see what is mounted below it."""
    target = root / point.lstrip("/")
    try:
        status = Path(point).stat()
    except OSError:  # a dead network file system, or one of another user: the sandbox does without
        return
    if not target.exists():
        return
    if stat.S_ISREG(status.st_mode) and status.st_size < SMALL:
        target.write_bytes(Path(point).read_bytes())
        return
    if not stat.S_ISDIR(status.st_mode):
        bind(point, target, read_only=True)
        return
    try:
        _overlay(point, target, number)
    except (Denied, Failed):  # not everything can lie under an overlay (vfat, some of fuse); it can be looked at
        bind(point, target, read_only=True)


def _empty(root: Path, path: str, mode: int) -> None:
    blank = SCRATCH / "blank" / path.lstrip("/")
    blank.mkdir(parents=True)
    blank.chmod(mode)
    target = _in(root, path)
    target.mkdir(parents=True, exist_ok=True)
    bind(blank, target)


def _keep_visible(root: Path, path: str) -> None:
    if not Path(path).is_dir():
        return
    target = _in(root, path)
    target.mkdir(parents=True, exist_ok=True)
    bind(path, target, read_only=True, recursive=True)
    # QEMU runs as a user of its own, who must get as far as the images; only this private root is changed.
    for above in target.parents:
        if above == root:
            break
        above.chmod(stat.S_IMODE(above.stat().st_mode) | 0o111)


def _kernel(root: Path) -> None:
    """Mount /proc and /sys of the new namespaces; what in them belongs to the whole machine is read-only."""
    proc, sys = root / "proc", root / "sys"
    mount("proc", proc, "proc", NO_SUID | NO_DEV | NO_EXEC)
    mount("sysfs", sys, "sysfs", NO_SUID | NO_DEV | NO_EXEC)
    for mine, whole in ((proc / "sys/net", proc / "sys"), (sys / "devices/virtual/net", sys)):
        keep = SCRATCH / "keep"
        keep.mkdir(exist_ok=True)
        bind(mine, keep)
        bind(whole, whole, read_only=True)
        bind(keep, mine)


def _devices(dev: Path, *, kvm: bool) -> None:
    mount("dev", dev, "tmpfs", NO_SUID, "mode=0755")
    nodes = dict(NODES)
    if kvm:
        nodes["kvm"] = (10, 232, 0o666)
    if Path("/dev/vhost-net").exists():
        nodes["vhost-net"] = (10, 238, 0o666)
    for name, (major, minor, mode) in nodes.items():
        node = dev / name
        node.parent.mkdir(exist_ok=True)
        os.mknod(node, stat.S_IFCHR, os.makedev(major, minor))
        node.chmod(mode)
    for name, target in LINKS.items():
        (dev / name).symlink_to(target)
    for name in ("pts", "shm", "mapper"):
        (dev / name).mkdir()
    mount("devpts", dev / "pts", "devpts", NO_SUID | NO_EXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5")
    mount("shm", dev / "shm", "tmpfs", NO_SUID | NO_DEV, "mode=1777")


def _temporary(root: Path) -> None:
    for name, mode in (("run", "0755"), ("tmp", "1777")):
        (root / name).mkdir(exist_ok=True)
        mount(name, root / name, "tmpfs", NO_SUID | NO_DEV, f"mode={mode}")
    (root / "run/lock").mkdir()
