"""The serial console of a VM, for a person and for a script."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from kvist.engine.ask import Ask, Part
from kvist.errors import Conflict, Denied, Unsupported
from kvist.guest.console import Step, ended, interact, opening, parse_expect, parse_send, plain, script
from kvist.resources.reaching.reach import must_run
from kvist.values import Duration

if TYPE_CHECKING:
    from kvist.resources.vms.vm import Machine

STEPS = (
    Part("--send", r"type this; \n is Enter, ^C Control-C", "TEXT", parse_send),
    Part("--expect", "wait until this appears", "REGEX", parse_expect),
)


def console(
    self: Machine,
    *,
    steps: Annotated[tuple[Step, ...], Ask("what a script types and waits for", parts=STEPS)] = (),
    force: Annotated[bool, Ask("take the console over from whoever has it")] = False,
    timeout: Annotated[Duration, Ask("time for the whole script [1m]", metavar="TIME")] = Duration(60),  # noqa: B008
    device: Annotated[str | None, Ask("another console or serial port, by its alias", metavar="ALIAS")] = None,
    log: Annotated[bool, Ask("print what the guest wrote up to now, also before this line, and end")] = False,
    follow: Annotated[bool, Ask("with --log: go on until it is off", short="f")] = False,
) -> int | None:
    r"""Open the serial console of a VM; Ctrl-] leaves it.

    With --send and --expect, in the order in which they are typed, it works without a person and prints what the guest
    wrote; exit code 5 when something expected did not appear. With --log it prints what the guest wrote since it was
    first started, of which the last few megabytes are kept on its host.

    Example: kvist console web --send '\n' --expect 'login: '
    """
    if log or follow:
        from kvist.guest import serial_log

        file = _log_file(self, device)
        with _shown() as show:
            for piece in serial_log.follow(file, lambda: self.state.active) if follow else serial_log.kept(file):
                show(piece)
        return None
    must_run(self, "open the console of")
    with opening(self.name):
        stream = self.host.connection.domains.console(self.name, device=device, force=force)
    try:
        if steps:
            with _shown() as show:
                script(stream, steps, timeout=timeout, echo=show)
        elif interact(stream) == "closed":
            self.site.report(f'the console of VM "{self.name}" ended', 1.0)
    finally:
        stream.close()
    return None


def _log_file(vm: Machine, device: str | None) -> Path:
    """Find the file, as this machine sees it. Raises Conflict, Unsupported or Denied, each with the way out."""
    place = vm.host.place
    ports = [port for port in vm.spec.serials if device in (None, port.alias)]
    path = next((str(port.log) for port in ports if port.log), None)
    if path is None:
        raise Conflict(f'nothing is kept of what VM "{vm.name}" writes', hint=f"kvist console {vm.name}")
    if not (place.local or place.sandbox):
        raise Unsupported(
            f'what VM "{vm.name}" wrote is in file "{path}" of host "{place.name}", and libvirt hands out no logs',
            hint=f"ssh {place.ssh} tail -F {path}" if place.ssh else "",
        )
    file = Path(f"{place.sandbox.root if place.sandbox else ''}{path}")
    try:
        if not _there(file):
            raise Conflict(f'VM "{vm.name}" has written nothing yet', hint=f"kvist start {vm.name}")
        file.open("rb").close()
    except PermissionError as wrong:
        raise Denied(
            f'you may not read "{path}", where what VM "{vm.name}" wrote is kept',
            hint=f"sudo kvist console {vm.name} --log",
        ) from wrong
    return file


def _there(file: Path) -> bool:
    """Tell whether there is a log. Raises PermissionError where that is not to be seen."""
    try:
        file.stat()
    except FileNotFoundError:
        return False
    return True


@contextmanager
def _shown() -> Iterator[Callable[[bytes], None]]:
    """Show what the guest writes line by line, without the sequences that a terminal would obey, or even answer."""
    pending = bytearray()

    def write(text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

    def show(piece: bytes) -> None:
        pending.extend(piece)
        upto = pending.rfind(b"\n") + 1
        write(plain(pending[:upto].decode(errors="replace")).strip("\r"))
        del pending[:upto]

    try:
        yield show
    finally:
        if rest := ended(pending.decode(errors="replace")):
            write(f"{rest}\n")
