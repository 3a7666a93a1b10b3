"""Packages of this machine's distribution, downloaded and unpacked beside it: nothing is installed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from kvist.errors import CommandFailed, Unreachable, Unsupported
from kvist.host.run import need, run

QUIET = ("-q", "-o", "APT::Sandbox::User=root")


class Deb(NamedTuple):
    """A package file that apt knows where to get."""

    name: str
    file: str
    hash: str
    """As apt prints it: `SHA256:...`."""


class Apt(NamedTuple):
    """The package lists that are asked: this machine's own, or by `options` those of another architecture."""

    options: tuple[str, ...] = ()
    update: str = "apt-get update"
    """The command that brings the lists up to date."""

    def closure(self, roots: Iterable[str], follow: Callable[[str], bool]) -> list[str]:
        """Give the roots and what they depend on, going on only through the names that `follow` likes."""
        roots = tuple(roots)
        program = need("apt-cache", "apt")
        skipped = ("recommends", "suggests", "conflicts", "breaks", "replaces", "enhances")
        words = [*self.options, "depends", "--recurse", *(f"--no-{kind}" for kind in skipped)]
        printed = run([program, *words, *roots], check=False)
        edges: dict[str, list[str]] = {}
        name = ""
        for line in printed.text.splitlines():
            if line and not line[0].isspace():
                name = line.strip()
                edges.setdefault(name, [])
            elif match := re.fullmatch(r"[ |]+(?:Pre)?Depends: ([^<>\s]+)", line):
                edges[name].append(match[1])
        if missing := [root for root in roots if root not in edges]:
            raise Unsupported(f'apt knows no package "{missing[0]}"', hint=self.update)
        found: list[str] = []
        waiting = list(roots)
        while waiting:
            name = waiting.pop(0)
            if name not in found:
                found.append(name)
                waiting.extend(step for step in edges.get(name, []) if follow(step))
        return found

    def resolve(self, names: Sequence[str]) -> list[Deb]:
        """Ask apt which files these packages are today; the answer is sorted, and so fit to be hashed."""
        from tempfile import TemporaryDirectory

        # apt keeps silent about a package whose file already lies in the current directory
        with TemporaryDirectory(prefix="kvist-apt-") as empty:
            printed = run([*self._get(), "download", "--print-uris", *names], cwd=empty)
        found = re.findall(r"^'\S+' ((\S+?)_\S+) \d+ (\S+)$", printed.text, re.MULTILINE)
        if missing := set(names) - {name for _, name, _ in found}:
            raise Unsupported(f'apt cannot tell where to get package "{min(missing)}"', hint=self.update)
        return sorted(Deb(name, file, hash) for file, name, hash in found)

    def download(self, debs: Sequence[Deb], into: Path) -> list[Path]:
        """Download what is not there yet; apt verifies each file against its signed index."""
        into.mkdir(parents=True, exist_ok=True)
        missing = [deb.name for deb in debs if not _whole(into / deb.file, deb.hash)]
        if missing:
            try:
                run([*self._get(), "download", *missing], cwd=into, timeout=600)
            except CommandFailed as failed:
                raise Unreachable(f"cannot download packages: {failed.what}", hint=self.update) from failed
        return [into / deb.file for deb in debs]

    def _get(self) -> tuple[str, ...]:
        return (need("apt-get", "apt"), *QUIET, *self.options)


def _whole(file: Path, hash: str) -> bool:
    """Tell whether the file is there to its last byte: an apt that was killed leaves half of one."""
    import hashlib

    kind, _, digest = hash.partition(":")
    if not file.exists():
        return False
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, kind.lower()).hexdigest() == digest


def unpack(files: Iterable[Path], into: Path) -> None:
    """Unpack package files over each other; their maintainer scripts do not run."""
    program = need("dpkg-deb", "dpkg")
    for file in files:
        run([program, "-x", str(file), str(into)], timeout=300)
