"""Passwords hashed by the real openssl."""

from __future__ import annotations

from kvist.guest.password import CRYPT, hashed


def test_a_password_is_hashed_with_a_new_salt_each_time_unless_the_hash_is_known() -> None:
    first, second = hashed("grüße 1"), hashed("grüße 1")
    assert CRYPT.fullmatch(first)
    assert first.startswith("$6$")
    assert first != second
    assert hashed("grüße 1", first) == first


def test_another_password_gets_a_hash_of_its_own() -> None:
    first = hashed("one")
    assert hashed("two", first) != first
