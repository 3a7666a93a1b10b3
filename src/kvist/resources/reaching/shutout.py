"""A guest whose ssh answers, and lets nobody in who has no key that it knows."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from kvist.errors import Denied

if TYPE_CHECKING:
    from kvist.guest.ssh import Target
    from kvist.resources.vms.vm import Machine

SSH_FAILED = 255
"""What ssh ends with when it is ssh that failed. A command in the guest may end with it, too."""
_DENIED = re.compile(r"Permission denied \(([\w,@.-]+)\)")
_WITHIN = 10
_TYPED = {"password", "keyboard-interactive"}


def look(vm: Machine, goal: Target) -> None:
    """Ask once more, with nobody to type a password, why a login failed. Raises Denied where no key is known there.

    A guest that takes passwords has asked for one, where there was somebody to ask: then ssh has said what is wrong,
    or it was a command that ended so.
    """
    from kvist.guest.ssh import argv
    from kvist.host.run import run
    from kvist.resources.reaching.reach import known_hosts
    from kvist.resources.reaching.route import Route

    line = argv(goal, known_hosts(), ("true",), tty=False, batch=True, timeout=_WITHIN)
    done = run([*Route(vm.host.place).prefix, *line], timeout=2.0 * _WITHIN, check=False)
    if done.code == SSH_FAILED:
        judge(vm, goal, done.complaint, asked=sys.stdin.isatty())


def judge(vm: Machine, goal: Target, complaint: str, *, asked: bool = False) -> None:
    """Raise Denied where ssh complains of a login that was refused; not where a person was `asked` for a password."""
    refused = _DENIED.search(complaint)
    if refused is None or (asked and _TYPED & set(refused[1].split(","))):
        return
    user = goal.user or _me()
    tried = f'key "{goal.key}"' if goal.key else "any key of yours"
    raise Denied(
        f'cannot log in to VM "{vm.name}" as "{user}": its ssh does not know {tried} ({refused[1]})',
        hint=f"kvist ssh {vm.name} --user NAME{'' if goal.key else ' or --key FILE'}; {_let_in(vm, user, goal.key)}",
    )


def _let_in(vm: Machine, user: str, key: Path | None) -> str:
    from kvist.guest.ssh import OWN_KEYS, keys_at_hand

    if not vm.has_agent:
        return f"kvist console {vm.name} to put your key into ~{user}/.ssh/authorized_keys by hand"
    own = [Path.home() / ".ssh" / name for name in OWN_KEYS]
    half = next((one for one in ([key] if key else keys_at_hand() or own) if one.is_file()), own[0])
    public = half if half.suffix == ".pub" else half.with_name(f"{half.name}.pub")
    add = f"mkdir -p ~{user}/.ssh && cat >> ~{user}/.ssh/authorized_keys && chown -R {user}: ~{user}/.ssh"
    return f"kvist exec {vm.name} --stdin -- sh -c '{add}' < {public}"


def _me() -> str:
    from getpass import getuser

    return getuser()
