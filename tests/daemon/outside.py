"""A host outside of a sandbox: a network namespace of its own, wired to the sandbox by a pair of interfaces."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from kvist.host.run import Result, run
from kvist.sandbox.sandbox import Sandbox


class Outside(NamedTuple):
    """The outside host, the interface of the sandbox that leads to it, and both addresses."""

    sandbox: Sandbox
    name: str
    uplink: str
    address: str
    """Of the outside host."""
    here: str
    """Of the sandbox, on its uplink."""

    def enter(self, *argv: str) -> list[str]:
        """Give the command line that runs a program on the outside host."""
        return self.sandbox.enter(["nsenter", f"--net=/run/netns/{self.name}", "--", *argv])

    def __call__(self, *argv: str, input: str = "", check: bool = True, timeout: float = 30) -> Result:
        return run(self.enter(*argv), input=input.encode(), check=check, timeout=timeout)


@contextmanager
def outside(sandbox: Sandbox, name: str = "outside", network: str = "10.99.0") -> Iterator[Outside]:
    """Wire an outside host to a sandbox: NETWORK.1 there, NETWORK.2 on the sandbox's uplink; taken away at the end."""
    host = Outside(sandbox, name, f"up-{name}"[:15], f"{network}.1", f"{network}.2")

    def inside(*argv: str) -> None:
        run(sandbox.enter(list(argv)))

    inside("ip", "netns", "add", name)
    try:
        inside("ip", "link", "add", host.uplink, "type", "veth", "peer", "name", "eth0", "netns", name)
        inside("ip", "address", "add", f"{host.here}/24", "dev", host.uplink)
        inside("ip", "link", "set", host.uplink, "up")
        host("ip", "link", "set", "lo", "up")
        host("ip", "address", "add", f"{host.address}/24", "dev", "eth0")
        host("ip", "link", "set", "eth0", "up")
        yield host
    finally:
        run(sandbox.enter(["ip", "link", "delete", host.uplink]), check=False)
        inside("ip", "netns", "delete", name)
