"""Debian's own installer, from a tree of files and from a medium, up to its first screen on the serial console."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.daemon.managers import until

from kvist.host.run import run
from kvist.resources.hosts.host import Host

if TYPE_CHECKING:
    from tests.daemon.conftest import Kvist, Traces

PACKAGE = "debian-installer-12-netboot-amd64"
BELOW = Path("usr/lib/debian-installer/images/12/amd64/text/debian-installer/amd64")
INFO = b'Debian GNU/Linux 12.0.0 "Bookworm" - Official amd64 NETINST with firmware 20230610-10:21\n'
FIRST_SCREEN = r"Select a language|Choose language"


@pytest.fixture(scope="module")
def installer() -> Path:
    """Kernel and initrd of Debian's installer, fetched from the distribution once and kept in the cache."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    kept = base / "kvist" / "tests" / PACKAGE
    kept.parent.mkdir(parents=True, exist_ok=True)
    with kept.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (kept / BELOW / "initrd.gz").is_file():
            fresh = kept.with_suffix(".new")
            run(["rm", "-rf", str(fresh)])
            fresh.mkdir()
            run(["apt-get", "-o", "APT::Sandbox::User=root", "download", PACKAGE], cwd=fresh, timeout=240)
            package = next(fresh.glob("*.deb"))
            run(["dpkg", "-x", str(package), str(fresh)], timeout=120)
            package.unlink()
            run(["rm", "-rf", str(kept)])
            fresh.rename(kept)
    return kept / BELOW


@pytest.fixture(scope="module")
def tree(installer: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory as a mirror of Debian has it."""
    root = tmp_path_factory.mktemp("tree")
    place = root / "debian-installer/amd64"
    place.mkdir(parents=True)
    for file, name in (("linux", "linux"), ("initrd.gz", "initrd.gz")):
        (place / name).symlink_to(installer / file)
    return root


@pytest.fixture(scope="module")
def medium(installer: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ISO image as Debian's CDs are laid out."""
    import pycdlib

    path = tmp_path_factory.mktemp("medium") / "debian.iso"
    iso = pycdlib.PyCdlib()
    iso.new(interchange_level=3, rock_ridge="1.09", vol_ident="Debian 12.0.0 amd64 n")
    for directory, name in (("/DISK", ".disk"), ("/INSTALL", "install.amd")):
        iso.add_directory(directory, rr_name=name)
    iso.add_file(str(installer / "linux"), "/INSTALL/VMLINUZ.;1", rr_name="vmlinuz")
    iso.add_file(
        str(installer / "initrd.gz"),
        "/INSTALL/INITRD.GZ;1",
        rr_name="initrd.gz",
    )
    iso.add_fp(BytesIO(INFO), len(INFO), "/DISK/INFO.;1", rr_name="info")
    iso.write(str(path))
    iso.close()
    return path


def test_both_reach_the_first_screen_of_the_installer_on_the_serial_console(
    line: Kvist, host: Host, tree: Path, medium: Path, clean: Callable[[], Traces]
) -> None:
    """Both at once, for each keeps one processor busy."""
    common = ("--memory", "1G", "--cpus", "1", "--disk", "8G", "--graphics", "none")
    try:
        for name, source in (("tree", tree), ("medium", medium)):
            words = ("create", name, "--install", str(source), *common)
            assert line.json(*words)["changed"] is True
            assert line.json(*words)["changed"] is False
        line("console", "tree", "--expect", FIRST_SCREEN, "--timeout", "240s", timeout=250)
        # The other may have drawn its screen meanwhile, before anybody looked: its log has it.
        until(lambda: re.search(FIRST_SCREEN, line("console", "medium", "--log").text) is not None, "the screen", 240)
        for name in ("tree", "medium"):
            assert "Low memory" not in line("console", name, "--log").text
        spec = host.vm("medium").spec
        assert spec.kernel and spec.initrd and "console=ttyS0" in str(spec.cmdline)
        assert (spec.os, spec.on_reboot) == ("debian12", "destroy")
        later = host.connection.domains.xml("medium", next_boot=True)
        assert "<kernel>" not in later and "<on_reboot>destroy" not in later
        assert [disk.device for disk in spec.disks] == ["disk", "cdrom"]
        assert [disk.device for disk in host.vm("tree").spec.disks] == ["disk"]
    finally:
        for name in ("tree", "medium"):
            line("delete", name, "--force", "--purge")


def test_what_holds_no_installer_is_refused_with_the_ways_that_are_left(
    line: Kvist, tmp_path: Path, clean: Callable[[], Traces]
) -> None:
    told = line.refused("create", "wrong", "--install", str(tmp_path), code=2)
    assert "has no installer" in told and "--cdrom FILE" in told
    (tmp_path / "not.iso").write_bytes(b"\0" * 65536)
    told = line.refused("create", "wrong", "--install", str(tmp_path / "not.iso"), code=2)
    assert "not.iso" in told and "stumbled" not in told
