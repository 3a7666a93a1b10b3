"""Forwards on libvirt's test driver, which is no host: what is refused before anything is done."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kvist.errors import Invalid, NotFound, Unsupported
from kvist.resources.hosts.host import Host, connect
from kvist.values import PortRange

WEB = """\
<domain type='test'>
  <name>fwd</name>
  <memory unit='MiB'>64</memory>
  <os><type>hvm</type></os>
  <metadata>
    <kvist:vm xmlns:kvist="urn:kvist:1"><kvist:forward>8080/tcp:80</kvist:forward></kvist:vm>
  </metadata>
  <devices>
    <interface type='network'><mac address='52:54:00:00:00:01'/><source network='default'/></interface>
  </devices>
</domain>
"""


@pytest.fixture
def host() -> Iterator[Host]:
    up = connect("test:///default")
    up.connection.domains.define(WEB, name="fwd")
    yield up
    up.connection.domains.undefine("fwd")
    up.close()


def add(host: Host, port: str, target: str, *, from_: str = "", on: str = "") -> None:
    host.forwards.add(PortRange.parse(port), target, from_=from_, on=on)


def test_what_is_written_down_is_found(host: Host) -> None:
    assert [(one.vm, str(one.forward)) for one in host.forwards.all()] == [("fwd", "8080/tcp:80")]
    assert host.vm("fwd").spec.forwards == ("8080/tcp:80",)


def test_a_forward_needs_the_hosts_own_programs(host: Host) -> None:
    for port in ("8081", "8080"):
        with pytest.raises(Unsupported, match="out of reach"):
            add(host, port, "fwd:80")
    assert host.vm("fwd").spec.forwards == ("8080/tcp:80",)


def test_what_makes_no_sense_is_refused_with_all_its_problems(host: Host) -> None:
    with pytest.raises(Invalid) as refused:
        add(host, "8080/sctp", "fwd:80-81", from_="::/0", on="::1")
    assert [problem.path for problem in refused.value.problems] == ["PORT", "VM:PORT", "--from", "--on"]
    with pytest.raises(Invalid, match="a forward does not make udp of tcp"):
        add(host, "8080", "fwd:53/udp")
    with pytest.raises(NotFound, match="nobody"):
        add(host, "8080", "nobody:80")
    with pytest.raises(Invalid, match="VM:PORT: no VM is named"):
        add(host, "8080", ":80")


def test_a_range_that_becomes_other_ports_has_an_end(host: Host) -> None:
    with pytest.raises(Invalid, match="at most 1024 ports become others"):
        add(host, "10000-20000", "fwd:20000-30000")


def test_a_forward_that_is_not_there_is_gone_already(host: Host) -> None:
    assert host.forwards.remove(PortRange.parse("9")).changed is False
