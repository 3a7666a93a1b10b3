"""One real Debian guest: what cloud-init is told happens in it, and it is reached by its name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.daemon.conftest import Kvist, Traces


@pytest.mark.timeout(900)
def test_a_debian_guest_is_made_as_told_and_reached_by_its_name(line: Kvist, clean: Callable[[], Traces]) -> None:
    before = clean()
    line("image", "build", "debian-12", timeout=600)
    words = (
        "create", "web", "--image", "debian-12", "--memory", "1G", "--cpus", "2", "--disk", "6G", "--user", "ann",
        "--hostname", "www", "--run", "echo $(id -un) > /etc/ran",
        "--run", "printf '%s|' 'a  b' \"it's\" > /etc/quoted", "--nic", "default,mac=52:54:00:de:b1:12",
    )  # fmt: skip
    try:
        assert line.json(*words)["changed"] is True
        line("wait", "web", "cloud-init", "--timeout", "280s", timeout=300)
        line("wait", "web", "cloud-init", "--timeout", "10s")
        assert line("ssh", "web", "id -un; hostname; sudo id -u").text.split() == ["ann", "www", "0"]
        assert line("ssh", "web", "cat /etc/ran /etc/quoted").text == "root\na  b|it's|"
        gigabytes = int(line("ssh", "web", "df --output=size -BM / | tail -1 | tr -dc 0-9").text)
        assert 5000 < gigabytes < 6200
        assert line("exec", "web", "--no-stdin", "hostname").text == "www\n"
        assert line.json(*words)["changed"] is False
        shown = line.json("show", "web")
        assert (shown["os"], shown["user"], shown["agent"], shown["advice"]) == ("debian12", "ann", True, [])
        assert line.json("stop", "web")["changed"] is True
    finally:
        line("delete", "web", "--force", "--purge")
        line("image", "remove", "debian-12")
    assert clean() == before
