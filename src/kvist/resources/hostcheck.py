"""Whether VMs can run on this machine, with the proof and the command that mends it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvist.engine.rows import Rows

if TYPE_CHECKING:
    from kvist.host.checks import Finding


def check() -> Rows[Finding]:
    """Look whether this machine runs VMs by KVM: what was seen, and what to type where something is in the way.

    Exit code 1 when something is. VMs run all the same then, emulated, which is slower.

    Example: kvist host check -o json
    """
    from kvist.host.checks import kvm_findings

    found = kvm_findings()
    return Rows(found, exit=int(any(finding.ok is False for finding in found)))
