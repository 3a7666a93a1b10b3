"""Set the memory of a VM a hundred times in one process. usage: set_often.py HOST VM TIMES"""

from __future__ import annotations

import sys

import kvist
from kvist.specs.vm import Vm
from kvist.values import Size


def main(where: str, name: str, times: int) -> None:
    host = kvist.connect(where)
    for number in range(times):
        host.vm(name).set(Vm(memory=Size((64 + number % 2) << 20)))
    host.close()


main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
