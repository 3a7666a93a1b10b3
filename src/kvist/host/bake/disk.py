"""Lay out a disk that BIOS and UEFI both start: GPT, GRUB in a boot partition and an EFI program in an ESP.

No mount, no loop device, no chroot, so it works without root and inside containers.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from kvist.errors import Failed
from kvist.host.run import need, run
from kvist.values import Size

SECTOR = 512
MIB = 1024 * 1024
BOOT_AT, ESP_AT = 1 * MIB, 2 * MIB
GRUB = Path("/usr/lib/grub")


class Layout(NamedTuple):
    """Where the partitions lie, in bytes; `root` is None when the system lives in the ESP."""

    esp: int
    root: tuple[int, int] | None
    """Where the root partition starts, and its length."""


def partition(image: Path, size: int, esp: int, *, root: bool) -> Layout:
    """Make an empty disk with a BIOS boot partition (14), an ESP (15) and perhaps a root partition (1) over the rest.

    Numbered as in Debian's own cloud images: the root partition comes last on the disk, so that it can grow.
    """
    with image.open("wb") as file:
        file.truncate(size)
    start = ESP_AT + esp
    layout = [f"--new=14:{BOOT_AT // SECTOR}:{ESP_AT // SECTOR - 1}", "--typecode=14:ef02"]
    layout += [f"--new=15:{ESP_AT // SECTOR}:{start // SECTOR - 1}", "--typecode=15:ef00"]
    if root:
        layout += [f"--new=1:{start // SECTOR}:0", "--typecode=1:8300"]
    run([need("sgdisk", "gdisk"), "--set-alignment=1", *layout, str(image)])
    # the second copy of the table takes the last 33 sectors
    return Layout(esp, (start, (size - start) // MIB * MIB - MIB) if root else None)


def fill_esp(image: Path, esp: int, label: str, files: Iterable[tuple[str, Path]]) -> None:
    """Make the FAT file system of the ESP in place and copy files into it, each given as its path there and here."""
    where = f"{image}@@{ESP_AT}"
    quiet = {"MTOOLS_SKIP_CHECK": "1"}
    hidden = str(ESP_AT // SECTOR)
    run(
        [
            need("mkfs.vfat", "dosfstools"),
            "-F",
            "16",
            "-n",
            label,
            "--offset",
            hidden,
            "-h",
            hidden,
            str(image),
            str(esp // 1024),
        ],
    )
    made: set[str] = set()
    for there, here in files:
        parts = there.split("/")[:-1]
        for depth in range(1, len(parts) + 1):
            folder = "/".join(parts[:depth])
            if folder not in made:
                run([need("mmd", "mtools"), "-i", where, f"::/{folder}"], env=quiet)
                made.add(folder)
        run([need("mcopy", "mtools"), "-i", where, str(here), f"::/{there}"], env=quiet)


MODULES = (
    "part_gpt",
    "normal",
    "configfile",
    "linux",
    "search",
    "search_label",
    "serial",
    "terminal",
    "test",
    "boot",
    "minicmd",
    "ls",
)


def grub_efi(config: Path, modules: Iterable[str], into: Path) -> Path:
    """Make the EFI program `BOOTX64.EFI` that runs a GRUB script."""
    program = into / "BOOTX64.EFI"
    _mkimage("x86_64-efi", "grub-efi-amd64-bin", config, [*MODULES, *modules], program)
    return program


def grub_bios(image: Path, config: Path, modules: Iterable[str], into: Path) -> None:
    """Write GRUB for a BIOS: its first sector into the disk's, the rest into the boot partition.

    What grub-bios-setup does, without its wish for a block device: the two sectors hold the place of what comes next
    (grub-core/boot/i386/pc/boot.S and diskboot.S).
    """
    core_file = into / "core.img"
    _mkimage("i386-pc", "grub-pc-bin", config, ["biosdisk", *MODULES, *modules], core_file)
    first = bytearray((GRUB / "i386-pc" / "boot.img").read_bytes())
    core = bytearray(core_file.read_bytes())
    if len(core) > ESP_AT - BOOT_AT:
        raise Failed(f"GRUB needs {len(core)} bytes, more than the boot partition has")
    at = BOOT_AT // SECTOR
    struct.pack_into("<Q", first, 0x5C, at)
    # a jump that keeps GRUB from trusting a wrong drive number, which only old BIOSes need
    first[0x66:0x68] = b"\x90\x90"
    struct.pack_into("<QHH", core, 0x1F4, at + 1, -(-len(core) // SECTOR) - 1, 0x820)
    with image.open("r+b") as disk:
        disk.write(first[:440])
        disk.seek(BOOT_AT)
        disk.write(core)


def compress(raw: Path, out: Path) -> None:
    """Turn a raw disk into a compressed qcow2."""
    argv = [
        need("qemu-img", "qemu-utils"),
        "convert",
        "-c",
        "-W",
        "-m",
        "4",
        "-O",
        "qcow2",
        "-o",
        "compression_type=zstd",
    ]
    run([*argv, "-f", "raw", str(raw), str(out)], timeout=600)


def virtual_size(image: Path) -> Size:
    """Give the size that a guest will see."""
    import json

    info = json.loads(run([need("qemu-img", "qemu-utils"), "info", "--output=json", str(image)]).text)
    return Size(info["virtual-size"])


def _mkimage(target: str, package: str, config: Path, modules: Iterable[str], out: Path) -> None:
    if not (GRUB / target).is_dir():
        raise Failed(f'GRUB for "{target}" is not installed', hint=f"apt install {package}")
    program = need("grub-mkimage", "grub-common")
    run([program, "-O", target, "-c", str(config), "-p", "/boot/grub", "-o", str(out), *modules])
