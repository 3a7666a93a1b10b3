"""What `kvist host check --fix` does on a host that is made up: once, seen to have helped, and all of it or nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from kvist.cli.main import main
from kvist.engine.execute import Answer
from kvist.errors import CommandFailed, Denied, Failed
from kvist.host import kvm
from kvist.host.checks import networks
from kvist.host.checks.networks import CONFIG, Choice
from kvist.host.hand import Hand
from kvist.host.kvm import Verdict
from kvist.host.run import Result
from kvist.resources.hosts.check import check, mend
from kvist.resources.hosts.host import Host, beforehand
from kvist.resources.steps import mending

OLD, NEW = "# ours\nFirewallBackend=iptables\n", "# ours\nFirewallBackend=nftables\n"
QUERY = """\
Name: iptables
Link: /usr/sbin/iptables
Status: manual
Best: /usr/sbin/iptables-nft
Value: /usr/sbin/iptables-legacy

Alternative: /usr/sbin/iptables-legacy
Priority: 10

Alternative: /usr/sbin/iptables-nft
Priority: 20
"""


class Firewalled(Hand):
    """A host with systemd and firewalld, whose processor is fit for guests."""

    def __init__(self, root: Path) -> None:
        super().__init__(root=str(root))
        self.typed: list[str] = []
        self.fails = ""
        self.said = {
            "uname": "6.1.0 x86_64\n",
            "id": "root\n",
            "ls": "crw-rw---- 1 root kvm 10, 232 Nov 24 21:36 /dev/kvm\n",
            "pidof": "7\n",
            "iptables": "iptables v1.8.9 (nf_tables)\n",
            "nft": "",
        }

    def has(self, program: str) -> bool:
        return program == "nft"

    def run(
        self, argv: Sequence[str], *, input: bytes | None = None, timeout: float = 60, check: bool = True
    ) -> Result:
        line = " ".join(argv)
        if argv[0] in ("systemctl", "chmod"):
            self.typed.append(f"{line}: {(self.read(CONFIG) or '').split()[-1]}")
            if line == self.fails:
                raise CommandFailed(f"cannot {line}")
            return Result(tuple(argv), 0, b"", b"")
        said = {"id -u": "0\n", "pidof virtnetworkd": None}.get(line, self.said.get(argv[0]))
        return Result(tuple(argv), int(said is None), (said or "").encode(), b"")

    def read(self, path: str) -> str | None:
        if path == "/proc/cpuinfo":
            return "flags\t\t: vmx\n"
        return None if path.startswith(("/proc", "/sys")) else super().read(path)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Firewalled:
    monkeypatch.setattr(kvm, "probe", lambda **_: Verdict(True, "a Linux kernel starts", "Linux version 6"))
    monkeypatch.setattr(mending, "WITHIN", 0.0)
    for each in ("run/systemd/system", "sys/module/kvm_intel"):
        (tmp_path / each).mkdir(parents=True)
    made = Firewalled(tmp_path)
    made.write(CONFIG, OLD)
    made.write("/usr/lib/firewalld/zones/libvirt.xml", "<zone/>")
    return made


@pytest.fixture
def host(machine: Firewalled) -> Host:
    """Give a host on which there is no libvirt to connect to."""
    host = beforehand("qemu:///system")
    vars(host)["hand"] = machine
    return host


@pytest.fixture
def fix(host: Host) -> Callable[[], Answer]:
    return mend.__get__(host, Host)


def test_a_file_is_changed_and_who_reads_it_started_anew_and_so_on_the_way_back(
    host: Host, machine: Firewalled, fix: Callable[[], Answer]
) -> None:
    assert [each.check for each in check(host) if each.ok is False] == ["firewalld"]
    assert [(each.field, each.after) for each in fix().changes] == [("firewalld", "mended")]
    assert machine.read(CONFIG) == NEW
    restarts = ["systemctl restart firewalld", "systemctl restart libvirtd"]
    assert machine.typed == [f"{line}: FirewallBackend=nftables" for line in restarts]
    machine.typed.clear()
    assert (fix().changed, machine.typed, check(host).exit) == (False, [], 0)
    plan = mend.__get__(host, Host).plan()
    assert (plan.steps, plan.objects) == ((), ("host qemu:///system",)), "one at a time"


def test_undo_puts_the_file_back_before_its_readers_are_started_anew(
    host: Host, machine: Firewalled, fix: Callable[[], Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    fix()
    machine.typed.clear()
    # Undo asks libvirt nothing either: the same host, by the same name.
    monkeypatch.setattr("kvist.resources.hosts.host.connect", lambda *_, **__: host)
    assert main(["undo"]) == 0
    assert machine.read(CONFIG) == OLD
    assert machine.typed == [
        "systemctl restart firewalld: FirewallBackend=iptables",
        "systemctl restart libvirtd: FirewallBackend=iptables",
    ]


def test_what_does_not_help_is_taken_back(machine: Firewalled, fix: Callable[[], Answer]) -> None:
    (Path(machine._root) / "usr/lib/firewalld/zones/libvirt.xml").unlink()
    with pytest.raises(Failed, match="it did not help: firewalld: it has no zone libvirt"):
        fix()
    assert machine.read(CONFIG) == OLD
    assert machine.typed[-1].endswith("FirewallBackend=iptables")


def test_a_command_that_fails_takes_all_of_it_back(machine: Firewalled, fix: Callable[[], Answer]) -> None:
    machine.said["ls"] = "crw-r----- 1 root kvm 10, 232 Nov 24 21:36 /dev/kvm\n"
    machine.said["id"] = "libvirt-qemu kvm\n"
    machine.said["getent"] = "libvirt-qemu:x:64055:\n"
    machine.fails = "systemctl restart libvirtd"
    with pytest.raises(CommandFailed, match="cannot systemctl restart libvirtd"):
        fix()
    chmods = [line.partition(":")[0] for line in machine.typed if line.startswith("chmod")]
    assert chmods == ["chmod 0660 /dev/kvm", "chmod 0640 /dev/kvm"]
    assert machine.read(CONFIG) == OLD


def test_what_a_person_has_to_do_is_told_behind_what_was_done(
    host: Host, machine: Firewalled, fix: Callable[[], Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kvm, "probe", lambda **_: Verdict(False, "it hangs", "not a byte"))
    with pytest.raises(Failed, match="still in the way: guest: it hangs") as left:
        fix()
    assert left.value.done.changed and machine.read(CONFIG) == NEW
    with pytest.raises(Failed, match="still in the way: guest") as again:
        fix()
    assert (again.value.done.changed, again.value.done.changes) == (False, ())
    assert check(host).errors == (), "kvist can mend nothing of it"


def test_only_root_may(machine: Firewalled, fix: Callable[[], Answer], monkeypatch: pytest.MonkeyPatch) -> None:
    run = machine.run
    monkeypatch.setattr(
        machine, "run", lambda argv, **how: Result((), 0, b"7\n", b"") if argv == ["id", "-u"] else run(argv, **how)
    )
    with pytest.raises(Denied, match="root's to change") as told:
        fix()
    assert told.value.hint == "sudo kvist host check --fix"
    assert machine.typed == []


def test_programs_of_the_old_packet_filter_are_seen_where_they_are_in_use(machine: Firewalled) -> None:
    assert networks.look(machine).choices == ()
    machine.said["iptables"] = "iptables v1.8.9 (legacy)\n"
    machine.said["update-alternatives"] = QUERY
    chosen = Choice("iptables", "/usr/sbin/iptables-legacy", False, "/usr/sbin/iptables-nft")
    seen = networks.look(machine)
    assert (seen.variant, seen.choices[0], seen.firewalld, seen.systemd) == ("legacy", chosen, "iptables", True)
    assert seen.legacy == {}, "no table of it is loaded"
