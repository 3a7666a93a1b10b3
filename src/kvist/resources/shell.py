"""What lets a shell finish lines of kvist's."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from kvist.engine.ask import Ask

SCRIPTS = Path(__file__).with_name("shells")


def completion(shell: Annotated[Literal["bash", "zsh", "fish"], Ask("the shell that is to load it")]) -> str:
    """Print a script that lets the shell complete verbs, options, sub-keys and the names of what is there.

    Example: kvist completion bash > /etc/bash_completion.d/kvist
    """
    return (SCRIPTS / f"completion.{shell}").read_text(encoding="utf-8")
