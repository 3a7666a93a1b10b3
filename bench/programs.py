"""What the benchmarks call the programs they start."""

from __future__ import annotations

import sys
from pathlib import Path

PYTHON = sys.executable
KVIST = str(Path(sys.executable).with_name("kvist"))
BARE = Path(__file__).parent / "bare"
"""Scripts with the libvirt calls that kvist makes, and nothing else."""
