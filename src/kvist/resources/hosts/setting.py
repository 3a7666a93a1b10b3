"""Settings of a host that VMs depend on: its kernel's, and where it looks names up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

from kvist.engine.ask import Ask
from kvist.engine.operation import operation
from kvist.engine.step import Site, Step
from kvist.errors import Conflict, Invalid, Unsupported
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
    vhost_zerocopy: bool | None = aside(
        BOOL,
        applies=LIVE,
        doc="The kernel sends large packets of guests straight from their memory (vhost_net).",
        page="https://git.kernel.org/pub/scm/linux/kernel/git/torvalds/linux.git/tree/drivers/vhost/net.c",
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

    --vhost-zerocopy is kept in /etc/modprobe.d/kvist.conf, and module vhost_net is loaded anew where no guest uses it;
    where one does, the answer names it, and the value comes with the next load.

    Example: kvist host set --ip-forward --guest-names
    """
    wish = {KEYS[name]: "1" if value else "0" for name, value in settings.items() if name in KEYS and value is not None}
    if not wish and settings.guest_names is None and settings.vhost_zerocopy is None:
        raise Invalid("say what is to be otherwise", hint="kvist host set --ip-forward")
    for key, value in wish.items():
        if file := sysctl.overruled(self.hand, key, value):
            raise Conflict(
                f'file "{file}" says otherwise of {key}, and is read later at boot', hint=f"take {key} out of {file}"
            )
        yield from setting(self.site, key, value)
    if settings.guest_names is not None:
        yield from guest_names(self.site, on=settings.guest_names)
    if settings.vhost_zerocopy is not None:
        if self.place.sandbox is not None:
            raise Unsupported("a sandbox has the kernel of its machine, and changes nothing of it",
                              hint="kvist host set --vhost-zerocopy --host qemu:///system")  # fmt: skip
        yield from vhost_zerocopy(self.site, on=settings.vhost_zerocopy)


def vhost_zerocopy(at: Site, *, on: bool) -> Iterator[Step]:
    """Give the steps by which vhost_net sends without copying, or no longer does."""
    from kvist.host import zerocopy
    from kvist.resources.steps.files import WriteFile
    from kvist.resources.steps.modules import ReloadZerocopy

    value, word = ("1", "on") if on else ("0", "off")
    seen = zerocopy.look(at.hand)
    zerocopy.need(seen, value)
    if seen.builtin:
        return
    if file := zerocopy.overruled(at.hand, value):
        raise Conflict(f'"{file}" says otherwise of {zerocopy.PARAMETER}, and is read later',
                       hint=f"take {zerocopy.PARAMETER} out of {file}")  # fmt: skip
    text = at.hand.read(zerocopy.KEPT)
    before = zerocopy.kept(text)
    anew = seen.now != value and not seen.used
    if anew:
        yield ReloadZerocopy(before=seen.now, after=value, back=True)
    if before != value:
        when = "at each load of vhost_net"
        if seen.now != value and seen.used:
            busy = ", ".join(zerocopy.users(at.hand)) or "somebody"
            when = f"at the next load of vhost_net, which {busy} uses now"
        was = None if before is None else "on" if before == "1" else "off"
        yield WriteFile(
            path=zerocopy.KEPT,
            before=text,
            after=zerocopy.keeping(text, value),
            why=f"keep vhost zero-copy {word}",
            shown=() if anew else (("vhost zerocopy", was, word),),
            when=when,
        )
    if anew:
        yield ReloadZerocopy(before=seen.now, after=value)


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
