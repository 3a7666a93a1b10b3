"""The parts of the oven that need no program: archive, module tables, package sources, progress."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kvist.errors import Corrupt, NotFound, Unsupported
from kvist.host.bake import cpio, debian, elf, modules, sources
from kvist.host.bake.baked import Baked
from kvist.values import Size


def _names(packed: bytes) -> dict[str, tuple[int, bytes]]:
    found: dict[str, tuple[int, bytes]] = {}
    at = 0
    while True:
        assert packed[at : at + 6] == b"070701"
        fields = [int(packed[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
        mode, size, length = fields[1], fields[6], fields[11]
        name = packed[at + 110 : at + 110 + length - 1].decode()
        at += -(-(110 + length) // 4) * 4
        if name == "TRAILER!!!":
            return found
        found[name] = (mode, packed[at : at + size])
        at += -(-size // 4) * 4


def test_an_archive_holds_its_files_and_makes_their_directories_first() -> None:
    archive = cpio.Archive()
    archive.file("etc/acpi/button", b"#!/bin/sh\n", 0o755)
    archive.link("lib64", "lib")
    found = _names(archive.pack())
    assert list(found) == ["etc", "etc/acpi", "etc/acpi/button", "lib64"]
    assert found["etc"][0] == 0o040755
    assert found["etc/acpi/button"] == (0o100755, b"#!/bin/sh\n")
    assert found["lib64"] == (0o120777, b"lib")


def test_the_same_files_make_the_same_archive_whatever_their_order() -> None:
    one, other = cpio.Archive(), cpio.Archive()
    for archive, order in ((one, "ab"), (other, "ba")):
        for name in order:
            archive.file(name, name.encode(), 0o644)
    assert one.pack() == other.pack()


def _module(tree: Path, name: str, depends: str, *aliases: str) -> None:
    info = [f"depends={depends}", *(f"alias={alias}" for alias in aliases)]
    (tree / f"{name}.ko").write_bytes(b"\x7fELF\0" + b"".join(line.encode() + b"\0" for line in info))


def test_a_module_brings_those_it_stands_on_and_modprobe_meets_the_lowest_last(tmp_path: Path) -> None:
    _module(tmp_path, "virtio", "")
    _module(tmp_path, "virtio_ring", "virtio")
    _module(tmp_path, "virtio-pci", "virtio,virtio_ring", "pci:v00001AF4d*")
    _module(tmp_path, "stranger", "")
    chosen = modules.choose(tmp_path, ["virtio-pci", "builtin-one"])
    assert [module.name for module in chosen] == ["virtio", "virtio_pci", "virtio_ring"]
    tables = dict(modules.tables(chosen))
    assert b"virtio_pci.ko: virtio_ring.ko virtio.ko\n" in tables["modules.dep"]
    assert tables["modules.alias"] == b"alias pci:v00001AF4d* virtio_pci\n"


def test_a_program_tells_its_loader_and_libraries_and_a_script_needs_none() -> None:
    needs = elf.needs(Path("/bin/ls").read_bytes())
    assert needs.loader.startswith("/lib")
    assert "libc.so.6" in needs.libraries
    assert elf.needs(b"#!/bin/sh\n") == elf.Needs("", ())


LIST = (
    "deb [arch=amd64 signed-by=/k.gpg] http://m/debian bookworm main contrib # mine\n"
    "#deb http://off x main\ndeb-src http://m x main\n"
)
STANZAS = """Types: deb deb-src
URIs: http://m/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /k.gpg

Enabled: no
Types: deb
URIs: http://off/
Suites: bookworm
Components: main
"""


def test_both_forms_of_apt_sources_say_the_same() -> None:
    (one,) = sources.parse_list(LIST)
    assert one == sources.Source(
        "http://m/debian", "bookworm", ("main", "contrib"), (("arch", "amd64"), ("signed-by", "/k.gpg"))
    )
    both = list(sources.parse_deb822(STANZAS))
    assert [source.suite for source in both] == ["bookworm", "bookworm-updates"]
    assert both[0].options == (("signed-by", "/k.gpg"),)
    assert list(sources.parse_deb822(sources.stanzas(both))) == both


def test_other_publishers_and_backports_stay_out_and_the_release_is_turned() -> None:
    def source(suite: str, *components: str) -> sources.Source:
        return sources.Source("http://m", suite, components)

    every = [
        source("bookworm", "main"),
        source("bookworm-security", "main"),
        source("bookworm-backports", "main"),
        source("bookworm", "stable"),
        source("nodistro", "main"),
    ]
    turned = sources.of_release(every, "bookworm", "trixie")
    assert [one.suite for one in turned] == ["trixie", "trixie-security"]
    with pytest.raises(Unsupported, match='release "sid"'):
        sources.of_release(every, "sid", "trixie")


def test_progress_only_goes_forward() -> None:
    heard: list[tuple[str, float | None]] = []
    narrator = debian._Narrator(lambda phase, fraction: heard.append((phase, fraction)))
    for line in (
        "I: running apt-get update...",
        "Get:1 http",
        "I: installing remaining packages",
        "I: running apt-get update",
    ):
        narrator.hear(line)
    assert heard == [("read the package lists", 0.02), ("install packages", 0.25)]


def test_an_unknown_release_is_refused_with_those_there_are() -> None:
    with pytest.raises(NotFound, match="debian-12, debian-13"):
        debian.recipe("debian-99")


def test_a_description_survives_being_written_and_a_broken_one_is_corrupt(tmp_path: Path) -> None:
    path = tmp_path / "x.qcow2"
    firmware = ("bios", "uefi")
    baked = Baked(path, "qcow2", Size(5), "ab", "debian12", "amd64", "debian", True, True, firmware, Size(7), "r")
    assert Baked.from_dict(path, json.loads(json.dumps(baked.as_dict()))) == baked
    with pytest.raises(Corrupt, match="cannot be read"):
        Baked.from_dict(path, {"format": "qcow2"})
