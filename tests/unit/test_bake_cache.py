"""What is kept of earlier builds, with an oven that only writes a few bytes."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from kvist.errors import CommandFailed
from kvist.host.bake import cache, micro
from kvist.host.bake.baked import Baked, Progress
from kvist.values import Size


def quiet(phase: str, fraction: float | None) -> None:
    assert phase


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    made: list[Path] = []

    def build(out: Path, *, arch: str, on_progress: Progress) -> Baked:
        out.write_bytes(b"half")
        time.sleep(0.1)
        made.append(out)
        out.write_bytes(b"whole")
        size = Size(5)
        return Baked(out, "qcow2", size, "ab", "linux2022", arch, "root", False, True, ("bios",), size, "r")

    monkeypatch.setattr(micro, "recipe", lambda arch: "f" * 64)
    monkeypatch.setattr(micro, "build", build)
    return made


def test_an_unchanged_recipe_is_baked_once_and_a_changed_one_again(
    built: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = cache.cached("micro", "amd64", quiet)
    assert cache.cached("micro", "amd64", quiet) == first
    assert len(built) == 1
    assert first.path.read_bytes() == b"whole"
    monkeypatch.setattr(micro, "recipe", lambda arch: "e" * 64)
    assert cache.cached("micro", "amd64", quiet).path != first.path
    assert len(built) == 2


def test_two_builders_at_once_bake_once(built: list[Path]) -> None:
    got: list[Baked] = []
    threads = [threading.Thread(target=lambda: got.append(cache.cached("micro", "amd64", quiet))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(built) == 1
    assert got[0] == got[1] == got[2]


def test_what_a_killed_builder_left_is_never_taken_for_whole(built: list[Path]) -> None:
    home = cache.directory()
    home.mkdir(parents=True)
    (home / "micro-amd64-0000.tmp").write_bytes(b"half")
    image = home / f"micro-amd64-{'f' * 16}.qcow2"
    image.write_bytes(b"no description beside it")
    assert cache.cached("micro", "amd64", quiet).path.read_bytes() == b"whole"
    assert sorted(path.suffix for path in home.iterdir()) == [".json", ".lock", ".qcow2"]


def test_a_failed_build_leaves_no_image(built: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(out: Path, *, arch: str, on_progress: Progress) -> Baked:
        raise CommandFailed("no oven")

    monkeypatch.setattr(micro, "build", fail)
    with pytest.raises(CommandFailed, match="no oven"):
        cache.cached("micro", "amd64", quiet)
    assert not list(cache.directory().glob("*.qcow2"))
