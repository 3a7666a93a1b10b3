"""The filter of a card: whether there is such a one, and whether the card gives its variables values."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from kvist.errors import Problem, Unsupported
from kvist.resources.filters.library import Library
from kvist.specs.nic import FilterParameter, Nic
from kvist.xml.options import nearest

if TYPE_CHECKING:
    from kvist.resources.hosts.host import Host


def unknown(host: Host, nics: Iterable[Nic], where: str = "") -> list[Problem]:
    """Find filters of cards that the host does not have, and tell of variables that stay without a value."""
    named = [(where or f".nics[{number}].filter", nic) for number, nic in enumerate(nics) if nic.filter is not None]
    if not named:
        return []
    try:
        library = Library(host.connection)
    except Unsupported:
        # A host without network filters says so itself, and better, when the card is plugged in.
        return []
    wrong: list[Problem] = []
    for path, nic in named:
        name = str(nic.filter)
        if name not in library.documents:
            wrong.append(
                Problem(path, f'there is no filter "{name}"{nearest(name, library.documents)}', "kvist filter ls")
            )
            continue
        given = {str(each.name) for each in nic.filter_parameters or () if not each.is_removed}
        for variable, needed in library.needs(name, given).items():
            host.site.report(
                f'warning: filter "{needed}" names ${variable}, and the card gives it no value: '
                f"--filter-parameters {variable}=VALUE",
                1.0,
            )
    return wrong


def exact(have: Nic, wish: Nic) -> Nic:
    """Give a wish by which a variable has the values that are told, and no others from before.

    Without a filter there are no variables.
    """
    if "filter" in wish and wish.filter is None:
        return wish.replace(filter_parameters=None)
    told = wish.filter_parameters or ()
    surplus: list[FilterParameter] = []
    for name in dict.fromkeys(each.name for each in told):
        had = sum(each.name == name for each in have.filter_parameters or ())
        surplus += [FilterParameter.removed(name=name)] * (had - sum(each.name == name for each in told))
    return wish.replace(filter_parameters=(*told, *surplus)) if surplus else wish
