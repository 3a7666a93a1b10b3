"""Every way into a guest that has booted, through kvist's own command line."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from kvist.guest.picture import png_size
from kvist.host.run import Result, run
from kvist.resources.hosts.host import connect
from kvist.sandbox.sandbox import Sandbox

VM = "reach"


class Kvist(NamedTuple):
    """kvist as a person calls it, on the sandbox of the tests, with a home of its own."""

    where: str
    home: Path
    cache: str

    def __call__(self, *words: str, input: bytes = b"", code: int = 0, timeout: float = 120) -> Result:
        import sys

        program = Path(sys.executable).with_name("kvist")
        done = run(
            [str(program), "-H", self.where, *words],
            input=input,
            check=False,
            timeout=timeout,
            env={"HOME": str(self.home), "XDG_DATA_HOME": str(self.home / "data"), "XDG_CACHE_HOME": self.cache},
            cwd=self.home,
        )
        assert done.code == code, f"{words}: {done.code}, not {code}\n{done.text}\n{done.err.decode()}"
        return done


@pytest.fixture(scope="module")
def kvist(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kvist]:
    """kvist, and a micro guest that it has made and waited for."""
    import os

    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    ask = Kvist(f"sandbox:{sandbox.name}", tmp_path_factory.mktemp("home"), cache)
    ask("image", "build", "micro", timeout=240)
    ask("create", VM, "--image", "micro", "--graphics", "vnc", "--wait", "ssh")
    yield ask
    ask("delete", VM, "--force", "--purge")


def test_what_was_waited_for_is_there_at_once_the_next_time(kvist: Kvist) -> None:
    address = kvist("wait", VM, "ssh", "--timeout", "30").text.strip()
    assert address.startswith("192.168.122.")
    assert kvist("wait", VM, "ip", "--timeout", "30").text.strip() == address
    assert kvist("ip", VM, "-o", "name").text.split()[0] == address
    kvist("wait", VM, "agent", "--timeout", "60")


def test_ssh_passes_words_output_and_exit_code_on(kvist: Kvist) -> None:
    assert kvist("ssh", VM, "uname", "-s").text == "Linux\n"
    assert kvist("ssh", VM, "--", "printf", "%s|", "a  b", "$HOME").text == "a  b|$HOME|"
    assert kvist("ssh", VM, "echo $((40+2)); exit 7", code=7).text == "42\n"
    assert kvist("ssh", VM, "cat", input=b"through ssh").out == b"through ssh"


def test_exec_passes_input_both_streams_and_exit_code_on_without_a_network(kvist: Kvist) -> None:
    done = kvist("exec", VM, "--", "sh", "-c", "cat; echo told >&2; exit 9", input=b"in\0put", code=9)
    assert done.out == b"in\0put"
    assert b"told" in done.err
    assert kvist("exec", VM, "--no-stdin", "uname", "-s").text == "Linux\n"


@pytest.mark.parametrize("how", [(), ("--agent",)])
def test_files_are_copied_both_ways(kvist: Kvist, how: tuple[str, ...]) -> None:
    there, back = kvist.home / "there", kvist.home / "back"
    there.write_bytes(bytes(range(256)) * 700)
    kvist("cp", *how, str(there), f"{VM}:/tmp/")
    kvist("cp", *how, f"{VM}:/tmp/there", str(back))
    assert back.read_bytes() == there.read_bytes()
    back.unlink()


def test_a_file_that_is_not_in_the_guest_leaves_none_here(kvist: Kvist) -> None:
    kvist("cp", "--agent", f"{VM}:/nowhere/x", str(kvist.home / "none"), code=1)
    assert not [path for path in kvist.home.iterdir() if "none" in path.name]


def test_the_console_types_and_waits_in_the_order_of_the_line(kvist: Kvist) -> None:
    kvist("console", VM, "--send", r"\n", "--expect", "login: |# ", "--send", r"root\n", "--expect", "# ")
    done = kvist("console", VM, "--send", r"echo $((6*7))\n", "--expect", "^42", "--expect", "# ")
    assert "42" in done.text.splitlines()
    assert "\x1b" not in done.text
    kvist("console", VM, "--expect", "never to be seen", "--timeout", "1", code=5)


def test_a_screenshot_shows_something(kvist: Kvist) -> None:
    shot = json.loads(kvist("screenshot", VM, "-o", "json").text)
    data = (kvist.home / f"{VM}.png").read_bytes()
    assert png_size(data) == (shot["width"], shot["height"])
    at = data.index(b"IDAT")
    length = struct.unpack(">I", data[at - 4 : at])[0]
    lines = zlib.decompress(data[at + 4 : at + 4 + length])
    assert len(set(lines)) > 1, "one colour all over"


def test_plain_ssh_gets_in_by_the_written_configuration(kvist: Kvist) -> None:
    path = kvist("ssh-config", "--write").text.strip()
    done = run(["ssh", "-F", path, "-o", "BatchMode=yes", VM, "echo in"], timeout=30)
    assert done.text == "in\n"


def test_show_tells_what_the_guest_is_and_what_waits_for_its_next_boot(
    kvist: Kvist, sandbox: Sandbox, virsh: Callable[..., str]
) -> None:
    told = json.loads(kvist("show", VM, "-o", "json").text)
    assert (told["state"], told["user"], told["made_from"], told["agent"]) == ("running", "root", "micro", True)
    assert told["uptime"] > 0
    assert told["addresses"][0] == told["nics"][0]["address"]
    assert told["disks"][0]["backing"].endswith(".qcow2")
    assert told["graphics"][0].startswith("vnc://127.0.0.1:59")
    assert (told["pending"], told["advice"]) == ([], [])
    virsh("desc", VM, "--config", "--title", "later")
    told = json.loads(kvist("show", VM, "-o", "json").text)
    assert told["pending"] == [{"field": "title", "now": None, "next_boot": "later"}]
    virsh("desc", VM, "--config", "--title", "")


def test_a_guest_that_is_shut_down_meanwhile_is_waited_for_in_vain(kvist: Kvist, sandbox: Sandbox) -> None:
    from threading import Timer

    from kvist.errors import Conflict
    from kvist.resources.reaching.waiting import wait
    from kvist.values import Duration

    host = connect(f"sandbox:{sandbox.name}")
    kvist("create", "short", "--image", "micro")
    pull = Timer(1.0, lambda: host.connection.domains.destroy("short"))
    pull.start()
    with pytest.raises(Conflict, match="stopped while"):
        wait(host.vm("short"), "ssh", timeout=Duration(60))
    pull.join()
    host.close()
    kvist("wait", "short", "off", "--timeout", "5")
    kvist("delete", "short", "--purge")
