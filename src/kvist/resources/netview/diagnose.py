"""Why a guest does not reach the network: the links of the chain one after the other, and the first that is broken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from kvist.engine.ask import Ask
from kvist.engine.rows import Rows
from kvist.errors import Failed

if TYPE_CHECKING:
    from kvist.resources.netview.diagnosis.findings import Finding
    from kvist.resources.vms.vm import Machine


def diagnose(
    self: Machine,
    *,
    to: Annotated[
        str, Ask("the IPv4 address it should reach; the host's own gateway when none is named", metavar="ADDRESS")
    ] = "",
    mac: Annotated[str, Ask("which network card, where it has several; the first without it", metavar="MAC")] = "",
) -> Rows[Finding]:
    """Find out why a VM does not reach the network: each link of the chain with what was seen, and what mends it.

    Power, card, cable, port of the bridge, filter, the guest's card, DHCP, address, gateway, DNS, ip_forward, route,
    NAT, firewall, the way back; and whether its policy and its forwards are in force. The first that is broken is told
    on stderr, with the command that mends it, and the exit code is 1; 0 when none is. "-" stands where something cannot
    be told or is not needed. Nothing is changed, and nothing is sent but a few pings and questions for a name: by the
    guest, if its agent answers, and by the host. Without an agent, leases and the host's neighbours stand in for what
    the guest would say.

    Example: kvist net diagnose web --to 10.0.0.1
    """
    from kvist.resources.netview.diagnosis.findings import walk
    from kvist.resources.netview.diagnosis.situation import look

    found = walk(look(self, to=to, mac=mac))
    broken = next((one for one in found if one.ok is False), None)
    if broken is None:
        return Rows(found)
    verdict = Failed(f'the network of VM "{self.name}" is broken at "{broken.check}": {broken.proof}', hint=broken.fix)
    return Rows(found, exit=1, errors=(verdict,))
