"""Copying files into VMs and out of them: by scp, or by the guest agent where there is no ssh."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from kvist.engine.ask import Ask
from kvist.errors import Failed, GuestFailed, Invalid, NotFound
from kvist.resources.reaching.reach import find_ssh, known_hosts, must_run, target
from kvist.resources.reaching.route import Route
from kvist.resources.reaching.waiting import agent_answers, agent_of, greeting_address
from kvist.values import Duration

if TYPE_CHECKING:
    from kvist.guest.agent import Agent
    from kvist.guest.ssh import Endpoint
    from kvist.resources.hosts.host import Host
    from kvist.resources.vms.vm import Machine

PIECE = 1 << 20
_NO_SFTP = re.compile(r"sftp|subsystem request failed", re.IGNORECASE)


def cp(
    self: Host,
    sources: Annotated[
        tuple[str, ...], Ask("what to copy: VM:/path, or a local path", metavar="SRC", complete="place")
    ],
    destination: Annotated[str, Ask("where to: a local path, or VM:/path", metavar="DST", complete="place")],
    *,
    recursive: Annotated[bool, Ask("copy directories with all that is in them", short="r")] = False,
    agent: Annotated[bool, Ask("by the guest agent: single files, no network needed")] = False,
    user: Annotated[str | None, Ask("log in as this user")] = None,
    key: Annotated[Path | None, Ask("try this key only", metavar="FILE", parse=Path, complete="file")] = None,
    timeout: Annotated[
        Duration | None, Ask("wait this long for ssh to answer [2m, 5s when it has long been up]", metavar="TIME")
    ] = None,
) -> int | None:
    """Copy files between this machine and a VM, as scp does; by the agent when the guest has no ssh.

    Example: kvist cp web:/var/log/syslog .
    """
    from kvist.guest.ssh import parse_endpoint, scp_argv

    ends = [parse_endpoint(each) for each in (*sources, destination)]
    froms, to = ends[:-1], ends[-1]
    name = next((end.vm for end in ends if end.vm is not None), None)
    if name is None or len({end.vm for end in froms}) > 1 or (froms[0].vm is None) == (to.vm is None):
        raise Invalid(
            "a copy goes from this machine to one VM, or from one VM to this machine",
            hint="kvist cp ./file web:/tmp/ ; kvist cp web:/etc/hosts .",
        )
    vm = self.vm(name)
    must_run(vm, "copy from" if to.vm is None else "copy to")
    if agent or (greeting_address(vm) is None and agent_answers(vm)):
        if not agent:
            self.site.report(f'VM "{name}" does not answer by ssh; copying by its agent', None)
        if recursive:
            raise Invalid(
                "the guest agent copies single files, no directories",
                hint=f"kvist cp -r needs ssh: kvist wait {name} ssh",
            )
        _by_agent(vm, froms, to)
        return None
    goal = target(vm, find_ssh(vm, timeout), user=user, key=key)
    line = scp_argv(goal, known_hosts(), froms, to, recursive=recursive)
    code, complaint = _scp(vm, line)
    if code and _NO_SFTP.search(complaint):
        # Small ssh servers (dropbear) come without the file protocol.
        if not recursive and agent_answers(vm):
            self.site.report(f'the ssh of VM "{name}" carries no files; copying by its agent', None)
            _by_agent(vm, froms, to)
            return None
        code, complaint = _scp(vm, [line[0], "-O", *line[1:]])
    sys.stderr.write(complaint)
    if code:
        from kvist.resources.reaching.shutout import judge

        judge(vm, goal, complaint, asked=sys.stdin.isatty())
    return code or None


def _scp(vm: Machine, line: Sequence[str]) -> tuple[int, str]:
    import subprocess

    from kvist.host.run import spawn

    with spawn([*Route(vm.host.place).prefix, *line], stderr=subprocess.PIPE) as process:
        _, complaint = process.communicate()
    return process.returncode, complaint.decode(errors="replace")


def _by_agent(vm: Machine, froms: Sequence[Endpoint], to: Endpoint) -> None:
    guest = agent_of(vm)
    for end in (*froms, to):
        if end.vm is not None and not end.path.startswith("/"):
            raise Invalid(f'"{end.vm}:{end.path}": by the agent, a path in the guest begins with /')
    if to.vm is None:
        into = Path(to.path)
        _must_hold(into.is_dir(), len(froms), to.path)
        for end in froms:
            place = into / Path(end.path).name if into.is_dir() else into
            _fetch(guest, end.path, place, vm)
    else:
        directory = to.path.endswith("/") or _is_directory(guest, to.path)
        _must_hold(directory, len(froms), to.path)
        for end in froms:
            _send(guest, Path(end.path), f"{to.path.rstrip('/')}/{Path(end.path).name}" if directory else to.path, vm)


def _must_hold(is_directory: bool, count: int, path: str) -> None:
    if count > 1 and not is_directory:
        raise Invalid(f'"{path}" is no directory, so it cannot take {count} files')


def _is_directory(guest: Agent, path: str) -> bool:
    try:
        return guest.exec(["test", "-d", path]).code == 0
    except GuestFailed:
        # No `test` in there, as in Windows: what is not written with a slash is a file.
        return False


def _fetch(guest: Agent, path: str, place: Path, vm: Machine) -> None:
    vm.site.report(f"copy {vm.name}:{path} to {place}", None)
    half = place.with_name(f".{place.name}.{os.getpid()}.part")
    try:
        with half.open("wb") as file:
            for piece in guest.read_file(path):
                file.write(piece)
        half.replace(place)
    except OSError as wrong:
        raise Failed(f'cannot write file "{place}": {wrong.strerror}') from wrong
    finally:
        half.unlink(missing_ok=True)


def _send(guest: Agent, source: Path, path: str, vm: Machine) -> None:
    if source.is_dir():
        raise Invalid(f'"{source}" is a directory; the guest agent copies single files', hint="leave --agent out")
    if not source.exists():
        raise NotFound(f'there is no file "{source}"')
    size = source.stat().st_size
    sent = 0

    def pieces() -> Iterator[bytes]:
        nonlocal sent
        with source.open("rb") as file:
            while piece := file.read(PIECE):
                yield piece
                sent += len(piece)
                vm.site.report(f"copy {source} to {vm.name}:{path}", sent / max(size, 1))

    vm.site.report(f"copy {source} to {vm.name}:{path}", None)
    guest.write_file(path, pieces())
    if os.access(source, os.X_OK):
        # The agent makes files that nobody may run.
        done = guest.exec(["chmod", "+x", path])
        if done.code:
            raise GuestFailed(f'cannot make file "{path}" in VM "{vm.name}" executable')
