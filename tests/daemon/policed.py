"""Two guests of one network, for tests of the firewall; they boot once for all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from tests.daemon.wire import Wire, wire

from kvist.host.run import run
from kvist.resources.hosts.host import connect
from kvist.sandbox.sandbox import Sandbox

if TYPE_CHECKING:
    from tests.daemon.conftest import Kvist

WEB, APP = "web", "app"
SIX = {WEB: "fd00::1", APP: "fd00::2"}


class Guests(NamedTuple):
    """Two guests of one network, and where they are."""

    line: Kvist
    sandbox: Sandbox
    wire: Wire
    addresses: dict[str, str]
    taps: dict[str, str]

    def inside(self, name: str, script: str, *, code: int = 0) -> str:
        """Run a script in a guest, without its network."""
        return self.line("exec", name, "--no-stdin", "--", "sh", "-c", script, code=code).text

    def sends(self, script: str, **like: Any) -> tuple[bool, bool]:
        """Let APP send; tell whether it really did, and whether that got through to WEB."""
        self.wire.forget()
        self.inside(APP, f"({script}) >/dev/null 2>&1; true")
        sent = self.wire.saw(tap=self.taps[APP], to=False, **like)
        return sent, self.wire.saw(within=0.3, tap=self.taps[WEB], to=True, **like)

    def let(self, name: str, *lines: str) -> None:
        """Give a VM this policy and no other, as the file form has it."""
        from kvist.engine.execute import carry_out
        from kvist.engine.plan import Plan
        from kvist.resources.firewall.policing import Target
        from kvist.specs.policy import Policy

        # A connection of its own each time: tests kill the daemon at its other end.
        host = connect(self.line.where)
        plan = Plan(Target(host, name).say(Policy.parse(lines)), "policy", objects=(f"vm {name}",))
        carry_out(plan, host.site)
        host.close()

    def acquaint(self) -> None:
        """Give both IPv6, and wait until they reach each other."""
        for name in (WEB, APP):
            on = "sysctl -qw net.ipv6.conf.eth0.disable_ipv6=0"
            self.inside(name, f"{on}; ip -6 addr add {SIX[name]}/64 dev eth0 2>/dev/null; true")
        for name, other in ((WEB, APP), (APP, WEB)):
            # An address of IPv6's is in use once nobody else has said that it is his.
            known = f"for i in 1 2 3 4 5; do ping6 -c 1 -W 1 {SIX[other]} && break; sleep 1; done"
            self.inside(name, f"{known}; ping -c 1 {self.addresses[other]}")

    def pings(self, name: str) -> bool:
        """Tell whether a guest answers the host."""
        done = run(self.sandbox.enter(["ping", "-n", "-c", "1", "-W", "1", self.addresses[name]]), check=False)
        return done.code == 0


@pytest.fixture(scope="module")
def guests(line: Kvist, sandbox: Sandbox, virsh: Callable[..., str]) -> Iterator[Guests]:
    for name in (WEB, APP):
        line("create", name, "--image", "micro", "--memory", "128M", "--cpus", "1")
    for name in (WEB, APP):
        line("wait", name, "agent", "--timeout", "90")
    addresses = {name: line("ip", name, "-o", "name").text.split()[0] for name in (WEB, APP)}
    with wire(sandbox) as sees:
        up = Guests(line, sandbox, sees, addresses, taps_of(virsh))
        up.acquaint()
        yield up
    line("delete", WEB, APP, "--force", "--purge", "--yes")
    # Policies keep what bridges need of the kernel, for good: other tests look for what they have left themselves.
    run(sandbox.enter(["rm", "-f", "/etc/sysctl.d/90-kvist.conf"]))


def taps_of(virsh: Callable[..., str]) -> dict[str, str]:
    return {name: virsh("domiflist", name).split()[0] for name in (WEB, APP)}


@pytest.fixture
def free(guests: Guests) -> Iterator[Guests]:
    """The same guests with no policy, and none is left behind."""
    guests.line("fw", "reset", WEB, APP, "-q")
    yield guests
    guests.line("fw", "reset", WEB, APP, "-q")
    for row in guests.line.json("fw", "groups"):
        guests.line("fw", "group", "delete", row["group"], "-q")
    assert run(guests.sandbox.enter(["nft", "list", "tables"])).text.count("kvist-fw") == 0


@pytest.fixture(scope="module")
def tier(guests: Guests) -> Iterator[None]:
    """A group that rules name, with one of the guests in it."""
    guests.line("fw", "group", "create", "tier", APP)
    yield
    guests.line("fw", "reset", WEB, "-q")
    guests.line("fw", "group", "delete", "tier", "-q")
