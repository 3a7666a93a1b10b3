"""One verb on many VMs: at the same time, one result for each in the order named, one document, one exit code."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from kvist.engine.many import WIDTH, Outcome, Stop, each

if TYPE_CHECKING:
    from kvist.cli.globals import Globals
    from kvist.cli.progress import Progress
    from kvist.engine.execute import Answer
    from kvist.engine.plan import Plan
    from kvist.resources.hosts.host import Host


class Choice(NamedTuple):
    """Which VMs a line names, and how many of them are worked on at a time."""

    words: tuple[str, ...]
    tags: tuple[str, ...] = ()
    width: int = WIDTH

    @property
    def several(self) -> bool:
        """Whether the answer is a list, however many VMs there turn out to be."""
        from kvist.resources.vms.selection import is_pattern

        return len(self.words) > 1 or bool(self.tags) or any(map(is_pattern, self.words))


Done: TypeAlias = "Answer | Plan"
Act: TypeAlias = "Callable[[Host, str], Done]"
"""What is done with one VM of a host that tells of that VM alone; gives an answer, or for a dry run the plan."""


def run_each(host: Host, names: Sequence[str], act: Act, chosen: Globals, progress: Progress, width: int) -> int:
    """Do it with each VM, print what came of each, and give the worst of the exit codes."""
    printing = _Printing(chosen)
    speaking = threading.Lock()

    def one(name: str, stop: Stop) -> Answer | Plan:
        def report(what: str, share: float | None) -> None:
            stop.look()
            with speaking:
                progress.report(f"{name}: {what}", None if share is None else 1.0)

        return act(host.telling(report, stop.look), name)

    for outcome in each(names, one, width=width):
        with speaking:
            progress.end()
            printing.take(outcome)
    return printing.finish()


class _Printing:
    """What is printed of the outcomes: as they come for a person, one document at the end for a program."""

    def __init__(self, chosen: Globals) -> None:
        self.chosen = chosen
        self.outcomes: list[Outcome[Done]] = []
        self._as_data = chosen.output in ("json", "yaml")

    def take(self, outcome: Outcome[Done]) -> None:
        from kvist.cli.render import complain, row

        self.outcomes.append(outcome)
        if self._as_data:
            return
        if outcome.error is not None:
            complain(outcome.error)
        elif outcome.result is not None:
            row(outcome.name, outcome.result, self.chosen)
        sys.stdout.flush()

    def finish(self) -> int:
        from kvist.cli.render import show

        if self._as_data:
            show([_entry(outcome) for outcome in self.outcomes], self.chosen)
        failed = sum(outcome.error is not None for outcome in self.outcomes)
        if not self.chosen.quiet and not self._as_data and (failed or not self.outcomes):
            done = len(self.outcomes) - failed
            sys.stderr.write(f"{done} done, {failed} failed\n" if self.outcomes else "there is no VM\n")
        return max((outcome.exit for outcome in self.outcomes), default=0)


def _entry(outcome: Outcome[Done]) -> Mapping[str, object]:
    if outcome.error is not None:
        return {"vm": outcome.name, "changed": False, **outcome.error.as_dict(), "exit": outcome.exit}
    assert outcome.result is not None
    return {"vm": outcome.name, **outcome.result.as_dict()}
