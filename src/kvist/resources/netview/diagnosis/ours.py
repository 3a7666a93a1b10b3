"""What kvist itself has loaded for a VM, its policy and its forwards, and somebody may have flushed."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from kvist.errors import CommandFailed, Conflict, Denied, Unsupported
from kvist.resources.netview.diagnosis.findings import Seen, check

if TYPE_CHECKING:
    from kvist.resources.netview.diagnosis.situation import Situation
    from kvist.resources.vms.vm import Machine


class Ours(NamedTuple):
    """Why it is not in force; empty where it is, None where the VM has none of it."""

    policy: str | None = None
    forwards: str | None = None
    unread: str = ""
    """Why it could not be looked at."""


def ours(vm: Machine) -> Ours:
    """Look whether the policy and the forwards of a VM are in force; without either, nothing is asked."""
    spec, at = vm.spec, vm.site
    policy = forwards = None
    try:
        if spec.firewall or spec.groups:
            from kvist.resources.firewall.backends.backend import chosen
            from kvist.resources.firewall.policies import Said

            said = Said(at)
            guest = said.guests.get(vm.name)
            found = said.policy(guest) if guest else None
            if found and found.lines and not found.off:
                policy = chosen(at).intact(at, said)
        if spec.forwards:
            from kvist.host.firewall import enforcement
            from kvist.resources.forwards.crossings import wanted

            forwards = enforcement.intact(at.hand, wanted(at))
    except (CommandFailed, Denied, Unsupported) as wrong:
        return Ours(unread=wrong.what)
    except Conflict as wrong:
        # Two cards that the marks of the kernel cannot tell apart: nothing can be loaded.
        return Ours(wrong.what if policy is None else policy, wrong.what if policy is not None else None)
    return Ours(policy, forwards)


@check("policy")
def policy(at: Situation) -> Seen:
    """Whether the firewall of kvist's judges the VM as it is written down."""
    return _seen(at.ours, at.ours.policy, "policy", "kvist fw restore")


@check("forwards")
def forwards(at: Situation) -> Seen:
    """Whether ports of the host lead to the VM as it is written down."""
    return _seen(at.ours, at.ours.forwards, "forwards", "kvist forward restore")


def _seen(ours: Ours, trouble: str | None, noun: str, mend: str) -> Seen:
    if ours.unread:
        return Seen(None, f"its {noun} cannot be looked at: {ours.unread}")
    if trouble is None:
        return Seen(True, f"it has no {noun}")
    verb = "are" if noun.endswith("s") else "is"
    return Seen(
        not trouble,
        f"its {noun} {verb} {f'not in force: {trouble}' if trouble else 'in force'}",
        mend if trouble else "",
    )
