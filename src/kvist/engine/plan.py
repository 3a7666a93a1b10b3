"""What an operation is going to do, before it does it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from kvist.engine.step import Change, Command, Disruption, Step
from kvist.errors import Refused


class Plan:
    """The steps of one operation, in order. No steps: there is nothing to do."""

    def __init__(
        self,
        steps: Iterable[Step],
        title: str = "",
        *,
        objects: Iterable[str] = (),
        undoes: int | None = None,
        empties: Iterable[int] = (),
    ) -> None:
        self.steps = tuple(steps)
        self.title = title
        self.objects = tuple(dict.fromkeys(objects))
        """What it is about, and what is locked meanwhile: `vm web`."""
        self.undoes = undoes
        """Number of the operation that it takes back."""
        self.empties = tuple(empties)
        """Numbers of the operations whose trash it empties."""

    def __bool__(self) -> bool:
        return bool(self.steps)

    def __iter__(self) -> Iterator[Step]:
        return iter(self.steps)

    @property
    def disruption(self) -> Disruption:
        """The worst that any of its steps costs the guest."""
        return max((step.disruption for step in self.steps), default=Disruption.NONE)

    def as_dict(self) -> dict[str, object]:
        """Give the plan as plain data, the form of `--dry-run -o json`."""
        return {
            "would": [{"step": step.describe(), "disruption": step.disruption.word} for step in self],
            "changes": [change.as_dict() for change in self.changes()],
            "disruption": self.disruption.word,
        }

    def changes(self) -> list[Change]:
        """List what changes, field by field."""
        return [change for step in self.steps for change in step.changes()]

    def commands(self) -> list[Command]:
        """List the commands a person would type instead."""
        return [command for step in self.steps for command in step.commands()]

    def permit(self, allow: Disruption) -> None:
        """Raise Refused when a step costs the guest more than is allowed."""
        costly = [step for step in self.steps if step.disruption > allow]
        if costly:
            worst = max(step.disruption for step in costly)
            raise Refused(
                f"cannot {costly[0].describe()} without a {worst.word} of the guest", hint=f"add --allow {worst.word}"
            )
