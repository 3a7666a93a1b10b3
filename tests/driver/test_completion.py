"""Completion in a real bash, with the names of a real libvirt; and how quick its answer is."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from kvist.host.run import run
from kvist.resources.hosts.livenames import live_names
from kvist.resources.shell import completion

KVIST = Path(sys.executable).with_name("kvist")

ASK = """
source /dev/stdin <<< "$1"
COMP_LINE="$2" COMP_POINT=${#2}
_kvist "$3"
printf '%s\\n' "${COMPREPLY[@]}"
"""


def pressed(line: str) -> list[str]:
    """Press the tab key in bash."""
    return run(["bash", "-c", ASK, "bash", completion("bash"), line, str(KVIST)]).text.split()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("kvist sandb", ["sandbox"]),
        ("kvist -H test:///default suspend te", ["test"]),
        ("kvist -H test:///default create a --nic network=", ["default"]),
        ("kvist completion z", ["zsh"]),
    ],
)
def test_bash_offers_it(line: str, offered: list[str]) -> None:
    assert pressed(line) == offered


def test_a_host_that_cannot_be_reached_offers_nothing_and_says_nothing() -> None:
    done = run([str(KVIST), "__complete", "fish", "--", "kvist", "-H", "test:///no/such.xml", "start", ""])
    assert (done.code, done.text) == (0, "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_understands_its_script(shell: str, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text(completion(shell))  # type: ignore[arg-type]
    assert "__complete " + shell in script.read_text()
    if shutil.which(shell):
        run([shell, "-n", str(script)])


HOST = """
<node>
  <domain type='test'>
    <name>web</name>
    <memory>1024</memory>
    <os><type>hvm</type></os>
    <metadata>
      <kvist:vm xmlns:kvist="urn:kvist:1"><kvist:forward>8080/tcp:80</kvist:forward></kvist:vm>
    </metadata>
    <devices>
      <disk type='file' device='disk'><source file='/a'/><target dev='vda' bus='virtio'/></disk>
      <disk type='file' device='cdrom'><target dev='sda' bus='sata'/></disk>
      <interface type='network'><mac address='52:54:00:00:00:01'/><source network='lab'/></interface>
    </devices>
  </domain>
  <network>
    <name>lab</name>
    <bridge name='br-lab'/>
    <dns><host ip='10.10.0.9'><hostname>db.lab</hostname></host></dns>
    <ip address='10.10.0.1' netmask='255.255.255.0'>
      <dhcp>
        <host mac='52:54:00:00:00:01' name='web' ip='10.10.0.5'/>
        <host mac='52:54:00:00:00:02' ip='10.10.0.6'/>
      </dhcp>
    </ip>
  </network>
</node>
"""


@pytest.mark.parametrize(
    ("kind", "of", "names"),
    [
        ("nic", "web", ["52:54:00:00:00:01"]),
        ("disk", "web", ["sda", "vda"]),
        ("drive", "web", ["sda"]),
        ("reservation", "lab", ["52:54:00:00:00:02", "web"]),
        ("hostname", "lab", ["db.lab"]),
        ("forward", "", ["8080/tcp"]),
        ("operation", "", []),
        ("trashed", "", []),
        ("nic", "nobody", []),
        ("reservation", "nothing", []),
    ],
)
def test_parts_are_those_of_the_thing_that_the_line_has_named(
    kind: str, of: str, names: list[str], tmp_path: Path
) -> None:
    file = tmp_path / "host.xml"
    file.write_text(HOST)
    assert live_names(kind, f"test://{file}", of) == names
