"""The fence around this tier holds."""

from __future__ import annotations

import importlib
import os
import socket
import subprocess

import pytest


def test_a_unit_test_starts_no_process() -> None:
    with pytest.raises(AssertionError, match="start a process"):
        subprocess.run(["true"])
    with pytest.raises(AssertionError, match="start a process"):
        os.system("true")


def test_a_unit_test_connects_to_nothing() -> None:
    with socket.socket() as one, pytest.raises(AssertionError, match="open a connection"):
        one.connect(("127.0.0.1", 9))


@pytest.mark.parametrize("name", ["libvirt", "libvirt_qemu"])
def test_a_unit_test_has_no_libvirt(name: str) -> None:
    with pytest.raises(ImportError):
        importlib.import_module(name)
