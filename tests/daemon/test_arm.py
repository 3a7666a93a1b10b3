"""A guest of another architecture than the host's: made of packages of its own, booted by UEFI, emulated."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from kvist.resources.hosts.host import Host
from kvist.sandbox.sandbox import Sandbox

if TYPE_CHECKING:
    from tests.daemon.conftest import Kvist, Traces

ARM = ("--image", "micro-aarch64", "--memory", "256M", "--cpus", "1")


def test_an_arm_guest_boots_to_its_login_its_agent_and_ssh_and_its_nvram_goes_with_it(
    line: Kvist, host: Host, sandbox: Sandbox, clean: Callable[[], Traces]
) -> None:
    assert "kvist image build micro --arch aarch64" in line.refused("create", "arm", *ARM, code=2)
    line("image", "build", "micro", "--arch", "aarch64", timeout=240)
    try:
        assert line.json("image", "build", "micro", "--arch", "aarch64")["changed"] is False
        assert line.json("image", "show", "micro")["arch"] == "x86_64", "one does not take the other's place"
        assert "is for aarch64" in line.refused("create", "arm", *ARM, "--arch", "x86_64", code=2)
        assert line.json("create", "arm", *ARM)["changed"] is True
        assert line.json("create", "arm", *ARM)["changed"] is False
        spec = host.vm("arm").spec
        assert (spec.arch, spec.gic, spec.cpu_model) == ("aarch64", "3", "cortex-a57")
        assert line.json("show", "arm")["firmware"] == "efi"
        nvram = sandbox.root / "var/lib/libvirt/qemu/nvram/arm_VARS.fd"
        assert nvram.exists()
        login = ("--expect", "login: ", "--send", r"root\n", "--expect", "# ")
        asked = ("--send", r"tty; uname -m\n", "--expect", r"/dev/ttyAMA0\s+aarch64")
        told = line("console", "arm", *login, *asked, "--timeout", "110s")
        assert "arm login: " in told.text
        line("wait", "arm", "agent", "--timeout", "60s")
        assert line("exec", "arm", "--no-stdin", "uname", "-m").text.strip() == "aarch64"
        assert line("ssh", "arm", "--", "uname -m").text.strip() == "aarch64"
        assert line.json("stop", "arm")["changed"] is True
        line("delete", "arm", "--purge")
        assert not nvram.exists()
    finally:
        if "arm" in host.connection.domains.names():
            line("delete", "arm", "--force", "--purge")
        line("image", "remove", "micro-aarch64")
