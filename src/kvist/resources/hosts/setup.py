"""Making a host fit for VMs: what its distribution calls for, no more than what is missing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

from kvist.engine.ask import Ask
from kvist.engine.operation import operation
from kvist.errors import Denied, Invalid

if TYPE_CHECKING:
    from kvist.engine.step import Step
    from kvist.host.hand import Hand
    from kvist.resources.hosts.host import Host

GROUPS = ("kvm", "libvirt")
"""Whose members may use /dev/kvm, and the system libvirt."""
UNITS = ("libvirtd.service", "libvirtd.socket", "virtqemud.service", "virtqemud.socket")
"""Any of them is a libvirt that runs."""


@operation
def setup(
    self: Host,
    *,
    user: Annotated[
        str, Ask("who may use VMs without root; the one who typed sudo, else who logs in there", metavar="NAME")
    ] = "",
) -> Iterator[Step]:
    """Make a host fit for VMs: packages, groups, and libvirt's daemon, now and at each boot.

    QEMU, libvirt, dnsmasq and what they need are installed by the package manager of Debian, Ubuntu, Fedora, RHEL,
    CentOS, openSUSE or Arch; the user becomes a member of groups kvm and libvirt; systemd starts libvirt. What is there
    is left as it is. Without systemd the answer says how libvirt is started, and the exit code is 1 until it runs.

    Example: kvist host setup --user ann
    """
    from kvist.host import distribution
    from kvist.host.net.passage import asked
    from kvist.resources.steps.setup import EnableUnits, InstallPackages, JoinGroup, TellHowToRun

    hand = self.hand
    if user and asked(hand, "id", "-u", user) is None:
        raise Invalid(f'there is no user "{user}" on the host', path="--user", hint="getent passwd")
    found = distribution.look(hand)
    steps: list[Step] = []
    if lacking := tuple(found.missing(hand)):
        steps.append(
            InstallPackages(refresh=found.family.refresh, argv=found.family.install, packages=lacking),
        )
    who = user or _login(self)
    if who and who != "root":
        has = (asked(hand, "id", "-nG", who) or "").split()
        steps += [JoinGroup(user=who, group=group) for group in GROUPS if group not in has]
    systemd = "system" in hand.names("/run/systemd")
    if systemd and not _runs(hand):
        steps.append(EnableUnits(units=found.units))
    if steps:
        need_root(hand, "kvist host setup")
    yield from steps
    if not systemd and asked(hand, "pidof", "libvirtd") is None:
        yield TellHowToRun()


def need_root(hand: Hand, line: str) -> None:
    """Raise Denied where whoever acts on the host is not its root."""
    if hand.run(["id", "-u"]).text.strip() != "0":
        raise Denied("what the host is made of is root's to change", hint=f"sudo {line}")


def _login(host: Host) -> str:
    """Find who is to use VMs: whoever typed sudo on this machine, else who acts on the host."""
    who = host.hand.run(["id", "-un"]).text.strip()
    return os.environ.get("SUDO_USER", "") if who == "root" and host.place.local else who


def _runs(hand: Hand) -> bool:
    """Tell whether systemd runs a libvirt, now and at each boot."""
    active = hand.run(["systemctl", "is-active", *UNITS], check=False).text.split()
    enabled = hand.run(["systemctl", "is-enabled", *UNITS], check=False).text.split()
    return "active" in active and "enabled" in enabled
