"""The race of `--help`: what a command line costs before it does anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.programs import KVIST, PYTHON
from bench.race import Rival, race, steady
from bench.report import Row, compare


def rows(*, quick: bool, environment: Mapping[str, str]) -> Sequence[Row]:
    """Race it and give the rows of the table."""
    rivals = (
        Rival("kvist", steady(KVIST, "--help")),
        Rival("virsh --help", steady("virsh", "--help")),
        Rival("bare Python", steady(PYTHON, "-c", "pass")),
    )
    found = race(rivals, 5 if quick else 25, within=20, environment=environment)
    return (
        compare("kvist --help", "CPU", found, "virsh --help", aim=3),
        compare("kvist --help", "wall", found, "virsh --help"),
        compare("kvist --help", "CPU", found, "bare Python"),
        compare("kvist --help", "CPU", found, 0.060, aim=1),
    )
