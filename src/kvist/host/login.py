"""Logging in to another machine by ssh, as its libvirt URI says (https://libvirt.org/uri.html, ssh transport)."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from kvist.errors import Invalid

_DESTINATION = re.compile(r"([^@]+@)?(?:\[(.+)\]|([^:]+))(?::(\d+))?")
LASTS = 60
"""For how many seconds a login is kept for the next program or line."""
LONGEST = 60
"""How long the name of a directory for sockets may be. Source: unix(7), 108 bytes; ssh adds 57 of its own."""


def words(uri: str) -> list[str]:
    """Give the words that log in to the host of a libvirt URI: user, port, `keyfile` and `no_verify` are as libvirt's.

    Example: `words("qemu+ssh://root@hv2:2222/system")` gives `["-p", "2222", "root@hv2"]`. Raises Invalid where the URI
    names no host.
    """
    parsed = urlsplit(uri)
    parts = _DESTINATION.fullmatch(parsed.netloc)
    if parts is None:
        raise Invalid(f'"{uri}" names no host to log in to', hint="qemu+ssh://root@hv2/system")
    user, bracketed, host, port = parts.groups()
    asked = {name: values[-1] for name, values in parse_qs(parsed.query).items()}
    return [
        *(["-i", asked["keyfile"]] if "keyfile" in asked else []),
        *(["-o", "StrictHostKeyChecking=no"] if asked.get("no_verify", "0") != "0" else []),
        *(["-p", port] if port else []),
        # ssh wants its port apart and an IPv6 address bare.
        f"{user or ''}{bracketed or host}",
    ]


def shared() -> list[str]:
    """Give the options of ssh by which all programs of a line, and the lines of the next minute, share one login.

    Nothing where there is no directory of this user's alone for its socket. Source: ssh_config(5), ControlMaster.
    """
    base = "/run" if not os.geteuid() else os.environ.get("XDG_RUNTIME_DIR", "")
    place = Path(base, "kvist", "ssh")
    if not base or len(str(place)) > LONGEST:
        return []
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        # Without it each program logs in by itself: slower, and all the same right.
        return []
    pairs = (("ControlMaster", "auto"), ("ControlPath", f"{place}/%C"), ("ControlPersist", str(LASTS)))
    return [word for name, value in pairs for word in ("-o", f"{name}={value}")]
