"""kvist's own command line, hit at a moment that is chosen: `killed_kvist.py WHEN WHAT [PID] -- KVIST ARGUMENTS`.

WHEN is the number of the step that is about to begin: `3` once it is written down, `-3` just before; `end` is when all
is done but not yet forgotten, `upload` is in the middle of a volume's content. WHAT is the signal that hits kvist, or
`libvirtd`: then process PID is killed, and kvist goes on.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import Any

from kvist.cli import main
from kvist.engine.inflight import Inflight
from kvist.virt.storage import Pools


def hit(what: str, pid: int) -> None:
    if what == "libvirtd":
        os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
    else:
        os.kill(os.getpid(), signal.Signals[what])
        # The interpreter looks for signals between two of its instructions.
        time.sleep(0.001)


def arm(when: str, what: str, pid: int) -> None:
    begin, close, upload = Inflight.begin, Inflight.close, Pools.upload

    def begins(self: Inflight, index: int) -> None:
        if when == f"-{index}":
            hit(what, pid)
        begin(self, index)
        if when == str(index):
            hit(what, pid)

    def closes(self: Inflight, state: str, result: str = "") -> None:
        if when == "end":
            hit(what, pid)
        close(self, state, result)

    def uploads(self: Pools, *arguments: Any, **named: Any) -> None:
        if when == "upload":
            hit(what, pid)
        upload(self, *arguments, **named)

    Inflight.begin, Inflight.close, Pools.upload = begins, closes, uploads  # type: ignore[method-assign]


if __name__ == "__main__":
    words = sys.argv[1:]
    cut = words.index("--")
    when, what, *rest = words[:cut]
    sys.argv = ["kvist", *words[cut + 1 :]]
    arm(when, what, int(rest[0]) if rest else 0)
    main.run()
