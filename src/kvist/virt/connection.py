"""One connection to one libvirt."""

from __future__ import annotations

import threading
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import libvirt

from kvist.errors import Denied, Invalid, KvistError, Unreachable
from kvist.virt.errors import calling, translated
from kvist.virt.events import run_loop

if TYPE_CHECKING:
    from kvist.virt.capabilities import Capabilities
    from kvist.virt.devices import Devices
    from kvist.virt.domains import Domains
    from kvist.virt.events import Events
    from kvist.virt.figures import Counters
    from kvist.virt.networks import Networks
    from kvist.virt.nwfilters import Nwfilters
    from kvist.virt.saved import Saved
    from kvist.virt.snapshots import Snapshots
    from kvist.virt.storage import Pools
    from kvist.virt.tuning import Tuning

OPEN_WITHIN = 8.0
"""Seconds a host has to answer: under the ten a person waits, over the slowest ssh login measured (0.6)."""


def _quiet(_context: object, _error: object) -> None:
    """Stand in for libvirt's own handler, which would print each error to stderr before we can word it."""


DRIVERS = frozenset(
    {
        *("qemu", "test", "remote", "lxc", "xen", "ch", "bhyve", "vz", "hyperv", "vbox", "openvz"),
        *("esx", "vpx", "gsx", "vmwareplayer", "vmwarews", "vmwarefusion"),
    }
)
"""What a libvirt URI may begin with (https://libvirt.org/drivers.html): for another word, libvirt asks a daemon first
and complains that there is none."""


libvirt.registerErrorHandler(_quiet, None)
libvirt.virEventRegisterDefaultImpl()


class Connection:
    """libvirt of one host, by its URI (https://libvirt.org/uri.html).

    Example: `Connection.open("qemu:///system").domains.start("web")`.
    """

    def __init__(self, handle: libvirt.virConnect, uri: str) -> None:
        self.handle = handle
        self.uri = uri

    @classmethod
    def open(cls, uri: str, *, timeout: float = OPEN_WITHIN) -> Self:
        """Open the connection. Raises Unreachable, Denied or Invalid, each within `timeout` seconds."""
        if (driver := uri.partition(":")[0].partition("+")[0]) not in DRIVERS:
            raise Invalid(f'cannot connect to "{uri}": libvirt has no driver "{driver}"', hint=_FORMS)
        # Always: a client that could run the event loop promises to answer keep-alives, and one that does not is cut
        # off by the daemon after 30 s; the embedded driver needs it for its every call.
        run_loop()
        opened: list[libvirt.virConnect] = []
        failed: list[libvirt.libvirtError] = []

        def dial() -> None:
            try:
                opened.append(libvirt.open(uri))
            except libvirt.libvirtError as error:
                failed.append(error)

        # libvirt.open has no time limit of its own, and a host that drops packets would hold us for minutes.
        dialling = threading.Thread(target=dial, name="libvirt-open", daemon=True)
        dialling.start()
        dialling.join(timeout)
        if opened:
            return cls(opened[0], uri)
        if failed:
            raise _unopened(uri, failed[0])
        raise Unreachable(f'host "{uri}" did not answer within {timeout:g} s', hint=_way_out(uri))

    @classmethod
    def later(cls, uri: str) -> Connection:
        """Give a connection that is opened when something is asked of libvirt, if ever."""
        return _Later(uri)

    def close(self) -> None:
        """Close the connection; the handle is not usable afterwards."""
        with calling(f'close the connection to "{self.uri}"'):
            self.handle.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def alive(self) -> bool:
        """Whether libvirt still answers through it."""
        try:
            return bool(self.handle.isAlive())
        except libvirt.libvirtError:
            return False

    @property
    def scheme(self) -> str:
        """Driver of the URI: qemu, test, ..."""
        return self.uri.partition(":")[0].partition("+")[0]

    @cached_property
    def version(self) -> int:
        """Version of the libvirt that answers, as one number: 9000000 for 9.0.0."""
        with calling("ask libvirt for its version"):
            return int(self.handle.getLibVersion())

    @cached_property
    def domains(self) -> Domains:
        from kvist.virt.domains import Domains

        return Domains(self.handle)

    @cached_property
    def snapshots(self) -> Snapshots:
        from kvist.virt.snapshots import Snapshots

        return Snapshots(self.handle)

    @cached_property
    def devices(self) -> Devices:
        from kvist.virt.devices import Devices

        return Devices(self.handle)

    @cached_property
    def saved(self) -> Saved:
        from kvist.virt.saved import Saved

        return Saved(self.handle)

    @cached_property
    def tuning(self) -> Tuning:
        from kvist.virt.tuning import Tuning

        return Tuning(self.handle)

    @cached_property
    def pools(self) -> Pools:
        from kvist.virt.storage import Pools

        return Pools(self.handle)

    @cached_property
    def networks(self) -> Networks:
        from kvist.virt.networks import Networks

        return Networks(self.handle)

    @cached_property
    def nwfilters(self) -> Nwfilters:
        from kvist.virt.nwfilters import Nwfilters

        return Nwfilters(self.handle)

    @cached_property
    def events(self) -> Events:
        from kvist.virt.events import Events

        return Events(self.handle)

    @cached_property
    def counters(self) -> Counters:
        from kvist.virt.figures import Counters

        return Counters(self.handle)

    @cached_property
    def capabilities(self) -> Capabilities:
        from kvist.virt.capabilities import Capabilities

        return Capabilities(self.handle)

    @cached_property
    def memory(self) -> int:
        """Memory of the host in bytes."""
        with calling("ask for the host's memory"):
            info: list[Any] = self.handle.getInfo()
        return int(info[1]) << 20

    @cached_property
    def cpus(self) -> int:
        """Processors of the host."""
        with calling("ask for the host's processors"):
            info: list[Any] = self.handle.getInfo()
        return int(info[2])


class _Later(Connection):
    """A connection of which nothing has been asked yet: work on a host that its libvirt has no part in."""

    def __init__(self, uri: str) -> None:
        self.uri = uri

    @cached_property
    def handle(self) -> libvirt.virConnect:
        return Connection.open(self.uri).handle

    def close(self) -> None:
        if "handle" in vars(self):
            super().close()

    @property
    def alive(self) -> bool:
        return "handle" not in vars(self) or super().alive


def _unopened(uri: str, error: libvirt.libvirtError) -> KvistError:
    problem = translated(error, f'connect to "{uri}"')
    if type(problem) is Denied:
        return problem
    message = error.get_error_message() or str(error)
    if (
        error.get_error_code()
        in (
            libvirt.VIR_ERR_NO_CONNECT,
            libvirt.VIR_ERR_INVALID_ARG,
            libvirt.VIR_ERR_CONFIG_UNSUPPORTED,
        )
        or "URI path" in message
    ):  # an internal error, says libvirt of qemu:///nowhere
        return Invalid(
            f'cannot connect to "{uri}": {message}',
            hint=_FORMS,
        )
    return Unreachable(f'cannot connect to "{uri}": {message}', hint=_way_out(uri))


_FORMS = "a host is a URI such as qemu:///system or qemu+ssh://root@hv2/system, or sandbox:NAME"


def _way_out(uri: str) -> str:
    from urllib.parse import urlsplit

    parts = urlsplit(uri)
    if parts.scheme.endswith(("+ssh", "+libssh", "+libssh2")):
        user, port = (f"{parts.username}@" if parts.username else ""), (f"-p {parts.port} " if parts.port else "")
        return f"ssh {port}{user}{parts.hostname} virsh version"
    if parts.scheme in ("qemu+tls", "qemu") and parts.hostname:
        return f"qemu+ssh://{parts.hostname}/system needs no certificates; TLS: https://libvirt.org/kbase/tlscerts.html"
    if parts.scheme == "test":
        return "test:///default is the one that libvirt brings along"
    if ":///" in uri:
        return "systemctl start libvirtd, or try kvist without it: kvist sandbox up"
    return "ping the host and see that its libvirtd listens"
