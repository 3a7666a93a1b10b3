"""Row 30: zero-copy of vhost_net is kept, comes with the next load of the module, and is read back from the kernel."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from kvist.engine.execute import Answer
from kvist.errors import Conflict, Failed, Unsupported
from kvist.host import zerocopy
from kvist.host.hand import Hand
from kvist.host.run import Result
from kvist.resources.hosts.host import Host, connect
from kvist.resources.hosts.setting import Settings
from kvist.resources.hosts.setting import set as change

OPTION = "options vhost_net experimental_zcopytx={}\n"
REFCNT = "/sys/module/vhost_net/refcnt"


class Kernel(Hand):
    """A host with a kernel that is made up: modprobe(8) reads the files below a directory, and fills /sys."""

    def __init__(self, root: Path) -> None:
        super().__init__(root=str(root))
        self.module = True
        """There is a module; otherwise it is part of the kernel, or nothing at all."""
        self.builtin = False
        self.parameter = True
        self.deaf = False
        """It takes no value."""
        self.guests: dict[int, str] = {}
        self.files: dict[str, str] = {}
        self.typed: list[str] = []

    def load(self) -> None:
        said = "0"
        for name in self.names(zerocopy.DIRECTORY):
            text = self.read(f"{zerocopy.DIRECTORY}/{name}") or ""
            if name.endswith(".conf"):
                said = next(iter(re.findall(r"^options .*experimental_zcopytx=(\d)", text, re.MULTILINE)), said)
        self.files[REFCNT] = f"{len(self.guests)}\n"
        if self.parameter:
            self.files[zerocopy.VALUE] = f"{'0' if self.deaf else said}\n"

    def run(
        self, argv: Sequence[str], *, input: bytes | None = None, timeout: float = 60, check: bool = True
    ) -> Result:
        out, code = "", 0
        match argv:
            case ["modprobe", "--show-depends", _]:
                code = int(not self.module and not self.builtin)
                out = "insmod /lib/modules/6/vhost_net.ko\n" if self.module else "builtin vhost_net\n"
            case ["modprobe", "-r", _]:
                assert not self.guests or REFCNT not in self.files, "the kernel refuses"
                self.files.clear()
                self.typed.append("unload")
            case ["modprobe", _]:
                self.load()
                self.typed.append("load")
            case ["find", *_]:
                out = "".join(f"/proc/{number}/fd/30\n" for number in self.guests)
            case _:
                raise AssertionError(argv)
        return Result(tuple(argv), code, out.encode(), b"")

    def read(self, path: str) -> str | None:
        if found := re.fullmatch(r"/proc/(\d+)/cmdline", path):
            return self.guests[int(found[1])]
        return self.files.get(path) if path.startswith(("/sys/", "/proc/")) else super().read(path)


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    return Kernel(tmp_path)


@pytest.fixture
def host(kernel: Kernel) -> Host:
    host = connect("test:///default")
    vars(host)["hand"] = kernel
    return host


@pytest.fixture
def zero(host: Host) -> Callable[[bool], Answer]:
    return lambda on: change.__get__(host, Host)(Settings(vhost_zerocopy=on))


def told(answer: Answer) -> list[tuple[object, object, str]]:
    return [(each.before, each.after, each.when) for each in answer.changes]


NOW = "now, and at each load of vhost_net"


def test_it_is_kept_the_module_is_loaded_anew_and_undo_brings_both_back(
    host: Host, kernel: Kernel, zero: Callable[[bool], Answer]
) -> None:
    kernel.load()
    assert told(zero(True)) == [("off", "on", NOW)]
    assert kernel.read(zerocopy.KEPT) == zerocopy.HEADER + OPTION.format(1)
    assert (kernel.typed, zerocopy.now(kernel)) == (["unload", "load"], "1")
    assert zero(True).changed is False
    assert told(zero(False)) == [("on", "off", NOW)]
    assert (kernel.read(zerocopy.KEPT), zerocopy.now(kernel)) == (zerocopy.HEADER + OPTION.format(0), "0")
    host.history.undo()
    assert zerocopy.now(kernel) == "1"
    host.history.undo()
    assert (kernel.read(zerocopy.KEPT), zerocopy.now(kernel)) == (None, "0")


def test_a_module_that_is_not_loaded_yet_is_and_undo_takes_it_out_again(
    host: Host, kernel: Kernel, zero: Callable[[bool], Answer]
) -> None:
    assert told(zero(True)) == [(None, "on", NOW)]
    assert zerocopy.now(kernel) == "1"
    host.history.undo()
    assert (kernel.read(zerocopy.KEPT), kernel.files) == (None, {})


def test_guests_that_use_it_are_named_and_go_on_and_the_value_comes_with_the_next_load(
    kernel: Kernel, zero: Callable[[bool], Answer]
) -> None:
    kernel.guests = {
        41: "qemu-system-x86_64\0-name\0guest=web,debug-threads=on\0",
        42: "qemu-system-x86_64\0-name\0guest=db\0",
        43: "crosvm\0run\0",
    }
    kernel.load()
    later = "at the next load of vhost_net, which db, process 43, web uses now"
    assert told(zero(True)) == [(None, "on", later)]
    assert (kernel.typed, zerocopy.now(kernel)) == ([], "0")
    assert zero(True).changed is False, "there is nothing to do until they are gone"
    kernel.guests = {}
    kernel.files[REFCNT] = "0\n"
    assert told(zero(True)) == [("off", "on", NOW)]
    assert zerocopy.now(kernel) == "1"


def test_a_kernel_that_does_not_take_it_is_told_and_all_is_as_before(
    kernel: Kernel, zero: Callable[[bool], Answer]
) -> None:
    kernel.load()
    kernel.deaf = True
    with pytest.raises(Failed, match="experimental_zcopytx is 0, not 1"):
        zero(True)
    assert (kernel.read(zerocopy.KEPT), zerocopy.now(kernel)) == (None, "0")


def test_what_stands_in_kvists_file_already_stays(kernel: Kernel, zero: Callable[[bool], Answer]) -> None:
    kernel.write(zerocopy.KEPT, "options kvm_intel nested=1\noptions vhost-net experimental_zcopytx=0 x=2\n")
    kernel.load()
    zero(True)
    assert kernel.read(zerocopy.KEPT) == "options kvm_intel nested=1\noptions vhost-net experimental_zcopytx=1 x=2\n"


@pytest.mark.parametrize(
    ("path", "text", "overrules"),
    [
        ("/etc/modprobe.d/vhost-net.conf", OPTION.format(0), True),
        ("/etc/modprobe.d/vhost-net.conf", OPTION.format(1), False),
        ("/etc/modprobe.d/vhost-net.conf", f"#{OPTION.format(0)}", False),
        ("/etc/modprobe.d/vhost-net.conf.old", OPTION.format(0), False),
        ("/etc/modprobe.d/a.conf", OPTION.format(0), False),
        ("/proc/cmdline", "quiet vhost_net.experimental_zcopytx=0", True),
        ("/proc/cmdline", "quiet vhost-net.experimental_zcopytx=1", False),
    ],
)
def test_what_says_otherwise_and_is_read_later_is_named(
    kernel: Kernel, zero: Callable[[bool], Answer], path: str, text: str, overrules: bool
) -> None:
    kernel.files[path] = text
    if not path.startswith("/proc"):
        kernel.write(path, text)
    kernel.load()
    if overrules:
        with pytest.raises(Conflict, match=f'"{path}" says otherwise'):
            zero(True)
        assert kernel.read(zerocopy.KEPT) is None
    else:
        assert zero(True).changed is True


def test_where_the_kernel_has_it_built_in_the_way_is_its_command_line(
    kernel: Kernel, zero: Callable[[bool], Answer]
) -> None:
    kernel.module, kernel.builtin = False, True
    kernel.files[zerocopy.VALUE] = "0\n"
    with pytest.raises(Unsupported) as refused:
        zero(True)
    assert "vhost_net.experimental_zcopytx=1 to the kernel's command line" in refused.value.hint
    assert zero(False).changed is False, "that is what it says already"
    assert (kernel.typed, kernel.read(zerocopy.KEPT)) == ([], None)


def test_where_there_is_no_such_module_or_parameter_that_is_said(
    kernel: Kernel, zero: Callable[[bool], Answer]
) -> None:
    kernel.module = kernel.parameter = False
    with pytest.raises(Unsupported, match="the kernel of the host has no vhost_net"):
        zero(True)
    kernel.module = True
    kernel.load()
    with pytest.raises(Unsupported, match="knows no zero-copy"):
        zero(True)
    assert (kernel.typed, kernel.read(zerocopy.KEPT)) == ([], None)
