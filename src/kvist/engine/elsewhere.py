"""Methods that live in a module of their own, which is loaded when they are asked for."""

from __future__ import annotations

from importlib import import_module
from typing import Any


class Elsewhere:
    """Stands in a class for a function or operation of another module.

    The type checker is given the thing itself, so that calls are checked against its signature:

        if TYPE_CHECKING:
            show = _show
        else:
            show = Elsewhere("kvist.resources.vms.show:show")
    """

    def __init__(self, target: str) -> None:
        self._target = target

    def __get__(self, obj: object, owner: type) -> Any:
        module, _, name = self._target.partition(":")
        found = getattr(import_module(module), name)
        return found if obj is None else found.__get__(obj, owner)
