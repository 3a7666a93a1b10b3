"""A host that cannot be reached is told of within ten seconds, in one sentence, with the way out."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import kvist
from kvist.cli.main import main
from kvist.errors import Invalid, KvistError, NotFound, Unreachable


@pytest.fixture
def own(tmp_path: Path) -> str:
    """A host of the test driver's that no other test sees: a line never closes its connection, it ends."""
    file = tmp_path / "host.xml"
    file.write_text(
        "<node><domain type='test'><name>web</name><memory>4096</memory><os><type>hvm</type></os></domain></node>"
    )
    return f"test://{file}"


@pytest.fixture
def deaf() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


@pytest.fixture
def closed() -> int:
    """A port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def refused(where: str) -> KvistError:
    began = time.monotonic()
    with pytest.raises(KvistError) as error:
        kvist.connect(where)
    assert time.monotonic() - began < 10
    assert error.value.hint
    assert where in error.value.what or where.partition(":")[2] in error.value.what
    return error.value


@pytest.mark.parametrize("where", ["web", "hv2", "", "nonsense:x"])
def test_what_is_no_host_is_told_what_one_looks_like(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if not where:
        monkeypatch.setenv("KVIST_HOST", "web")
    error = refused(where)
    assert type(error) is Invalid
    assert "qemu+ssh://" in error.hint


@pytest.mark.parametrize("where", ["nosuch:///system", "qemu:///nowhere", "test:///no/such/file.xml"])
def test_a_driver_or_path_that_is_not_there_is_told_at_once(where: str) -> None:
    assert isinstance(refused(where), Invalid | Unreachable)


def test_a_driver_that_libvirt_does_not_have_is_a_mistake_of_the_line() -> None:
    error = refused("nosuch:///system")
    assert type(error) is Invalid and 'no driver "nosuch"' in error.what


def test_the_way_out_of_a_host_by_ssh_is_a_line_that_ssh_understands(closed: int) -> None:
    assert refused(f"qemu+ssh://root@127.0.0.1:{closed}/system").hint == f"ssh -p {closed} root@127.0.0.1 virsh version"


def test_a_host_where_nobody_listens_is_unreachable(closed: int) -> None:
    error = refused(f"qemu+tcp://127.0.0.1:{closed}/system")
    assert type(error) is Unreachable and "refused" in error.what


def test_a_host_that_never_answers_is_given_up(deaf: int) -> None:
    error = refused(f"qemu+tcp://127.0.0.1:{deaf}/system")
    assert type(error) is Unreachable and "did not answer within 8 s" in error.what


def test_a_daemon_that_is_not_there_is_unreachable_and_a_sandbox_is_offered() -> None:
    error = refused("qemu:///system?socket=/nonexistent/libvirt-sock")
    assert type(error) is Unreachable
    assert "kvist sandbox up" in error.hint


def test_a_sandbox_that_is_not_up_is_not_found() -> None:
    error = refused("sandbox:nobody-started-this-one")
    assert type(error) is NotFound
    assert "kvist sandbox up" in error.hint


def test_a_host_is_taken_from_the_environment_where_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KVIST_HOST", "test:///default")
    host = kvist.connect()
    try:
        assert [row.name for row in host.vms.ls()] == ["test"]
    finally:
        host.close()


def test_the_command_line_says_the_same_and_ends_with_its_code(
    capsys: pytest.CaptureFixture[str], closed: int, own: str
) -> None:
    assert main(["--host", "hv2", "ls"]) == 2
    assert main(["--host", f"qemu+tcp://127.0.0.1:{closed}/system", "ls"]) == 1
    assert main(["--host", "sandbox:nobody-started-this-one", "ls"]) == 3
    assert main(["--host", own, "start", "webb"]) == 3
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("error: ") == printed.err.count("hint: ") == 4


def test_a_line_does_its_work_and_says_so_on_stdout(capsys: pytest.CaptureFixture[str], own: str) -> None:
    assert main(["--host", own, "suspend", "web"]) == 0
    printed = capsys.readouterr()
    assert printed.out == "web  state  running -> paused\n"
    assert printed.err == 'suspend VM "web"\n'


def test_mistakes_of_spelling_and_what_only_the_host_can_tell_are_told_of_one_line_at_once(
    capsys: pytest.CaptureFixture[str], own: str
) -> None:
    line = ["create", "shop", "--pxe", "--memory", "9T", "--cpus", "0", "--boot", "zzz", "--bogus"]
    line += ["--nic", "nowhere,foo=1", "--disk", "10X", "--disk", "20Y", "--disk", "/no/such", "--image", "nope"]
    assert main(["--host", own, *line]) == 2
    told = [word.removeprefix("error: ") for word in capsys.readouterr().err.splitlines() if word.startswith("error: ")]
    for beginning in (
        *("unknown option --bogus", "--cpus: 0", '--boot: "zzz"', '--disk.size: "X"', '--disk.size: "Y"'),
        *('--nic: there is no key "foo"', "--memory: 9T is more", '--image: there is no image "nope"'),
        *('--nic: there is no network "nowhere"', '--disk: "/no/such" is neither'),
    ):
        assert any(each.startswith(beginning) for each in told), beginning
    assert len(told) == 10


def test_what_comes_of_a_word_that_nobody_could_read_is_no_mistake_of_its_own(
    capsys: pytest.CaptureFixture[str], own: str
) -> None:
    assert main(["--host", own, "create", "shop", "--disk", "10X", "--nic", "none"]) == 2
    assert capsys.readouterr().err.count("error: ") == 1
    assert main(["--host", "sandbox:nobody-started-this-one", "create", "shop", "--disk", "10X", "--pxe"]) == 2
    assert capsys.readouterr().err.count("error: ") == 1
