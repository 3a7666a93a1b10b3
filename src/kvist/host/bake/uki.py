"""Make a unified kernel image: kernel, initramfs and command line as one EFI program.

https://uapi-group.org/specifications/specs/unified_kernel_image/
"""

from __future__ import annotations

from pathlib import Path

from kvist.host.bake import pe


def combine(stub: Path, kernel: Path, initrd: Path, cmdline: str, release: Path, out: Path) -> Path:
    """Put the parts behind systemd's EFI stub, which says what processor all of it is for."""
    parts = (
        (".osrel", release.read_bytes()),
        (".cmdline", cmdline.encode()),
        (".linux", kernel.read_bytes()),
        (".initrd", initrd.read_bytes()),
    )
    out.write_bytes(pe.extended(stub.read_bytes(), parts))
    return out
