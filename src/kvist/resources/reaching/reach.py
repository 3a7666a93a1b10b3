"""Getting into a guest: by ssh, which finds address and key by itself, and by its agent, which needs no network."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from kvist.engine.ask import Ask
from kvist.errors import Conflict, Invalid, Problem
from kvist.resources.reaching.forwarding import split
from kvist.resources.reaching.route import Route
from kvist.resources.reaching.waiting import agent_of, greeting_address, wait
from kvist.values import Duration, Name

if TYPE_CHECKING:
    from kvist.guest.ssh import Target
    from kvist.host.run import Result
    from kvist.resources.hosts.host import Host
    from kvist.resources.vms.vm import Machine
    from kvist.specs.vm import Vm

BOOTING_WITHIN = Duration(120)
"""How long ssh is waited for after a start: a Debian guest without KVM answers after 95 s."""
SETTLED_WITHIN = Duration(5)
_BOOT = 300.0
_NOTICE = 2.0


def ssh(
    self: Machine,
    *,
    user: Annotated[str | None, Ask("log in as this user [the one the VM was made for, else yours]")] = None,
    key: Annotated[Path | None, Ask("try this key only", metavar="FILE", parse=Path, complete="file")] = None,
    tty: Annotated[bool | None, Ask("give the command a terminal, or none [ssh decides]")] = None,
    timeout: Annotated[
        Duration | None, Ask("wait this long for its ssh to answer [2m, 5s when it has long been up]", metavar="TIME")
    ] = None,
    command: Annotated[
        tuple[str, ...], Ask("what to run there instead of a shell", metavar="[COMMAND...]", rest=True)
    ] = (),
) -> int:
    """Log in to a VM, or run a command in it; ends with the exit code of that command.

    Several words are passed on as they are; one word is a line for the guest's shell, as with ssh itself.

    Example: kvist ssh web -- systemctl is-active nginx
    """
    from kvist.guest.ssh import argv
    from kvist.host.run import attach
    from kvist.resources.reaching.shutout import SSH_FAILED, look

    goal = target(self, find_ssh(self, timeout), user=user, key=key)
    route = Route(self.host.place)
    code = attach([*route.prefix, *argv(goal, known_hosts(), command, tty=tty)])
    if code == SSH_FAILED:
        look(self, goal)
    return _shell_code(code)


def execute(
    self: Machine,
    *,
    stdin: Annotated[bool | None, Ask("pass standard input on, or not [when it is no terminal]")] = None,
    env: Annotated[tuple[str, ...], Ask("replace the agent's environment by such words", metavar="NAME=VALUE")] = (),
    timeout: Annotated[Duration, Ask("kill it when it takes longer [1h]", metavar="TIME")] = Duration(3600),  # noqa: B008
    command: Annotated[tuple[str, ...], Ask("the program and its arguments", metavar="COMMAND...", rest=True)] = (),
) -> int:
    """Run a command in a VM by its guest agent, as root and without a network; ends with its exit code.

    Output comes as it is written. No shell is involved: for a pipe or a variable, run one.

    Example: kvist exec web -- sh -c 'df -h | tail -1'
    """
    if not command:
        raise Invalid("nothing to run was named", hint=f"kvist exec {self.name} -- uname -a")
    if wrong := [word for word in env if not word.partition("=")[0] or "=" not in word]:
        raise Invalid(Problem("--env", f'"{word}" is not like NAME=VALUE, a word of the environment') for word in wrong)
    must_run(self, "run a command in")
    given = _standard_input(self) if stdin or (stdin is None and not sys.stdin.isatty()) else b""

    def show(piece: bytes, is_error: bool) -> None:
        stream = sys.stderr if is_error else sys.stdout
        stream.buffer.write(piece)
        stream.buffer.flush()

    sys.stdout.flush()
    return agent_of(self).exec(command, input=given, env=env, timeout=timeout, on_output=show).code


def ssh_config(
    self: Host,
    *,
    write: Annotated[bool, Ask("write them to kvist's own file instead of printing them")] = False,
) -> str:
    """Print entries for ssh_config(5), so that `ssh VM`, git, rsync and editors reach the VMs that run now.

    Example: kvist ssh-config --write
    """
    from kvist.guest.ssh import config_entry, data_directory

    text = "".join(f"{config_entry(name, goal, known_hosts())}\n" for name, goal in _running(self))
    if not write:
        return text
    path = data_directory() / "ssh_config"
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.replace(path)
    own = Path.home() / ".ssh" / "config"
    line = f"Include {path}"
    if not own.is_file() or line not in own.read_text(errors="replace"):
        self.site.report(f"put this line at the top of {own}: {line}", 1.0)
    return str(path)


def find_ssh(vm: Machine, timeout: Duration | None = None) -> str:
    """Give the address at which the VM's ssh answers, waiting for it where it has to start yet.

    Without `timeout` a guest that may still be booting is waited for longer than one that has long been up.
    """
    from kvist.virt.words import State

    where = greeting_address(vm)
    if where is not None:
        return where.address
    if vm.state is State.PAUSED:
        # It would not answer however long it were waited for.
        raise Conflict(f'cannot reach VM "{vm.name}" by ssh: it is suspended', hint=f"kvist resume {vm.name}")
    if timeout is None:
        timeout = BOOTING_WITHIN if _may_be_booting(vm) else SETTLED_WITHIN
    return wait(vm, "ssh", timeout=timeout) or ""


def target(vm: Machine, address: str, *, user: str | None = None, key: Path | None = None) -> Target:
    """Say how ssh gets in to a VM at this address."""
    goal = _target(vm.spec, address, Route(vm.host.place).proxy)
    return goal._replace(user=user or goal.user, key=_half(key) if key else None)


def remote(vm: Machine, address: str, command: Sequence[str], *, timeout: float) -> Result:
    """Run a command by ssh and give what it printed; nothing is ever asked."""
    from kvist.guest.ssh import argv
    from kvist.host.run import run

    line = argv(target(vm, address), known_hosts(), command, tty=False, batch=True)
    return run([*Route(vm.host.place).prefix, *line], timeout=timeout, check=False)


def known_hosts() -> Path:
    """Give the file where kvist remembers the host keys of guests."""
    from kvist.guest.ssh import data_directory

    return data_directory() / "known_hosts"


def must_run(vm: Machine, act: str) -> None:
    """Raise Conflict unless the VM runs; `act` is what cannot be done otherwise."""
    from kvist.virt.words import State

    state = vm.state
    if state is State.PAUSED:
        raise Conflict(f'cannot {act} VM "{vm.name}": it is suspended', hint=f"kvist resume {vm.name}")
    if not state.active:
        raise Conflict(f'cannot {act} VM "{vm.name}": it is {state.value}', hint=f"kvist start {vm.name}")


def _target(spec: Vm, address: str, proxy: Sequence[str]) -> Target:
    from kvist.guest.ssh import Target, keys_at_hand

    where, port = split(address, 22)
    return Target(where, spec.uuid or address, user=spec.user, port=port, proxy=proxy, offer=keys_at_hand())


def _half(key: Path) -> Path:
    from kvist.guest.ssh import read_key

    return key if key.suffix != ".pub" and key.is_file() else read_key(key).identity


def _may_be_booting(vm: Machine) -> bool:
    from kvist.resources.vms.uptime import uptimes

    shots = [shot for shot in vm.host.connection.domains.snapshot() if shot.name == vm.name]
    return uptimes(vm.host, shots).get(vm.name, 0.0) < _BOOT


def _running(host: Host) -> list[tuple[str, Target]]:
    from kvist.resources.reaching.address import addresses_of_all
    from kvist.specs.vm import Vm
    from kvist.xml.document import Document

    domains = host.connection.domains
    address = addresses_of_all(host, [shot for shot in domains.snapshot() if shot.state.active])
    proxy = Route(host.place).lasting_proxy
    found = []
    for name, text in sorted(domains.documents(active=True)):
        try:
            Name.parse(name)
        except ValueError as wrong:
            host.site.report(f"left out: {wrong}", 1.0)
            continue
        if name in address:
            found.append((name, _target(Vm.read(Document.parse(text).root), address[name], proxy)))
    return found


def _standard_input(vm: Machine) -> bytes:
    import select

    if not select.select([sys.stdin], (), (), _NOTICE)[0]:
        vm.site.report("waiting for the end of standard input (--no-stdin goes without)", None)
    return sys.stdin.buffer.read()


def _shell_code(code: int) -> int:
    """Give the exit code as a shell does, which adds 128 to the number of a signal."""
    return code if code >= 0 else 128 - code
