"""The osinfo database that the distribution ships."""

from __future__ import annotations

import pytest

from kvist.guest.osinfo import Database


@pytest.mark.parametrize(
    ("name", "word", "has"),
    [
        ("debian12", "debian", "virtio-net"),
        ("rhel7", "rhel7.", "virtio-block"),
        ("ubuntu24.04", "ubuntu", "virtio-rng"),
        ("fedora39", "fedora", "virtio-gpu"),
        ("rocky9", "rocky9", "virtio-scsi"),
        ("win10", "win10", "tablet"),
    ],
)
def test_the_systems_that_people_install_are_there_or_near(name: str, word: str, has: str) -> None:
    found = Database().lookup(name, nearest=True)
    assert found.short_id.startswith(word)
    assert found.supports(has)
    assert found.memory is not None
    assert found.min_memory is not None
    assert found.memory >= found.min_memory


def test_every_entry_of_the_database_can_be_read() -> None:
    database = Database()
    assert len(database.files) > 500
    for stem in database.files:
        vendor, _, name = stem.partition("/")
        assert database.lookup(f"http://{vendor}/{name}").id.startswith(f"http://{vendor}/")


@pytest.mark.parametrize(
    ("volume", "word"),
    [
        ("CentOS 7 x86_64", "centos7"),
        ("RHEL-7.9 Server.x86_64", "rhel7.9"),
        ("Ubuntu-Server 22.04.1 LTS amd64", "ubuntu22.04"),
        ("Debian 11.5.0 amd64 n", "debian11"),
    ],
)
def test_well_known_media_are_recognised(volume: str, word: str) -> None:
    found = Database().detect_iso(volume, system="LINUX")
    assert found is not None
    assert found.os.short_id.startswith(word)
    assert found.kernel
