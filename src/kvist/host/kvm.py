"""Does KVM run guests on this machine? Nothing short of running one tells.

/dev/kvm can be there, open, and answer, and libvirt then says `kvm`; yet on a paravirtual KVM without VT-x or AMD-V
the firmware of a guest starts and its kernel never does. So the probe runs something: first a firmware of our own that
takes the steps of a kernel (`kvm_firmware`), then, where a kernel is at hand, that kernel until its first line.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from kvist.host import kvm_firmware, machine
from kvist.host.run import spawn, which

DEVICE = Path("/dev/kvm")
API_VERSION = 12
"""What KVM_GET_API_VERSION gives since 2007. Source: https://docs.kernel.org/virt/kvm/api.html, 4.1."""
_GET_API_VERSION = 0xAE00
_CREATE_VM = 0xAE01
_FIRMWARE_SECONDS = 5.0
_KERNEL_SECONDS = 10.0
_KERNEL_SAYS = b"Linux version"
_GAVE_UP = b"KVM internal error"


class Verdict(NamedTuple):
    """Whether KVM runs guests, why, what was seen, and the seconds it took to see (0: remembered)."""

    usable: bool
    reason: str
    proof: str
    seconds: float = 0.0


class Transcript(NamedTuple):
    """What a guest and its QEMU printed."""

    reached: bool
    text: bytes


def probe(*, fresh: bool = False, own_node: bool = False) -> Verdict:
    """Tell whether guests run under KVM here, by running one.

    It takes about a second, at most 15; the answer is remembered until the next boot or the next QEMU, unless `fresh`.
    `own_node` leaves out whether QEMU's user may open /dev/kvm: for those who make a device node of their own.
    """
    began = time.monotonic()
    if not DEVICE.exists():
        return Verdict(False, "there is no /dev/kvm", f"flags of the processor: {hardware() or 'neither vmx nor svm'}")
    if not own_node and (closed := closed_to_qemu()):
        return Verdict(False, closed, mode())
    if not fresh and (known := _recall()):
        return known
    verdict = _ask() or _run()
    verdict = verdict._replace(seconds=round(time.monotonic() - began, 3))
    _remember(verdict)
    return verdict


def hardware() -> str:
    """Name the processor's own virtualisation: `vmx` (Intel), `svm` (AMD), or nothing where it has no flag for it."""
    return next((flag for flag in ("vmx", "svm") if flag in machine.cpu_flags()), "")


def mode() -> str:
    """Show owner, group and mode of /dev/kvm as `ls -l` does."""
    from grp import getgrgid
    from pwd import getpwuid
    from stat import filemode

    status = DEVICE.stat()
    try:
        names = f"{getpwuid(status.st_uid).pw_name} {getgrgid(status.st_gid).gr_name}"
    except KeyError:  # an owner from outside a container
        names = f"{status.st_uid} {status.st_gid}"
    return f"{filemode(status.st_mode)} {names} {DEVICE}"


def closed_to_qemu() -> str:
    """Say why QEMU's user may not open /dev/kvm; nothing when it may.

    libvirt then examines QEMU anew at every question: a guest's start takes a minute instead of half a second.
    """
    from grp import getgrall
    from pwd import getpwnam, getpwuid

    user = machine.qemu_user()
    try:
        entry = getpwuid(int(user)) if user.isdigit() else getpwnam(user)
    except KeyError:
        return f'user "{user}" of qemu.conf does not exist'
    groups = {entry.pw_gid, *(group.gr_gid for group in getgrall() if user in group.gr_mem)}
    status = DEVICE.stat()
    shift = 6 if status.st_uid == entry.pw_uid else 3 if status.st_gid in groups else 0
    if entry.pw_uid == 0 or status.st_mode >> shift & 0o6 == 0o6 or _has_acl():
        return ""
    return f'user "{user}", as whom QEMU runs, may not open /dev/kvm'


def kernels() -> list[Path]:
    """List the Linux kernels at hand that this user may read: of images made by kvist, then the machine's own."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kvist"
    found = [*cache.glob("**/vmlinuz*"), *sorted(Path("/boot").glob("vmlinuz-*"))]
    return [kernel for kernel in found if kernel.is_file() and os.access(kernel, os.R_OK) and _is_ours(kernel)]


def _is_ours(kernel: Path) -> bool:
    """Tell whether a kernel can be for this processor. Source: https://docs.kernel.org/arch/x86/boot.html, "HdrS"."""
    with kernel.open("rb") as file:
        return (b"HdrS" in file.read(0x206)[0x202:]) == (machine.architecture() == "x86_64")


def _has_acl() -> bool:
    """Tell whether an access list says more than the mode does, as logind's for who sits at the screen."""
    try:
        return bool(os.getxattr(DEVICE, "system.posix_acl_access"))
    except OSError:  # no list, or a file system without any
        return False


def _ask() -> Verdict | None:
    """Ask the device itself; None when there is nothing wrong with it."""
    import fcntl

    try:
        device = os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)
    except OSError as failure:
        return Verdict(False, f"this user may not open /dev/kvm: {failure.strerror}", mode())
    try:
        version = fcntl.ioctl(device, _GET_API_VERSION, 0)
        if version != API_VERSION:
            return Verdict(False, f"/dev/kvm speaks version {version}, not {API_VERSION}", "KVM_GET_API_VERSION")
        os.close(fcntl.ioctl(device, _CREATE_VM, 0))
    except OSError as failure:
        return Verdict(False, f"KVM creates no virtual machine: {failure.strerror}", "KVM_CREATE_VM")
    finally:
        os.close(device)
    return None


def _run() -> Verdict:
    arch = machine.architecture()
    qemu = which(f"qemu-system-{arch}")
    if qemu is None:
        return Verdict(False, f'program "qemu-system-{arch}" is not installed', "nothing to try KVM with")
    got_through = "it creates virtual machines"
    if arch == "x86_64":
        tried = _try_firmware(qemu)
        if not tried.reached:
            reason = f"the processor of a guest stops: {_how_far(tried.text)}"
            if _GAVE_UP in tried.text or not kernels():
                return Verdict(False, reason, _excerpt(tried.text))
        else:
            got_through = "a guest gets into long mode, through an exception, ring 3 and a system call"
    for kernel in kernels()[:1]:
        tried = _try_kernel(qemu, arch, kernel)
        if tried.reached:
            return Verdict(True, "a Linux kernel starts under KVM", _line(tried.text, _KERNEL_SAYS))
        return Verdict(False, f"a Linux kernel ({kernel}) does not start under KVM", _excerpt(tried.text))
    return Verdict(
        True, f"{got_through}; there was no kernel at hand to try", f"{hardware() or 'no'} flag of the processor"
    )


def _try_firmware(qemu: str) -> Transcript:
    """Run our firmware from memory: no file that could stay behind."""
    image = os.memfd_create("kvist-probe")
    try:
        os.write(image, kvm_firmware.image())
        return _listen(
            [qemu, "-bios", f"/proc/self/fd/{image}", *_frame("pc", 16)], kvm_firmware.SAYS, _FIRMWARE_SECONDS, [image]
        )
    finally:
        os.close(image)


def _try_kernel(qemu: str, arch: str, kernel: Path) -> Transcript:
    kind, console = ("pc", "ttyS0") if arch == "x86_64" else ("virt", "ttyAMA0")
    line = ["-kernel", str(kernel), "-append", f"console={console} earlyprintk=serial,{console} panic=-1"]
    return _listen([qemu, *line, *_frame(kind, 128)], _KERNEL_SAYS, _KERNEL_SECONDS)


def _frame(kind: str, mib: int) -> list[str]:
    """Give the rest of a QEMU without disk, card or screen that talks on standard output."""
    return [
        *("-accel", "kvm", "-cpu", "host", "-machine", kind, "-m", str(mib)),
        *("-no-reboot", "-no-user-config", "-nodefaults", "-display", "none", "-serial", "stdio"),
    ]


def _listen(argv: list[str], wanted: bytes, seconds: float, keep: Sequence[int] = ()) -> Transcript:
    """Run QEMU until it has said what is wanted, ends, gives up, or the time is over; it never outlives this call."""
    import select
    import subprocess

    heard = b""
    deadline = time.monotonic() + seconds
    with spawn(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, keep=keep) as process:
        assert process.stdout is not None
        stream = process.stdout.fileno()
        try:
            while wanted not in heard and _GAVE_UP not in heard:
                left = deadline - time.monotonic()
                if left <= 0 or not select.select([stream], [], [], left)[0]:
                    break
                piece = os.read(stream, 4096)
                if not piece:
                    break
                heard += piece
        finally:
            process.kill()
    return Transcript(wanted in heard, heard)


def _how_far(text: bytes) -> str:
    """Say in words what the firmware's letters mean: the first step that it did not come back from."""
    done = 0
    for length in range(len(kvm_firmware.SAYS), 0, -1):
        if kvm_firmware.SAYS[:length] in text:
            done = length
            break
    return f"it does not get through {kvm_firmware.MEANING[done]}"


def _line(text: bytes, wanted: bytes) -> str:
    return next(line for line in text.decode(errors="replace").splitlines() if wanted.decode() in line).strip()


def _excerpt(text: bytes) -> str:
    lines = [line for line in text.decode(errors="replace").splitlines() if line.strip() and "warning:" not in line]
    return lines[0].strip() if lines else "not a byte on its serial port"


def _memory() -> Path:
    """Where the verdict is kept: a directory that ends with the boot or the session."""
    private = os.environ.get("XDG_RUNTIME_DIR", "/run") if os.geteuid() else "/run"
    return Path(private) / "kvist" / "kvm.json"


def _key() -> list[str | int]:
    """Give all that the verdict depends on."""
    qemu = which(f"qemu-system-{machine.architecture()}")
    status = Path(qemu).stat() if qemu else None
    return [machine.boot(), qemu or "", status.st_mtime_ns if status else 0, status.st_size if status else 0]


def _recall() -> Verdict | None:
    import json

    try:
        known = json.loads(_memory().read_bytes())
        return Verdict(*known["verdict"])._replace(seconds=0.0) if known["key"] == _key() else None
    except (OSError, ValueError, KeyError, TypeError):  # nothing remembered, or nothing that can be read: look again
        return None


def _remember(verdict: Verdict) -> None:
    import json

    place = _memory()
    fresh = place.with_name(f".{place.name}.{os.getpid()}")
    try:
        place.parent.mkdir(mode=0o755, exist_ok=True)
        fresh.write_text(json.dumps({"key": _key(), "verdict": verdict}))
        fresh.replace(place)
    except OSError:  # a verdict that cannot be kept is looked for again; the verdict itself is no worse
        fresh.unlink(missing_ok=True)
