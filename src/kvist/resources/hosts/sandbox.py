"""Sandboxes, as verbs: private libvirt hosts to try things on."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated, NamedTuple

from kvist.engine.ask import Ask
from kvist.engine.execute import Answer
from kvist.engine.step import Change
from kvist.errors import Invalid
from kvist.sandbox import sandbox as sandboxes
from kvist.values import Duration, Size

DEFAULT = "default"


class Row(NamedTuple):
    """One sandbox in a list."""

    name: str
    pid: int
    uptime: Duration
    memory: Size
    guests: int
    host: str
    """What `--host` calls it."""
    uri: str


def up(
    name: Annotated[str, Ask("name of the sandbox [default]", metavar="NAME", complete="sandbox")] = DEFAULT,
    *,
    report: Callable[[str, float | None], None] | None = None,
) -> Answer:
    """Start a sandbox: a private libvirt with a network and a pool, from which nothing leaks. Needs root.

    Example: kvist sandbox up && kvist --host sandbox:default ls
    """
    if any(known.name == name for known in sandboxes.ls()):
        return Answer((), ())
    tell = report or (lambda _what, _share: None)
    sandboxes.up(name, on_progress=lambda what: tell(what, None))
    return Answer((Change(f"sandbox:{name}", "state", "down", "up"),), (f'start sandbox "{name}"',))


def ls() -> list[Row]:
    """List the sandboxes that are up.

    Example: kvist sandbox ls
    """
    now = time.time()
    return [
        Row(
            name=known.name,
            pid=known.pid,
            uptime=Duration(max(0.0, now - known.since)),
            memory=known.memory,
            guests=known.guests,
            host=f"sandbox:{known.name}",
            uri=known.uri,
        )
        for known in sandboxes.ls()
    ]


def execute(
    name: Annotated[str, Ask("name of the sandbox", metavar="NAME", complete="sandbox")],
    *,
    command: Annotated[tuple[str, ...], Ask("the program and its arguments", metavar="COMMAND...", rest=True)] = (),
) -> int:
    """Run a command in a sandbox, in all its namespaces; ends with its exit code.

    Example: kvist sandbox exec default -- virsh list
    """
    if not command:
        raise Invalid("nothing to run was named", hint=f"kvist sandbox exec {name} -- virsh list")
    return sandboxes.execute(name, command)


def shell(
    name: Annotated[str, Ask("name of the sandbox [default]", metavar="NAME", complete="sandbox")] = DEFAULT,
) -> int:
    """Open a shell in a sandbox; its prompt shows the sandbox's name.

    Example: kvist sandbox shell
    """
    return sandboxes.shell(name)


def down(
    name: Annotated[str | None, Ask("name of the sandbox [default]", metavar="NAME", complete="sandbox")] = None,
    *,
    all: Annotated[bool, Ask("switch all sandboxes off")] = False,
) -> Answer:
    """Switch a sandbox off at once, with all VMs, networks and files in it.

    Example: kvist sandbox down
    """
    if all and name is not None:
        raise Invalid(f'"{name}" and --all say two things; give one of them')
    names = [known.name for known in sandboxes.ls()] if all else [name or DEFAULT]
    gone = [each for each in names if sandboxes.down(each)]
    return Answer(
        [Change(f"sandbox:{each}", "state", "up", "down") for each in gone],
        [f'switch sandbox "{each}" off' for each in gone],
    )
