"""Whatever is set, unset and undone in whatever order, a VM ends as a model says that it does."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.driver.test_vm_lifecycle import write_host

import kvist
from kvist.errors import Conflict, Refused
from kvist.resources.vms.vm import Machine
from kvist.specs.vm import Vm
from kvist.values import Size

Wish = dict[str, Any]
MIB = 1 << 20

WORDS = st.sampled_from(["one", "two", "drei <&>"])
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "title": WORDS,
    "description": WORDS,
    "on_crash": st.sampled_from(["restart", "preserve"]),
    "memory": st.integers(64, 256).map(lambda mebibytes: Size(mebibytes * MIB)),
    "tags": st.lists(st.sampled_from(["prod", "web", "db"]), min_size=1, unique=True).map(tuple),
    "protected": st.just(True),
}
REMOVABLE = ("title", "description", "tags", "protected")

wishes = st.fixed_dictionaries({}, optional=VALUES).filter(bool)
acts = st.one_of(
    st.tuples(st.just("set"), wishes),
    st.tuples(st.just("unset"), st.lists(st.sampled_from(REMOVABLE), min_size=1, unique=True)),
    st.tuples(st.just("undo"), st.none()),
)


def found(vm: Machine, *, next_boot: bool) -> Wish:
    spec = Vm.read(vm.document(next_boot=next_boot).root)
    told = {name: spec.get(name) for name in VALUES}
    return {name: value for name, value in told.items() if value not in (None, ())}


def wanted(state: Wish, verb: str, what: Any) -> Wish:
    """Give what the model says that a VM is after an act."""
    if verb == "set":
        return {**state, **what}
    return {name: value for name, value in state.items() if name not in what}


def act(vm: Machine, verb: str, what: Any) -> bool:
    if verb == "set":
        return vm.set(Vm(**what)).changed
    return vm.unset(tuple(what)).changed


@settings(max_examples=60, deadline=None)
@given(sequence=st.lists(acts, max_size=12), running=st.booleans())
def test_a_vm_ends_as_the_model_says(sequence: list[tuple[str, Any]], running: bool) -> None:
    with tempfile.TemporaryDirectory() as place, pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "XDG_STATE_HOME", f"{place}/state")
        host = kvist.connect(write_host(Path(place) / "host.xml", 1))
        vm = host.vm("vm000")
        if running != vm.state.active:
            (vm.start if running else vm.stop)()
        before = found(vm, next_boot=True)
        # What is under the first act is the start or stop, and that is not undone here.
        states = [before]
        for verb, what in sequence:
            if verb != "undo":
                state = wanted(states[-1], verb, what)
                assert act(vm, verb, what) == (state != states[-1])
                if state != states[-1]:
                    states.append(state)
            elif len(states) > 1:
                assert host.history.undo().changed
                states.pop()
            else:
                with pytest.raises((Conflict, Refused)):
                    host.history.undo()
            assert found(vm, next_boot=True) == states[-1]
            if running:
                live = found(vm, next_boot=False)
                assert {name: live.get(name) for name in REMOVABLE} == {
                    name: states[-1].get(name) for name in REMOVABLE
                }
        host.close()
