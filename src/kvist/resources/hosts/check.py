"""Whether VMs can run on this machine, with the proof and the command that mends it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvist.engine.rows import Rows

if TYPE_CHECKING:
    from kvist.host.checks import Finding


def check() -> Rows[Finding]:
    """Look whether this machine runs VMs by KVM, and whether their networks can work: what was seen, and what mends it.

    Of networks: two packet filters at once, firewalld, rules of Docker's and others that drop what guests send,
    servers that hold the ports of DNS and DHCP, subnets that overlap. Exit code 1 when something is in the way.
    Without KVM, VMs run all the same, emulated, which is slower.

    Example: kvist host check -o json
    """
    from kvist.host import netchecks
    from kvist.host.checks import kvm_findings
    from kvist.host.hand import Hand

    found = [*kvm_findings(), *netchecks.findings(netchecks.look(Hand()))]
    return Rows(found, exit=int(any(finding.ok is False for finding in found)))
