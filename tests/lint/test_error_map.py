"""Every error code of the installed libvirt has its word in kvist's tree, or is listed as one that needs none."""

from __future__ import annotations

import warnings
from collections import Counter

import libvirt

from kvist.errors import Conflict, Unreachable
from kvist.virt.errors import GENERIC, LEVELS, MAPPED, translated

PREFIX = "VIR_ERR_"
CODES = {
    name.removeprefix(PREFIX): number
    for name, number in vars(libvirt).items()
    if name.startswith(PREFIX) and isinstance(number, int)
}


def test_libvirt_has_codes_at_all() -> None:
    assert len(CODES) > 100
    assert CODES["NO_DOMAIN"] == 42


def test_every_code_is_mapped_or_deliberately_generic() -> None:
    unknown = set(CODES) - set(MAPPED) - GENERIC - LEVELS
    assert unknown == set(), f"libvirt {libvirt.getVersion()}: put them into MAPPED or GENERIC of kvist/virt/errors.py"


def test_no_code_is_in_two_lists() -> None:
    twice = [name for name, count in Counter([*MAPPED, *GENERIC, *LEVELS]).items() if count > 1]
    assert twice == []


def test_a_code_that_this_libvirt_does_not_have_is_told_of() -> None:
    """An older or newer libvirt may lack a few; that most are missing would mean that the table is wrong."""
    missing = {*MAPPED, *GENERIC, *LEVELS} - set(CODES)
    if missing:
        warnings.warn(f"not in libvirt {libvirt.getVersion()}: {', '.join(sorted(missing))}", stacklevel=1)
    assert len(missing) <= 10, sorted(missing)


def test_a_host_whose_libvirtd_died_is_unreachable_and_says_what_to_look_at() -> None:
    for words in ("internal error: client socket is closed", "End of file while reading data: Input/output error"):
        error = translated(libvirt.libvirtError(words), 'find VM "web"')
        assert isinstance(error, Unreachable)
        assert "libvirtd" in error.hint


def test_rules_of_libvirts_that_somebody_flushed_are_told_with_what_shows_them() -> None:
    words = "internal error: Failed to apply firewall rules /usr/sbin/iptables -w: No chain/target/match by that name."
    error = translated(libvirt.libvirtError(words), 'change ip-dhcp-host of network "lab"')
    assert isinstance(error, Conflict)
    assert "kvist net rules" in error.hint
