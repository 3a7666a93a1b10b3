"""One real packet, to prove what was worked out: sent by the host, or by a guest through its agent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvist.errors import GuestFailed, Invalid, Problem, TimedOut

if TYPE_CHECKING:
    from kvist.resources.firewall.firewall import Firewall
    from kvist.resources.firewall.tracing import Packet

WITHIN = 2
CONNECT = (
    f'if command -v nc >/dev/null; then exec nc -w {WITHIN} "$0" "$1" </dev/null; fi; '
    f'exec timeout {WITHIN} bash -c \'exec 3<>"/dev/tcp/$0/$1"\' "$0" "$1"'
)
"""A line for a shell that opens one connection, with what there is."""


def check(packet: Packet) -> list[Problem]:
    """Say why a packet cannot be sent to prove anything."""
    found: list[Problem] = []
    what = packet.service.protocol
    if what not in ("tcp", "icmp") or packet.service.message not in ("", "echo-request"):
        found.append(Problem("--send", f"{what} has no answer to wait for: tcp and ping have"))
    if packet.source.guest is None and not packet.source.is_host:
        found.append(Problem("--send", f"{packet.source.name} is another machine: the host and its VMs can send"))
    if packet.mac or packet.claimed != packet.source.address:
        found.append(Problem("--send", "only packets with the sender's own address are sent"))
    if not packet.to.address:
        found.append(Problem("--send", f"nobody knows the address of {packet.to.name}"))
    return found


def send(self: Firewall, packet: Packet, *, rejected: bool) -> tuple[str, str]:
    """Send it, and give whether an answer came, and the command that sent it. Raises Invalid where that cannot be.

    `rejected` says who refuses it: the firewall, and not the one that it is for.
    """
    if problems := check(packet):
        raise Invalid(problems)
    address = packet.to.address
    if packet.service.protocol == "icmp":
        argv = ["ping", "-c", "1", "-W", str(WITHIN), address]
    else:
        argv = ["sh", "-c", CONNECT, address, str(packet.service.ports[0][0])]
    shown = f"nc {address} {argv[-1]}" if argv[0] == "sh" else " ".join(argv)
    code, said = _by_host(self, argv) if packet.source.guest is None else _by_guest(self, packet.source.name, argv)
    refused = "refused" in said.lower() or "unreachable" in said.lower()
    # Where the firewall does not, who refuses a connection has got the packet that asks for it.
    answered = code == 0 or ("refused" in said.lower() and not rejected)
    return (
        "answered" if answered else "refused" if refused and rejected else "no answer"
    ), f"by {packet.source.name}: {shown}"


def _by_host(self: Firewall, argv: list[str]) -> tuple[int, str]:
    done = self.site.hand.run(argv, check=False, timeout=WITHIN + 10)
    return done.code, done.complaint


def _by_guest(self: Firewall, name: str, argv: list[str]) -> tuple[int, str]:
    from kvist.resources.reaching.waiting import agent_of

    said: list[bytes] = []
    try:
        done = agent_of(self.host.vm(name)).exec(
            argv, timeout=WITHIN + 10, on_output=lambda piece, _is_error: said.append(piece)
        )
    except (GuestFailed, TimedOut) as wrong:
        raise GuestFailed(f'VM "{name}" cannot send: {wrong.what}', hint=f"kvist wait {name} agent") from wrong
    return done.code, b"".join(said).decode(errors="replace")
