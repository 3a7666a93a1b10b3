"""The way to a VM's screen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, NamedTuple

from kvist.engine.ask import Ask
from kvist.errors import Conflict, Unsupported
from kvist.resources.reaching.reach import must_run
from kvist.resources.reaching.route import Route

if TYPE_CHECKING:
    from kvist.resources.hosts.host import Place
    from kvist.resources.vms.vm import Machine
    from kvist.specs.graphics import Graphics

VIEWERS = ("remote-viewer", "gvncviewer", "vncviewer", "xtigervncviewer")
"""Programs that show a screen, the best first."""
EVERYWHERE = ("0.0.0.0", "::", "")  # noqa: S104 - compared with, not listened on
NEAR = "127.0.0.1"
FREE = 5900
"""Port on this machine for a screen that has only a socket on its host."""


class View(NamedTuple):
    """Where a screen is for a viewer on this machine."""

    address: str
    first: str = ""
    """The command that first makes a way there, and stays while one looks."""
    prefix: tuple[str, ...] = ()
    """What stands before the viewer's own command line."""


def vnc(
    self: Machine,
    *,
    open: Annotated[bool, Ask("open it in a viewer of this machine")] = False,
) -> str | int:
    """Print the address of a VM's screen, and on stderr what leads there where a viewer alone does not get there.

    Example: kvist vnc web
    """
    from shlex import join

    must_run(self, "show the screen of")
    screen = next((each for each in self.spec.graphics if each.type in ("vnc", "spice")), None)
    if screen is None:
        raise Unsupported(f'VM "{self.name}" has no screen to look at', hint=f"kvist console {self.name}")
    found = view(screen, self.host.place)
    if open:
        return _opened(self, found)
    if found.first:
        self.site.report(f"first: {found.first}", None)
    if found.prefix:
        self.site.report(f"in the sandbox only: {join([*found.prefix, VIEWERS[0], found.address])}", None)
    return found.address


def _opened(vm: Machine, found: View) -> int:
    from kvist.host.run import attach, which

    if found.first:
        raise Unsupported(
            f'the screen of VM "{vm.name}" is out of reach of a viewer here', hint=f"first: {found.first}"
        )
    viewer = next(filter(which, VIEWERS), None)
    if viewer is None:
        raise Unsupported(
            "no viewer is installed on this machine", hint=f"apt install virt-viewer, or kvist screenshot {vm.name}"
        )
    return attach([*found.prefix, viewer, found.address])


def view(screen: Graphics, place: Place) -> View:
    """Work out how a screen is reached from this machine. Raises Conflict for one that has no port."""
    from shlex import join

    tunnel = ["ssh", "-N", "-L"]
    prefix = tuple(place.sandbox.network_prefix) if place.sandbox else ()
    if screen.socket:
        if place.ssh:
            first = join([*tunnel, f"{FREE}:{screen.socket}", *Route(place).login])
            return View(f"{screen.type}://{NEAR}:{FREE}", first)
        root = str(place.sandbox.root) if place.sandbox else ""
        return View(f"{screen.type}+unix://{root}{screen.socket}")
    port = screen.port if screen.port and screen.port > 0 else screen.tls_port
    if not port:
        raise Conflict("the screen has no port yet: the VM is just starting", hint="kvist ls")
    near = screen.listen in (None, *EVERYWHERE)
    inside = NEAR if near else str(screen.listen)
    if place.ssh:
        return View(f"{screen.type}://{NEAR}:{port}", join([*tunnel, f"{port}:{inside}:{port}", *Route(place).login]))
    return View(f"{screen.type}://{f'[{inside}]' if ':' in inside else inside}:{port}", prefix=prefix)
