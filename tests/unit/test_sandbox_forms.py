"""What others build on: how a sandbox is addressed and entered, and what makes it a host of its own."""

from __future__ import annotations

from xml.etree import ElementTree

from kvist.sandbox import settings
from kvist.sandbox.sandbox import Sandbox

BOX = Sandbox("lab", 4711)


def test_the_address_of_a_sandbox_goes_through_its_first_process() -> None:
    assert BOX.uri == "qemu+unix:///system?socket=/proc/4711/root/run/libvirt/libvirt-sock"
    assert str(BOX.root) == "/proc/4711/root"


def test_a_command_goes_in_unchanged_after_the_prefix() -> None:
    entered = BOX.enter(["sh", "-c", "echo 'a b'"])
    assert entered[:2] == ["nsenter", "--target=4711"]
    assert entered[-4:] == ["--", "sh", "-c", "echo 'a b'"]
    assert BOX.network_prefix == ["nsenter", "--target=4711", "--net", "--"]


def test_each_sandbox_has_identities_of_its_own() -> None:
    first, second = (dict(settings.files("lab")) for _ in range(2))
    assert first["/etc/hostname"] == second["/etc/hostname"] == "lab\n"
    for path in ("/etc/machine-id", "/etc/libvirt/libvirtd.conf"):
        assert first[path] != second[path]
    assert len(first["/etc/machine-id"].strip()) == 32


def test_network_and_pool_are_documents_that_libvirtd_starts_by_itself() -> None:
    written = dict(settings.files("lab"))
    for link, target in settings.AUTOSTARTED.items():
        document = ElementTree.fromstring(written[target])
        assert document.findtext("name") == "default"
        assert link.startswith("/etc/libvirt/")
