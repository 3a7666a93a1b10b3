"""Names of guests are looked up after the host's own file, and all else stays as it is."""

from __future__ import annotations

import pytest

from kvist.host.net.nss import services, with_guests

DEBIAN = "passwd:         files\nhosts:          files dns # ours\nnetworks:       files\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (DEBIAN, ["files", "libvirt", "libvirt_guest", "dns"]),
        ("hosts: mymachines resolve [!UNAVAIL=return] files dns\n",
         ["mymachines", "resolve", "[!UNAVAIL=return]", "files", "libvirt", "libvirt_guest", "dns"]),
        ("hosts: dns\n", ["libvirt", "libvirt_guest", "dns"]),
        ("hosts: files libvirt_guest dns\n", ["files", "libvirt", "libvirt_guest", "dns"]),
        ("", ["files", "libvirt", "libvirt_guest", "dns"]),
        ("passwd: files\n", ["files", "libvirt", "libvirt_guest", "dns"]),
    ],
)  # fmt: skip
def test_guests_come_after_the_hosts_own_file(before: str, after: list[str]) -> None:
    changed = with_guests(before, on=True)
    assert services(changed) == after
    assert with_guests(changed, on=True) == changed
    assert not {"libvirt", "libvirt_guest"} & set(services(with_guests(changed, on=False)))


def test_what_has_none_is_left_as_it_is() -> None:
    assert with_guests(DEBIAN, on=False) == DEBIAN
    assert with_guests(DEBIAN, on=True).startswith("passwd:         files\nhosts:")
    assert with_guests(DEBIAN, on=True).endswith("networks:       files\n")
