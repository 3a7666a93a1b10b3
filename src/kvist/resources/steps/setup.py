"""Steps that make a host fit for VMs: packages, groups of users, services."""

from __future__ import annotations

from dataclasses import dataclass

from kvist.engine.step import Change, Command, Site, Step
from kvist.errors import Failed
from kvist.host import distribution
from kvist.host.net.passage import asked

INSTALLED_WITHIN = 1800.0
"""Seconds that a package manager may take; two minutes are usual."""


@dataclass(frozen=True, kw_only=True)
class InstallPackages(Step):
    """Install packages by the distribution's own program."""

    stays = "packages that are installed disturb nobody, and others may need them by then"
    refresh: tuple[str, ...]
    argv: tuple[str, ...]
    packages: tuple[str, ...]

    def describe(self) -> str:
        return f"install {', '.join(self.packages)}"

    def apply(self, at: Site) -> None:
        if self.refresh:
            at.hand.run(self.refresh, timeout=INSTALLED_WITHIN)
        at.hand.run([*self.argv, *self.packages], timeout=INSTALLED_WITHIN)

    def verify(self, at: Site) -> None:
        if lacking := distribution.look(at.hand).missing(at.hand):
            raise Failed(f"{self.argv[-2]} says that all is well, and the host lacks {', '.join(lacking)}")

    def changes(self) -> tuple[Change, ...]:
        return tuple(Change("host", f"package {name}", None, "installed") for name in self.packages)

    def commands(self) -> tuple[Command, ...]:
        refresh = (Command(self.refresh),) if self.refresh else ()
        return (*refresh, Command((*self.argv, *self.packages)))


@dataclass(frozen=True, kw_only=True)
class JoinGroup(Step):
    """Make a user a member of a group."""

    user: str
    group: str

    def describe(self) -> str:
        return f'make user "{self.user}" a member of group "{self.group}"'

    def _is_in(self, at: Site) -> bool:
        return self.group in (asked(at.hand, "id", "-nG", self.user) or "").split()

    def apply(self, at: Site) -> None:
        at.hand.run(["usermod", "-aG", self.group, self.user])

    def undo(self, at: Site) -> None:
        if self._is_in(at):
            at.hand.run(["gpasswd", "-d", self.user, self.group])

    def verify(self, at: Site) -> None:
        if not self._is_in(at):
            raise Failed(f'user "{self.user}" is not in group "{self.group}"')

    def changes(self) -> tuple[Change, ...]:
        return (Change(f"user {self.user}", f"group {self.group}", None, "member", "at the next login"),)

    def commands(self) -> tuple[Command, ...]:
        return (Command(("usermod", "-aG", self.group, self.user)),)


@dataclass(frozen=True, kw_only=True)
class EnableUnits(Step):
    """Let systemd run services, now and at each boot."""

    units: tuple[str, ...]

    def describe(self) -> str:
        return f"run {', '.join(self.units)}, now and at each boot"

    def apply(self, at: Site) -> None:
        at.hand.run(["systemctl", "enable", "--now", *self.units])

    def undo(self, at: Site) -> None:
        at.hand.run(["systemctl", "disable", "--now", *self.units])

    def verify(self, at: Site) -> None:
        told = at.hand.run(["systemctl", "is-active", *self.units], check=False).text.split()
        if idle := [unit for unit, state in zip(self.units, told, strict=False) if state != "active"]:
            raise Failed(f"{', '.join(idle)} does not run", hint=f"journalctl -u {idle[0]}")

    def changes(self) -> tuple[Change, ...]:
        return tuple(Change("host", unit, "off", "on", "now, and at each boot") for unit in self.units)

    def commands(self) -> tuple[Command, ...]:
        return (Command(("systemctl", "enable", "--now", *self.units)),)


@dataclass(frozen=True, kw_only=True)
class TellHowToRun(Step):
    """Say how libvirt's daemon is started where systemd does not run."""

    stays = "it only tells"
    after_commit = True

    def describe(self) -> str:
        return "see whether libvirt's daemon runs"

    def apply(self, at: Site) -> None:
        if asked(at.hand, "pidof", "libvirtd") is None:
            what = "systemd does not run on the host, so that libvirt's daemon has to be started by other means"
            raise Failed(what, hint="virtlogd -d && libvirtd -d")
