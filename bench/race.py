"""Programs measured side by side: wall time, and the CPU time of each with all its children."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import median
from typing import NamedTuple

LINE_WITHIN = 60.0
"""Seconds after which a line has hung: the slowest of them takes two."""


class Line(NamedTuple):
    """One command; `times` is how many such commands it stands for."""

    argv: Sequence[str]
    times: int = 1


class Rival(NamedTuple):
    """One way of doing a thing. `lines` gives what its run of that number is, `after` tidies up, unmeasured."""

    name: str
    lines: Callable[[int], Iterable[Line]]
    after: Callable[[int], None] = lambda _run: None


class Cost(NamedTuple):
    """Seconds of one run: on the clock, and of user and system CPU together."""

    wall: float
    cpu: float


class Result(NamedTuple):
    """All runs of one rival."""

    costs: tuple[Cost, ...]

    def values(self, measure: str) -> list[float]:
        """Give the seconds of each run; `measure` is `wall` or `CPU`."""
        return [cost.wall if measure == "wall" else cost.cpu for cost in self.costs]

    def typical(self, measure: str) -> float:
        """Give the median in seconds."""
        return median(self.values(measure))


def steady(*argv: str) -> Callable[[int], Iterable[Line]]:
    """Give the same single command in every run."""
    return lambda _run: [Line(argv)]


def race(rivals: Sequence[Rival], rounds: int, *, within: float, environment: Mapping[str, str]) -> dict[str, Result]:
    """Run all rivals in turn, `rounds` times after one round that does not count, each round led by the next of them.

    After `within` seconds no further round begins, except that there are always two.
    """
    began = time.monotonic()
    found: dict[str, list[Cost]] = {rival.name: [] for rival in rivals}
    for number in range(rounds + 1):
        if number > 2 and time.monotonic() - began > within:
            break
        turn = number % len(rivals)
        for rival in (*rivals[turn:], *rivals[:turn]):
            try:
                cost = _cost(rival.lines(number), environment)
            finally:
                rival.after(number)
            if number:
                found[rival.name].append(cost)
    return {name: Result(tuple(costs)) for name, costs in found.items()}


def _cost(lines: Iterable[Line], environment: Mapping[str, str]) -> Cost:
    wall = cpu = 0.0
    for line in lines:
        one = _one(line.argv, environment)
        wall += one.wall * line.times
        cpu += one.cpu * line.times
    return Cost(wall, cpu)


def _one(argv: Sequence[str], environment: Mapping[str, str]) -> Cost:
    """Run one command to its end. Raises SystemExit with its last words when it fails: a failure is no time."""
    reading, writing = os.pipe()
    with open(reading, "rb") as words:
        began = time.monotonic()
        process = subprocess.Popen(
            argv, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=writing
        )
        os.close(writing)
        deadline = began + LINE_WITHIN
        said = _until(process, deadline, words.fileno())
        _, status, used = os.wait4(process.pid, 0)
        wall = time.monotonic() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"bench: {' '.join(argv)[:200]}: exit code {process.returncode}\n{said[-600:]}")
    return Cost(wall, used.ru_utime + used.ru_stime)


def _until(process: subprocess.Popen[bytes], deadline: float, words: int) -> str:
    """Take in what a command complains of until it closes its mouth; end it when it takes too long."""
    import select

    said = b""
    while select.select([words], [], [], max(0.0, deadline - time.monotonic()))[0]:
        piece = os.read(words, 65536)
        if not piece:
            return said.decode(errors="replace")
        said += piece
    process.kill()
    return f"it did not end within {LINE_WITHIN:g} s"
