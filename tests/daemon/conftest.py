"""A real libvirtd for every test of this tier. Where there can be none, the tier fails and says why; it never skips."""

from __future__ import annotations

import atexit
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.daemon.policed import free, guests, tier

from kvist.host.run import Result, run
from kvist.resources.hosts.host import Host, connect
from kvist.sandbox import sandbox as sandboxes
from kvist.sandbox.sandbox import Sandbox

Virsh = Callable[..., str]
__all__ = ["free", "guests", "tier"]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """A sandbox for all tests of a file; tied to this process, it also ends when the run is killed.

    What a file leaves in its kernel and libvirt (counters of taps, sysctls, the trash) is in no other file's way.
    """
    name = f"test-{os.getpid()}"
    up = sandboxes.up(name, tether=True)
    atexit.register(sandboxes.down, name)
    yield up
    sandboxes.down(name)


@pytest.fixture(scope="module")
def virsh(sandbox: Sandbox) -> Virsh:
    """Run virsh in the sandbox and give what it prints: what libvirt itself says, to compare kvist's answers with."""

    def ask(*arguments: str, input: str = "", check: bool = True) -> str:
        done = run(sandbox.enter(["virsh", "-q", *arguments]), input=input.encode(), check=check)
        return done.text.strip()

    return ask


class Kvist(NamedTuple):
    """kvist as a person calls it, on the sandbox of the tests, with a home of its own."""

    where: str
    home: Path
    prefix: tuple[str, ...] = ()
    """What stands before the line, so that it is typed elsewhere."""

    @property
    def env(self) -> dict[str, str]:
        return {
            "HOME": str(self.home),
            "KVIST_HOST": self.where,
            "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache"),
            "XDG_DATA_HOME": str(self.home / "data"),
            "XDG_STATE_HOME": str(self.home / "state"),
        }

    def typed(self, *words: str, timeout: float = 120, env: Mapping[str, str] = {}) -> Result:
        """Type a line, whatever comes of it."""
        program = str(Path(sys.executable).with_name("kvist"))
        return run(
            [*self.prefix, program, *words], check=False, timeout=timeout, env={**self.env, **env}, cwd=self.home
        )

    def __call__(self, *words: str, code: int = 0, timeout: float = 120, env: Mapping[str, str] = {}) -> Result:
        done = self.typed(*words, timeout=timeout, env=env)
        assert done.code == code, f"{words}: {done.code}, not {code}\n{done.text}\n{done.err.decode()}"
        return done

    def json(self, *words: str, code: int = 0) -> Any:
        """Give what a line answers, as data."""
        return json.loads(self(*words, "-o", "json", code=code).text)

    def refused(self, *words: str, code: int) -> str:
        """Give the complaint of a line that is to fail with this code."""
        return self(*words, code=code).err.decode()

    def notes(self) -> list[Path]:
        """Find what operations that were cut off have left written down."""
        where = self.home / "state" / "kvist" / "inflight"
        return sorted(where.iterdir()) if where.is_dir() else []


@pytest.fixture(scope="module")
def line(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Kvist:
    """kvist's command line, and image "micro" on its host."""
    kvist = Kvist(f"sandbox:{sandbox.name}", tmp_path_factory.mktemp("home"))
    kvist("image", "build", "micro", timeout=240)
    return kvist


@pytest.fixture(scope="module")
def host(line: Kvist) -> Iterator[Host]:
    """The same host by the Python API, from the home of the test's user; anew in each file, for some kill libvirtd."""
    up = connect(line.where)
    yield up
    up.close()


@pytest.fixture
def clean(line: Kvist, sandbox: Sandbox) -> Iterator[Callable[[], Traces]]:
    """Compare what the host has before a test and after it, and let nothing be left."""
    before = traces(sandbox)
    yield lambda: traces(sandbox)
    after, notes = traces(sandbox), line.notes()
    left = [name for name in names(after) if name not in names(before)]
    if left:
        line("delete", "--force", "--purge", "--yes", *left)
    for note in notes:
        note.unlink()
    assert after == before, f"changed: {[sorted(set(one) ^ set(two)) for one, two in zip(after, before, strict=True)]}"
    assert notes == []


class Traces(NamedTuple):
    """What VMs leave on a host: definitions, files of libvirt's, processes of QEMU."""

    domains: frozenset[str]
    """Each with its state."""
    files: frozenset[str]
    processes: frozenset[str]


IMAGES = ("images", "kvist-images", "swtpm", "qemu/nvram")


def names(found: Traces) -> set[str]:
    return {domain.split()[0] for domain in found.domains}


def traces(sandbox: Sandbox) -> Traces:
    told = run(sandbox.enter(["virsh", "-q", "list", "--all"])).text
    domains = {" ".join(row.split()[1:]) for row in told.splitlines()}
    files = {str(path) for top in IMAGES for path in (sandbox.root / "var/lib/libvirt" / top).rglob("*")}
    processes = {
        name
        for entry in (sandbox.root / "proc").iterdir()
        if entry.name.isdigit() and (name := _guest(entry)) is not None
    }
    return Traces(frozenset(domains), frozenset(files), frozenset(processes))


def _guest(process: Path) -> str | None:
    try:
        words = (process / "cmdline").read_bytes().split(b"\0")
    except OSError:  # it has just ended
        return None
    return next((word.decode() for word in words if word.startswith(b"guest=")), None)
