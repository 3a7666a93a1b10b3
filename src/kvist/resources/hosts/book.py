"""The hosts that a user has given names, and the one that is in use where none is named.

They are kept in $XDG_CONFIG_HOME/kvist/hosts.json (https://specifications.freedesktop.org/basedir-spec/).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from kvist.errors import Corrupt, Failed, NotFound

_PATIENCE = 10.0


class Book(NamedTuple):
    """Names and what they stand for: libvirt URIs or `sandbox:NAME`."""

    hosts: Mapping[str, str]
    used: str = ""
    """The name that is in use, empty for none."""

    def where(self, name: str) -> str:
        """Give what a name stands for. Raises NotFound."""
        try:
            return self.hosts[name]
        except KeyError:
            from difflib import get_close_matches

            near = get_close_matches(name, self.hosts, n=1)
            raise NotFound(
                f'no host is called "{name}"',
                hint=f"kvist host show --host {near[0]}"
                if near
                else f"kvist host add {name} qemu+ssh://root@hv2/system",
            ) from None


def path() -> Path:
    """Where the names are kept."""
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "kvist" / "hosts.json"


def read() -> Book:
    """Read the names. Raises Corrupt when the file is not what kvist wrote."""
    where = path()
    try:
        text = where.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Book({})
    except OSError as error:
        raise Failed(f'cannot read "{where}": {error.strerror}', hint=f"ls -l {where}") from error
    import json

    try:
        data = json.loads(text)
        hosts, used = data["hosts"], data["used"]
        if not isinstance(used, str) or not all(isinstance(uri, str) for uri in hosts.values()):
            raise TypeError("a name or URI is no text")
    except (ValueError, LookupError, TypeError, AttributeError) as wrong:
        raise Corrupt(
            f'"{where}" is no list of hosts: {wrong}', hint=f"mv {where} {where}.old; kvist host add NAME URI"
        ) from wrong
    return Book(hosts, used)


def change(how: Callable[[Book], Book]) -> tuple[Book, Book]:
    """Change the names while no other kvist does; gives them as they were and as they are.

    The file is replaced whole, so that whoever reads it meanwhile or after a crash sees the old or the new one.
    """
    from kvist.engine.locks import holding

    with holding("kvist", ["file hosts.json"], patience=_PATIENCE):
        before = read()
        after = how(before)
        if after != before:
            _write(after)
        return before, after


def _write(book: Book) -> None:
    import json

    where = path()
    fresh = where.with_name(f".{where.name}.{os.getpid()}")
    try:
        where.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with fresh.open("w", encoding="utf-8") as file:
            fresh.chmod(0o600)
            json.dump({"hosts": dict(sorted(book.hosts.items())), "used": book.used}, file, indent=2)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(where)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise Failed(
            f'cannot write "{where}": {error.strerror}', hint="set XDG_CONFIG_HOME to a directory that you can write to"
        ) from error
