"""Names of what is there at this moment, for completion: asked quickly, and with nothing said where that fails."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from kvist.errors import KvistError

WITHIN = 1.5
"""Seconds; a person who presses the tab key waits for no host longer than that."""


def live_names(kind: str, where: str | None, of: str = "") -> list[str]:
    """Give the names of one kind, sorted; none without a host. The kinds are those of `Ask.complete`.

    Of what is a part of something else, a card, say, those of that: a VM, a network, a filter or a bridge.
    """
    try:
        return sorted(_names(kind, where, of))
    except KvistError:
        # The shell is in the middle of a line: there is no place for an error, and none is needed for a suggestion.
        return []


def _names(kind: str, where: str | None, of: str) -> Iterable[str]:
    if kind == "sandbox":
        return _sandboxes()
    if kind == "recipe":
        from kvist.host.bake.cache import NAMES

        return NAMES
    if kind == "device-kind":
        from kvist.resources.devices.naming import KINDS

        return KINDS
    if kind == "host":
        from kvist.resources.hosts.book import read

        return [*read().hosts, *(f"sandbox:{name}" for name in _sandboxes())]
    from kvist.resources.hosts.host import dial

    connection, place, _ = dial(where, WITHIN)
    match kind:
        case "vm":
            return connection.domains.names()
        case "network":
            return [net.name for net in connection.networks.all()]
        case "filter":
            return connection.nwfilters.names()
        case "bridge":
            from kvist.host.net.bridges import Wiring

            return list(Wiring(place.hand()).bridges)
        case "pool":
            return [pool.name for pool in connection.pools.all()]
        case "image":
            from kvist.resources.hosts.host import Host

            return [image.name for image in Host(connection, place).images.ls()]
    from kvist.resources.hosts import partnames
    from kvist.resources.hosts.host import Host

    return partnames.names(kind, Host(connection, place), of)


def _sandboxes() -> list[str]:
    from kvist.sandbox.reservation import names

    return names()


def paths(typed: str) -> Iterator[str]:
    """Give the files whose path begins like this; a directory ends with a slash."""
    folder, slash, begun = typed.rpartition("/")
    try:
        with os.scandir(os.path.expanduser(folder + slash) or ".") as found:  # noqa: PTH111 - a path as it is typed
            for one in sorted(found, key=lambda entry: entry.name):
                if one.name.startswith(begun) and (begun or not one.name.startswith(".")):
                    yield f"{folder}{slash}{one.name}{'/' if one.is_dir() else ''}"
    except OSError:
        # A folder that is not there, or not for this user, has nothing to suggest.
        return
