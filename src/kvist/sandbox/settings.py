"""How the libvirt of a sandbox is set up: the files it starts from."""

from __future__ import annotations

from typing import NamedTuple

NETWORK = """\
<network>
  <name>default</name>
  <forward mode='nat'/>
  <bridge name='virbr0' stp='on' delay='0'/>
  <ip address='192.168.122.1' netmask='255.255.255.0'>
    <dhcp>
      <range start='192.168.122.2' end='192.168.122.254'/>
    </dhcp>
  </ip>
</network>
"""

POOL = """\
<pool type='dir'>
  <name>default</name>
  <target>
    <path>/var/lib/libvirt/images</path>
  </target>
</pool>
"""

# A private root has no cgroups, and QEMU sees the private /dev as it is.
QEMU = """\
security_driver = "none"
namespaces = []
cgroup_controllers = []
stdio_handler = "logd"
"""

PRIVATE = {"/etc/libvirt": 0o755, "/var/lib/libvirt": 0o755, "/var/log/libvirt": 0o755, "/var/cache/libvirt": 0o711}
"""Directories in which the machine's own libvirt keeps its state, and their modes: a sandbox starts with empty ones."""

PROGRAMS = {
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "libvirtd": "libvirt-daemon-system",
    "virtlogd": "libvirt-daemon",
    "dnsmasq": "dnsmasq-base",
    "iptables": "iptables",
}
"""The programs a sandbox is made of, and the packages that have them."""


class File(NamedTuple):
    """A file of the sandbox's own."""

    path: str
    content: str


def files(name: str) -> list[File]:
    """Give the files that make a private root a host of its own, with identities no other host has."""
    from uuid import uuid4

    host = f'host_uuid = "{uuid4()}"\nauth_unix_ro = "none"\nauth_unix_rw = "none"\nunix_sock_rw_perms = "0770"\n'
    return [
        File("/etc/hostname", f"{name}\n"),
        File("/etc/hosts", f"127.0.0.1 localhost\n::1 localhost ip6-localhost\n127.0.1.1 {name}\n"),
        # No way leads out of a sandbox: guests are told so at once instead of waiting for name servers.
        File("/etc/resolv.conf", ""),
        File("/etc/machine-id", f"{uuid4().hex}\n"),
        File("/etc/libvirt/libvirtd.conf", host),
        File("/etc/libvirt/qemu.conf", QEMU),
        File("/etc/libvirt/qemu/networks/default.xml", NETWORK),
        File("/etc/libvirt/storage/default.xml", POOL),
    ]


AUTOSTARTED = {
    "/etc/libvirt/qemu/networks/autostart/default.xml": "/etc/libvirt/qemu/networks/default.xml",
    "/etc/libvirt/storage/autostart/default.xml": "/etc/libvirt/storage/default.xml",
}
"""Links by which libvirtd starts network and pool by itself."""
