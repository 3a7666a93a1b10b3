"""The same act on many objects at once: so many at a time, one outcome for each, and Ctrl-C that leaves none half-done.

Threads do, for libvirt's connections may be used by several at once, and what they wait for is not Python.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Generic, NamedTuple, TypeVar

from kvist.errors import Interrupted, KvistError, TimedOut

WIDTH = 8
"""How many at a time: beyond that libvirt and the disks of a host queue what is asked of them."""

T = TypeVar("T")


class Outcome(NamedTuple, Generic[T]):
    """What came of one object: a result, or the error that stands in its way."""

    name: str
    result: T | None
    error: KvistError | None = None

    @property
    def exit(self) -> int:
        """Exit code of this one alone."""
        return self.error.exit if self.error else 0


class Stop:
    """Tells acts that a person wants them to stop: each hears it once, and may then take back what it did."""

    def __init__(self) -> None:
        self._asked = threading.Event()
        self._heard = threading.local()

    def ask(self) -> None:
        """Want it to stop."""
        self._asked.set()

    @property
    def asked(self) -> bool:
        return self._asked.is_set()

    def look(self) -> None:
        """Raise KeyboardInterrupt, as Ctrl-C does in the main thread, the first time that a stopped act comes here."""
        if self.asked and not getattr(self._heard, "once", False):
            self._heard.once = True
            raise KeyboardInterrupt


def each(
    names: Iterable[str],
    act: Callable[[str, Stop], T],
    *,
    width: int = WIDTH,
    stop: Stop | None = None,
    within: float | None = None,
) -> Iterator[Outcome[T]]:
    """Do something with each of these names, `width` at a time; gives the outcomes in the order of the names.

    After Ctrl-C no further one is begun: those are Interrupted, and what has begun takes itself back or is finished.
    What has not come to its end `within` so many seconds is TimedOut, and left to itself: for questions only.

    Example: `each(["a", "b"], lambda name, stop: host.vm(name).start())`.
    """
    named = list(names)
    halt = stop or Stop()
    ready: SimpleQueue[tuple[int, Outcome[T]]] = SimpleQueue()
    turn = iter(enumerate(named))
    taking = threading.Lock()

    def work() -> None:
        while True:
            with taking:
                at, name = next(turn, (-1, ""))
            if at < 0:
                return
            ready.put((at, _one(name, act, halt)))

    for number in range(min(max(1, width), len(named))):
        threading.Thread(target=work, name=f"kvist-{number}", daemon=True).start()
    early: dict[int, Outcome[T]] = {}
    end = None if within is None else monotonic() + within
    for due, name in enumerate(named):
        while due not in early:
            try:
                at, outcome = ready.get(timeout=None if end is None else max(0.0, end - monotonic()))
            except KeyboardInterrupt:
                halt.ask()
            except Empty:
                early[due] = Outcome(name, None, TimedOut(f'"{name}" did not answer within {within:g} s'))
            else:
                early[at] = outcome
        yield early.pop(due)


def _one(name: str, act: Callable[[str, Stop], T], stop: Stop) -> Outcome[T]:
    if stop.asked:
        return Outcome(name, None, Interrupted(f'stopped before "{name}" was begun'))
    try:
        return Outcome(name, act(name, stop))
    except KvistError as error:
        return Outcome(name, None, error)
    except KeyboardInterrupt:
        return Outcome(name, None, Interrupted(f'stopped at "{name}"; nothing of it was left half-made'))
    except Exception as bug:  # noqa: BLE001 - one that stumbles must not hide what came of the others
        stumbled = KvistError(f'kvist stumbled over a mistake of its own at "{name}": {type(bug).__name__}: {bug}')
        stumbled.__cause__ = bug
        return Outcome(name, None, stumbled)
