"""Methods that change something: written as generators of steps, called as plain typed methods."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, overload, runtime_checkable

from kvist.engine.plan import Plan
from kvist.engine.step import Disruption, Site, Step

if TYPE_CHECKING:
    from kvist.engine.execute import Answer


class Owner(Protocol):
    """An object with operations: it knows the site they are carried out at, and what kind of thing they are about."""

    @property
    def site(self) -> Site: ...

    @property
    def kind(self) -> str: ...


@runtime_checkable
class Finder(Protocol):
    """An owner that has to look which objects an operation is about."""

    def touched(self, given: Mapping[str, Any]) -> tuple[str, ...]: ...


NAMING = ("name", "names", "new")
"""Parameters that name what an operation is about; so does the name of its owner, where that has one."""


O = TypeVar("O", bound=Owner)  # noqa: E741
P = ParamSpec("P")
Steps = Iterator[Step] | Plan
"""What an operation gives: steps one after the other, or a plan that it has made itself."""


class Bound(Generic[P]):
    """An operation of one object. Call it to do it; `.plan(...)` only says what it would do."""

    def __init__(self, owner: Owner, function: Callable[Concatenate[Any, P], Steps]) -> None:
        self._owner = owner
        self._function = function
        self.__doc__ = function.__doc__

    @property
    def site(self) -> Site:
        """Where it is carried out."""
        return self._owner.site

    def plan(self, *args: P.args, **kwargs: P.kwargs) -> Plan:
        """Work out the steps and change nothing."""
        made = self._function(self._owner, *args, **kwargs)
        if isinstance(made, Plan):
            return made
        return Plan(made, self._function.__name__, objects=self.objects(*args, **kwargs))

    def objects(self, *args: P.args, **kwargs: P.kwargs) -> tuple[str, ...]:
        """Name what it is about, which is locked while it is carried out: `vm web`."""
        code = self._function.__code__
        given: Mapping[str, Any] = {**dict(zip(code.co_varnames[1:], args, strict=False)), **kwargs}
        if isinstance(self._owner, Finder):
            return self._owner.touched(given)
        named = [getattr(self._owner, "name", ()), *(given.get(name) or () for name in NAMING)]
        flat = [name for each in named for name in ((each,) if isinstance(each, str) else each)]
        return tuple(f"{self._owner.kind} {name}" for name in dict.fromkeys(flat))

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Answer:
        return self._carry_out(Disruption.NONE, None, *args, **kwargs)

    def allowing(self, allow: Disruption, look: Callable[[Plan], None] | None = None) -> Callable[P, Answer]:
        """Give the operation with permission to disrupt the guest this much; `look` is shown the plan first."""

        def call(*args: P.args, **kwargs: P.kwargs) -> Answer:
            return self._carry_out(allow, look, *args, **kwargs)

        return call

    def _carry_out(
        self, allow: Disruption, look: Callable[[Plan], None] | None, *args: P.args, **kwargs: P.kwargs
    ) -> Answer:
        from kvist.engine.execute import perform

        def make() -> Plan:
            return self.plan(*args, **kwargs)

        return perform(make, self.objects(*args, **kwargs), self.site, allow=allow, look=look)


class Operation(Generic[O, P]):
    """What `@operation` makes of a generator method."""

    def __init__(self, function: Callable[Concatenate[O, P], Steps]) -> None:
        self.function = function
        self.__doc__ = function.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, obj: None, owner: type) -> Operation[O, P]: ...
    @overload
    def __get__(self, obj: O, owner: type) -> Bound[P]: ...
    def __get__(self, obj: O | None, owner: type) -> Operation[O, P] | Bound[P]:
        return self if obj is None else Bound(obj, self.function)


def operation(function: Callable[Concatenate[O, P], Steps]) -> Operation[O, P]:
    """Make an operation of a method that yields steps; one that yields none had nothing to do.

    Example:
        @operation
        def start(self) -> Iterator[Step]:
            if not self.state.active:
                yield Start(name=self.name)
    """
    return Operation(function)
