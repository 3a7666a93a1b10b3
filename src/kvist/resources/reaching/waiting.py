"""Waiting for a guest: for its address, its ssh, its agent, the end of its set-up, or its end."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Literal

from kvist.engine.ask import Ask
from kvist.errors import CommandFailed, Conflict, GuestFailed, NotFound, TimedOut, Unsupported
from kvist.resources.reaching.address import Where, addresses
from kvist.resources.reaching.route import Route
from kvist.values import Duration

if TYPE_CHECKING:
    from kvist.guest.agent import Agent
    from kvist.resources.vms.vm import Machine

What = Literal["ip", "ssh", "agent", "cloud-init", "off"]

WITHIN = Duration(300)
"""How long a guest is waited for: twice what cloud-init takes in a Debian guest without KVM (115 to 162 s)."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 1.0
SENTENCES = {
    "ip": "to have an address",
    "ssh": "to answer by ssh",
    "agent": "to have its agent up",
    "cloud-init": "to finish its set-up by cloud-init",
    "off": "to be off",
}


def wait(
    self: Machine,
    what: Annotated[What, Ask("an address, an ssh server that greets, the guest agent, cloud-init done, or power off")],
    *,
    timeout: Annotated[Duration, Ask("give up after this time [5m]", metavar="TIME")] = WITHIN,
) -> str | None:
    """Wait until a VM has come so far; for ip and ssh its address is printed.

    Ends at once with an error when the VM stops meanwhile, and with exit code 5 when the time is over.

    Example: kvist wait web ssh --timeout 3m
    """
    if what == "off":
        _wait_off(self, float(timeout))
        return None
    look: Callable[[Machine], str | None] = _LOOKS[what]
    act = f"wait for VM {_quoted(self)} {SENTENCES[what]}"
    _must_run(self, act)
    if what in ("ip", "ssh") and self.document().root.find("devices/interface") is None:
        raise Conflict(
            f"cannot {act}: it has no network card", hint=f"kvist exec {self.name} and kvist console need none"
        )
    self.site.report(act, None)
    end = time.monotonic() + timeout
    pause = _FIRST_PAUSE
    while True:
        try:
            found = look(self)
        except (Conflict, NotFound):
            # What it was asked while it went down failed for that reason; any other is told as it is.
            _must_still_run(self)
            raise
        if found is not None:
            return found or None
        _must_still_run(self)
        left = end - time.monotonic()
        if left <= 0:
            raise _late(self, what, timeout)
        time.sleep(min(pause, left))
        pause = min(pause * 1.3, _LONGEST_PAUSE)


def fresh_address(vm: Machine) -> Where | None:
    """Give the best address at which the guest is known to be now, None when there is none yet.

    A lease outlives the guest it was given to, and the kernel remembers neighbours that are gone: so somebody has to
    answer there, if only with a refusal. Where that cannot be tried from here, libvirt's word is taken.
    """
    route = Route(vm.host.place)
    for where in addresses(vm):
        if where.source == "forward":
            # QEMU takes every connection at once; only a word from the guest proves that it is there.
            if route.greets(where.address):
                return where
            continue
        if where.source == "agent" or route.answers(where.address) is not False or _seen(route, where):
            return where
    return None


def greeting_address(vm: Machine, port: int = 22) -> Where | None:
    """Give the best address at which the guest's ssh server greets, None when there is none yet."""
    route = Route(vm.host.place)
    return next((where for where in addresses(vm) if route.greets(where.address, port)), None)


def agent_of(vm: Machine) -> Agent:
    """Give the agent of a VM to talk to."""
    from kvist.guest.agent import Agent

    domains = vm.host.connection.domains
    return Agent(vm.name, lambda message, timeout: domains.agent(vm.name, message, timeout))


def agent_answers(vm: Machine) -> bool:
    """Tell whether an agent is connected and awake."""
    if not vm.has_agent:
        return False
    try:
        agent_of(vm).ping(timeout=2)
    except (GuestFailed, TimedOut, Unsupported):
        return False
    return True


def _seen(route: Route, where: Where) -> bool:
    """Whether the guest answered at Ethernet level: a firewall in it may drop everything above."""
    from kvist.host.net.neighbours import reachable

    if not (route.place.sandbox or route.place.local):
        return False
    try:
        return (where.mac, where.address) in reachable(route.prefix)
    except (CommandFailed, Unsupported, TimedOut):
        # Without iproute2 only the guest's own answer counts.
        return False


def _look_ip(vm: Machine) -> str | None:
    where = fresh_address(vm)
    return where.address if where else None


def _look_ssh(vm: Machine) -> str | None:
    where = greeting_address(vm)
    return where.address if where else None


def _look_agent(vm: Machine) -> str | None:
    if not _has_channel(vm):
        raise Unsupported(
            f"VM {_quoted(vm)} has no channel for a guest agent, so none can answer", hint=f"kvist wait {vm.name} ssh"
        )
    return "" if agent_answers(vm) else None


def _look_cloud_init(vm: Machine) -> str | None:
    said = _cloud_init_by_agent(vm) if agent_answers(vm) else _cloud_init_by_ssh(vm)
    if said is None:
        return None
    code, text = said
    status = next((line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("status:")), "")
    if code == 127 or not (status or code == 0):
        raise GuestFailed(
            f"cannot ask cloud-init in VM {_quoted(vm)}: {text.strip() or 'it is not installed'}",
            hint=f"kvist wait {vm.name} ssh",
        )
    if status == "error":
        raise GuestFailed(
            f"cloud-init failed in VM {_quoted(vm)}", hint=f"kvist exec {vm.name} -- cloud-init status --long"
        )
    # Switched off, it has nothing more to do.
    return "" if status.startswith(("done", "disabled", "degraded")) else None


def _cloud_init_by_agent(vm: Machine) -> tuple[int, str] | None:
    # By the shell, which tells a program that is not there by its code; the agent only says no.
    try:
        done = agent_of(vm).exec(["/bin/sh", "-c", "cloud-init status 2>&1"], timeout=30)
    except (GuestFailed, TimedOut):
        # The agent is stopped and started while the guest is set up.
        return None
    return done.code, done.out.decode(errors="replace")


def _cloud_init_by_ssh(vm: Machine) -> tuple[int, str] | None:
    from kvist.resources.reaching.reach import remote

    where = greeting_address(vm)
    if where is None:
        return None
    try:
        done = remote(vm, where.address, ["cloud-init", "status"], timeout=30)
    except TimedOut:
        return None
    # 255 is ssh's own failure: the user may not be made yet.
    return None if done.code == 255 else (done.code, done.text or done.complaint)


def _wait_off(vm: Machine, timeout: float) -> None:
    vm.site.report(f"wait for VM {_quoted(vm)} {SENTENCES['off']}", None)
    end = time.monotonic() + timeout
    known = vm.state
    while known.active:
        left = end - time.monotonic()
        if left <= 0:
            raise TimedOut(
                f"VM {_quoted(vm)} is still {known.value} after {Duration(timeout)}", hint=f"kvist stop {vm.name}"
            )
        time.sleep(min(_FIRST_PAUSE, left))
        try:
            known = vm.state
        except NotFound:
            # A transient VM is gone once it is off.
            return


def _must_run(vm: Machine, act: str) -> None:
    state = vm.state
    if not state.active:
        raise Conflict(f"cannot {act}: it is {state.value}", hint=f"kvist start {vm.name}")


def _must_still_run(vm: Machine) -> None:
    from kvist.virt.words import State

    try:
        state = vm.state
    except NotFound:
        raise Conflict(f"VM {_quoted(vm)} stopped while it was waited for, and is gone") from None
    if not state.active:
        how = "crashed" if state is State.CRASHED else "stopped"
        raise Conflict(f"VM {_quoted(vm)} {how} while it was waited for", hint=f"kvist start {vm.name}")


def _late(vm: Machine, what: What, timeout: float) -> TimedOut:
    from kvist.virt.words import State

    if vm.state is State.PAUSED:
        return TimedOut(
            f"waited {Duration(timeout)} for VM {_quoted(vm)} {SENTENCES[what]}, but it is paused",
            hint=f"kvist resume {vm.name}",
        )
    return TimedOut(
        f"waited {Duration(timeout)} for VM {_quoted(vm)} {SENTENCES[what]}, in vain", hint=f"kvist console {vm.name}"
    )


def _has_channel(vm: Machine) -> bool:
    return vm.document().root.find("devices/channel/target[@name='org.qemu.guest_agent.0']") is not None


def _quoted(vm: Machine) -> str:
    return f'"{vm.name}"'


_LOOKS: dict[str, Callable[[Machine], str | None]] = {
    "ip": _look_ip,
    "ssh": _look_ssh,
    "agent": _look_agent,
    "cloud-init": _look_cloud_init,
}
