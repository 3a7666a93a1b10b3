"""Restarts that bring in what a running VM does not take while it runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from kvist.engine.ask import Ask
from kvist.engine.step import Step
from kvist.resources.changing.alteration import plan
from kvist.resources.changing.fieldpath import under
from kvist.resources.steps.redefine import Redefine
from kvist.specs.vm import Vm
from kvist.xml.document import Document

if TYPE_CHECKING:
    from kvist.resources.vms.vm import Machine

RESTART_NOW: Final = Ask("shut down and start again for what would wait; --allow restart does the same")


def waits(steps: Sequence[Step], live: Document, stored: Document, wish: Vm) -> bool:
    """Tell whether something of a wish reaches the guest at its next boot only, be it stored now or earlier."""
    if any(isinstance(step, Redefine) and step.shown for step in steps):
        return True
    from kvist.resources.changing.pending import differences

    named = [name for name, _ in wish.items()]
    waiting = differences(Vm.read(live.root), Vm.read(stored.root))
    return not steps and any(under(each.field, name) for each in waiting for name in named)


def restarting(vm: Machine, stored: Document, wish: Vm) -> Iterator[Step]:
    """Work out the restart that brings a wish in: a shutdown, one definition, a start."""
    from kvist.resources.steps.power import Start
    from kvist.resources.steps.restart import ShutdownToRestart

    yield ShutdownToRestart(name=vm.name, agent=vm.has_agent)
    for step in plan(vm.name, None, stored, wish):
        yield replace(step, when="restart") if isinstance(step, Redefine) else step
    yield Start(name=vm.name)
