"""libvirt's error codes and the words of kvist's own tree for them.

Source of the codes: https://libvirt.org/html/libvirt-virterror.html#virErrorNumber. A test holds this table against
the codes of the installed libvirt-python: each is mapped here or listed as deliberately generic.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import libvirt

from kvist.errors import (
    Conflict,
    Denied,
    Exhausted,
    Failed,
    GuestFailed,
    Invalid,
    KvistError,
    LibvirtFailed,
    NotFound,
    TimedOut,
    Unreachable,
    Unsupported,
)

MAPPED: dict[str, type[KvistError]] = {
    "NO_DOMAIN": NotFound,
    "NO_NETWORK": NotFound,
    "NO_NETWORK_PORT": NotFound,
    "NO_STORAGE_POOL": NotFound,
    "NO_STORAGE_VOL": NotFound,
    "NO_NODE_DEVICE": NotFound,
    "NO_INTERFACE": NotFound,
    "NO_NWFILTER": NotFound,
    "NO_NWFILTER_BINDING": NotFound,
    "NO_SECRET": NotFound,
    "NO_SERVER": NotFound,
    "NO_CLIENT": NotFound,
    "NO_DOMAIN_SNAPSHOT": NotFound,
    "NO_DOMAIN_CHECKPOINT": NotFound,
    "NO_DOMAIN_BACKUP": NotFound,
    "NO_DOMAIN_METADATA": NotFound,
    "DEVICE_MISSING": NotFound,
    "DOM_EXIST": Conflict,
    "NETWORK_EXIST": Conflict,
    "NETWORK_PORT_EXIST": Conflict,
    "STORAGE_VOL_EXIST": Conflict,
    "STORAGE_POOL_BUILT": Conflict,
    "OPERATION_INVALID": Conflict,
    "RESOURCE_BUSY": Conflict,
    "BLOCK_COPY_ACTIVE": Conflict,
    "MULTIPLE_DOMAINS": Conflict,
    "MULTIPLE_INTERFACES": Conflict,
    "MIGRATE_UNSAFE": Conflict,
    "SNAPSHOT_REVERT_RISKY": Conflict,
    "CHECKPOINT_INCONSISTENT": Conflict,
    "XML_ERROR": Invalid,
    "XML_DETAIL": Invalid,
    "XML_INVALID_SCHEMA": Invalid,
    "INVALID_ARG": Invalid,
    "INVALID_MAC": Invalid,
    "CONF_SYNTAX": Invalid,
    "PARSE_FAILED": Invalid,
    "OS_TYPE": Invalid,
    "OVERFLOW": Invalid,
    "UNKNOWN_HOST": Unreachable,
    "NO_CONNECT": Unreachable,
    "OPEN_FAILED": Unreachable,
    "RPC": Unreachable,
    "SSH": Unreachable,
    "LIBSSH": Unreachable,
    "GNUTLS_ERROR": Unreachable,
    "INVALID_CONN": Unreachable,
    "NO_HOSTNAME": Unreachable,
    "AUTH_FAILED": Denied,
    "AUTH_CANCELLED": Denied,
    "AUTH_UNAVAILABLE": Denied,
    "ACCESS_DENIED": Denied,
    "OPERATION_DENIED": Denied,
    "NO_ROOT": Denied,
    "NO_SUPPORT": Unsupported,
    "CONFIG_UNSUPPORTED": Unsupported,
    "OPERATION_UNSUPPORTED": Unsupported,
    "ARGUMENT_UNSUPPORTED": Unsupported,
    "CPU_INCOMPATIBLE": Unsupported,
    "NO_SECURITY_MODEL": Unsupported,
    "AGENT_UNRESPONSIVE": GuestFailed,
    "AGENT_UNSYNCED": GuestFailed,
    "OPERATION_TIMEOUT": TimedOut,
    "NO_MEMORY": Exhausted,
    "DRIVER_FULL": Exhausted,
    "OPERATION_ABORTED": Failed,
    "HOOK_SCRIPT_FAILED": Failed,
    "MIGRATE_PERSIST_FAILED": Failed,
    "STORAGE_PROBE_FAILED": Failed,
}

GENERIC: frozenset[str] = frozenset(
    {
        # Too broad to mean one thing: the message is all there is.
        *("INTERNAL_ERROR", "OPERATION_FAILED", "SYSTEM_ERROR", "CALL_FAILED"),
        *("READ_FAILED", "WRITE_FAILED", "GET_FAILED", "POST_FAILED", "HTTP_ERROR", "DBUS_SERVICE", "BUILD_FIREWALL"),
        # A handle that libvirt does not know any more: a programming error, never the user's.
        *(
            "INVALID_DOMAIN",
            "INVALID_DOMAIN_SNAPSHOT",
            "INVALID_DOMAIN_CHECKPOINT",
            "INVALID_INTERFACE",
            "INVALID_NETWORK",
        ),
        *(
            "INVALID_NETWORK_PORT",
            "INVALID_NODE_DEVICE",
            "INVALID_NWFILTER",
            "INVALID_NWFILTER_BINDING",
            "INVALID_SECRET",
        ),
        *("INVALID_STORAGE_POOL", "INVALID_STORAGE_VOL", "INVALID_STREAM"),
        # Drivers that kvist does not speak to, and codes that libvirt keeps for old clients only.
        *("NO_KERNEL", "NO_XEN", "NO_XENSTORE", "XEN_CALL", "SEXPR_SERIAL"),
        *("NO_DEVICE", "NO_NAME", "NO_OS", "NO_SOURCE", "NO_TARGET"),
        "MIGRATE_FINISH_OK",
    }
)

LEVELS: frozenset[str] = frozenset({"NONE", "WARNING", "ERROR", "OK"})
"""Constants that share the VIR_ERR_ prefix and are no error codes."""

_CLASS: dict[int, type[KvistError]] = {
    number: kind
    for name, kind in MAPPED.items()
    if isinstance(number := getattr(libvirt, f"VIR_ERR_{name}", None), int)
}

_HINTS: dict[type[KvistError], str] = {
    Denied: "kvist host check",
    Unreachable: "kvist host check",
}

_CAUSES: tuple[tuple[str, type[KvistError], str], ...] = (
    # libvirt reports these under broad codes; its own words are the only way to tell them apart.
    ("client socket is closed", Unreachable, "see that its libvirtd runs, and run the line again"),
    ("End of file while reading data", Unreachable, "see that its libvirtd runs, and run the line again"),
    ("No space left on device", Exhausted, "kvist image prune"),
    ("Permission denied", Denied, "run it as root or as a member of the group libvirt"),
    ("authentication unavailable", Denied, "run it as root or as a member of the group libvirt"),
    ("QEMU guest agent is not connected", GuestFailed, "install and start qemu-guest-agent in the guest"),
    ("Guest agent is not responding", GuestFailed, "the guest is still starting, or its qemu-guest-agent has stopped"),
    ("Cannot allocate memory", Exhausted, ""),
    ("in use by another", Conflict, ""),
    ("referenced filter 'kvist-fw-", Conflict, "kvist fw restore"),
    ("Failed to apply firewall rules", Conflict, "see which of libvirt's rules are gone: kvist net rules NETWORK"),
    ('Failed to get "write" lock', Conflict, "another VM or program has this disk open"),
)


def translated(error: libvirt.libvirtError, doing: str) -> KvistError:
    """Turn libvirt's error into one of ours; `doing` is what was tried, as in `cannot DOING: cause`."""
    message = (error.get_error_message() or str(error)).strip()
    kind: type[KvistError] = _CLASS.get(error.get_error_code(), LibvirtFailed)
    hint = _HINTS.get(kind, "")
    if kind not in (NotFound,):
        for words, closer, fix in _CAUSES:
            if words in message:
                kind, hint = closer, fix or hint
                break
    return kind(f"cannot {doing}: {message}", hint=hint)


@contextmanager
def calling(doing: str) -> Iterator[None]:
    """Say what is being tried, so that a libvirt error inside becomes one of ours with that sentence in front."""
    try:
        yield
    except libvirt.libvirtError as error:
        raise translated(error, doing) from error
