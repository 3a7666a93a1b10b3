"""Specs: partial, immutable descriptions of one libvirt object each, and their views of its XML."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Self, dataclass_transform

from kvist.errors import Corrupt, Invalid, Problem
from kvist.xml.field import aside, attr, ceiling, flag, items, level, many, one, pair, pci, size, text
from kvist.xml.kinds import UNSET, Field, One
from kvist.xml.lists import Many
from kvist.xml.path import Tree, drop

if TYPE_CHECKING:
    from lxml.etree import _Element as Element


@dataclass_transform(
    kw_only_default=True,
    frozen_default=True,
    field_specifiers=(aside, attr, ceiling, flag, items, level, many, one, pair, pci, size, text),
)
class Spec:
    """What somebody wants of an object, or what a document says about it.

    Holds only the fields that were set: an absent one is nobody's business, None asks for its removal, a value is
    wanted. Reading an absent field gives None (an empty tuple for lists); `"name" in spec` tells the two apart.
    """

    __slots__ = ("_values", "is_removed")
    _values: dict[str, Any]
    is_removed: bool
    """Whether this item is to be taken off its list."""

    FIELDS: ClassVar[dict[str, Field]] = {}
    """Plain settings by name, in the order of their declaration."""
    MANY: ClassVar[dict[str, Many]] = {}
    """Lists of specs by name."""
    ONE: ClassVar[dict[str, One]] = {}
    """Single nested specs by name."""
    DECLARED: ClassVar[dict[str, Field]] = {}
    """All of the three, in the order of their declaration."""

    TAG: ClassVar[str] = ""
    """The name of its element."""
    PAGE: ClassVar[str] = ""
    """Where libvirt documents it; a field may name a page of its own."""
    ORDER: ClassVar[tuple[str, ...]] = ()
    """The names of elements in it, in the order in which new ones are put among their siblings."""
    UNION: ClassVar[str] = ""
    """The field whose value says which variant this is, so which of the fields with a `when` it has."""
    PARTS: ClassVar[tuple[str, ...]] = ()
    """The child elements that belong to a variant and go with it."""
    KIN: ClassVar[tuple[str, ...]] = ()
    """The variants that change into each other on a running guest."""
    FIRST: ClassVar[tuple[str, ...]] = ()
    """The fields that the bare words of a line go to: `lab` in `--nic lab,link=down`."""
    VALUE: ClassVar[str] = ""
    """The field that a bare word sets, in a list that is keyed by name: `filter_parameters.IP=10.0.0.5`."""

    def __init_subclass__(cls) -> None:
        declared: dict[str, Field] = {}
        for base in cls.__bases__:
            declared |= getattr(base, "DECLARED", {})
        declared |= {name: field for name, field in vars(cls).items() if isinstance(field, Field)}
        for field in declared.values():
            field.page = field.page or cls.PAGE
        cls.DECLARED = declared
        cls.MANY = {name: field for name, field in declared.items() if isinstance(field, Many)}
        cls.ONE = {name: field for name, field in declared.items() if isinstance(field, One)}
        cls.FIELDS = {name: field for name, field in declared.items() if not isinstance(field, Many | One)}

    def __init__(self, **values: Any) -> None:
        unknown = values.keys() - self.DECLARED.keys()
        if unknown:
            raise TypeError(f"{type(self).__name__} has no field {', '.join(sorted(unknown))}")
        object.__setattr__(self, "_values", values)
        object.__setattr__(self, "is_removed", False)

    @classmethod
    def removed(cls, **key: Any) -> Self:
        """Name a list item that is to be removed."""
        spec = cls(**key)
        object.__setattr__(spec, "is_removed", True)
        return spec

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable; use .replace({name}=...)")

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Spec)
            and type(other) is type(self)
            and self._values == other._values
            and self.is_removed == other.is_removed
        )

    def __hash__(self) -> int:
        return hash((type(self), frozenset(self._values.items()), self.is_removed))

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (type(self), self._values, self.is_removed)

    def __repr__(self) -> str:
        inside = ", ".join(f"{name}={value!r}" for name, value in self._values.items())
        return f"{type(self).__name__}{'.removed' if self.is_removed else ''}({inside})"

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def get(self, name: str) -> Any:
        """Give a field's value by name; None when it is absent, an empty tuple for an absent list."""
        return self._values.get(name, () if name in self.MANY else None)

    def items(self) -> Iterator[tuple[str, Any]]:
        """Go through the fields that are set."""
        return iter(self._values.items())

    def replace(self, **changes: Any) -> Self:
        """Give a copy with some fields set otherwise."""
        spec = type(self)(**{**self._values, **changes})
        object.__setattr__(spec, "is_removed", self.is_removed)
        return spec

    @classmethod
    def read(cls, node: Element) -> Self:
        """Read from the object's element. Raises Corrupt when a value there makes no sense."""
        tree = Tree(node)
        values: dict[str, Any] = {}
        variant: Any = cls.DECLARED[cls.UNION].read(tree) if cls.UNION else UNSET
        for name, field in cls.DECLARED.items():
            if field.when and variant not in field.when:
                continue
            try:
                value = field.read(tree)
            except (ValueError, KeyError) as wrong:
                raise Corrupt(f'cannot read {name} of <{node.tag}>, at "{field.path}": {wrong}', path=name) from wrong
            if value is not UNSET:
                values[name] = value
        return cls(**values)

    def write(self, node: Element) -> None:
        """Write what is set into the object's element; everything else in it stays byte for byte.

        Raises Invalid when fields of two variants are set at once.
        """
        variant = self._turn(node) if self.UNION else UNSET
        for name, field in self.DECLARED.items():
            if name not in self._values or name == self.UNION or (field.when and variant not in field.when):
                continue
            try:
                field.write(node, self._values[name], self.ORDER)
            except ValueError as wrong:
                raise Invalid(str(wrong), path=f".{name}") from wrong

    def variant(self, now: str | None = None) -> str | None:
        """Give the variant that is asked for, which is `now` where the fields that are set allow it.

        Raises Invalid when no variant has all of the fields.
        """
        asked = self._values.get(self.UNION)
        bound = {name: self.DECLARED[name].when for name, value in self._values.items() if value is not None}
        bound = {name: when for name, when in bound.items() if when}
        allowed = [asked] if asked else list(dict.fromkeys(each for when in bound.values() for each in when))
        allowed = [each for each in allowed if all(each in when for when in bound.values())]
        if not bound and not asked:
            return now
        if not allowed:
            names = ", ".join(([self.UNION] if asked else []) + list(bound))
            raise Invalid([Problem("", f"{names} do not go together: they belong to different types")])
        return now if now in allowed else allowed[0]

    def _turn(self, node: Element) -> str | None:
        """Make the element the variant that is asked for: the parts of another go."""
        union = self.DECLARED[self.UNION]
        tree = Tree(node)
        now = union.read(tree) or None
        variant = self.variant(now)
        if variant != now:
            if now is not None:
                for tag in self.PARTS:
                    for part in node.findall(tag):
                        drop(part)
            for field in self.DECLARED.values():
                if now is not None and now in field.when and variant not in field.when:
                    field.write(node, None)
            union.write(node, variant, self.ORDER)
        elif self.UNION in self._values and self._values[self.UNION] is None:
            union.write(node, None)
        return variant


def _again(kind: type[Spec], values: dict[str, Any], is_removed: bool) -> Spec:
    return kind.removed(**values) if is_removed else kind(**values)
