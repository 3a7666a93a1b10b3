"""Network cards of a VM that exists: listed, added, changed, removed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, NamedTuple

from kvist.engine.ask import Ask
from kvist.engine.operation import operation
from kvist.engine.step import Step
from kvist.errors import Conflict, Invalid, Problem
from kvist.resources.changing.restarting import RESTART_NOW
from kvist.resources.devices.naming import Found, Part, as_typed, listed, matching, pick
from kvist.resources.devices.nic import Nics, bare
from kvist.resources.devices.tagging import by_open_vswitch
from kvist.resources.steps.alter import Attach
from kvist.resources.steps.waiting import TakeUp
from kvist.specs.nic import Nic
from kvist.specs.vm import Vm
from kvist.virt.words import State
from kvist.xml.diff import diff
from kvist.xml.options import parse_options

TOLD_AT_CREATION = ("ip", "gateway", "dns")
COMMON = ("network", "bridge", "mac", "model", "link", "filter", "filter_parameters", "vhost", "mtu", "vlan",
          "isolated", "in_average")  # fmt: skip
WHICH = Ask("which card: its MAC address, alias, network, bridge or number", metavar="CARD", complete="nic")


class Card(NamedTuple):
    """One card of a VM."""

    mac: str
    source: str | None
    type: str | None
    model: str | None
    link: str
    filter: str | None
    alias: str | None
    state: str


class Cards(Part):
    """The network cards of one VM. A card is called by its MAC address, alias, network, bridge or number."""

    def ls(self) -> list[Card]:
        """List the cards of a VM: those that are plugged in and those that come with its next boot.

        Example: kvist nic ls web
        """
        return [_row(found) for found in listed(self.vm, ("nic",))]

    @operation
    def add(
        self,
        where: Annotated[
            str, Ask("network or bridge that it is plugged into; more: lan,vhost=off", metavar="NETWORK")
        ] = "",
        settings: Annotated[
            Nic, Ask("the card's settings", group="Settings", common=(*COMMON, "ip"), without=TOLD_AT_CREATION[1:])
        ] = Nic(),  # noqa: B008 - immutable
        *,
        up: Annotated[bool, Ask("do not see that the running guest takes it up")] = True,
        restart_now: Annotated[bool, RESTART_NOW] = False,
    ) -> Iterator[Step]:
        """Plug a card into a VM: into the running one and for its next boot.

        A card that is identified, by --mac or --alias, and is there already is not added again. One that is not gets
        another card each time. With --ip the network reserves that address for it. A running guest that does not take
        it up by itself is told to, by its agent; what has become of it there is said.

        Example: kvist nic add web lan --mac 52:54:00:1a:b3:4a
        """
        typed = parse_options(Nic, where, path="NETWORK") if where else Nic()
        typed = typed.replace(**dict(settings.items()))
        yield from add_card(self, typed, restart=restart_now, up=up)

    @operation
    def set(
        self,
        card: Annotated[str, WHICH],
        settings: Annotated[
            Nic, Ask("what is to be otherwise", group="Settings", common=COMMON, without=("mac", *TOLD_AT_CREATION))
        ] = Nic(),  # noqa: B008 - immutable
        *,
        restart_now: Annotated[bool, RESTART_NOW] = False,
    ) -> Iterator[Step]:
        """Change a card: link, network, filter, bandwidth live; vhost, model, MTU by plugging it in again.

        Example: kvist nic set web lan --link down
        """
        found = pick(self.vm, card, ("nic",), "nic")
        if not dict(settings.items()):
            raise Invalid("say what is to be otherwise", hint=f"kvist nic set {self.name} {found.label} --link down")
        wish, problems = settings, list[Problem]()
        if wish.filter_parameters or ("filter" in wish and wish.filter is None):
            from kvist.resources.filters.use import exact

            assert isinstance(found.item, Nic), "a card is one"
            wish = exact(found.item, wish)
        if settings.network is not None or settings.bridge is not None:
            wish = Nics(self.vm.host, model="", problems=problems, where="--network").moved(settings, found.item)
        if problems:
            raise Invalid(problems)
        yield from as_typed(by_open_vswitch(self, found, wish, restart=restart_now), "--")

    @operation
    def remove(
        self,
        card: Annotated[str, WHICH],
        *,
        restart_now: Annotated[bool, RESTART_NOW] = False,
    ) -> Iterator[Step]:
        """Unplug a card, and wait until the guest has let it go. One that is not there is no mistake.

        Example: kvist nic remove web lan
        """
        if matching(listed(self.vm, ("nic",)), card, ("nic",)):
            found = pick(self.vm, card, ("nic",), "nic")
            yield from self.alter(found.wish(Nic.removed()), restart=restart_now)
            from kvist.resources.networks.reserving import given_free

            yield from given_free(self.vm.host, (found.item,))


def add_card(cards: Cards, typed: Nic, *, restart: bool, up: bool = False) -> Iterator[Step]:
    """Work out what adds a card: nothing when an identified one is there. Raises Conflict when that is another.

    With `up` a guest that runs and has an agent is seen to take the card up.
    """
    vm = cards.vm
    there = listed(vm, ("nic",))
    known = next((each for each in there if _is(each, typed)), None)
    problems: list[Problem] = []
    planner = Nics(vm.host, model=_model(there), problems=problems, where="NETWORK")
    wish = planner.plugged(typed) if known else planner.plan((typed,))[0]
    if problems:
        raise Invalid(problems, hint="kvist nic add --help")
    if known is not None:
        wish = bare(wish).replace(mac=known.item.get("mac"))
        if other := list(diff(known.item, wish)):
            said = ", ".join(f"{change.path} is {change.before}, not {change.after}" for change in other)
            raise Conflict(
                f'VM "{vm.name}" has a card {known.label} already: {said}',
                hint=f"kvist nic set {vm.name} {known.label}",
            )
    if typed.ip is not None:
        from kvist.resources.networks.reserving import reserved

        # Before the card is there: it asks for its address at once.
        yield from reserved(vm.host, vm.name, (wish.replace(ip=typed.ip),), problems, "ip")
        if problems:
            raise Invalid(problems, hint="kvist nic add --help")
    steps = list(cards.alter(Vm(nics=(_without_asides(wish),)), restart=restart))
    yield from steps
    plugged = any(isinstance(step, Attach) for step in steps)
    if up and plugged and wish.link != "down" and vm.state is State.RUNNING:
        yield TakeUp(name=vm.name, mac=str(wish.mac), agent=vm.has_agent)


def _without_asides(nic: Nic) -> Nic:
    """Leave out what nobody set, and the address; what cannot be told to a card that is added is complained of."""
    return Nic(**{key: value for key, value in nic.items() if value is not None and key != "ip"})


def _is(found: Found, wish: Nic) -> bool:
    if wish.mac is not None:
        return str(found.item.get("mac")) == str(wish.mac)
    return wish.alias is not None and found.alias == wish.alias


def _model(there: list[Found]) -> str:
    """Give a new card the model of the first: the guest has its driver."""
    return next((str(each.item.get("model")) for each in there if each.item.get("model")), "virtio")


def _row(found: Found) -> Card:
    nic = found.running if found.running is not None else found.item
    source = nic.get("network") or nic.get("bridge") or nic.get("dev")
    return Card(
        mac=str(nic.get("mac")),
        source=source,
        type=nic.get("type"),
        model=nic.get("model"),
        link=nic.get("link") or "up",
        filter=nic.get("filter"),
        alias=found.alias,
        state=found.state,
    )
