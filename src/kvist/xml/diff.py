"""What stands between a document and a wish, field by field."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from kvist.xml.kinds import Applies, Aside, Field, Flag
from kvist.xml.lists import Items, Many
from kvist.xml.spec import Spec


class Change(NamedTuple):
    """One field that is to be another: `nics[52:54:00:00:00:01].network`, from `default` to `lab`, live.

    For a list item that comes or goes, `before` or `after` is None and the other is the whole spec.
    """

    path: str
    before: Any
    after: Any
    applies: Applies
    field: Field


def diff(current: Spec, desired: Spec, at: str = "") -> Iterator[Change]:
    """Give every change that turns `current` into what `desired` asks for, asides left out."""
    turn = Applies.LIVE
    if desired.UNION and (turned := _turn(current, desired)):
        before, after = turned
        union = desired.DECLARED[desired.UNION]
        kin = {before, after} <= set(desired.KIN) or _eased(union, current, desired)
        turn = Applies.LIVE if kin else union.applies
        yield Change(f"{at}{desired.UNION}", before, after, turn, union)
    for name, wanted in desired.items():
        field = desired.DECLARED[name]
        if name == desired.UNION or isinstance(field, Aside):
            continue
        if name in desired.MANY:
            yield from _listed(current, desired, name, at)
        elif name in desired.ONE and wanted is not None:
            yield from diff(current.get(name) or type(wanted)(), wanted, f"{at}{name}.")
        elif (had := current.get(name)) != wanted and not (had is None and wanted in (False, ()) and _plain(field)):
            yield Change(
                f"{at}{name}",
                had,
                wanted,
                max(_applies(field, current, desired), turn if field.when else Applies.LIVE),
                field,
            )


def _turn(current: Spec, desired: Spec) -> tuple[Any, Any] | None:
    before = current.get(desired.UNION)
    after = desired.variant(before)
    return (before, after) if after != before else None


def _plain(field: Field) -> bool:
    return isinstance(field, Flag | Items)


def _listed(current: Spec, desired: Spec, name: str, at: str) -> Iterator[Change]:
    field = desired.MANY[name]
    present: dict[tuple[Any, ...], list[Spec]] = {}
    for item in current.get(name):
        present.setdefault(field.key_of(item), []).append(item)
    if desired.get(name) is None:
        for item in current.get(name):
            yield Change(f"{at}{name}[{label(field, item)}]", item, None, _comes(field, item), field)
        return
    for position, item in enumerate(desired.get(name)):
        same = present.get(field.key_of(item))
        where = f"{at}{name}[{label(field, item) or position}]"
        if same and item.is_removed:
            gone = same.pop(0)
            yield Change(where, gone, None, _comes(field, gone), field)
        elif same:
            yield from diff(same.pop(0), item, f"{where}.")
        elif not item.is_removed:
            yield Change(where, None, item, _comes(field, item), field)


def label(field: Many, item: Spec) -> str:
    """Name a list item by its key: `52:54:00:00:00:01`, `pci:0`."""
    return ":".join(str(part) for part in field.key_of(item) if part is not None)


def _comes(field: Many, item: Spec) -> Applies:
    """Say when an item that comes or goes does so."""
    if field.live_for and item.get(field.live_for[0]) in field.live_for[1]:
        return Applies.LIVE
    if field.cold_for and item.get(field.cold_for[0]) in field.cold_for[1]:
        return max(field.applies, Applies.RESTART)
    return field.applies


def _applies(field: Field, current: Spec, desired: Spec) -> Applies:
    had, wanted = current.get(field.name), desired.get(field.name)
    if field.live_for and _eased(field, current, desired):
        return Applies.LIVE
    if field.standing and (had is None or wanted is None):
        return max(field.applies, Applies.RESTART)
    if field.up_to:
        top = current.get(field.up_to)
        if wanted is None or (top is not None and wanted > top):
            return max(field.applies, Applies.RESTART)
        if field.growing and had is not None and wanted < had:
            return max(field.applies, Applies.RESTART)
    return field.applies


def _eased(field: Field, current: Spec, desired: Spec) -> bool:
    if not field.live_for:
        return False
    name, values = field.live_for
    return (desired.get(name) if name in desired else current.get(name)) in values
