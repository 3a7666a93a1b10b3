"""Which VMs a line means: by name, by pattern, by tag, or all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from kvist.errors import NotFound

if TYPE_CHECKING:
    from kvist.resources.hosts.host import Host

EVERY = "*"
"""The pattern that `--all` stands for. It is no mistake that it fits none."""
_SIGNS = "*?["


def is_pattern(word: str) -> bool:
    """Tell whether a word may mean several VMs: `web*`, `web[12]`, `db?`."""
    return any(sign in word for sign in _SIGNS)


def select(host: Host, words: Sequence[str], *, tags: Sequence[str] = (), absent: bool = False) -> list[str]:
    """Give the names that are meant, each once: in the order of the words, those of one pattern sorted.

    With `tags`, only VMs that have all of these. A name is passed on also when there is no such VM: what is asked of it
    will tell. Raises NotFound for a pattern or tag that fits none, unless that is just what is wished (`absent`).

    Example: `select(host, ["db", "web*"], tags=["prod"])`.
    """
    from fnmatch import fnmatchcase

    known = host.connection.domains.names() if tags or any(map(is_pattern, words)) else []
    found: dict[str, None] = {}
    for word in words:
        if word in known or not is_pattern(word):
            found[word] = None
            continue
        fitting = [name for name in known if fnmatchcase(name, word)]
        if not fitting and word != EVERY and not absent:
            raise NotFound(f'there is no VM whose name fits "{word}" on {host.place.name}', hint="kvist ls")
        found |= dict.fromkeys(fitting)
    if not tags:
        return list(found)
    marked = [name for name, has in tags_of_all(host).items() if set(tags) <= set(has)]
    kept = [name for name in found if name in marked]
    if not kept and not absent:
        wanted = " and ".join(f'"{tag}"' for tag in tags)
        raise NotFound(
            f"there is no such VM with the tag {wanted} on {host.place.name}", hint=f"kvist set VM --tags {tags[0]}"
        )
    return kept


def tags_of_all(host: Host) -> dict[str, tuple[str, ...]]:
    """Read the tags of every VM of a host, one look for all."""
    from kvist.specs.vm import Vm
    from kvist.xml.document import Document

    return {name: Vm.read(Document.parse(text).root).tags or () for name, text in host.connection.domains.documents()}
