"""Reading an osinfo database: names, nearest versions, inheritance, and media known by their labels."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvist.errors import Corrupt, NotFound, Unsupported
from kvist.guest.osinfo import Database
from kvist.values import Size

PCI = "http://pcisig.com/pci"
G = 1 << 30


def entry(root: Path, stem: str, *body: str) -> None:
    vendor, name = stem.split("/")
    word, _, version = name.rpartition("-")
    file = root / "os" / f"{stem}.xml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(
        f'<libosinfo><os id="http://{vendor}/{word}/{version}"><short-id>{word}{version}</short-id>'
        f"<name>{word.title()} {version}</name><family>linux</family><distro>{word}</distro>"
        f"<version>{version}</version>{''.join(body)}</os></libosinfo>"
    )


def needs(arch: str, minimum: int, recommended: int | None = None) -> str:
    more = f"<recommended><ram>{recommended}</ram></recommended>" if recommended else ""
    return (
        f'<resources arch="{arch}"><minimum><n-cpus>1</n-cpus><ram>{minimum}</ram><storage>{10 * G}</storage></minimum>'
        f"{more}</resources>"
    )


def medium(volume: str, kernel: str, **also: str) -> str:
    more = "".join(f"<{tag.replace('_', '-')}>{text}</{tag.replace('_', '-')}>" for tag, text in also.items())
    iso = f"<iso><volume-id>{volume}</volume-id>{more}</iso>"
    return f'<media arch="x86_64">{iso}<kernel>{kernel}</kernel><initrd>initrd</initrd></media>'


@pytest.fixture
def root(tmp_path: Path) -> Path:
    entry(
        tmp_path,
        "debian.org/debian-10",
        needs("all", G, 2 * G),
        f'<devices><device id="{PCI}/1af4/1041"/><device id="{PCI}/1af4/1050"/></devices>',
        '<firmware arch="x86_64" type="efi"/>',
        medium(r"Debian 10\.\d amd64 n", "install.amd/vmlinuz"),
    )
    entry(
        tmp_path,
        "debian.org/debian-11",
        '<short-id>debianbullseye</short-id><derives-from id="http://debian.org/debian/10"/>',
        f'<devices><device id="{PCI}/1af4/1005"/><device id="{PCI}/1af4/1050" supported="false"/></devices>',
        medium(r"Debian 11\.\d amd64 n", "install.amd/vmlinuz"),
    )
    entry(tmp_path, "redhat.com/rhel-7.2", needs("x86_64", G), medium("RHEL-7.*", "isolinux/vmlinuz"))
    entry(
        tmp_path,
        "redhat.com/rhel-7.10",
        needs("all", G),
        needs("x86_64", 2 * G),
        needs("aarch64", 3 * G),
        medium("RHEL-7.*", "isolinux/vmlinuz"),
        medium("RHEL-7.*", "special/vmlinuz", publisher_id="Special"),
        medium("(broken", "x"),
    )
    entry(tmp_path, "redhat.com/rhel-8.0", '<clones id="http://redhat.com/rhel/7.10"/>', needs("x86_64", 4 * G))
    entry(tmp_path, "redhat.com/rhel-7-unknown")
    return tmp_path


@pytest.fixture
def database(root: Path) -> Database:
    return Database([root])


def test_a_system_is_found_by_its_short_name_its_alias_and_its_id(database: Database) -> None:
    found = {database.lookup(name).id for name in ("debian11", "debianbullseye", "http://debian.org/debian/11")}
    assert found == {"http://debian.org/debian/11"}
    assert database.lookup("debian11").exact


def test_devices_and_firmware_are_inherited_and_the_younger_has_the_last_word(database: Database) -> None:
    old, new = database.lookup("debian10"), database.lookup("debian11")
    assert (old.supports("virtio-net"), old.supports("virtio-gpu"), old.supports("virtio-rng")) == (True, True, False)
    assert (new.supports("virtio-net"), new.supports("virtio-gpu"), new.supports("virtio-rng")) == (True, False, True)
    assert new.efi
    assert not database.lookup("debian11", "aarch64").efi


def test_what_a_system_needs_is_inherited_whole_or_not_at_all(database: Database) -> None:
    assert database.lookup("debian11").memory == Size(2 * G)
    assert database.lookup("debian11").min_disk == Size(10 * G)
    newer = database.lookup("rhel8.0")
    assert (newer.min_memory, newer.recommended_memory, newer.memory) == (Size(4 * G), None, Size(4 * G))


def test_what_is_said_of_the_architecture_goes_before_what_is_said_of_all(database: Database) -> None:
    memory = [database.lookup("rhel7.10", arch).min_memory for arch in ("x86_64", "aarch64", "s390x")]
    assert memory == [Size(2 * G), Size(3 * G), Size(G)]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("debian12", "debian11"),
        ("debian9", "debian10"),
        ("rhel7", "rhel7.10"),
        ("rhel7.5", "rhel7.2"),
        ("rhel9.4", "rhel8.0"),
    ],
)
def test_an_unknown_version_becomes_the_nearest_of_its_distribution(database: Database, name: str, found: str) -> None:
    nearest = database.lookup(name, nearest=True)
    assert (nearest.short_id, nearest.exact) == (found, False)


@pytest.mark.parametrize("nearest", [False, True])
def test_an_unknown_name_lists_those_that_come_closest(database: Database, nearest: bool) -> None:
    with pytest.raises(NotFound, match='"debain11"') as missing:
        database.lookup("debain11", nearest=nearest)
    assert "debian11" in missing.value.hint
    with pytest.raises(NotFound):
        database.lookup("zzz", nearest=nearest)


def test_nothing_is_guessed_unless_it_is_asked_for(database: Database) -> None:
    with pytest.raises(NotFound) as missing:
        database.lookup("debian12")
    assert "debian11" in missing.value.hint


def test_a_machine_without_a_database_says_which_package_has_it(tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="no database") as missing:
        Database([tmp_path / "nothing"]).lookup("debian11")
    assert missing.value.hint == "apt install osinfo-db"


def test_an_entry_of_the_administrator_replaces_that_of_the_distribution(root: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    entry(own, "debian.org/debian-10", needs("all", 5 * G))
    assert Database([own, root]).lookup("debian10").min_memory == Size(5 * G)
    assert Database([own, root]).lookup("rhel7.2").min_memory == Size(G)


def test_an_entry_that_is_no_xml_is_corrupt(root: Path) -> None:
    (root / "os/debian.org/debian-11.xml").write_text("<short-id>debian11</short-id> <")
    with pytest.raises(Corrupt, match=r"debian-11\.xml"):
        Database([root]).lookup("debian11")


def test_a_circle_of_ancestors_ends(root: Path) -> None:
    entry(root, "x.org/a-1", '<clones id="http://x.org/a/2"/>')
    entry(root, "x.org/a-2", '<clones id="http://x.org/a/1"/>', needs("all", G))
    assert Database([root]).lookup("a1").min_memory == Size(G)


def test_a_medium_is_known_by_its_label(database: Database) -> None:
    found = database.detect_iso("Debian 11.5 amd64 n")
    assert found is not None
    assert (found.os.short_id, found.arch, found.kernel, found.live) == (
        "debian11",
        "x86_64",
        "install.amd/vmlinuz",
        False,
    )


def test_of_several_media_that_fit_the_one_that_asks_for_more_and_then_the_newest_wins(database: Database) -> None:
    plain = database.detect_iso("RHEL-7.10 Server")
    special = database.detect_iso("RHEL-7.10 Server", publisher="Special")
    assert plain is not None
    assert special is not None
    assert (plain.os.short_id, plain.kernel) == ("rhel7.10", "isolinux/vmlinuz")
    assert special.kernel == "special/vmlinuz"


def test_an_unknown_label_is_nothing(database: Database) -> None:
    assert database.detect_iso("MY_BACKUP") is None
    assert database.detect_iso("") is None
