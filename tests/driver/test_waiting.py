"""Waiting for VMs of libvirt's own test driver: what ends it, and what it says then."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from threading import Timer

import pytest

from kvist.engine.step import Step
from kvist.errors import Conflict, GuestFailed, NotFound, TimedOut, Unsupported
from kvist.host.run import Result
from kvist.resources.hosts.host import Host, connect
from kvist.resources.reaching import reach, waiting
from kvist.resources.reaching.address import Where
from kvist.resources.reaching.route import Route
from kvist.resources.reaching.waiting import wait
from kvist.resources.steps.waiting import WaitFor
from kvist.resources.vms.vm import Machine
from kvist.values import Duration

MAC = "aa:bb:cc:dd:ee:ff"
SHORT = Duration(0.3)


@pytest.fixture
def host() -> Iterator[Host]:
    # libvirt shares one default host among all that hold on to it, and a test's exception holds on to its VM.
    gc.collect()
    opened = connect("test:///default")
    yield opened
    opened.close()


@pytest.fixture
def vm(host: Host) -> Machine:
    return host.vm("test")


@pytest.fixture
def later() -> Iterator[Callable[[Callable[[], object]], None]]:
    """Do something a moment from now."""
    timers: list[Timer] = []

    def start(act: Callable[[], object]) -> None:
        timers.append(Timer(0.3, act))
        timers[-1].start()

    yield start
    for timer in timers:
        timer.join()


Later = Callable[[Callable[[], object]], None]


def known(monkeypatch: pytest.MonkeyPatch, *places: Where) -> None:
    monkeypatch.setattr(waiting, "addresses", lambda _vm: list(places))


def answering(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    monkeypatch.setattr(Route, "answers", lambda _route, address, timeout=1: address in addresses)
    monkeypatch.setattr(Route, "greets", lambda _route, address, port=22, timeout=3: address in addresses)


def test_a_vm_that_is_off_is_not_waited_for(host: Host, vm: Machine) -> None:
    host.connection.domains.destroy("test")
    with pytest.raises(Conflict, match="it is off") as refused:
        wait(vm, "ip")
    assert refused.value.hint == "kvist start test"


def test_a_vm_that_is_not_there_is_not_found(host: Host) -> None:
    with pytest.raises(NotFound, match='no VM "nope"'):
        wait(host.vm("nope"), "off")


@pytest.mark.parametrize("what", ["ip", "ssh"])
def test_a_vm_that_stops_meanwhile_ends_the_waiting_at_once(
    host: Host, vm: Machine, later: Later, what: waiting.What
) -> None:
    later(lambda: host.connection.domains.destroy("test"))
    with pytest.raises(Conflict, match="stopped while it was waited for"):
        wait(vm, what, timeout=Duration(5))


def test_the_end_of_patience_says_where_to_look(vm: Machine) -> None:
    with pytest.raises(TimedOut, match=r"waited 0\.3s") as late:
        wait(vm, "ip", timeout=SHORT)
    assert late.value.hint == "kvist console test"


def test_a_suspended_vm_is_said_to_be_suspended(host: Host, vm: Machine) -> None:
    host.connection.domains.suspend("test")
    with pytest.raises(TimedOut, match="paused") as late:
        wait(vm, "ip", timeout=SHORT)
    assert late.value.hint == "kvist resume test"


def test_off_is_waited_for(host: Host, vm: Machine, later: Later) -> None:
    later(lambda: host.connection.domains.destroy("test"))
    assert wait(vm, "off", timeout=Duration(10)) is None
    assert not vm.state.active
    assert wait(vm, "off", timeout=SHORT) is None


def test_a_vm_that_stays_on_is_not_waited_for_for_ever(vm: Machine) -> None:
    with pytest.raises(TimedOut, match="still running") as late:
        wait(vm, "off", timeout=SHORT)
    assert late.value.hint == "kvist stop test"


def test_a_lease_at_which_nobody_answers_is_passed_over(vm: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    known(monkeypatch, Where("10.0.0.1", MAC, "eth0", "lease"), Where("10.0.0.2", MAC, "eth0", "lease"))
    monkeypatch.setattr("kvist.host.net.neighbours.reachable", lambda _prefix: set())
    answering(monkeypatch, "10.0.0.2")
    assert wait(vm, "ip", timeout=SHORT) == "10.0.0.2"
    assert wait(vm, "ssh", timeout=SHORT) == "10.0.0.2"
    answering(monkeypatch)
    with pytest.raises(TimedOut):
        wait(vm, "ip", timeout=SHORT)


def test_the_agents_own_word_needs_no_proof(vm: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    known(monkeypatch, Where("10.0.0.1", MAC, "eth0", "agent"))
    answering(monkeypatch)
    assert wait(vm, "ip", timeout=SHORT) == "10.0.0.1"


def test_an_agent_that_can_never_answer_is_not_waited_for(vm: Machine) -> None:
    with pytest.raises(Unsupported, match="no channel"):
        wait(vm, "agent")


def cloud_init(monkeypatch: pytest.MonkeyPatch, *answers: Result) -> list[Result]:
    """Let cloud-init answer so by ssh, one look after the other; gives the answers that are left."""
    left = list(answers)
    known(monkeypatch, Where("10.0.0.2", MAC, "eth0", "lease"))
    answering(monkeypatch, "10.0.0.2")
    monkeypatch.setattr(reach, "remote", lambda _vm, _address, _command, *, timeout: left.pop(0))
    return left


def said(out: str, code: int = 0, err: str = "") -> Result:
    return Result(("ssh",), code, out.encode(), err.encode())


def test_cloud_init_is_asked_until_it_is_done(vm: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    left = cloud_init(
        monkeypatch,
        said("", 255, "Permission denied"),
        said("status: not run\n"),
        said("status: running\n"),
        said("status: done\n"),
    )
    assert wait(vm, "cloud-init", timeout=Duration(20)) is None
    assert left == []


def test_cloud_init_that_is_switched_off_has_nothing_to_do(vm: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cloud_init(monkeypatch, said("status: disabled\n", 0)) != []
    assert wait(vm, "cloud-init", timeout=SHORT) is None


@pytest.mark.parametrize(
    ("answer", "told"),
    [(said("status: error\n", 1), "cloud-init failed"), (said("", 127, "sh: cloud-init: not found"), "not found")],
)
def test_cloud_init_that_failed_or_is_not_there_ends_the_waiting(
    vm: Machine, monkeypatch: pytest.MonkeyPatch, answer: Result, told: str
) -> None:
    cloud_init(monkeypatch, answer)
    with pytest.raises(GuestFailed, match=told):
        wait(vm, "cloud-init", timeout=Duration(20))


def test_the_step_is_made_of_plain_data_and_waits_at_its_host(host: Host) -> None:
    step = WaitFor(name="test", what="ip", where="test:///default", timeout=0.2)
    again = Step.recall(step.record())
    assert again == step
    with pytest.raises(TimedOut):
        again.apply(host.site)


@pytest.mark.parametrize(("age", "patience"), [(20.0, 120), (None, 120), (4000.0, 5)])
def test_ssh_is_waited_for_longer_where_the_guest_may_still_be_booting(
    vm: Machine, monkeypatch: pytest.MonkeyPatch, age: float | None, patience: float
) -> None:
    given: list[float] = []

    def waited(_vm: Machine, _what: str, *, timeout: Duration) -> str:
        given.append(timeout)
        return "10.0.0.2"

    monkeypatch.setattr(reach, "wait", waited)
    monkeypatch.setattr(
        "kvist.resources.vms.uptime.uptimes", lambda _host, _shots: {} if age is None else {"test": Duration(age)}
    )
    known(monkeypatch)
    assert reach.find_ssh(vm) == "10.0.0.2"
    assert reach.find_ssh(vm, Duration(7)) == "10.0.0.2"
    assert given == [patience, 7]


def test_ssh_that_answers_is_not_waited_for(vm: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach, "wait", lambda *_words, **_more: pytest.fail("it waited"))
    known(monkeypatch, Where("10.0.0.1", MAC, "eth0", "lease"), Where("10.0.0.2", MAC, "eth1", "lease"))
    answering(monkeypatch, "10.0.0.2")
    assert reach.find_ssh(vm) == "10.0.0.2"


@pytest.mark.parametrize("what", ["ip", "ssh"])
def test_a_vm_without_a_card_is_not_waited_for(
    vm: Machine, what: waiting.What, monkeypatch: pytest.MonkeyPatch
) -> None:
    known(monkeypatch)
    document = vm.document()
    devices = document.root.find("devices")
    assert devices is not None
    for card in devices.findall("interface"):
        devices.remove(card)
    monkeypatch.setattr(Machine, "document", lambda *_args, **_kwargs: document)
    with pytest.raises(Conflict, match="it has no network card"):
        wait(vm, what, timeout=SHORT)
