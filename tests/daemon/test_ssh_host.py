"""A host that is reached by ssh: the same lines, typed on a machine that sees nothing of it but port 22.

The sandbox runs an ssh server; kvist stands beside it, in its network but among the machine's own files.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from tests.daemon.outside import Outside, outside

from kvist.host.run import run
from kvist.sandbox.sandbox import Sandbox

if TYPE_CHECKING:
    from tests.daemon.conftest import Kvist

PORT = 2222
VM = "afar"
ADDRESS = "10.77.0.5"
SERVER = f"""
Port {PORT}
ListenAddress 127.0.0.1
HostKey /tmp/sshd/host
AuthorizedKeysFile /tmp/sshd/user.pub
PermitRootLogin yes
StrictModes no
UsePAM no
PidFile none
"""
CLIENT = """#!/bin/sh
exec /usr/bin/ssh -F {home}/ssh_config "$@"
"""
CONFIG = """
IdentityFile {home}/user
UserKnownHostsFile {home}/known_hosts
StrictHostKeyChecking accept-new
"""
ASK = """
import socket, sys
try:
    wire = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=4)
    wire.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
    print(wire.recv(12).decode())
except OSError as wrong:
    print("no:", type(wrong).__name__)
"""


class Far(NamedTuple):
    """kvist on a machine that reaches the host by ssh only."""

    line: Kvist
    path: str
    """PATH, with an ssh that has this test's keys."""

    def __call__(self, *words: str, code: int = 0) -> str:
        done = self.line(*words, code=code, env={"PATH": self.path})
        return done.text if code == 0 else done.err.decode()


@pytest.fixture(scope="module")
def far(line: Kvist, sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Far:
    home = tmp_path_factory.mktemp("far")
    for name in ("host", "user"):
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(home / name)])
    place = sandbox.root / "tmp/sshd"
    place.mkdir()
    for name in ("host", "user.pub"):
        (place / name).write_bytes((home / name).read_bytes())
    (place / "host").chmod(0o600)
    (place / "config").write_text(SERVER)
    (sandbox.root / "run/sshd").mkdir(exist_ok=True)
    run(sandbox.enter(["/usr/sbin/sshd", "-f", "/tmp/sshd/config"]))
    (home / "bin").mkdir()
    client = home / "bin/ssh"
    client.write_text(CLIENT.format(home=home))
    client.chmod(0o755)
    (home / "ssh_config").write_text(CONFIG.format(home=home))
    where = f"qemu+ssh://root@127.0.0.1:{PORT}/system"
    kvist = line._replace(where=where, home=home, prefix=tuple(sandbox.network_prefix))
    return Far(kvist, f"{home / 'bin'}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")


@pytest.fixture(scope="module")
def street(sandbox: Sandbox) -> Iterator[Outside]:
    with outside(sandbox, "street", "10.96.0") as host:
        run(sandbox.enter(["ip", "route", "add", "default", "via", host.address, "dev", host.uplink, "metric", "77"]))
        yield host


@pytest.fixture(scope="module")
def guest(far: Far) -> Iterator[str]:
    far("net", "create", "faraway", "--subnet", "10.77.0.0/24")
    card = f"faraway,ip={ADDRESS}"
    far("create", VM, "--image", "micro", "--memory", "128M", "--cpus", "1", "--nic", card, "--wait", "ssh")
    yield VM
    far("delete", VM, "--force", "--purge", "--yes")
    far("net", "delete", "faraway", "--yes")


def asked(street: Outside, port: int) -> str:
    return street("python3", "-c", ASK, street.here, str(port)).text.strip()


def test_a_guest_is_made_on_it_and_its_shell_files_and_agent_are_reached(far: Far, guest: str, tmp_path: Path) -> None:
    assert far("ssh", guest, "--", "hostname").strip() == VM
    (tmp_path / "note").write_text("from afar\n")
    far("cp", str(tmp_path / "note"), f"{guest}:/tmp/note")
    assert far("exec", guest, "--no-stdin", "--", "cat", "/tmp/note") == "from afar\n"
    assert far("ls", "-o", "name").split() == [VM]


def test_a_forward_is_made_on_it_found_done_and_taken_back(far: Far, guest: str, street: Outside) -> None:
    assert asked(street, 8080).startswith("no:")
    far("forward", "add", "8080", f"{guest}:80")
    assert asked(street, 8080) == "HTTP/1.1 200"
    assert "nothing to do" in far("forward", "add", "8080", f"{guest}:80")
    far("undo", "--yes")
    assert asked(street, 8080).startswith("no:")


def test_a_policy_is_in_force_on_it_and_goes(far: Far, guest: str, sandbox: Sandbox) -> None:
    ping = ["ping", "-n", "-c", "1", "-W", "1", ADDRESS]
    assert run(sandbox.enter(ping), check=False).code == 0
    far("fw", "block", guest)
    assert run(sandbox.enter(ping), check=False).code == 1
    assert "nothing to do" in far("fw", "block", guest)
    far("fw", "reset", guest)
    assert run(sandbox.enter(ping), check=False).code == 0
    assert "kvist-fw" not in run(sandbox.enter(["nft", "list", "tables"])).text


def test_its_kernel_and_its_files_are_set_and_put_back(far: Far, sandbox: Sandbox) -> None:
    kept = sandbox.root / "etc/sysctl.d/90-kvist.conf"
    was = kept.read_text() if kept.exists() else None
    far("host", "set", "--ip-forward", "off")
    assert run(sandbox.enter(["sysctl", "-n", "net.ipv4.ip_forward"])).text.strip() == "0"
    assert "net.ipv4.ip_forward = 0" in kept.read_text()
    far("undo", "--yes")
    assert run(sandbox.enter(["sysctl", "-n", "net.ipv4.ip_forward"])).text.strip() == "1"
    assert (kept.read_text() if kept.exists() else None) == was


def test_its_uplink_becomes_the_port_of_a_bridge_over_the_very_connection(
    far: Far, sandbox: Sandbox, street: Outside
) -> None:
    far("bridge", "create", "br0", "--port", street.uplink)
    told = run(sandbox.enter(["ip", "-br", "address", "show", "br0"])).text
    assert street.here in told
    assert run(sandbox.enter(["ping", "-n", "-c", "1", "-W", "2", street.address]), check=False).code == 0
    assert "nothing to do" in far("bridge", "create", "br0", "--port", street.uplink)
    far("bridge", "delete", "br0", "--yes")
    assert street.here in run(sandbox.enter(["ip", "-br", "address", "show", street.uplink])).text


def test_a_login_that_fails_is_told_in_one_line(far: Far) -> None:
    told = far("--host", "qemu+ssh://nobody@127.0.0.1:2222/system", "ls", code=1)
    assert told.startswith("error: ")
    assert "Traceback" not in told
