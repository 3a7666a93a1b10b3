"""The hosts that kvist knows by name, as verbs, and what is known about the one that a line acts on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, NamedTuple

from kvist.engine.ask import Ask
from kvist.engine.execute import Answer
from kvist.engine.step import Change
from kvist.errors import Conflict, Invalid
from kvist.resources.hosts import book as hostbook
from kvist.resources.hosts.book import Book
from kvist.values import Name, Size

if TYPE_CHECKING:
    from kvist.resources.hosts.host import Host


class Row(NamedTuple):
    """One host in a list."""

    name: str
    uri: str
    used: bool
    """It is taken where no host is named."""


def add(
    name: Annotated[str, Ask("what it is to be called", metavar="NAME")],
    uri: Annotated[str, Ask("its libvirt URI, or sandbox:NAME", metavar="URI")],
) -> Answer:
    """Give a host a name, for --host and KVIST_HOST. Nothing is asked of the host itself.

    Example: kvist host add hv2 qemu+ssh://root@hv2.example.org/system
    """
    try:
        Name.parse(name)
    except ValueError as wrong:
        raise Invalid(str(wrong), path="NAME") from wrong
    if "://" not in uri and not uri.startswith("sandbox:"):
        raise Invalid(
            f'"{uri}" is no host: a URI such as qemu+ssh://root@hv2/system, or sandbox:NAME',
            hint=f"kvist host add {name} qemu+ssh://{uri}/system",
            path="URI",
        )

    def write(book: Book) -> Book:
        if book.hosts.get(name, uri) != uri:
            raise Conflict(f'a host "{name}" is there already: {book.hosts[name]}', hint=f"kvist host remove {name}")
        return book._replace(hosts={**book.hosts, name: uri})

    return _told(*hostbook.change(write))


def ls() -> list[Row]:
    """List the hosts that have names; the one in use is taken where no host is named.

    Example: kvist host ls
    """
    book = hostbook.read()
    return [Row(name, uri, name == book.used) for name, uri in sorted(book.hosts.items())]


def remove(names: Annotated[tuple[str, ...], Ask("names of hosts", metavar="NAME", complete="host")]) -> Answer:
    """Forget hosts; nothing happens to the hosts themselves.

    Example: kvist host remove hv2
    """

    def write(book: Book) -> Book:
        left = {name: uri for name, uri in book.hosts.items() if name not in names}
        return Book(left, "" if book.used in names else book.used)

    return _told(*hostbook.change(write))


def use(
    name: Annotated[str | None, Ask("name of the host", metavar="NAME", complete="host")] = None,
    *,
    none: Annotated[bool, Ask("use none of them: this machine")] = False,
) -> Answer:
    """Let a host be the one that is taken where none is named, until another is.

    Example: kvist host use hv2
    """
    if none == (name is not None):
        raise Invalid("say which host to use, or --none", hint="kvist host ls")

    def write(book: Book) -> Book:
        if name is not None:
            book.where(name)
        return book._replace(used=name or "")

    return _told(*hostbook.change(write))


def show(self: Host) -> dict[str, object]:
    """Show which host a line acts on, why that one, and what it is.

    Example: kvist host show
    """
    from kvist.host import zerocopy

    shots = self.connection.domains.snapshot()
    # Elsewhere it would cost a login.
    near = self.place.local or self.place.sandbox is not None
    sends = {"0": "off", "1": "on"}.get(zerocopy.now(self.hand)) if near else None
    number = self.connection.version
    return {
        "host": self.place.name,
        "uri": self.place.uri,
        "why": self.why,
        "libvirt": f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}",
        "cpus": self.connection.cpus,
        "memory": Size(self.connection.memory),
        "vms": len(shots),
        "running": sum(shot.state.active for shot in shots),
        "vhost_zerocopy": sends,
        "networks": "user mode: a guest is reached through forwarded ports" if self.place.session else "of libvirt's",
    }


def _told(before: Book, after: Book) -> Answer:
    changes = [
        Change(name, "uri", before.hosts.get(name), after.hosts.get(name))
        for name in sorted({*before.hosts, *after.hosts})
        if before.hosts.get(name) != after.hosts.get(name)
    ]
    if before.used != after.used:
        changes.append(Change("host in use", "name", before.used or None, after.used or None))
    return Answer(changes, [f'write "{hostbook.path()}"'] if changes else [])
