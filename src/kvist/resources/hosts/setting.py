"""Settings of a host that VMs depend on: its kernel's, and where it looks names up."""

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


class Settings(Spec):
    """Settings of a host."""

    PAGE = "https://libvirt.org/firewall.html"

    ip_forward: bool | None = aside(
        BOOL, applies=LIVE, doc="The host passes packets on between its networks.", default=None
    )
    guest_names: bool | None = aside(
        BOOL,
        applies=LIVE,
        doc="The host itself finds guests of its networks by their names.",
        page="https://libvirt.org/nss.html",
        default=None,
    )


KEYS = {"ip_forward": IP_FORWARD}
"""What the kernel calls them."""


@operation
def set(
    self: Host,
    settings: Annotated[Settings, Ask("what is to be otherwise", group="Settings")] = Settings(),  # noqa: B008 - immutable
) -> Iterator[Step]:
    """Change settings of a host, now and for its next boot.

    With --guest-names `ping web` on the host finds guest web: by libvirt's own module of the name service
    (https://libvirt.org/nss.html), which is entered in /etc/nsswitch.conf.

    Example: kvist host set --ip-forward --guest-names
    """
    wish = {KEYS[name]: "1" if value else "0" for name, value in settings.items() if name in KEYS and value is not None}
    if not wish and settings.guest_names is None:
        raise Invalid("say what is to be otherwise", hint="kvist host set --ip-forward")
    for key, value in wish.items():
        if file := sysctl.overruled(self.hand, key, value):
            raise Conflict(
                f'file "{file}" says otherwise of {key}, and is read later at boot', hint=f"take {key} out of {file}"
            )
        yield from setting(self.site, key, value)
    if settings.guest_names is not None:
        yield from guest_names(self.site, on=settings.guest_names)


def guest_names(at: Site, *, on: bool) -> Iterator[Step]:
    """Give the step by which the host looks up names of guests, or no longer does."""
    from kvist.host.net import nss
    from kvist.resources.steps.files import WriteFile

    before = at.hand.read(nss.CONF)
    after = nss.with_guests(before or "", on=on)
    if after == (before or ""):
        return
    if on:
        nss.need_module(at.hand)
    shown = ("names of guests", "not looked up", "looked up")
    yield WriteFile(
        path=nss.CONF,
        before=before,
        after=after,
        why="let the host look up names of guests" if on else "let the host look up no names of guests",
        shown=(shown if on else (shown[0], shown[2], shown[1]),),
    )


def setting(at: Site, key: str, value: str) -> Iterator[Step]:
    """Give the step that sets a value of the kernel's, where it is otherwise now or at the next boot."""
    now, kept = sysctl.read(at.hand, key), sysctl.kept(at.hand).get(key)
    if now != value or kept != value:
        yield SetSysctl(key=key, before=now, kept=kept, after=value)


def forwarding(at: Site) -> Iterator[Step]:
    """Give the step that lets the host pass packets on, where it does not."""
    if sysctl.read(at.hand, IP_FORWARD) != "1":
        yield from setting(at, IP_FORWARD, "1")
