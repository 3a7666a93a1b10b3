"""What a running VM will be otherwise after its next boot."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from kvist.engine.ask import Ask
from kvist.engine.operation import operation
from kvist.engine.step import Step
from kvist.host.firewall.restoring import OWN_TAP
from kvist.resources.changing.alteration import plan
from kvist.resources.changing.fieldpath import STARS, is_item, merged, normal, under, value_at, wish_at
from kvist.resources.changing.rewriting import one_field
from kvist.specs.vm import Vm
from kvist.xml.diff import diff
from kvist.xml.document import Document
from kvist.xml.kinds import Field
from kvist.xml.spec import Spec

if TYPE_CHECKING:
    from kvist.resources.vms.vm import Machine

FILLED_IN = frozenset(
    {
        *("alias", "tap", "path", "mode", "state", "cpu_features", "cpu_model", "port", "tls_port", "websocket"),
        *("loader", "loader_type", "loader_readonly", "loader_secure", "nvram", "nvram_template"),
        *("secure_boot", "enrolled_keys"),
    }
)
"""What libvirt adds to the document of a VM when it starts, where the other document says nothing."""

SETTLED = frozenset({"cpu_check", "cpu_fallback", "cpu_match"})
"""What libvirt turns into its answer when a VM starts: `check='none'` into `full`, say."""

REVERT = Ask("take this back; again for another", metavar="FIELD")
ALL = Ask("take everything back")
BY_HOST = ("host-model", "host-passthrough", "maximum")


class Pending(NamedTuple):
    """A setting that is one thing now and another from the next boot on."""

    field: str
    now: str | None
    next_boot: str | None


def pending(
    self: Machine,
    *,
    revert: Annotated[tuple[str, ...], REVERT] = (),
    all: Annotated[bool, ALL] = False,
) -> list[Pending]:
    """List what a running VM will be otherwise after its next boot; take some or all of it back.

    Example: kvist pending web --revert memory_max
    """
    assert not revert and not all, "what is taken back is an operation, `revert`"
    if not self.state.active or not self.host.connection.domains.persistent(self.name):
        return []
    domains = self.host.connection.domains
    now, later = (domains.xml(self.name, next_boot=next_boot, secure=True) for next_boot in (False, True))
    return list(differences(Vm.read(Document.parse(now).root), Vm.read(Document.parse(later).root)))


@operation
def revert(
    self: Machine,
    *,
    revert: Annotated[tuple[str, ...], REVERT] = (),
    all: Annotated[bool, ALL] = False,
) -> Iterator[Step]:
    """Store again for the next boot what the running VM has.

    Example: kvist pending web --all
    """
    domains = self.host.connection.domains
    waiting = pending(self)
    asked = [normal(word) for word in revert]
    chosen = [each.field for each in waiting if all or any(under(each.field, word) for word in asked)]
    if not chosen:
        return
    live = Document.parse(domains.xml(self.name, secure=True))
    stored = Document.parse(domains.xml(self.name, next_boot=True, secure=True))
    now, later = Vm.read(live.root), Vm.read(stored.root)
    wish = Vm()
    for path in chosen:
        wish = merged(wish, _as_now(now, later, path))
    yield from plan(self.name, None, stored, wish)


def _as_now(now: Vm, later: Vm, path: str) -> Vm:
    """Give the wish that one setting be what it is now."""
    name = path.partition(".")[0]
    if name in Vm.ONE and now.get(name) is None:
        # What is no device yet goes whole: libvirt takes no half of one.
        return one_field(name, None)
    if not is_item(path):
        return wish_at(later, path, value_at(now, path))
    running, stored = value_at(now, path), value_at(later, path)
    if running is None:
        return wish_at(later, path, type(stored).removed())
    # What libvirt has filled in at the start it will fill in again.
    kept = {name: value for name, value in running.items() if name not in FILLED_IN or name == "path"}
    return one_field(path.partition("[")[0], (type(running)(**kept),))


def differences(now: Vm, later: Vm) -> Iterator[Pending]:
    """Go through the settings in which two documents of one VM differ, less what libvirt does to one at a start."""
    model_is_hosts = later.cpu_mode in BY_HOST
    told: set[str] = set()
    # What a document does not say is nobody's business to a diff, so what goes is seen from the other side only.
    for change in diff(now, later):
        field = _field(change.path)
        left_to_libvirt = change.after == -1 or (model_is_hosts and field in ("cpu_mode", "cpu_model"))
        # The name that an interface has for the firewall's sake; one of libvirt's choosing serves as well until then.
        left_to_libvirt |= field == "tap" and str(change.after).startswith(OWN_TAP)
        # An empty drive has no format until something is put in.
        left_to_libvirt |= field == "format" and change.before is None
        # Until the guest has its driver, the balloon is empty, at the next boot as at this one.
        left_to_libvirt |= change.path == "memory" and change.before == now.memory_max == later.memory_max
        # At its start, "efi" becomes the firmware that libvirt chose, by its file.
        left_to_libvirt |= change.path == "firmware" and change.before is None and now.loader is not None
        if field not in SETTLED and not left_to_libvirt:
            told.add(change.path)
            yield Pending(change.path, _said(change.before, change.field), _said(change.after, change.field))
    for change in diff(later, now):
        field = _field(change.path)
        if change.before is None and change.path not in told and field not in FILLED_IN | SETTLED:
            yield Pending(change.path, _said(change.after, change.field), None)


def _field(path: str) -> str:
    """Give the name of the field that a path ends with: `port` of `graphics[vnc].port`, `nics` of `nics[52:54:...]`."""
    while path.endswith("]"):
        path = path[: path.rindex("[")]
    return path.rpartition("]")[2].lstrip(".").rpartition(".")[2]


def _said(value: Any, field: Field) -> str | None:
    if isinstance(value, Spec):
        shown = {name: each for name, each in value.items() if not isinstance(each, tuple | Spec)}
        return ",".join(f"{name}={_said(each, value.DECLARED[name])}" for name, each in shown.items()) or "yes"
    if value is None:
        return None
    return STARS if field.secret else str(value)
