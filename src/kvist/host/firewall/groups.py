"""Groups of VMs that rules of the firewall may name: one small file each on the host."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from kvist.host.firewall.restoring import DIRECTORY

if TYPE_CHECKING:
    from kvist.host.hand import Hand

PLACE = f"{DIRECTORY}/groups"


class Group(NamedTuple):
    """A group: VMs that say that they are in it, those that have its tag, and the policy of all of them."""

    name: str
    tag: str = ""
    policy: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        return "".join(f"{line}\n" for line in ((f"tag {self.tag}",) if self.tag else ()) + self.policy)


def groups(hand: Hand) -> dict[str, Group]:
    """Read the groups of a host, by name."""
    return {name: _read(name, hand.read(f"{PLACE}/{name}") or "") for name in hand.names(PLACE) if name[0] != "."}


def write(hand: Hand, group: Group) -> None:
    """Write a group down."""
    hand.write(f"{PLACE}/{group.name}", group.text)


def remove(hand: Hand, name: str) -> None:
    """Forget a group; the directory goes with the last."""
    hand.remove(f"{PLACE}/{name}")
    hand.run(["rmdir", PLACE, DIRECTORY], check=False)


def _read(name: str, text: str) -> Group:
    lines = [line for line in text.splitlines() if line.strip()]
    tag = next((line.partition(" ")[2].strip() for line in lines if line.startswith("tag ")), "")
    return Group(name, tag, tuple(line for line in lines if not line.startswith("tag ")))
