"""Calls that write the memory of VMs to disk, and bring it back."""

from __future__ import annotations

import libvirt

from kvist.virt.errors import calling

FORMATS = {
    "elf": libvirt.VIR_DOMAIN_CORE_DUMP_FORMAT_RAW,
    "kdump-zlib": libvirt.VIR_DOMAIN_CORE_DUMP_FORMAT_KDUMP_ZLIB,
    "kdump-lzo": libvirt.VIR_DOMAIN_CORE_DUMP_FORMAT_KDUMP_LZO,
    "kdump-snappy": libvirt.VIR_DOMAIN_CORE_DUMP_FORMAT_KDUMP_SNAPPY,
}
"""https://libvirt.org/html/libvirt-libvirt-domain.html#virDomainCoreDumpFormat"""


class Saved:
    """States of VMs that libvirt keeps on disk (it calls them managed saves), and dumps of their memory."""

    def __init__(self, handle: libvirt.virConnect) -> None:
        self._handle = handle

    def _find(self, name: str) -> libvirt.virDomain:
        with calling(f'find VM "{name}"'):
            return self._handle.lookupByName(name)

    def save(self, name: str) -> None:
        """Write a VM's memory to disk and switch it off; its next start goes on from there."""
        domain = self._find(name)
        with calling(f'save VM "{name}"'):
            domain.managedSave(0)

    def discard(self, name: str) -> None:
        """Remove the saved state of a VM, so that its next start is a boot."""
        domain = self._find(name)
        with calling(f'remove the saved state of VM "{name}"'):
            domain.managedSaveRemove(0)

    def dump(self, name: str, path: str, form: str) -> None:
        """Write a VM's memory to a file of the host, for crash(8) and gdb; the VM stands still meanwhile."""
        domain = self._find(name)
        with calling(f'dump the memory of VM "{name}"'):
            if self._handle.getType() == "TEST":
                domain.coreDump(path, 0)
            else:
                domain.coreDumpWithFormat(path, FORMATS[form], libvirt.VIR_DUMP_MEMORY_ONLY)
