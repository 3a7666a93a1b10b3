"""What VMs use between two looks at their counters."""

from __future__ import annotations

from kvist.resources.vms.top import shares
from kvist.values import Size
from kvist.virt.figures import Figures


def figures(name: str, cpu_time: float = 0, moved: int = 0) -> Figures:
    return Figures(name, 2, cpu_time, 1 << 30, 1 << 29, None, moved, moved * 2, moved * 3, moved * 4)


def test_a_rate_is_what_was_moved_by_the_time_between_the_looks() -> None:
    (one,) = shares([figures("web", 10, 1000)], [figures("web", 13, 3000)], 2.0)
    assert one.cpu == 150.0, "one and a half of its processors"
    assert (one.read, one.written, one.received, one.sent) == (Size(1000), Size(2000), Size(3000), Size(4000))
    assert (one.memory, one.used, one.resident) == (Size(1 << 30), Size(1 << 29), None)


def test_the_busiest_comes_first_and_a_newcomer_waits_for_its_second_look() -> None:
    before = [figures("a", 1), figures("b", 1), figures("gone", 1)]
    after = [figures("a", 1.5), figures("b", 2), figures("new", 9)]
    assert [one.name for one in shares(before, after, 1.0)] == ["b", "a"]


def test_a_vm_that_was_started_anew_uses_nothing_rather_than_less() -> None:
    (one,) = shares([figures("web", 100, 1 << 30)], [figures("web", 1, 10)], 1.0)
    assert (one.cpu, one.read, one.sent) == (0.0, Size(0), Size(0))
