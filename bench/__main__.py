"""Race kvist against virsh, virt-install and bare libvirt calls, side by side in one run, and print one table.

Needs root, for a sandbox: nothing of the machine's own libvirt is touched, and nothing is written but the micro image
into the user's image cache, where it is not there yet.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import tempfile
import time
from pathlib import Path

from bench import changing, creating, firewalling, helping, listing, networking, report
from bench.programs import PYTHON

from kvist.errors import KvistError
from kvist.host.run import run


def main() -> int:
    """Do what the line says; gives the exit code: 1 when an aim is missed."""
    parser = argparse.ArgumentParser(
        prog="bench/run", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few runs: about two minutes instead of four")
    parser.add_argument("--write", action="store_true", help="put the table into docs/performance.md")
    chosen = parser.parse_args()
    began = time.monotonic()
    # Compiled where the sources lie, as an installation has them; setup does it only for kvist.
    run([PYTHON, "-m", "compileall", "-q", str(Path(__file__).parent)])
    with tempfile.TemporaryDirectory(prefix="kvist-bench-") as name:
        scratch = Path(name)
        rows = _races(quick=chosen.quick, scratch=scratch)
    line = " ".join(["bench/run", *map(shlex.quote, sys.argv[1:])])
    text = f"Made by `{line}` in {time.monotonic() - began:.0f} s.\n{report.setting()}.\n\n{report.table(rows)}\n"
    print(text)
    if chosen.write:
        report.write(text)
    missed = [row for row in rows if not row.met]
    print("all aims are met" if not missed else f"{len(missed)} of the aims missed")
    return 1 if missed else 0


def _races(*, quick: bool, scratch: Path) -> list[report.Row]:
    # State and keys of the benchmark's own; the cache stays, for the image and what is known of this machine's KVM.
    for variable, directory in (("XDG_STATE_HOME", "state"), ("XDG_DATA_HOME", "data"), ("XDG_CONFIG_HOME", "config")):
        os.environ[variable] = str(scratch / directory)
    for variable in ("KVIST_HOST", "KVIST_DEBUG"):
        os.environ.pop(variable, None)
    environment = dict(os.environ)
    rows: list[report.Row] = []
    _say("--help")
    rows += helping.rows(quick=quick, environment=environment)
    _say("ls")
    rows += listing.rows(quick=quick, environment=environment, scratch=scratch)
    _say("create")
    rows += creating.rows(quick=quick, environment=environment, scratch=scratch)
    _say("set")
    rows += changing.rows(quick=quick, environment=environment)
    _say("net")
    rows += networking.rows(quick=quick, environment=environment, scratch=scratch)
    _say("fw")
    rows += firewalling.rows(quick=quick, environment=environment, scratch=scratch)
    return rows


def _say(what: str) -> None:
    print(f"measuring {what} ...", file=sys.stderr)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KvistError as error:
        sys.exit(f"bench: {error}")
