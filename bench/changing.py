"""The race of changes to a VM that is there: in a sandbox of its own, which ends with the benchmark."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence

from bench.programs import BARE, KVIST, PYTHON
from bench.race import Line, Rival, race, steady
from bench.report import Row, compare

from kvist.resources.hosts.host import Host, connect
from kvist.sandbox import sandbox as sandboxes
from kvist.specs.nic import Nic
from kvist.specs.vm import Vm
from kvist.values import Duration, Mac, Size

OFF, UP = "bench-off", "bench-up"
TIMES = 100
SETMEM, SETVCPUS = "virsh setmem --live --config", "virsh setvcpus --config"
VIRT_XML = "virt-xml --edit --update"
RESTART = "virt-xml --edit, shutdown, start"
EACH = f"virsh setmem, {TIMES} times"


def rows(*, quick: bool, environment: Mapping[str, str]) -> Sequence[Row]:
    """Race the change of memory, processors and a card, one and many, and give the rows of the table."""
    name = f"bench-{os.getpid()}-set"
    up = sandboxes.up(name, tether=True)
    try:
        track = _Track(connect(f"sandbox:{name}"), up.uri)
        rounds = 3 if quick else 11
        memory = race(track.memory, rounds, within=20, environment=environment)
        cpus = race(track.cpus, rounds, within=20, environment=environment)
        card = race(track.card, rounds, within=30, environment=environment)
        many = race(track.many, 2 if quick else 3, within=30, environment=environment)
        track.plug_in()
        restart = race(track.restart, 2 if quick else 3, within=60, environment=environment)
    finally:
        sandboxes.down(name)
    memory_set, cpus_set, link_set = "kvist set --memory, running", "kvist set --cpus, off", "kvist nic set, running"
    often = f"{TIMES} sets in one process"
    return (
        compare(memory_set, "wall", memory, SETMEM),
        compare(memory_set, "CPU", memory, SETMEM),
        compare(memory_set, "CPU", memory, 0.150, aim=1),
        compare(cpus_set, "wall", cpus, SETVCPUS),
        compare(cpus_set, "CPU", cpus, SETVCPUS),
        compare(link_set, "wall", card, VIRT_XML, aim=1),
        compare(link_set, "CPU", card, VIRT_XML, aim=1),
        compare(link_set, "wall", restart, RESTART, aim=1),
        compare(often, "wall", many, EACH, aim=1),
        compare(often, "CPU", many, EACH),
    )


class _Track:
    """The VMs that are changed, and who changes them: no run and no rival wants what the one before has left."""

    def __init__(self, host: Host, uri: str) -> None:
        self.host, self.uri = host, uri
        host.images.build("micro")
        size = Vm(memory=Size(128 << 20), cpus=1, cpus_max=4)
        host.vms.create(OFF, size, image="micro", start=False)
        # A card for each rival.
        cards = (Nic(network="default"), Nic(network="default"))
        host.vms.create(UP, size, image="micro", nic=cards, wait="agent", timeout=Duration(120))
        self.ours, self.theirs = (str(nic.mac) for nic in host.vm(UP).spec.nics)

    def _kvist(self, *words: str) -> Sequence[str]:
        return (KVIST, "--host", self.host.place.name, *words)

    def _virsh(self, *words: str) -> Sequence[str]:
        return ("virsh", "-q", "-c", self.uri, *words)

    @property
    def memory(self) -> Sequence[Rival]:
        return (
            Rival("kvist", _turns(lambda on: self._kvist("set", UP, "--memory", "112M" if on else "120M"))),
            Rival(SETMEM, _turns(lambda on: self._virsh("setmem", UP, "118M" if on else "116M", "--live", "--config"))),
        )

    @property
    def cpus(self) -> Sequence[Rival]:
        return (
            Rival("kvist", _turns(lambda on: self._kvist("set", OFF, "--cpus", "1" if on else "2"))),
            Rival(SETVCPUS, _turns(lambda on: self._virsh("setvcpus", OFF, "3" if on else "4", "--config"))),
        )

    @property
    def card(self) -> Sequence[Rival]:
        edit = ("virt-xml", "--connect", self.uri, UP, "--edit", f"mac={self.theirs}", "--network")
        return (
            Rival("kvist", _turns(lambda on: self._kvist("nic", "set", UP, self.ours, "--link", _link(on)))),
            Rival(VIRT_XML, _turns(lambda on: (*edit, f"link.state={_link(on)}", "--update"))),
        )

    @property
    def restart(self) -> Sequence[Rival]:
        ours = self._kvist("nic", "set", UP, self.ours, "--link", "down")
        theirs = (str(BARE / "edit_and_restart.sh"), self.uri, UP, self.theirs, "down")
        return (
            Rival("kvist", steady(*ours), after=lambda _run: self.plug_in()),
            Rival(RESTART, steady(*theirs), after=lambda _run: self._settle()),
        )

    def plug_in(self) -> None:
        """Give both cards a link: without one a guest waits for its address before it is up."""
        cards = tuple(Nic(mac=Mac(each), link="up") for each in (self.ours, self.theirs))
        self.host.vm(UP).set(Vm(nics=cards))

    def _settle(self) -> None:
        """Wait until the guest would hear a power button again."""
        self.plug_in()
        self.host.vm(UP).wait("agent", timeout=Duration(120))

    @property
    def many(self) -> Sequence[Rival]:
        def each(_run: int) -> Iterable[Line]:
            for number in range(TIMES):
                yield Line(self._virsh("setmem", OFF, f"{64 + number % 2}M", "--config"))

        often = (PYTHON, str(BARE / "set_often.py"), self.host.place.name, OFF, str(TIMES))
        return (Rival("kvist", steady(*often)), Rival(EACH, each))


def _link(on: bool) -> str:
    return "up" if on else "down"


def _turns(argv: Callable[[bool], Sequence[str]]) -> Callable[[int], Iterable[Line]]:
    """Give one command in odd runs and another in even ones."""
    return lambda run: [Line(argv(bool(run % 2)))]
