"""Settings of a host's kernel that VMs depend on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

from kvist.engine.ask import Ask
from kvist.engine.operation import operation
from kvist.engine.step import Site, Step
from kvist.errors import Conflict, Invalid
from kvist.host import sysctl
from kvist.resources.steps.crossing import SetSysctl

if TYPE_CHECKING:
    from kvist.resources.host import Host

IP_FORWARD = "net.ipv4.ip_forward"


@operation
def set(
    self: Host,
    *,
    ip_forward: Annotated[bool | None, Ask("the host passes packets on between its networks")] = None,
) -> Iterator[Step]:
    """Change settings of a host's kernel, now and for its next boot.

    Example: kvist host set --ip-forward
    """
    if ip_forward is None:
        raise Invalid("say what is to be otherwise", hint="kvist host set --ip-forward")
    value = "1" if ip_forward else "0"
    if file := sysctl.overruled(self.hand, IP_FORWARD, value):
        raise Conflict(
            f'file "{file}" says otherwise of {IP_FORWARD}, and is read later at boot',
            hint=f"take {IP_FORWARD} out of {file}",
        )
    yield from setting(self.site, IP_FORWARD, value)


def setting(at: Site, key: str, value: str) -> Iterator[Step]:
    """Give the step that sets a value of the kernel's, where it is otherwise now or at the next boot."""
    now, kept = sysctl.read(at.hand, key), sysctl.kept(at.hand).get(key)
    if now != value or kept != value:
        yield SetSysctl(key=key, before=now, kept=kept, after=value)


def forwarding(at: Site) -> Iterator[Step]:
    """Give the step that lets the host pass packets on, where it does not."""
    if sysctl.read(at.hand, IP_FORWARD) != "1":
        yield from setting(at, IP_FORWARD, "1")
