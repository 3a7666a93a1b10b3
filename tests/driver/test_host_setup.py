"""Row 3: a host of any known distribution is made fit for VMs by one line, and the second time nothing is left."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from kvist.engine.execute import Answer
from kvist.errors import Denied, Failed, Invalid, Unsupported
from kvist.host import distribution
from kvist.host.hand import Hand
from kvist.host.run import Result
from kvist.resources.hosts.host import Host, beforehand
from kvist.resources.hosts.setup import setup

DEBIAN = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nVERSION_ID="12"\nID=debian\n'
UBUNTU = "NAME=Mint\nID=linuxmint\nID_LIKE='ubuntu debian'\n"
FEDORA = "NAME=Fedora\nID=fedora\nVERSION_ID=41\n"
ROCKY = 'NAME="Rocky Linux"\nID="rocky"\nID_LIKE="rhel centos fedora"\nVERSION_ID="9.4"\n'
CENTOS7 = 'NAME="CentOS Linux"\nID="centos"\nID_LIKE="rhel fedora"\nVERSION_ID="7"\n'
SUSE = 'NAME="openSUSE Leap"\nID="opensuse-leap"\nID_LIKE="suse opensuse"\n'
ARCH = "# rolls\nNAME='Arch Linux'\nID=arch\n"


class Machine(Hand):
    """A host that is made up: its package manager, its users and its systemd do what they are told."""

    def __init__(self, root: Path) -> None:
        super().__init__(root=str(root))
        self.arch = "x86_64"
        self.there: set[str] = set()
        self.unheard = False
        """Its package manager says that all is well, and installs nothing."""
        self.users = {"root": {"root"}, "ann": {"ann", "sudo"}}
        self.me = "root"
        self.units: set[str] = set()
        self.daemon = False
        self.typed: list[str] = []

    def run(
        self, argv: Sequence[str], *, input: bytes | None = None, timeout: float = 60, check: bool = True
    ) -> Result:
        words = [word for word in argv if (word != "env" and "=" not in word) or word.startswith("-")]
        out, code = self.asked(words)
        if out is None:
            self.typed.append(" ".join(words))
            self.act(words)
            out = ""
        return Result(tuple(argv), code, out.encode(), b"")

    def asked(self, words: list[str]) -> tuple[str | None, int]:
        match words:
            case ["uname", "-m"]:
                return self.arch, 0
            case ["id", "-u"]:
                return ("0" if self.me == "root" else "1000"), 0
            case ["id", "-un"]:
                return self.me, 0
            case ["id", _, name]:
                return " ".join(sorted(self.users.get(name, ()))), int(name not in self.users)
            case ["pidof", _]:
                return "", int(not self.daemon)
            case ["dpkg-query", "-W", "-f", _, *names]:
                return "".join(
                    f"{name}:installed\n" if name in self.there else "half:not-installed\n" for name in names
                ), 1
            case ["rpm", "-q", "--whatprovides", *names]:
                return "".join(
                    f"{name}-1\n" if name in self.there else f"no package provides {name}\n" for name in names
                ), 1
            case ["pacman", "-T", *names]:
                return "".join(f"{name}\n" for name in names if name not in self.there), 127
            case ["systemctl", "is-active" | "is-enabled" as state, *units]:
                on = {"is-active": "active", "is-enabled": "enabled"}[state]
                return "".join(f"{on if unit in self.units else 'no'}\n" for unit in units), 0
        return None, 0

    def act(self, words: list[str]) -> None:
        match words:
            case ["usermod", "-aG", group, user]:
                self.users[user].add(group)
            case ["gpasswd", "-d", user, group]:
                self.users[user].remove(group)
            case ["systemctl", "enable", "--now", *units]:
                self.units |= set(units)
            case ["systemctl", "disable", "--now", *units]:
                self.units -= set(units)
            case [_, *rest] if ("install" in rest or "-S" in rest) and not self.unheard:
                self.there |= {word for word in rest if not word.startswith("-")} - {"install"}


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setenv("SUDO_USER", "ann")
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    made = Machine(tmp_path)
    made.write("/etc/os-release", DEBIAN)
    return made


@pytest.fixture
def host(machine: Machine) -> Host:
    """Give a host on which there is no libvirt to connect to."""
    host = beforehand("qemu:///system")
    vars(host)["hand"] = machine
    return host


@pytest.fixture
def fit(host: Host) -> Callable[..., Answer]:
    return setup.__get__(host, Host)


@pytest.mark.parametrize(
    ("release", "installs", "some", "units"),
    [
        (DEBIAN, "apt-get install -y --no-install-recommends ", "qemu-system-x86 ovmf", ("libvirtd.service",)),
        (UBUNTU, "apt-get install -y --no-install-recommends ", "libvirt-daemon-system", ("libvirtd.service",)),
        (FEDORA, "dnf -y install ", "swtpm swtpm-tools libvirt-nss edk2-ovmf", distribution.MODULAR),
        (ROCKY, "dnf -y install ", "libvirt-daemon-kvm", distribution.MODULAR),
        (CENTOS7, "yum -y install ", "acl qemu-kvm", ("libvirtd.service",)),
        (SUSE, "zypper --non-interactive install --no-recommends ", "qemu-x86", ("libvirtd.service",)),
        (ARCH, "pacman -S --needed --noconfirm ", "qemu-base edk2-ovmf", ("libvirtd.service",)),
    ],
    ids=["Debian", "like Ubuntu", "Fedora", "like RHEL 9", "CentOS 7", "openSUSE", "Arch"],
)
def test_a_bare_host_gets_packages_groups_and_a_daemon_once(
    machine: Machine, fit: Callable[..., Answer], release: str, installs: str, some: str, units: tuple[str, ...]
) -> None:
    machine.write("/etc/os-release", release)
    changes = {(each.subject, each.field): each.after for each in fit().changes}
    (installed,) = [line for line in machine.typed if line.startswith(installs)]
    assert set(some.split()) <= set(installed.split()) and "dnsmasq" in installed
    assert machine.users["ann"] >= {"kvm", "libvirt"} and changes["user ann", "group kvm"] == "member"
    assert machine.units == set(units)
    machine.typed.clear()
    assert (fit().changed, machine.typed) == (False, [])


def test_only_what_is_missing_is_installed_and_started(
    host: Host, machine: Machine, fit: Callable[..., Answer]
) -> None:
    machine.there = set(distribution.look(machine).packages) - {"acl"}
    machine.units = {"libvirtd.socket"}
    machine.users["ann"].add("kvm")
    fit()
    assert [line for line in machine.typed if "apt-get" in line] == [
        "apt-get update",
        "apt-get install -y --no-install-recommends acl",
    ]
    assert machine.units == {"libvirtd.socket"}, "a libvirt runs already"
    assert machine.users["ann"] >= {"kvm", "libvirt"}
    assert not setup.__get__(host, Host).plan(user="root"), "root needs no group"


def test_what_was_begun_is_taken_back_when_a_package_did_not_come(machine: Machine, fit: Callable[..., Answer]) -> None:
    machine.unheard = True
    with pytest.raises(Failed, match="the host lacks libvirt-daemon, "):
        fit()
    assert (machine.users["ann"], machine.units) == ({"ann", "sudo"}, set())


def test_without_systemd_the_way_to_start_it_is_told_until_it_runs(
    machine: Machine, tmp_path: Path, fit: Callable[..., Answer]
) -> None:
    (tmp_path / "run/systemd/system").rmdir()
    with pytest.raises(Failed, match="systemd does not run") as told:
        fit()
    assert told.value.hint == "virtlogd -d && libvirtd -d"
    assert told.value.done.changed and machine.units == set()
    with pytest.raises(Failed, match="systemd does not run"):
        fit()
    machine.daemon = True
    assert fit().changed is False


def test_what_cannot_be_is_said_before_anything_is_done(machine: Machine, fit: Callable[..., Answer]) -> None:
    with pytest.raises(Invalid, match='there is no user "bob"'):
        fit(user="bob")
    machine.me = "ann"
    with pytest.raises(Denied, match="root's to change"):
        fit()
    machine.write("/etc/os-release", "NAME=Slackware\nID=slackware\n")
    with pytest.raises(Unsupported, match="the packages of Slackware"):
        fit()
    machine.write("/etc/os-release", DEBIAN)
    machine.arch = "riscv64"
    with pytest.raises(Unsupported, match="for riscv64"):
        fit()
    assert machine.typed == []
