"""The guest agent's protocol, spoken with a guest that lives in this process."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Any

import pytest

from kvist.errors import Conflict, GuestFailed, LibvirtFailed, TimedOut, Unsupported
from kvist.guest.agent import READ, WRITE, Agent, Done
from kvist.values import Cidr

Program = Callable[["Guest", list[str], bytes], tuple[int, bytes, bytes]]


class Guest:
    """Answers as qemu-ga does; a program runs for `busy` looks at its state before it has ended."""

    def __init__(self, programs: dict[str, Program] | None = None, *, busy: int = 0) -> None:
        self.programs: dict[str, Program] = {"mktemp": mktemp, "rm": rm, "kill": kill, "sh": sh, **(programs or {})}
        self.files: dict[str, bytes] = {}
        self.handles: dict[int, tuple[str, int]] = {}
        self.running: dict[int, dict[str, Any]] = {}
        self.busy = busy
        self.killed: list[str] = []
        self.now = 0.0
        self.counter = 100
        self.longest = 0
        self.refused: set[str] = set()

    def agent(self) -> Agent:
        return Agent("web", self.ask, clock=lambda: self.now, sleep=self.sleep)

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds

    def ask(self, text: str, timeout: float) -> str:
        self.longest = max(self.longest, len(text))
        message = json.loads(text)
        command = message["execute"]
        if command in self.refused:
            self.refuse(command, f"Command {command} has been disabled")
        method = getattr(self, command.replace("guest-", "do_").replace("-", "_"))
        return json.dumps({"return": method(message.get("arguments", {}))})

    def refuse(self, command: str, reason: str) -> None:
        raise LibvirtFailed(
            f"ask the agent: internal error: unable to execute QEMU agent command '{command}': {reason}",
        )

    def do_ping(self, _: dict[str, Any]) -> dict[str, Any]:
        return {}

    def do_exec(self, order: dict[str, Any]) -> dict[str, Any]:
        program = self.programs.get(order["path"])
        if program is None:
            self.refuse("guest-exec", f"Failed to execute child process “{order['path']}” (No such file or directory)")
            raise AssertionError
        self.counter += 1
        code, out, err = program(self, order["arg"], b64decode(order.get("input-data", "")))
        ended: dict[str, Any] = {"exited": True, "exitcode": code} if code >= 0 else {"exited": True, "signal": -code}
        if order["capture-output"]:
            ended |= {"out-data": b64encode(out).decode(), "err-data": b64encode(err).decode()}
        else:
            assert not out
        patience = 0 if order["path"] in {"mktemp", "rm", "kill"} else self.busy
        self.running[self.counter] = {"left": patience, "ended": ended}
        return {"pid": self.counter}

    def do_exec_status(self, order: dict[str, Any]) -> dict[str, Any]:
        state = self.running[order["pid"]]
        if state["left"] > 0:
            state["left"] -= 1
            return {"exited": False}
        ended = self.running.pop(order["pid"])["ended"]
        assert isinstance(ended, dict)
        return ended

    def do_file_open(self, order: dict[str, Any]) -> int:
        path, mode = order["path"], order["mode"]
        if mode == "r" and path not in self.files:
            self.refuse("guest-file-open", f"failed to open file '{path}' (mode: 'r'): No such file or directory")
        if mode == "w":
            self.files[path] = b""
        self.counter += 1
        self.handles[self.counter] = (path, 0)
        return self.counter

    def do_file_read(self, order: dict[str, Any]) -> dict[str, Any]:
        path, at = self.handles[order["handle"]]
        piece = self.files[path][at : at + order["count"]]
        self.handles[order["handle"]] = (path, at + len(piece))
        return {"count": len(piece), "buf-b64": b64encode(piece).decode(), "eof": not piece}

    def do_file_write(self, order: dict[str, Any]) -> dict[str, Any]:
        path, _ = self.handles[order["handle"]]
        # Takes less than it is given now and then, as a real one may.
        piece = b64decode(order["buf-b64"])[: WRITE - 1000]
        self.files[path] += piece
        return {"count": len(piece), "eof": False}

    def do_file_flush(self, _: dict[str, Any]) -> dict[str, Any]:
        return {}

    def do_file_close(self, order: dict[str, Any]) -> dict[str, Any]:
        del self.handles[order["handle"]]
        return {}

    def do_network_get_interfaces(self, _: dict[str, Any]) -> list[dict[str, Any]]:
        return [
            {"name": "lo", "ip-addresses": [{"ip-address": "127.0.0.1", "prefix": 8, "ip-address-type": "ipv4"}]},
            {
                "name": "eth0",
                "hardware-address": "52:54:00:AA:00:01",
                "ip-addresses": [{"ip-address": "10.0.0.5", "prefix": 24, "ip-address-type": "ipv4"}],
            },
            {"name": "eth1", "hardware-address": "52:54:00:aa:00:02"},
        ]


def mktemp(guest: Guest, argv: list[str], _: bytes) -> tuple[int, bytes, bytes]:
    return 0, b"/tmp/tmp.1\n", b""


def rm(guest: Guest, argv: list[str], _: bytes) -> tuple[int, bytes, bytes]:
    for name in [name for name in guest.files if name.startswith(argv[-1] + "/")]:
        del guest.files[name]
    return 0, b"", b""


def kill(guest: Guest, argv: list[str], _: bytes) -> tuple[int, bytes, bytes]:
    guest.killed.append(argv[-1])
    return 0, b"", b""


def sh(guest: Guest, argv: list[str], _: bytes) -> tuple[int, bytes, bytes]:
    directory, program, *rest = argv[2:]
    code, out, err = guest.programs[program](guest, rest, guest.files[f"{directory}/in"])
    guest.files[f"{directory}/out"] += out
    guest.files[f"{directory}/err"] += err
    return code, b"", b""


def cat(guest: Guest, argv: list[str], given: bytes) -> tuple[int, bytes, bytes]:
    return 3, given, " ".join(argv).encode()


def test_a_program_gives_its_code_and_both_streams() -> None:
    assert Guest({"cat": cat}).agent().exec(["cat", "-n"], input=b"hi\n") == Done(3, b"hi\n", b"-n")


def test_a_program_that_dies_of_a_signal_ends_as_in_a_shell() -> None:
    assert Guest({"x": lambda *_: (-9, b"", b"")}).agent().exec(["x"]).code == 137


def test_input_of_any_size_reaches_the_program_in_small_messages_and_nothing_stays_behind() -> None:
    guest = Guest({"cat": cat})
    data = bytes(range(256)) * 3000
    assert guest.agent().exec(["cat", "-n"], input=data) == Done(3, data, b"-n")
    assert guest.longest < 70_000
    assert guest.files == {}
    assert guest.handles == {}


def test_output_comes_as_it_is_written_and_each_piece_says_its_stream() -> None:
    guest = Guest({"cat": lambda *_: (0, b"x" * (READ + 10), b"warning")}, busy=3)
    came: list[tuple[int, bool]] = []
    done = guest.agent().exec(["cat"], on_output=lambda piece, error: came.append((len(piece), error)))
    assert came == [(READ, False), (10, False), (7, True)]
    assert done == Done(0, b"", b"")


def test_a_guest_without_a_shell_gives_its_output_at_the_end() -> None:
    guest = Guest({"cat": cat})
    del guest.programs["mktemp"]
    came: list[tuple[bytes, bool]] = []
    done = guest.agent().exec(["cat", "-n"], input=b"hi", on_output=lambda piece, error: came.append((piece, error)))
    assert (done.code, came) == (3, [(b"hi", False), (b"-n", True)])


def test_much_input_needs_a_guest_with_a_place_for_it() -> None:
    guest = Guest({"cat": cat})
    del guest.programs["mktemp"]
    with pytest.raises(GuestFailed, match="mktemp"):
        guest.agent().exec(["cat"], input=b"x" * (WRITE + 1))


def test_a_full_guest_is_told_before_the_program_runs() -> None:
    guest = Guest({"cat": cat, "mktemp": lambda *_: (1, b"", b"mktemp: No space left on device\n")})
    with pytest.raises(GuestFailed, match="No space left"):
        guest.agent().exec(["cat"], input=b"x" * (WRITE + 1))


@pytest.mark.parametrize("streamed", [False, True])
def test_a_program_that_takes_too_long_is_killed_and_nothing_stays_behind(streamed: bool) -> None:
    guest = Guest({"cat": cat}, busy=10_000)
    with pytest.raises(TimedOut, match=r'"cat" in VM "web" did not end within 5 s'):
        guest.agent().exec(["cat"], timeout=5, on_output=(lambda *_: None) if streamed else None)
    assert 5 <= guest.now < 5.01
    assert len(guest.killed) == 1
    assert guest.files == {}
    assert guest.handles == {}


def test_a_program_is_killed_when_the_user_gives_up() -> None:
    guest = Guest({"cat": cat}, busy=10)
    stop = Agent("web", guest.ask, clock=lambda: 0.0, sleep=interrupt)
    with pytest.raises(KeyboardInterrupt):
        stop.exec(["cat"])
    assert len(guest.killed) == 1


def interrupt(_: float) -> None:
    raise KeyboardInterrupt


def test_waiting_backs_off_but_never_for_long() -> None:
    guest = Guest({"cat": cat}, busy=40)
    pauses: list[float] = []
    agent = Agent("web", guest.ask, clock=lambda: 0.0, sleep=pauses.append)
    agent.exec(["cat"])
    assert pauses == sorted(pauses)
    assert pauses[0] < 0.05
    assert pauses[-1] == 0.5


def test_a_program_that_is_not_there_is_named() -> None:
    with pytest.raises(GuestFailed, match=r'cannot run "nope" in VM "web": .*No such file'):
        Guest().agent().exec(["nope"])


def test_a_file_is_written_in_pieces_also_when_the_guest_takes_less_than_offered() -> None:
    guest = Guest()
    data = b"0123456789" * 20_000
    assert guest.agent().write_file("/etc/x", [data[:100_000], data[100_000:]]) == len(data)
    assert guest.files["/etc/x"] == data
    assert guest.agent().write_file("/etc/x", [b"more"], append=True) == 4
    assert guest.files["/etc/x"] == data + b"more"
    assert guest.handles == {}


def test_a_file_is_read_in_pieces() -> None:
    guest = Guest()
    guest.files["/var/log/x"] = b"y" * (READ * 2 + 7)
    assert [len(piece) for piece in guest.agent().read_file("/var/log/x")] == [READ, READ, 7]
    assert guest.handles == {}


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(GuestFailed, match=r'cannot open file "/nope" in VM "web": .*No such file'):
        list(Guest().agent().read_file("/nope"))


def test_a_guest_whose_disk_is_full_ends_the_copy() -> None:
    guest = Guest()
    guest.do_file_write = lambda order: {"count": 0}  # type: ignore[method-assign]
    with pytest.raises(GuestFailed, match="took no more bytes"):
        guest.agent().write_file("/x", [b"data"])
    assert guest.handles == {}


def test_interfaces_are_read_with_their_addresses() -> None:
    loopback, first, second = Guest().agent().interfaces()
    assert loopback.addresses == (Cidr("127.0.0.1", 8),)
    assert (first.mac, first.addresses) == ("52:54:00:aa:00:01", (Cidr("10.0.0.5", 24),))
    assert second.addresses == ()


def test_a_guest_without_an_agent_says_how_to_get_one() -> None:
    def silent(_text: str, _timeout: float) -> str:
        raise GuestFailed("Guest agent is not responding: QEMU guest agent is not connected")

    with pytest.raises(GuestFailed, match="does not answer") as failure:
        Agent("web", silent).ping()
    assert "qemu-guest-agent" in failure.value.hint


def test_a_vm_without_a_channel_for_the_agent_says_so() -> None:
    def none(_text: str, _timeout: float) -> str:
        raise Unsupported("argument unsupported: QEMU guest agent is not configured")

    with pytest.raises(GuestFailed, match="no channel"):
        Agent("web", none).ping()


def test_a_command_on_the_block_list_says_where_to_take_it_off() -> None:
    guest = Guest({"cat": cat})
    guest.refused = {"guest-exec"}
    with pytest.raises(GuestFailed, match='does not allow "guest-exec"') as failure:
        guest.agent().exec(["cat"])
    assert "block list" in failure.value.hint


def test_what_libvirt_says_for_other_reasons_passes_unchanged() -> None:
    def off(_text: str, _timeout: float) -> str:
        raise Conflict("domain is not running")

    with pytest.raises(Conflict, match="not running"):
        Agent("web", off).ping()
