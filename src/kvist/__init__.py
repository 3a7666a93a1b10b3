"""kvist: every operation on a KVM virtual machine is one line, or one typed call.

import kvist

host = kvist.connect()
host.vm("web").start()
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kvist.resources.hosts.host import Host, connect

__all__ = ["Host", "connect"]


def __getattr__(name: str) -> Any:
    # Loaded when asked for: `kvist --help` must not pay for libvirt (docs/decisions/0003-lazy-front-door.md).
    if name in __all__:
        from kvist.resources.hosts import host

        return getattr(host, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
