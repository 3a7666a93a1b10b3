"""What an operation asks for: the words about a parameter that its type cannot say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


class Part(NamedTuple):
    """An option that adds to a list which several options fill, in the order in which they are typed."""

    flag: str
    doc: str
    metavar: str
    parse: Callable[[str], Any]


class Ask(NamedTuple):
    """Stands in `Annotated[...]` beside the type of a parameter; command line, REST and reference are derived from it.

    Example: `timeout: Annotated[Duration, Ask("how long to wait", metavar="TIME")] = Duration(60)`.
    """

    doc: str
    metavar: str = ""
    complete: str = ""
    """What completes it: a kind that `resources/hosts/livenames.py` knows, `file`, or `place`: here or in a VM."""
    parse: Callable[[str], Any] | None = None
    first: tuple[str, ...] = ()
    """Sub-keys that bare words set, for a device: `--nic lab` is `--nic network=lab`."""
    rest: bool = False
    """Takes all that follows `--`."""
    short: str = ""
    """One letter that stands for the option too: `r` lets `-r` mean `--recursive`."""
    parts: tuple[Part, ...] = ()
    """The options that fill this list: `--send TEXT --expect REGEX --send TEXT`."""
    group: str = ""
    """Heading that it stands under in the help, for a verb with many options."""
    common: tuple[str, ...] = ()
    """For a table whose fields are options: those shown by --help; --help-all shows all of them."""
    without: tuple[str, ...] = ()
    """For a table whose fields are options: those that make no sense here."""
    apart: Callable[[str], bool] | None = None
    """For words behind the names of VMs: tells which of them are this parameter's and no names."""
