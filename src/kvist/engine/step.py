"""One act with its way back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import IntEnum
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

if TYPE_CHECKING:
    from kvist.host.hand import Hand
    from kvist.virt.connection import Connection


class Disruption(IntEnum):
    """What a step costs the guest; more than NONE happens only when `--allow` says so."""

    NONE = 0
    REPLUG = 1
    RESTART = 2
    RECREATE = 3

    @property
    def word(self) -> str:
        return self.name.lower()


class Change(NamedTuple):
    """One field of one object: what it was, what it is to be, and when that reaches the guest."""

    subject: str
    field: str
    before: object
    after: object
    when: str = "now"

    def as_dict(self) -> dict[str, object]:
        """Give the change as plain data, the form of `-o json`."""
        shown = {key: value if value is None or isinstance(value, bool | int) else str(value)
                 for key, value in (("before", self.before), ("after", self.after))}  # fmt: skip
        return {"object": self.subject, "field": self.field, **shown, "when": self.when}


class Command(NamedTuple):
    """The same act as a command a person could type; `document` is what it reads from standard input."""

    argv: tuple[str, ...]
    document: str = ""


def _silent(_what: str, _share: float | None) -> None:
    return None


def _unknown(_thing: str) -> str:
    return ""


def _go_on() -> None:
    return None


def _this_machine() -> Hand:
    from kvist.host.hand import Hand

    return Hand()


@dataclass(frozen=True)
class Site:
    """Where steps are carried out: the host they act on, and who is told of progress."""

    connection: Connection
    report: Callable[[str, float | None], None] = field(default=_silent)
    place: str = ""
    """What the host is called."""
    asked: str = ""
    """The line that was typed, without passwords; empty for a program."""
    identify: Callable[[str], str] = field(default=_unknown)
    """Tells which of all that ever had this name an object (`vm web`) is: its UUID, empty when there is none."""
    patience: float = 600.0
    """Seconds to wait for another kvist that is busy with the same object."""
    look: Callable[[], None] = field(default=_go_on)
    """Raises KeyboardInterrupt in a thread that is to stop; called by every loop that waits for long."""
    reach: Callable[[], Hand] = field(default=_this_machine)
    """Gives a hand on the host, for what libvirt does not do: its programs and files."""

    @property
    def hand(self) -> Hand:
        """The programs and files of the host. Raises Unsupported where they are out of reach."""
        return self.reach()


_STEPS: dict[str, type[Step]] = {}


@dataclass(frozen=True, kw_only=True)
class Step(ABC):
    """One act on a host, made of plain data so that it can be written down before it is begun.

    `apply` may be called again after a crash and then finds part of its work done. `undo` must work whether `apply` was
    never begun, was cut off half-way or was finished. A step without `undo` says why: in `stays` when what it did may
    stay while the rest is taken back, in `no_undo` when there is no way back past it.
    """

    disruption: ClassVar[Disruption] = Disruption.NONE
    stays: ClassVar[str] = ""
    """Why what it did may stay: `a pool that runs disturbs nobody`."""
    no_undo: ClassVar[str] = ""
    """Why nothing brings back what was before; a cut-off operation that has come here is finished, not taken back."""
    after_commit: ClassVar[bool] = False
    """Its failure does not take the operation back (waiting for a guest, say)."""
    outlives_undo: ClassVar[str] = ""
    """Why `kvist undo` leaves it, though it could be taken back while the operation was going on."""
    trashes: ClassVar[bool] = False
    """What it removes is kept in the trash, until it is restored or the trash is emptied."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if any(getattr(getattr(cls, name, None), "__isabstractmethod__", False) for name in dir(cls)):
            return
        if [cls.undo is not Step.undo, bool(cls.stays), bool(cls.no_undo)].count(True) != 1:
            raise TypeError(f"{cls.__name__} must either define undo, or say in stays or in no_undo why there is none")
        _STEPS[f"{cls.__module__}:{cls.__qualname__}"] = cls

    @abstractmethod
    def describe(self) -> str:
        """Say what the step does, as an infinitive: `start VM "web"`."""

    @abstractmethod
    def apply(self, at: Site) -> None:
        """Do it."""

    def undo(self, at: Site) -> None:
        """Take it back."""
        raise NotImplementedError(self.stays or self.no_undo)

    def verify(self, at: Site) -> None:  # noqa: B027 - most steps are proven by libvirt's own answer
        """Read back what the step did and raise when it is not there."""

    def inverse(self, at: Site) -> Sequence[Step]:
        """Give the steps that take it back long after, for `kvist undo`; none where it stays."""
        from kvist.engine.undo import TakeBack

        return (TakeBack(of=self.record()),) if self.reversible and not self.outlives_undo else ()

    def changes(self) -> tuple[Change, ...]:
        """Say what changes, field by field."""
        return ()

    def commands(self) -> tuple[Command, ...]:
        """Give the same act as commands a person could type."""
        return ()

    @property
    def reversible(self) -> bool:
        """Whether it has a way back."""
        return not (self.stays or self.no_undo)

    def record(self) -> dict[str, Any]:
        """Give the step as plain data, from which `recall` makes it again; payloads that no undo needs are left out."""
        kept = {one.name: getattr(self, one.name) for one in fields(self) if not one.metadata.get("payload")}
        return {"step": f"{type(self).__module__}:{type(self).__qualname__}", **kept}

    @staticmethod
    def recall(record: Mapping[str, Any]) -> Step:
        """Make a step from its record."""
        name = str(record["step"])
        if name not in _STEPS:
            from importlib import import_module

            module = name.partition(":")[0]
            if not module.startswith("kvist."):
                raise ValueError(f'"{module}" is not a module of kvist')
            import_module(module)
        kind = _STEPS[name]
        return kind._from({key: value for key, value in record.items() if key != "step"})

    @property
    def complete(self) -> bool:
        """Whether it holds all that `apply` needs: a recalled step has lost its payloads."""
        return all(getattr(self, one.name) or not one.metadata.get("payload") for one in fields(self))

    @classmethod
    def _from(cls, values: Mapping[str, Any]) -> Self:
        return cls(**{key: _unlisted(value) for key, value in values.items()})


def _unlisted(value: Any) -> Any:
    return tuple(_unlisted(each) for each in value) if isinstance(value, list) else value


def payload() -> Any:
    """Mark a field of a step that is too large to write down and that its undo does not need."""
    return field(default=b"", repr=False, metadata={"payload": True})
