"""The firewall of a host's VMs: for each the policy of what may come to it and what it may send."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, NamedTuple

from kvist.engine.ask import Ask
from kvist.engine.operation import operation
from kvist.engine.step import Step
from kvist.errors import Invalid, NotFound
from kvist.resources.firewall.backends.backend import chosen
from kvist.resources.firewall.policies import Said, unreadable
from kvist.resources.firewall.policing import (
    Target,
    Typed,
    change,
    must_be_judged,
    own_addresses,
    read_rule,
    useless,
    with_rule,
)
from kvist.resources.hosts.holding import Holding
from kvist.resources.steps.firewall import judges, knowing
from kvist.specs.policy import ALLOW, DENY, GROUP, REJECT, Policy
from kvist.values import Duration

Whose = Annotated[str, Ask("the VM, or group:NAME for all its members", metavar="VM", complete="policed")]
Names = Annotated[tuple[str, ...], Ask("the VMs, or group:NAME", metavar="VM", complete="policed")]
What = Annotated[str, Ask("tcp/22,80-90, udp/53, icmp, icmp/echo-request, any, arp, dhcp, ra ...", metavar="SERVICE")]
From = Annotated[
    str, Ask("only from there: a network, an address, host, a VM, group:NAME", metavar="WHO", complete="policed")
]
To = Annotated[
    str,
    Ask("what the VM sends there: a network, an address, host, a VM, group:NAME", metavar="WHO", complete="policed"),
]
Out = Annotated[bool, Ask("about what the VM sends, not what comes to it")]
Card = Annotated[
    str, Ask("only this card: its MAC address, alias, network, bridge or number", metavar="CARD", complete="nic")
]
Log = Annotated[bool, Ask("tell the kernel's log, at most 10 times a minute")]
Place = Annotated[int | None, Ask("put it at this place among the rules, not behind them", metavar="N")]
Confirm = Annotated[
    Duration | None, Ask("take it back unless `kvist fw confirm` follows within this time", metavar="TIME")
]
Replace = Annotated[bool, Ask("take libvirt's own filters off its cards, which have their say too")]


class Row(NamedTuple):
    """The policy of a VM in one line."""

    vm: str
    incoming: str
    outgoing: str
    rules: int
    antispoof: str
    cards: str
    state: str


class Firewall(Holding):
    """The policies of a host's VMs. Each is written down in the metadata of the VM that it is about."""

    kind = "vm"

    def touched(self, given: Mapping[str, Any]) -> tuple[str, ...]:
        """Name what an operation is about."""
        names = (*(given.get("names") or ()), *([given["target"]] if given.get("target") else ()))
        groups = [f"group {given['group']}"] if given.get("group") else []
        groups += [f"group {name.removeprefix(GROUP)}" for name in names if name.startswith(GROUP)]
        return tuple(dict.fromkeys((*groups, *(f"vm {name}" for name in names if not name.startswith(GROUP)))))

    def _each(self, names: tuple[str, ...]) -> list[Target]:
        if not names:
            raise Invalid("no VM is named", hint="kvist fw ls")
        found = [Target(self.host, name) for name in dict.fromkeys(names)]
        missing = []
        for target in found:
            try:
                target.lines  # noqa: B018 - it raises where there is none
            except NotFound as wrong:
                missing.append(wrong)
        if len(missing) > 1:
            raise NotFound("; ".join(one.what for one in missing), hint="kvist ls")
        if missing:
            raise missing[0]
        return found

    @operation
    def block(
        self,
        names: Names,
        *,
        confirm: Confirm = None,
        replace: Replace = False,
    ) -> Iterator[Step]:
        """Let nothing come to VMs, and nothing from them: no packet, not even ARP. Their rules stay, for later.

        Example: kvist fw block web
        """
        yield from self._made(names, lambda policy: policy._replace(blocked=True), confirm, replace=replace)

    @operation
    def unblock(
        self,
        names: Names,
        *,
        confirm: Confirm = None,
    ) -> Iterator[Step]:
        """Let packets of VMs pass again, as their rules say.

        Example: kvist fw unblock web
        """
        yield from self._made(names, lambda policy: policy._replace(blocked=False), confirm)

    @operation
    def enable(
        self,
        names: Names,
        *,
        confirm: Confirm = None,
    ) -> Iterator[Step]:
        """Put the policies of VMs in force again.

        Example: kvist fw enable web
        """
        yield from self._made(names, lambda policy: policy._replace(off=False), confirm)

    @operation
    def disable(
        self,
        names: Names,
        *,
        confirm: Confirm = None,
    ) -> Iterator[Step]:
        """Put the policies of VMs out of force, their groups' too; all that they say stays written down.

        Example: kvist fw disable web
        """
        yield from self._made(names, lambda policy: policy._replace(off=True), confirm)

    def _made(
        self,
        names: tuple[str, ...],
        make: Callable[[Policy], Policy],
        confirm: Duration | None,
        *,
        replace: bool = False,
    ) -> Iterator[Step]:
        wanted = [(target, make(target.policy)) for target in self._each(names)]
        for target, policy in wanted:
            if policy.lines:
                must_be_judged(self.host, target, replace=replace)
        yield from change(self.host, wanted, confirm, replace=replace)

    @operation
    def reset(
        self,
        names: Names,
        *,
        confirm: Confirm = None,
    ) -> Iterator[Step]:
        """Take the whole policy of VMs away: everything passes again.

        Example: kvist fw reset web
        """
        yield from change(self.host, [(target, Policy()) for target in self._each(names)], confirm)

    @operation
    def allow(
        self,
        target: Whose,
        service: What = "any",
        *,
        from_: From = "",
        to: To = "",
        out: Out = False,
        nic: Card = "",
        max_connections: Annotated[
            int | None, Ask("so many connections at a time; more are denied", metavar="N")
        ] = None,
        log: Log = False,
        at: Place = None,
        confirm: Confirm = None,
        replace: Replace = False,
    ) -> Iterator[Step]:
        """Let packets of a service pass. The first rule that fits decides; answers pass by themselves.

        It is in force at once, for connections that are open too, and from the first packet of the next start on,
        whoever starts the VM. VMs and groups are followed when their addresses change.

        Example: kvist fw allow web tcp/22,80-90 --from 10.0.0.0/8
        """
        yield from self._ruled(
            target, Typed(ALLOW, service, from_, to, out, nic, max_connections, log), at, confirm, replace=replace
        )

    @operation
    def deny(
        self,
        target: Whose,
        service: What = "any",
        *,
        from_: From = "",
        to: To = "",
        out: Out = False,
        nic: Card = "",
        log: Log = False,
        at: Place = None,
        confirm: Confirm = None,
        replace: Replace = False,
    ) -> Iterator[Step]:
        """Let packets of a service not pass. ARP, DHCP and IPv6's neighbour discovery are denied only by their names.

        Example: kvist fw deny web icmp --from host
        """
        yield from self._ruled(
            target, Typed(DENY, service, from_, to, out, nic, None, log), at, confirm, replace=replace
        )

    @operation
    def reject(
        self,
        target: Whose,
        service: What = "any",
        *,
        from_: From = "",
        to: To = "",
        out: Out = False,
        nic: Card = "",
        log: Log = False,
        at: Place = None,
        confirm: Confirm = None,
        replace: Replace = False,
    ) -> Iterator[Step]:
        """Let packets of a service not pass, and tell who sent them: a connection is refused at once, not in vain.

        TCP is answered by a reset, all else by a message that the port is unreachable.

        Example: kvist fw reject web tcp/25 --out
        """
        yield from self._ruled(
            target, Typed(REJECT, service, from_, to, out, nic, None, log), at, confirm, replace=replace
        )

    def _ruled(
        self, name: str, typed: Typed, place: int | None, confirm: Duration | None, *, replace: bool
    ) -> Iterator[Step]:
        target = Target(self.host, name)
        before = target.policy
        rule = read_rule(self.host, target, typed)
        must_be_judged(self.host, target, replace=replace)
        policy = with_rule(before, rule, place)
        if rule not in before.rules and (why := useless(policy, rule)):
            self.site.report(f"{why}: kvist fw default {name}", None)
        yield from target.say(policy, confirm, replace=replace)

    @operation
    def default(
        self,
        target: Whose,
        verdicts: Annotated[tuple[str, ...], Ask("in=deny, in=reject, out=allow ...", metavar="WAY=VERDICT")],
        *,
        confirm: Confirm = None,
        replace: Replace = False,
    ) -> Iterator[Step]:
        """Say what happens to packets that no rule fits: those that come in, and those that go out.

        Answers to what was allowed pass, and so do ARP, DHCP and IPv6's neighbour discovery.

        Example: kvist fw default web in=deny out=allow
        """
        one = Target(self.host, target)
        before = one.policy
        try:
            policy = before.defaulting(verdicts)
        except ValueError as wrong:
            raise Invalid(
                str(wrong), path="WAY=VERDICT", hint=f"kvist fw default {target} in=deny out=allow"
            ) from wrong
        if not verdicts:
            raise Invalid("say a default", hint=f"kvist fw default {target} in=deny out=allow")
        must_be_judged(self.host, one, replace=replace)
        yield from one.say(policy, confirm, replace=replace)

    @operation
    def antispoof(
        self,
        target: Whose,
        on: Annotated[bool, Ask("on or off")] = True,
        *,
        address: Annotated[tuple[str, ...], Ask("an address of its own that nobody knows of", metavar="ADDRESS")] = (),
        confirm: Confirm = None,
        replace: Replace = False,
    ) -> Iterator[Step]:
        """Let a VM be nobody but itself: its own MAC and IP addresses, also in ARP, no DHCP server, no IPv6 router.

        Its addresses are those that libvirt's leases, its agent and the host's neighbours tell at this moment, and
        those that a DHCP server gives it later.

        Example: kvist fw antispoof web
        """
        from ipaddress import ip_address

        one = Target(self.host, target)
        before = one.policy
        try:
            told = tuple(str(ip_address(each)) for each in address)
        except ValueError as wrong:
            raise Invalid(str(wrong), path="--address") from wrong
        must_be_judged(self.host, one, replace=replace)
        known = own_addresses(self.host, one) if on and not one.group else ()
        kept = before.addresses if on else ()
        addresses = tuple(dict.fromkeys((*kept, *told, *known)))
        yield from one.say(before._replace(antispoof=on, addresses=addresses), confirm, replace=replace)

    @operation
    def remove(
        self,
        target: Whose,
        number: Annotated[int, Ask("its number in `fw show`", metavar="N", complete="fw-rule")],
        *,
        confirm: Confirm = None,
    ) -> Iterator[Step]:
        """Take one rule away, by its number.

        Example: kvist fw remove web 1
        """
        one = Target(self.host, target)
        policy = one.policy
        if not 1 <= number <= len(policy.rules):
            has = f"1 to {len(policy.rules)}" if policy.rules else "it has none"
            raise NotFound(f'"{target}" has no rule {number}: {has}', hint=f"kvist fw show {target}")
        rules = (*policy.rules[: number - 1], *policy.rules[number:])
        yield from one.say(policy._replace(rules=rules), confirm)

    @operation
    def restore(self) -> Iterator[Step]:
        """Put all policies in force again: after somebody flushed all rules, or brought a VM from another host.

        Example: kvist fw restore
        """
        if chosen(self.site).intact(self.site, Said(self.site)):
            yield from knowing(self.site)
            yield judges(self.site)[1]

    def ls(self) -> list[Row]:
        """List the VMs that have a policy, of their own or of a group.

        Example: kvist fw ls
        """
        said = Said(self.site)
        found = [(guest, said.policy(guest)) for guest in sorted(said.guests.values())]
        found = [(guest, policy) for guest, policy in found if policy.lines]
        trouble = chosen(self.site).intact(self.site, said) if found else ""
        rows = []
        for guest, policy in found:
            flushed = f"not in force: {trouble}; kvist fw restore"
            state = "disabled" if policy.off else flushed if trouble else "in force"
            if wrong := unreadable(guest.lines):
                state += f"; everything is denied, for it says {wrong}"
            if not policy.off and (lost := [str(card.mac) for card in guest.cards if card.trouble]):
                state += f", but not for {', '.join(lost)}"
            blocked = "block" if policy.blocked else ""
            rows.append(
                Row(
                    guest.name,
                    blocked or policy.incoming,
                    blocked or policy.outgoing,
                    len(policy.rules),
                    "on" if policy.antispoof else "off",
                    ", ".join(str(card.mac) for card in guest.judged),
                    state,
                )
            )
        return rows

    def show(
        self,
        target: Whose,
        *,
        kernel: Annotated[
            bool, Ask("show the rules that the kernel has for each card, and the line each is from")
        ] = False,
    ) -> Any:
        """Show the policy of a VM, line by line, and how many packets each line has decided about.

        Example: kvist fw show web --kernel
        """
        from kvist.resources.firewall.show import in_kernel, lines

        one = Target(self.host, target)
        return in_kernel(self.host, one) if kernel else lines(self.host, one)
