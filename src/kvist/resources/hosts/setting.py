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
from kvist.xml.codec import BOOL
from kvist.xml.field import LIVE, aside
from kvist.xml.spec import Spec

if TYPE_CHECKING:
    from kvist.resources.hosts.host import Host

IP_FORWARD = "net.ipv4.ip_forward"


class Kernel(Spec):
    """Settings of a host's kernel."""

    PAGE = "https://libvirt.org/firewall.html"

    ip_forward: bool | None = aside(
        BOOL, applies=LIVE, doc="The host passes packets on between its networks.", default=None
    )


KEYS = {"ip_forward": IP_FORWARD}
"""What the kernel calls them."""


@operation
def set(
    self: Host,
    settings: Annotated[Kernel, Ask("what is to be otherwise", group="Settings")] = Kernel(),  # noqa: B008 - immutable
) -> Iterator[Step]:
    """Change settings of a host's kernel, now and for its next boot.

    Example: kvist host set --ip-forward
    """
    wish = {KEYS[name]: "1" if value else "0" for name, value in settings.items() if value is not None}
    if not wish:
        raise Invalid("say what is to be otherwise", hint="kvist host set --ip-forward")
    for key, value in wish.items():
        if file := sysctl.overruled(self.hand, key, value):
            raise Conflict(
                f'file "{file}" says otherwise of {key}, and is read later at boot', hint=f"take {key} out of {file}"
            )
        yield from setting(self.site, key, value)


def setting(at: Site, key: str, value: str) -> Iterator[Step]:
    """Give the step that sets a value of the kernel's, where it is otherwise now or at the next boot."""
    now, kept = sysctl.read(at.hand, key), sysctl.kept(at.hand).get(key)
    if now != value or kept != value:
        yield SetSysctl(key=key, before=now, kept=kept, after=value)


def forwarding(at: Site) -> Iterator[Step]:
    """Give the step that lets the host pass packets on, where it does not."""
    if sysctl.read(at.hand, IP_FORWARD) != "1":
        yield from setting(at, IP_FORWARD, "1")
