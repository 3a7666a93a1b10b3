"""Bake a Debian cloud image with mmdebstrap: cloud-init, ssh and the guest agent, started by BIOS and UEFI alike."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from kvist.errors import NotFound, Unsupported
from kvist.host.bake import disk, sources
from kvist.host.bake.baked import Baked, Progress, checksum
from kvist.host.run import follow, need, run
from kvist.values import Size

HERE = Path(__file__).parent
RELEASES = {"debian-12": "bookworm", "debian-13": "trixie"}
PACKAGES = (
    *(
        "linux-image-cloud-amd64",
        "initramfs-tools",
        "kmod",
        "systemd",
        "systemd-sysv",
        "systemd-resolved",
        "udev",
        "dbus",
    ),
    *(
        "cloud-init",
        "cloud-guest-utils",
        "locales",
        "netplan.io",
        "e2fsprogs",
        "openssh-server",
        "qemu-guest-agent",
        "sudo",
    ),
    *("iproute2", "iputils-ping", "procps", "less", "ca-certificates", "debian-archive-keyring", "zstd"),
)
ESP = 63 * disk.MIB
DEFAULT_SIZE = Size(2 * 1024 * disk.MIB)


def recipe(release: str, arch: str = "amd64", size: Size = DEFAULT_SIZE) -> str:
    """Hash what the image is made of: packages by name, where they come from, our own files."""
    from hashlib import sha256

    digest = sha256(repr((_codename(release), arch, int(size), PACKAGES, _sources(release))).encode())
    for file in sorted(path for path in (*HERE.glob("*.*"), *(HERE / "debian_root").rglob("*")) if path.is_file()):
        digest.update(str(file.relative_to(HERE)).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def build(release: str, out: Path, *, arch: str = "amd64", size: Size = DEFAULT_SIZE, on_progress: Progress) -> Baked:
    """Build a Debian image (`debian-12`) as a qcow2 at `out`, from the archives that this machine's apt uses.

    Needs root, but no mount, loop device or internet beyond the mirror. Raises NotFound for an unknown release,
    Unsupported without root or a tool, CommandFailed with mmdebstrap's own words.
    """
    import os
    from tempfile import TemporaryDirectory

    _codename(release)
    if arch != "amd64":
        raise Unsupported(f'Debian images are built for amd64 only, not for "{arch}"')
    if os.geteuid() != 0:
        raise Unsupported(f'building image "{release}" needs root', hint=f"sudo kvist image build {release}")
    identity = recipe(release, arch, size)
    with TemporaryDirectory(prefix="kvist-debian-") as scratch:
        work = Path(scratch)
        tree = work / "root"
        _bootstrap(release, tree, work, on_progress)
        on_progress("make the file system", 0.8)
        image = work / "disk.raw"
        layout = disk.partition(image, size, ESP, root=True)
        assert layout.root is not None
        start, length = layout.root
        options = ["-q", "-F", "-t", "ext4", "-L", "rootfs", "-E", f"offset={start},lazy_itable_init=1"]
        program = need("mke2fs", "e2fsprogs")
        run([program, *options, "-d", str(tree), str(image), f"{length // 1024}k"], timeout=300)
        on_progress("write the boot loaders", 0.86)
        config = HERE / "debian.grub"
        efi = ["fat", "ext2", "all_video", "echo", "sleep"]
        disk.fill_esp(image, ESP, "ESP", [("EFI/BOOT/BOOTX64.EFI", disk.grub_efi(config, efi, work))])
        disk.grub_bios(image, config, ["ext2", "echo", "sleep"], work)
        on_progress("compress", 0.88)
        disk.compress(image, out)
    on_progress("done", 1.0)
    return Baked(
        path=out,
        format="qcow2",
        virtual_size=disk.virtual_size(out),
        sha256=checksum(out),
        os=release.replace("-", ""),
        arch=arch,
        user="debian",
        cloud_init=True,
        agent=True,
        firmware=("bios", "uefi"),
        min_memory=Size.parse("512M"),
        recipe=identity,
    )


def _bootstrap(release: str, tree: Path, work: Path, on_progress: Progress) -> None:
    listed = work / "debian.sources"
    listed.write_text(sources.stanzas(_sources(release)))
    unwanted = ("man", "doc", "locale", "info", "lintian")
    argv = [need("mmdebstrap", "mmdebstrap"), "--mode=root", "--variant=minbase", "--format=directory"]
    argv += [f"--include={','.join(PACKAGES)}", '--aptopt=Acquire::Languages "none"']
    argv += [f"--aptopt={line}" for line in sources.route()]
    argv += [f"--dpkgopt=path-exclude=/usr/share/{folder}/*" for folder in unwanted]
    # locale-gen reads this one file of a directory that is otherwise left out
    argv += ["--dpkgopt=path-include=/usr/share/locale/locale.alias"]
    argv += [f"--setup-hook={_hook('debian-setup.sh')}", f"--customize-hook={_hook('debian-finish.sh')}"]
    progress = _Narrator(on_progress)
    follow([*argv, _codename(release), str(tree), str(listed)], progress.hear, timeout=1800, env={"TMPDIR": str(work)})


def _hook(script: str) -> str:
    return f'sh {shlex.quote(str(HERE / script))} "$1"'


class _Narrator:
    """Turn what mmdebstrap and dpkg print into phases and a fraction of the whole."""

    PHASES = (
        (r"I: running apt-get update", "read the package lists", 0.02),
        (r"I: downloading packages", "download the base system", 0.05),
        (r"I: installing essential", "install the base system", 0.15),
        (r"I: installing remaining", "install packages", 0.25),
        (r"update-initramfs: Generating", "make the initramfs", 0.7),
        (r"I: cleaning", "clean up", 0.78),
    )

    def __init__(self, on_progress: Progress) -> None:
        self._tell = on_progress
        self._at = 0.0

    def hear(self, line: str) -> None:
        for pattern, phase, fraction in self.PHASES:
            if re.match(pattern, line) and fraction > self._at:
                self._at = fraction
                self._tell(phase, fraction)


def _codename(release: str) -> str:
    if release not in RELEASES:
        raise NotFound(f'no recipe for image "{release}"; there are {", ".join(RELEASES)}', hint="kvist image ls")
    return RELEASES[release]


def _sources(release: str) -> list[sources.Source]:
    described = Path("/etc/os-release").read_text()
    match = re.search(r"^VERSION_CODENAME=\"?(\w+)", described, re.MULTILINE)
    if match is None or not re.search(r"^ID=\"?debian", described, re.MULTILINE):
        raise Unsupported(f'image "{release}" is built on Debian only', hint=f"kvist image add {release}")
    return sources.of_release(sources.read(), match[1], _codename(release))
