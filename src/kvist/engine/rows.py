"""Rows that are more than a list: they decide how their line ends, or they go on coming."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from kvist.errors import KvistError

Row = TypeVar("Row")


class Rows(list[Row]):
    """A list that also says the exit code: that of a check which found something wrong, say."""

    def __init__(self, rows: Iterable[Row] = (), *, exit: int = 0, errors: Sequence[KvistError] = ()) -> None:
        super().__init__(rows)
        self.exit = exit
        self.errors = tuple(errors)
        """What stood in the way of rows that are missing."""


class Ticks(Generic[Row]):
    """Rows that are made anew at every tick; each list takes the place of the one before."""

    def __init__(self, ticks: Iterator[list[Row]]) -> None:
        self._ticks = ticks

    def __iter__(self) -> Iterator[list[Row]]:
        return self._ticks


class Stream(Generic[Row]):
    """Rows that come one by one, and are shown as they come."""

    def __init__(self, rows: Iterator[Row]) -> None:
        self._rows = rows

    def __iter__(self) -> Iterator[Row]:
        return self._rows
