"""Passwords as a guest's /etc/shadow holds them: SHA-512 crypt, made by openssl, never stored in plain."""

from __future__ import annotations

import re
from hmac import compare_digest

from kvist.errors import Invalid

CRYPT = re.compile(r"\$(?:1|2[abxy]|5|6|7|y|gy)\$[./A-Za-z0-9$,=]+")
"""A password that is hashed already (crypt(5))."""


def hashed(password: str, known: str | None = None) -> str:
    """Hash a password; give `known` back when it is a hash of this very password, so that asking twice changes nothing.

    Raises Invalid for what openssl would cut short (a line break, more than 255 bytes) and for an empty one.
    """
    if CRYPT.fullmatch(password):
        return password
    if not password or "\n" in password or "\r" in password or len(password.encode()) > 255:
        raise Invalid("a password has one line of 1 to 255 bytes", path="password")
    if known is not None and known.startswith("$6$") and compare_digest(_crypt(password, known.split("$")[2]), known):
        return known
    return _crypt(password)


def _crypt(password: str, salt: str = "") -> str:
    from kvist.host.run import need, run

    argv = [need("openssl", "openssl"), "passwd", "-6", "-stdin", *(["-salt", salt] if salt else [])]
    return run(argv, input=password.encode() + b"\n", timeout=20).text.strip()
