"""Whether the processor of a host runs guests, and what stands in its way if it does not."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from kvist.errors import CommandFailed, Denied
from kvist.host import kvm, machine
from kvist.host.checks.finding import NOTHING, Finding, Remedy, Typed, Written, by_hand
from kvist.host.kvm import Verdict
from kvist.host.net.passage import asked

if TYPE_CHECKING:
    from kvist.host.checks.seen import Seen
    from kvist.host.hand import Hand

DEVICE = "/dev/kvm"
GROUP = "kvm"
MODE = "0660"
"""Whose udev makes the device, and with which mode. Source: systemd, rules.d/50-udev-default.rules."""
MODULES = ("kvm_intel", "kvm_amd", "kvm")
WSL_CONF = "/etc/wsl.conf"
AT_BOOT = f"chgrp {GROUP} {DEVICE} && chmod {MODE} {DEVICE}"


class Device(NamedTuple):
    """/dev/kvm, as `ls -l` shows it."""

    mode: str
    owner: str
    group: str

    @property
    def words(self) -> str:
        return f"{self.mode} {self.owner} {self.group} {DEVICE}"


class Processor(NamedTuple):
    """What was seen of a host's processor, and of the way to it."""

    architecture: str = "x86_64"
    flags: frozenset[str] = frozenset()
    wsl: bool = False
    """It is Linux in Windows."""
    wsl_conf: str | None = None
    sandbox: bool = False
    """It is a sandbox, whose processor and kernel are the machine's."""
    modules: tuple[str, ...] = ()
    """Those of KVM that are loaded or built in."""
    device: Device | None = None
    user: str = "root"
    """As whom QEMU runs."""
    groups: tuple[str, ...] = ()
    """The groups of this user; none where there is no such user."""
    has_group: bool = True
    """Whether there is a group kvm."""
    verdict: Verdict | None = None
    """Whether a guest was seen to run; None where none can be tried."""

    @property
    def hardware(self) -> str:
        """The flag of the processor's own virtualisation: `vmx` (Intel), `svm` (AMD); empty where it has none."""
        return next((flag for flag in ("vmx", "svm") if flag in self.flags), "")


def look(hand: Hand, *, sandbox: bool = False) -> Processor:
    """Look at the processor of a host once. A guest is tried where the host's processor is this machine's."""
    architecture, release = hand.run(["uname", "-m", "-r"]).text.split()[::-1]
    user = _user(hand)
    listed = asked(hand, "ls", "-ld", DEVICE)
    wsl = "microsoft" in release.lower()
    return Processor(
        architecture=architecture,
        flags=machine.flags_in(hand.read("/proc/cpuinfo") or ""),
        wsl=wsl,
        wsl_conf=hand.read(WSL_CONF) if wsl else None,
        sandbox=sandbox,
        modules=tuple(name for name in hand.names("/sys/module") if name in MODULES),
        device=Device(*(listed.split()[at] for at in (0, 2, 3))) if listed else None,
        user=user,
        groups=tuple((asked(hand, "id", "-nG", user) or "").split()),
        has_group=asked(hand, "getent", "group", GROUP) is not None,
        verdict=kvm.probe(own_node=True) if hand.here else None,
    )


def _user(hand: Hand) -> str:
    """Find the user that the system libvirt runs QEMU as: from qemu.conf, else the distribution's, else root."""
    try:
        chosen = machine.user_in(hand.read(str(machine.QEMU_CONF)) or "")
    except (Denied, CommandFailed):  # 0600 on Debian, and not for us to read
        chosen = ""
    # getent(1) ends with 2 where it does not know one of the names.
    known = hand.run(["getent", "passwd", *machine.QEMU_USERS], check=False).text.splitlines()
    return chosen or next((line.partition(":")[0] for line in known), "root")


def processor(seen: Seen) -> Finding:
    """Whether the processor can run guests by itself."""
    name, at = "processor", seen.processor
    if at.architecture != "x86_64":
        return Finding(name, None, f"{at.architecture} has no flag that tells")
    if at.hardware:
        return Finding(name, True, f"/proc/cpuinfo has {at.hardware}")
    lacks = "/proc/cpuinfo has neither vmx nor svm"
    if "hypervisor" not in at.flags:
        return Finding(name, False, lacks, by_hand("switch VT-x or AMD-V on in the firmware's set-up"))
    if at.wsl:
        way = r"on Windows, add nestedVirtualization=true under [wsl2] of %UserProfile%\.wslconfig; wsl --shutdown"
    else:
        way = "on its host, allow nested virtualisation and give this machine the host's CPU (host-passthrough)"
    return Finding(name, False, f"this machine is a virtual one, and {lacks}", by_hand(way))


def module(seen: Seen) -> Finding:
    """Whether the kernel has KVM."""
    name, at = "kernel module", seen.processor
    if at.modules:
        return Finding(name, True, f"/sys/module/{at.modules[-1]}")
    if at.device is not None:
        return Finding(name, True, f"no /sys/module/kvm, but {DEVICE}: built into the kernel")
    return Finding(name, False, "no /sys/module/kvm", _load(at))


def _load(at: Processor) -> Remedy:
    if at.sandbox:
        return by_hand("look at the machine itself: kvist host check --host qemu:///system")
    if not at.hardware and at.architecture == "x86_64":
        return by_hand("nothing to load before the processor has vmx or svm")
    which = {"vmx": "kvm_intel", "svm": "kvm_amd"}.get(at.hardware, "kvm")
    return Remedy((Typed(("modprobe", which), ("modprobe", "-r", which)),))


def device(seen: Seen) -> Finding:
    """Whether there is a device by which QEMU comes to KVM."""
    name, at = "device", seen.processor
    if at.device is None:
        if at.sandbox:
            return Finding(name, None, f"a sandbox has {DEVICE} where guests run by KVM on its machine")
        return Finding(name, False, f"there is no {DEVICE}", _load(at))
    if at.device.mode.startswith("c"):
        return Finding(name, True, at.device.words)
    what = f"{DEVICE} is not a device: {at.device.words}"
    return Finding(name, False, what, by_hand(f"rm {DEVICE} && udevadm trigger"))


def permission(seen: Seen) -> Finding:
    """Whether QEMU's user may open the device.

    Otherwise libvirt examines QEMU anew at every question: a guest's start takes a minute instead of half a second.
    """
    name, at = "permission", seen.processor
    if at.device is None:
        return Finding(name, None, f"there is no {DEVICE}")
    if not at.groups:
        what = f'user "{at.user}", as whom QEMU is to run, does not exist'
        return Finding(name, False, what, by_hand(f"name another user in {machine.QEMU_CONF}"))
    if _opens(at, at.device):
        return Finding(name, True, f'user "{at.user}" may open it: {at.device.words}')
    what = f'user "{at.user}", as whom QEMU runs, may not open {DEVICE}: {at.device.words}'
    return Finding(name, False, what, _open(at, at.device))


def _opens(at: Processor, device: Device) -> bool:
    # A + stands for an access list, which says more than the mode does: logind's, for who sits at the screen.
    if at.user == "root" or device.mode.endswith("+"):
        return True
    first = 1 if device.owner == at.user else 4 if device.group in at.groups else 7
    return device.mode[first : first + 2] == "rw"


def _open(at: Processor, device: Device) -> Remedy:
    if not at.has_group or GROUP not in at.groups:
        return by_hand(f"groupadd --system {GROUP}; usermod -aG {GROUP} {at.user} && {AT_BOOT}")
    acts: list[Typed | Written] = []
    if device.group != GROUP:
        acts.append(Typed(("chgrp", GROUP, DEVICE), ("chgrp", device.group, DEVICE)))
    if device.mode != "crw-rw----":
        acts.append(Typed(("chmod", MODE, DEVICE), ("chmod", _octal(device.mode), DEVICE)))
    if at.wsl and (after := _at_boot(at.wsl_conf or "")) != at.wsl_conf:
        acts.append(Written(WSL_CONF, at.wsl_conf, after))
    return Remedy(tuple(acts))


def _octal(mode: str) -> str:
    """Give a mode as chmod(1) takes it: `crw-rw----` is 0660."""
    bits = "".join("0" if letter in "-ST" else "1" for letter in mode[1:10])
    return f"0{int(bits, 2):03o}"


def _at_boot(text: str) -> str:
    """Let WSL open the device at each start, as udev does elsewhere; one command is all that wsl.conf has room for.

    Source: https://learn.microsoft.com/windows/wsl/wsl-config, boot settings.
    """
    lines = text.splitlines()
    if "command" in {line.partition("=")[0].strip() for line in lines}:
        # Somebody has it do something already, and what comes of both together is his to say.
        return text
    command = f"command = /bin/sh -c '{AT_BOOT}'"
    if "[boot]" not in lines:
        return "".join(f"{line}\n" for line in [*lines, "[boot]", command])
    place = lines.index("[boot]") + 1
    return "".join(f"{line}\n" for line in [*lines[:place], command, *lines[place:]])


def guest(seen: Seen) -> Finding:
    """Whether a guest runs: nothing short of running one tells."""
    name, verdict = "guest", seen.processor.verdict
    if verdict is None:
        return Finding(name, None, "none can be tried there without leaving traces")
    told = f"{verdict.reason} ({verdict.proof})"
    if verdict.usable:
        return Finding(name, True, told, NOTHING)
    return Finding(name, False, told, by_hand("nothing to type: guests are emulated (TCG) then, which is slower"))
