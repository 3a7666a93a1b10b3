"""Carry a plan out: apply, read back, and take back what was done when something fails."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from kvist.engine.inflight import Inflight, Remains, left_behind
from kvist.engine.journal import DONE, FAILED, TAKEN_BACK
from kvist.engine.locks import holding
from kvist.engine.plan import Plan
from kvist.engine.step import Change, Disruption, Site, Step
from kvist.errors import Interrupted, KvistError, TimedOut


class Answer:
    """What an operation did. `changed` is false when there was nothing to do, or only to wait and to look."""

    def __init__(self, changes: Sequence[Change], steps: Sequence[Step | str]) -> None:
        self.changes = tuple(changes)
        self.done = tuple(step if isinstance(step, str) else step.describe() for step in steps)
        self.changed = any(isinstance(step, str) or not step.after_commit for step in steps)

    def as_dict(self) -> dict[str, object]:
        """Give the answer as plain data, the form of `-o json`."""
        return {
            "changed": self.changed,
            "changes": [change.as_dict() for change in self.changes],
            "steps": list(self.done),
        }


def carry_out(plan: Plan, at: Site, *, allow: Disruption = Disruption.NONE) -> Answer:
    """Do what the plan says, or nothing at all.

    Raises Refused before anything is done when the plan disrupts more than `allow`; Interrupted after Ctrl-C; any error
    of a step as it is, once the steps before it have been taken back, newest first.
    """
    _commit(plan, at, allow)
    return _finish(plan, at)


def perform(
    make: Callable[[], Plan],
    objects: Iterable[str],
    at: Site,
    *,
    allow: Disruption = Disruption.NONE,
    look: Callable[[Plan], None] | None = None,
) -> Answer:
    """Hold the objects, make the plan, carry it out; `look` is shown the plan before it begins.

    Another kvist that is busy with one of the objects is waited for, and only then the host is looked at: a plan that
    was made before would be a plan for what is no more. Raises TimedOut when that takes longer than `at.patience`.
    """
    named = tuple(objects)
    with holding(at.connection.uri, named, patience=at.patience, tell=at.report, look=at.look):
        # Who held them before us may have died over it.
        for sentence in recover(at):
            at.report(sentence, 1.0)
        plan = make()
        if look is not None:
            look(plan)
        _commit(plan, at, allow)
    return _finish(plan, at)


def _commit(plan: Plan, at: Site, allow: Disruption) -> None:
    plan.permit(allow)
    whole = [step for step in plan if not step.after_commit]
    if whole:
        _all_or_nothing(plan, whole, at)


def _finish(plan: Plan, at: Site) -> Answer:
    for step in plan:
        if step.after_commit:
            # No line that is taken away again: it may hand the terminal to the guest.
            at.report(step.describe(), 1.0)
            try:
                step.apply(at)
            except KvistError as error:
                error.done = Answer(plan.changes(), plan.steps)
                raise
    return Answer(plan.changes(), plan.steps)


def _all_or_nothing(plan: Plan, steps: Sequence[Step], at: Site) -> None:
    note = Inflight(plan, steps, at)
    begun = done = 0
    try:
        for index, step in enumerate(steps):
            note.begin(index)
            begun = index + 1
            at.report(step.describe(), None)
            step.apply(at)
            done = index + 1
        for step in steps:
            step.verify(at)
    except KeyboardInterrupt as stop:
        # Nobody knows whether the act that was cut off has happened: past it, if there is no way back.
        if _no_return(steps[:begun]):
            said, trouble = "stopped, but too late to take it back: it was finished", _go_on(steps[begun - 1 :], at)
            state = DONE
        else:
            said, trouble = "stopped; what was begun has been taken back", _take_back(steps[:begun], at)
            if begun and steps[begun - 1].stays:
                said = f"stopped; “{steps[begun - 1].describe()}” had begun and is not taken back"
            state = TAKEN_BACK
        if trouble:
            note.leave()
        else:
            note.close(state, "stopped")
        raise Interrupted("; ".join(("stopped", *trouble)) if trouble else said) from stop
    except BaseException as error:
        fixed = _no_return(steps[:done])
        trouble = _take_back(steps[fixed:begun], at)
        if trouble:
            note.leave()
            if not at.connection.alive:
                # Each of them failed for the same reason, and the note is still there.
                trouble = ["the connection is lost; the next kvist that reaches the host takes back what was begun"]
        else:
            note.close(FAILED, _sentence(error))
        if fixed:
            trouble = [*trouble, f"there is no way back past “{steps[fixed - 1].describe()}”"]
        _add(error, trouble)
        raise
    note.close(DONE)


def recover(at: Site) -> list[str]:
    """Finish or take back what killed kvists left on this host; gives a sentence for each, for the user to read."""
    return [sentence for remains in left_behind(at.connection.uri) if (sentence := _clean_up(remains, at))]


def _clean_up(remains: Remains, at: Site) -> str:
    title, rm = remains.entry.title, f"once the host is in order: rm {remains.path}"
    try:
        steps = remains.entry.steps()
    except (ImportError, AttributeError, LookupError, TypeError, ValueError) as foreign:
        return f"cannot read the interrupted `{title}` of another kvist ({foreign}); {rm}"
    try:
        # Who waits for the same objects cleans up itself, once it is its turn.
        with holding(at.connection.uri, remains.entry.objects, patience=0):
            how, state, trouble = _settle(steps, remains.entry.begun, at)
            if not trouble:
                remains.close(state, f"interrupted; the next kvist {how} it", steps, at)
    except TimedOut:
        return ""
    if trouble:
        return f"could not clean up after an interrupted `{title}`: {'; '.join(trouble)}; {rm}"
    return f"{how} an interrupted `{title}`"


def _settle(steps: Sequence[Step], count: int, at: Site) -> tuple[str, str, list[str]]:
    begun = steps[:count]
    if fixed := _no_return(begun):
        # Past a step that has no way back only the way forward leaves nothing half-made.
        return "finished", DONE, _go_on(steps[fixed - 1 :], at)
    if any(step.reversible for step in begun):
        return "took back", TAKEN_BACK, _take_back(begun, at)
    return "found nothing to clean up after", TAKEN_BACK, []


def _no_return(steps: Sequence[Step]) -> int:
    """Count the steps up to and with the last that has no way back; 0 when all have one."""
    return max((index + 1 for index, step in enumerate(steps) if step.no_undo), default=0)


def _take_back(steps: Sequence[Step], at: Site) -> list[str]:
    trouble: list[str] = []
    for step in reversed(steps):
        if not step.reversible:
            continue
        try:
            step.undo(at)
        except Exception as error:  # noqa: BLE001 - whatever one of them stumbles over, the older ones are to be undone
            trouble.append(f"undoing “{step.describe()}” failed: {_sentence(error)}")
    return trouble


def _go_on(steps: Sequence[Step], at: Site) -> list[str]:
    for step in steps:
        if not step.complete:
            return [f"“{step.describe()}” needs what the killed kvist alone had"]
        try:
            step.apply(at)
        except Exception as error:  # noqa: BLE001 - it is told, whatever it is, and tried again by the next kvist
            return [f"“{step.describe()}” failed: {_sentence(error)}"]
    return []


def _sentence(error: BaseException) -> str:
    return error.what if isinstance(error, KvistError) else f"{type(error).__name__}: {error}"


def _add(error: BaseException, trouble: Sequence[str]) -> None:
    if not trouble:
        return
    if isinstance(error, KvistError):
        error.add("; ".join(trouble))
    else:
        error.add_note("; ".join(trouble))
