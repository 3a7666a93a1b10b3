"""The virsh commands that tune a running VM, for `--show-virsh`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from kvist.engine.step import Command

Values = Mapping[str, Any]


def command(name: str, call: str, target: str, values: Values) -> Command:
    """Give the command that does the same as one of the calls in `kvist.virt.tuning`."""
    verb, *rest = FORMS[call](target, values)
    return Command(("virsh", verb, name, *rest, "--live"))


def _scheduler(_target: str, values: Values) -> list[str]:
    named = {"cpu_shares": "cpu_shares", "cpu_period": "vcpu_period", "cpu_quota": "vcpu_quota"}
    return ["schedinfo", *(f"{named[name]}={value}" for name, value in values.items())]


def _limits(_target: str, values: Values) -> list[str]:
    options = {
        "memory_hard_limit": "--hard-limit",
        "memory_soft_limit": "--soft-limit",
        "memory_swap_limit": "--swap-hard-limit",
    }
    words = [(options[name], "-1" if value is None else str(int(value) >> 10)) for name, value in values.items()]
    return ["memtune", *(word for pair in words for word in pair)]


def _iotune(target: str, values: Values) -> list[str]:
    options = {"iotune_group": "--group-name", "total_bytes_max": "--total-bytes-sec-max",
               "total_iops_max": "--total-iops-sec-max"}  # fmt: skip
    words = [
        (options.get(name) or f"--{name.replace('_', '-')}-sec", str(value if isinstance(value, str) else value or 0))
        for name, value in values.items()
        if value is not None or name != "iotune_group"
    ]
    return ["blkdeviotune", target, *(word for pair in words for word in pair)]


def _metadata(target: str, values: Values) -> list[str]:
    prefix, _, namespace = target.partition(" ")
    act = ["--remove"] if values["metadata"] is None else ["--key", prefix, "--set", values["metadata"]]
    return ["metadata", "--uri", namespace, *act]


FORMS: Final[Mapping[str, Callable[[str, Values], list[str]]]] = {
    "memory": lambda _target, values: ["setmem", f"{int(values['memory']) >> 10}KiB"],
    "cpus": lambda _target, values: ["setvcpus", str(values["cpus"])],
    "scheduler": _scheduler,
    "memory-limits": _limits,
    "iotune": _iotune,
    "stats-period": lambda _target, values: ["dommemstat", "--period", str(values["stats_period"] or 0)],
    "cpu-pin": lambda target, values: ["vcpupin", target, str(values["cpuset"])],
    "emulator-pin": lambda _target, values: ["emulatorpin", str(values["emulator_cpuset"])],
    "title": lambda _target, values: ["desc", "--title", "--new-desc", values["title"] or ""],
    "description": lambda _target, values: ["desc", "--new-desc", values["description"] or ""],
    "metadata": _metadata,
}
