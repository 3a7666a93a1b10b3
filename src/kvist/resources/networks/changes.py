"""One change of a network: its documents and a wish become steps, live where libvirt can, by a restart where not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from kvist.engine.step import Step
from kvist.errors import Conflict
from kvist.resources.networks.sections import Amendment, alike, amendments, place_of
from kvist.resources.networks.wish import dhcp_of, mode_of, network_of, subnets
from kvist.resources.steps.network import AmendNetwork, RemakeNetwork, RemakeUnderGuests
from kvist.specs.network import Network, Traffic
from kvist.xml.diff import label
from kvist.xml.document import Document
from kvist.xml.spec import Spec

OF_CARDS: Final = frozenset((*Traffic.FIELDS, "mtu", "forward", "dev", "interfaces", "subnet"))
"""What a card takes from its network when it is plugged in, and its guest when it asks for an address."""
HIDDEN: Final = ("uuid", "made_by", "forward", "interfaces")


def plan(
    name: str, live: Document | None, stored: Document | None, wish: Network, guests: Sequence[str] = ()
) -> Iterator[Step]:
    """Work out the steps from the documents alone: `live` where the network runs, `stored` where it is kept.

    `guests` are the running VMs that are plugged in.
    """
    new_live, new_stored = written(live, wish), written(stored, wish)
    base, new = (stored, new_stored) if stored is not None else (live, new_live)
    assert base is not None and new is not None, "what neither runs nor is stored does not exist"
    shown = differences(_read(base), _read(new))
    if live is not None and new_live is not None:
        shown = shown or differences(_read(live), _read(new_live))
    if _alike(live, new_live) and _alike(stored, new_stored):
        yield from _amended(name, live, new_live, stored, new_stored, shown)
        return
    if stored is None or new_stored is None:
        raise Conflict(
            f'cannot change {", ".join(field for field, _, _ in shown)} of network "{name}" while it runs, '
            "and nothing of it is stored",
            hint=f"virsh net-dumpxml {name} | virsh net-define /dev/stdin",
        )
    restart = live is not None and new_live is not None and live != new_live
    values: dict[str, Any] = {
        "name": name,
        "before": stored.text(),
        "after": new_stored.text(),
        "restart": restart,
        "replug": any(field.partition("[")[0] in OF_CARDS for field, _, _ in shown),
        "shown": tuple(shown),
    }
    yield RemakeUnderGuests(**values, blinked=tuple(guests)) if restart and guests else RemakeNetwork(**values)


def written(document: Document | None, wish: Network) -> Document | None:
    """Give a copy of the document that says what is wished."""
    if document is None:
        return None
    copy = document.copy()
    wish.write(copy.root)
    return copy


def differences(before: Network, after: Network) -> list[tuple[str, Any, Any]]:
    """Tell what differs in words of people: fields, what each was and what it is."""
    old, new = told(before), told(after)
    return [(key, old.get(key), new.get(key)) for key in dict.fromkeys((*old, *new)) if old.get(key) != new.get(key)]


def told(net: Network) -> Mapping[str, Any]:
    """Give what a network's document says as fields that a person reads."""
    found: dict[str, Any] = {
        "mode": mode_of(net),
        "subnet": _listed(sorted(str(one) for one in subnets(net))),
        "dhcp": _listed(dhcp_of(net)),
    }
    for field, value in net.items():
        if field in net.FIELDS and field not in HIDDEN and not net.FIELDS[field].aside:
            found[field] = net.FIELDS[field].codec.show(value)
        elif field in net.MANY and field != "ips":
            for number, item in enumerate(value):
                found[f"{field}[{label(net.MANY[field], item) or number}]"] = _said(item)
    for ip in net.ips:
        found[f"gateway[{network_of(ip)}]"] = str(ip.address)
        for host in ip.hosts:
            found[f"reservation[{host.mac or host.id or host.name}]"] = " ".join(filter(None, (host.ip, host.name)))
    return {key: value for key, value in found.items() if value not in ("", None)}


def _said(item: Spec) -> str:
    return ",".join(
        f"{key}={item.DECLARED[key].codec.show(value)}" for key, value in item.items() if key not in item.MANY
    )


def _listed(values: Iterable[object]) -> str:
    return ",".join(map(str, values))


def _read(document: Document) -> Network:
    return Network.read(document.root)


def _alike(one: Document | None, other: Document | None) -> bool:
    return one is None or other is None or alike(one, other)


def _amended(
    name: str,
    live: Document | None,
    new_live: Document | None,
    stored: Document | None,
    new_stored: Document | None,
    shown: Sequence[tuple[str, Any, Any]],
) -> Iterator[Step]:
    now = amendments(live, new_live) if live is not None and new_live is not None else []
    later = amendments(stored, new_stored) if stored is not None and new_stored is not None else []
    rest = tuple(shown)
    for one in sorted(dict.fromkeys((*now, *later)), key=lambda each: not each.before):
        yield AmendNetwork(
            name=name,
            **one._asdict(),
            live=one in now,
            stored=one in later,
            shown=rest,
            places=(_place(live, one), _place(stored, one)),
        )
        rest = ()


def _place(document: Document | None, one: Amendment) -> int:
    return -1 if document is None or not one.before else place_of(document, one.section, one.parent, one.before)
