"""Bake the micro guest: a Linux of a few megabytes for trials and tests, up within seconds even when emulated.

It takes an address on every card, also on those plugged in later, under the name its seed gives it; serves http (80,
with a script runner under /cgi-bin/sh), tcp and udp echo (7), ssh for the seed's keys, a login on the serial port and
the guest agent.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from kvist.errors import Corrupt, Unsupported
from kvist.host.bake import cpio, debs, disk, elf, modules, uki
from kvist.host.bake.baked import Baked, Progress, checksum
from kvist.host.run import need, run
from kvist.values import Size

HERE = Path(__file__).parent
ROOT = HERE / "micro_root"
PACKAGES = ("busybox-static", "qemu-guest-agent", "dropbear-bin", "netcat-traditional", "systemd-boot-efi")
PROGRAMS = ("usr/sbin/qemu-ga", "usr/sbin/dropbear", "usr/bin/dropbearkey", "bin/nc.traditional")
MODULES = (
    *(
        "virtio_pci",
        "virtio_net",
        "virtio_blk",
        "virtio_scsi",
        "virtio_rng",
        "virtio_balloon",
        "virtio_console",
        "virtio_mem",
    ),
    *("sd_mod", "sr_mod", "ata_piix", "isofs", "vfat", "nls_ascii", "nls_cp437", "button", "evdev"),
    *("vmw_vsock_virtio_transport", "virtiofs", "virtio_input"),
)
ESP = 48 * disk.MIB
LABEL = "KVISTMICRO"


class Kind(NamedTuple):
    """What differs between architectures: Debian's name is the key in `KINDS`."""

    port: str
    """The first serial port, as Linux calls it."""
    stub: str
    loader: str
    """Where firmware looks for a program to start on a disk it does not know."""
    firmware: tuple[str, ...]
    min_memory: str


KINDS = {
    # a BIOS is content with 128M; under UEFI the kernel has no room to unpack itself in less than this
    "amd64": Kind("ttyS0", "linuxx64.efi.stub", "EFI/BOOT/BOOTX64.EFI", ("bios", "uefi"), "192M"),
    "arm64": Kind("ttyAMA0", "linuxaa64.efi.stub", "EFI/BOOT/BOOTAA64.EFI", ("uefi",), "256M"),
}


def recipe(arch: str = "amd64") -> str:
    """Hash what the image is made of: today's packages and our own files."""
    return _hash(_debs(_apt(arch), arch))


def build(out: Path, *, arch: str = "amd64", on_progress: Progress) -> Baked:
    """Build the micro guest's disk as a qcow2 at `out`; needs no root and no loop device.

    Raises Unsupported when a tool or package is missing, Unreachable when the mirror does not answer.
    """
    from tempfile import TemporaryDirectory

    on_progress("ask apt for the packages", 0.0)
    apt = _apt(arch)
    kind, chosen = KINDS[arch], _debs(apt, arch)
    with TemporaryDirectory(prefix="kvist-micro-") as scratch:
        work = Path(scratch)
        on_progress("download packages", 0.1)
        files = apt.download(chosen, work / "debs")
        on_progress("unpack packages", 0.3)
        tree = work / "tree"
        debs.unpack(files, tree)
        on_progress("pack the initramfs", 0.5)
        kernel = _only(tree / "boot", "vmlinuz-*")
        initrd = work / "initrd.img"
        initrd.write_bytes(initramfs(tree))
        on_progress("write the disk", 0.7)
        image = work / "disk.raw"
        disk.partition(image, ESP + 3 * disk.MIB, ESP, root=False)
        _fill(image, kind, tree, kernel, initrd, work)
        on_progress("compress", 0.9)
        disk.compress(image, out)
    on_progress("done", 1.0)
    return Baked(
        path=out,
        format="qcow2",
        virtual_size=disk.virtual_size(out),
        sha256=checksum(out),
        os="linux2022",
        arch=arch,
        user="root",
        cloud_init=False,
        agent=True,
        firmware=kind.firmware,
        min_memory=Size.parse(kind.min_memory),
        recipe=_hash(chosen),
    )


def _fill(image: Path, kind: Kind, tree: Path, kernel: Path, initrd: Path, work: Path) -> None:
    """Write what firmware starts. UEFI does without GRUB, whose heap is too small for this kernel in 128 MiB."""
    stub = _only(tree, f"usr/lib/systemd/boot/efi/{kind.stub}")
    cmdline = f"console={kind.port},115200 quiet"
    loader = uki.combine(stub, kernel, initrd, cmdline, ROOT / "etc/os-release", work / "loader.efi")
    content = [(kind.loader, loader)]
    if "bios" in kind.firmware:
        content += [("vmlinuz", kernel), ("initrd.img", initrd)]
    disk.fill_esp(image, ESP, LABEL, content)
    if "bios" in kind.firmware:
        disk.grub_bios(image, HERE / "micro.grub", ["fat"], work)


def initramfs(tree: Path) -> bytes:
    """Make the root file system from unpacked packages and the files in `micro_root`, compressed with zstd."""
    import zstandard

    archive = cpio.Archive()
    for file in sorted(path for path in ROOT.rglob("*") if path.is_file()):
        content = file.read_bytes()
        archive.file(str(file.relative_to(ROOT)), content, 0o755 if content.startswith(b"#!") else 0o644)
    archive.file("bin/busybox", _first(tree, "bin/busybox").read_bytes(), 0o755)
    for program in PROGRAMS:
        _install(archive, tree, program)
    version = _only(tree, "*lib/modules/*").name
    chosen = modules.choose(tree, MODULES)
    home = f"lib/modules/{version}"
    for module in chosen:
        archive.file(f"{home}/{module.name}.ko", module.code, 0o644)
    for name, table in modules.tables(chosen):
        archive.file(f"{home}/{name}", table, 0o644)
    return zstandard.ZstdCompressor(level=19).compress(archive.pack())


def _install(archive: cpio.Archive, tree: Path, program: str) -> None:
    """Put in a program with its loader and every library it needs."""
    content = _first(tree, program).read_bytes()
    archive.file(program, content, 0o755)
    needs = elf.needs(content)
    waiting = list(needs.libraries)
    if needs.loader:
        loader = needs.loader.lstrip("/")
        archive.file(loader, _library(tree, Path(loader).name), 0o755)
    while waiting:
        place = f"lib/{waiting.pop()}"
        if place not in archive:
            library = _library(tree, Path(place).name)
            archive.file(place, library, 0o755)
            waiting.extend(elf.needs(library).libraries)


def _library(tree: Path, name: str) -> bytes:
    found = next((path for path in tree.rglob(name) if path.exists()), None)
    if found is None:
        raise Corrupt(f'library "{name}" is in none of the packages of the micro guest')
    return found.read_bytes()


def _first(tree: Path, path: str) -> Path:
    """Find a file where it is or, after the merge of /bin into /usr/bin, where it has gone."""
    places = (tree / path, tree / "usr" / path)
    found = next((place for place in places if place.exists()), None)
    if found is None:
        raise Corrupt(f'file "{path}" is in none of the packages of the micro guest')
    return found


def _only(tree: Path, pattern: str) -> Path:
    return next(tree.glob(pattern))


def _apt(arch: str) -> debs.Apt:
    """Give the apt that knows packages of this architecture."""
    if arch not in KINDS:
        raise Unsupported(f'the micro guest is built for {" and ".join(KINDS)} only, not for "{arch}"')
    own = run([need("dpkg", "dpkg"), "--print-architecture"]).text.strip()
    if arch == own:
        return debs.Apt()
    from kvist.host.bake import foreign
    from kvist.host.bake.cache import directory

    return foreign.apt(arch, directory().parent / "apt")


def _debs(apt: debs.Apt, arch: str) -> list[debs.Deb]:
    kernel = f"linux-image-cloud-{arch}"
    wanted = apt.closure((kernel, *PACKAGES), lambda name: name.startswith(("lib", "zlib", "linux-image-")))
    return apt.resolve([name for name in wanted if name != kernel])


def _hash(chosen: list[debs.Deb]) -> str:
    from hashlib import sha256

    digest = sha256(repr(chosen).encode())
    for file in sorted(path for path in (*HERE.glob("*.*"), *ROOT.rglob("*")) if path.is_file()):
        digest.update(str(file.relative_to(HERE)).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()
