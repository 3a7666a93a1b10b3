"""Whether SELinux or AppArmor keeps guests from their files: what was denied since boot, and is denied still."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple
from xml.sax.saxutils import escape

from kvist.host.checks.finding import Act, Anew, Finding, Remedy, Typed, Written
from kvist.host.net.passage import asked

if TYPE_CHECKING:
    from kvist.host.checks.seen import Seen
    from kvist.host.hand import Hand

AUDIT = "/var/log/audit/audit.log"
"""Where auditd writes; without it the kernel's own log has the same lines."""
LOCAL = "/etc/apparmor.d/local/abstractions/libvirt-qemu"
"""What the profile of every guest includes, for the host's own rules. Source: apparmor.d/abstractions/libvirt-qemu."""
PROFILES = "/etc/apparmor.d/libvirt"
DEFINITIONS = "/etc/libvirt/qemu"
HEADER = "# Set by kvist; see `kvist log`.\n"
NOT_DISKS = ("/proc/", "/sys/", "/dev/", "/run/", "/etc/", "/usr/", "/lib", "/var/lib/libvirt/qemu/domain-")
"""Below these QEMU is denied things that it does without."""
IMAGE = "virt_image_t"
BOOLEANS = {"nfs_t": "virt_use_nfs", "cifs_t": "virt_use_samba", "fusefs_t": "virt_use_fusefs"}
"""Files of other machines have no labels of their own: guests may use them by a switch. Source: virt_selinux(8)."""


class Denial(NamedTuple):
    """One file that a guest was kept from."""

    path: str
    by: str
    """SELinux or AppArmor."""
    wanted: str
    """r or w, of AppArmor; the type that the file had, of SELinux."""
    profile: str = ""
    """AppArmor's of this guest."""


class Confinement(NamedTuple):
    """What was seen of what confines guests."""

    selinux: bool = False
    """It is there and says no, rather than only writing down what it would have said."""
    apparmor: bool = False
    denials: tuple[Denial, ...] = ()
    local: str | None = None
    types: Mapping[str, str] = {}
    """The types that the files have now, where SELinux denied them."""
    allowed: tuple[str, ...] = ()
    """Switches of SELinux's that are on."""
    semanage: bool = False
    """There is a program that keeps types for good."""
    profiles: tuple[str, ...] = ()
    """Those of guests that AppArmor has on file."""
    named: frozenset[str] = frozenset()
    """The files among them that VMs name: the others may be what a guest has no business with."""


def look(hand: Hand) -> Confinement:
    """Look at what confines guests once, and at what was denied since the host's start."""
    selinux = (hand.read("/sys/fs/selinux/enforce") or "").strip() == "1"
    apparmor = (hand.read("/sys/module/apparmor/parameters/enabled") or "").strip() == "Y"
    if not selinux and not apparmor:
        return Confinement()
    booted = re.search(r"^btime (\d+)", hand.read("/proc/stat") or "", re.MULTILINE)
    logs = (asked(hand, "grep", "-E", "denied|DENIED", AUDIT) or "", asked(hand, "dmesg") or "")
    denials = tuple(dict.fromkeys(denied("".join(logs), since=int(booted[1]) if booted else 0)))
    files = [each.path for each in denials if each.by == "SELinux"]
    # It names each file that is there, and ends with 1 where one has gone.
    told = hand.run(["stat", "-c", "%C %n", "--", *files], check=False).text if files else ""
    pairs = (line.partition(" ") for line in told.splitlines())
    switches = asked(hand, "getsebool", *BOOLEANS.values()) or "" if files else ""
    return Confinement(
        selinux,
        apparmor,
        denials,
        hand.read(LOCAL),
        {path: _type(context) for context, _, path in pairs},
        tuple(re.findall(r"^(\w+) --> on$", switches, re.MULTILINE)),
        bool(files) and hand.has("semanage"),
        tuple(hand.names(PROFILES)) if apparmor else (),
        _named(hand, {each.path for each in denials}),
    )


def _named(hand: Hand, paths: Collection[str]) -> frozenset[str]:
    """Give those of some files that the definition of a VM names."""
    if not paths:
        return frozenset()
    spelled = {path: escape(path) for path in paths}
    words = [word for text in spelled.values() for word in ("-e", text)]
    found = asked(hand, "grep", "-rhF", "--include=*.xml", *words, DEFINITIONS) or ""
    whole = set(re.findall(r"""(?<=['">])/[^'"<>]*(?=['"<])""", found))
    return frozenset(path for path, text in spelled.items() if text in whole)


def denied(log: str, *, since: int) -> Iterator[Denial]:
    """Find in a log of the kernel's or auditd's what guests were kept from."""
    for line in log.splitlines():
        stamp = re.search(r"audit\((\d+)\.", line)
        if stamp is None or int(stamp[1]) < since:
            continue
        told = dict(re.findall(r'\b(\w+)=("[^"]*"|\S+)', line))
        said = {key: value.strip('"') for key, value in told.items()}
        if said.get("apparmor") == "DENIED" and re.fullmatch(r"libvirt-[0-9a-f-]{36}", said.get("profile", "")):
            writes = set("wcda") & set(said.get("denied_mask", ""))
            found = Denial(_path(told.get("name", "")), "AppArmor", "w" if writes else "r", said["profile"])
        elif (
            re.search(r"avc:\s+denied", line) and ":svirt" in said.get("scontext", "") and said.get("permissive") != "1"
        ):
            found = Denial(_path(told.get("path", "")), "SELinux", _type(said.get("tcontext", "")))
        else:
            continue
        if found.path.startswith("/") and not found.path.startswith(NOT_DISKS):
            yield found


def _path(told: str) -> str:
    """Read a path: in quotes, or in hexadecimal digits where it has a character that quotes have no room for."""
    if told.startswith('"') or not re.fullmatch(r"(?:[0-9A-F]{2})+", told):
        return told.strip('"')
    return bytes.fromhex(told).decode(errors="replace")


def _type(context: str) -> str:
    """Give the type in a context: `system_u:object_r:virt_image_t:s0` has virt_image_t."""
    return context.split(":")[2] if context.count(":") >= 2 else ""


def confined(seen: Seen) -> Finding:
    """Whether guests come to their files as far as SELinux and AppArmor are asked; neither is ever switched off."""
    name, at = "confinement", seen.confinement
    who = " and ".join(word for word, on in (("SELinux", at.selinux), ("AppArmor", at.apparmor)) if on)
    if not who:
        return Finding(name, True, "neither SELinux nor AppArmor confines guests here")
    still = [each for each in at.denials if _still(at, each)]
    if not still:
        return Finding(name, True, f"{who}: guests are kept from no file of theirs")
    # Letting through whatever was asked for would let a guest out that has broken into its QEMU.
    ours = [each for each in still if each.path in at.named]
    acts = [act for each in ours if each.by == "SELinux" for act in _label(at, each)]
    acts += _rules(at, [each for each in ours if each.by == "AppArmor"])
    foreign = dict.fromkeys(each.path for each in still if each.path not in at.named)
    words = f"find out what a guest wants of {', '.join(foreign)}, which no VM names" if foreign else ""
    proofs = dict.fromkeys(f"{each.by} keeps guests from {each.path}" for each in still)
    return Finding(name, False, ", and ".join(proofs), Remedy(tuple(dict.fromkeys(acts)), words))


def _still(at: Confinement, each: Denial) -> bool:
    """Tell whether it would be denied again: the file may have gone since, or have been let through."""
    if each.by == "AppArmor":
        return _rule(each) not in (at.local or "")
    return at.types.get(each.path) == each.wanted and BOOLEANS.get(each.wanted) not in at.allowed


def _label(at: Confinement, each: Denial) -> list[Act]:
    """Give a file the type that guests may use, for good where that can be."""
    if switch := BOOLEANS.get(each.wanted):
        return [Typed(("setsebool", "-P", switch, "on"), ("setsebool", "-P", switch, "off"))]
    if not at.semanage:
        return [Typed(("chcon", "-t", IMAGE, each.path), ("chcon", "-t", each.wanted, each.path))]
    pattern, edit = re.escape(each.path), ("semanage", "fcontext")
    kept = Typed((*edit, "-a", "-t", IMAGE, pattern), (*edit, "-d", pattern))
    return [kept, Anew(each.path, argv=("restorecon", each.path))]


def _rules(at: Confinement, denials: list[Denial]) -> list[Act]:
    """Let all guests come to files, as their profiles include it, and load those of the guests that were denied."""
    if not denials:
        return []
    lines = "".join(f"{line}\n" for line in dict.fromkeys(map(_rule, denials)))
    profiles = [name for name in dict.fromkeys(each.profile for each in denials) if name in at.profiles]
    loads = [Anew(name, argv=("apparmor_parser", "-r", f"{PROFILES}/{name}")) for name in profiles]
    return [Written(LOCAL, at.local, f"{at.local or HEADER}{lines}"), *loads]


def _rule(each: Denial) -> str:
    """Give the rule that lets a file through; in AppArmor's quotes, some characters stand for others all the same."""
    path = re.sub(r'([\\*?\[\]{}^"])', r"\\\1", each.path)
    return f'"{path}" {"rwk" if each.wanted == "w" else "rk"},'
