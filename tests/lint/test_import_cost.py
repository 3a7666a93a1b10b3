"""What a line loads is what it needs: sets of modules, for times differ from machine to machine."""

from __future__ import annotations

import sys

import pytest

from kvist.host.run import run

LOOK = """
import sys
before = set(sys.modules)
from kvist.cli.main import main
code = main(sys.argv[1:])
print("\\0" + "\\n".join(sorted(set(sys.modules) - before)))
sys.exit(code)
"""

HEAVY = {
    *("rich", "yaml", "pycdlib", "urllib3", "zstandard", "pydantic", "click", "typer", "attr"),
    *(
        "asyncio",
        "concurrent",
        "multiprocessing",
        "ssl",
        "http",
        "email",
        "sqlite3",
        "xml",
        "tomllib",
        "importlib.metadata",
    ),
}
"""What no line may load that neither shows a bar nor fetches, bakes or writes anything."""
NOT_FOR_HELP = HEAVY | {
    *("libvirt", "lxml", "argparse", "inspect", "json", "subprocess", "dataclasses", "threading", "socket", "tempfile"),
    *("ipaddress", "pathlib", "shutil", "logging", "difflib", "random", "datetime"),
}


def loaded(*line: str) -> set[str]:
    """Give the modules that a line loads, and the packages they are in."""
    done = run([sys.executable, "-c", LOOK, *line])
    names = done.text.partition("\0")[2].split()
    return {
        ".".join(parts[: depth + 1]) for parts in (name.split(".") for name in names) for depth in range(len(parts))
    }


@pytest.mark.parametrize("line", ["--help", "help", "image --help", "sandbox"])
def test_help_loads_next_to_nothing(line: str) -> None:
    found = loaded(*line.split())
    assert found & NOT_FOR_HELP == set()
    assert {name for name in found if name.startswith("kvist.") and not name.startswith("kvist.registry.")} <= {
        *("kvist.errors", "kvist.registry", "kvist.cli"),
        *("kvist.cli.main", "kvist.cli.globals", "kvist.cli.help", "kvist.cli.command"),
    }


@pytest.mark.parametrize(
    ("line", "noun"),
    [
        *(("ls", "machines"), ("-o json ls", "machines"), ("-o name ls", "machines")),
        *(("start test", "vm"), ("suspend test", "vm"), ("stop test --dry-run", "vm")),
    ],
)
def test_a_plain_line_loads_its_own_noun_and_nothing_heavy(line: str, noun: str) -> None:
    found = loaded("--host", "test:///default", *line.split())
    # The journal is opened by what changes something, and by nothing else.
    assert found & HEAVY == ({"sqlite3"} if line.startswith("suspend") else set())
    assert f"kvist.resources.vms.{noun}" in found
    assert (
        found & {"kvist.resources.images.image", "kvist.resources.networks.network", "kvist.sandbox", "kvist.guest"}
        == set()
    )


def test_listing_starts_no_process_and_reads_no_document() -> None:
    found = loaded("--host", "test:///default", "ls")
    assert found & {"subprocess", "lxml", "shutil", "kvist.specs", "kvist.resources.steps"} == set()


def test_the_help_of_a_verb_connects_to_nothing() -> None:
    found = loaded("start", "--help")
    assert found & HEAVY == set()
    assert "kvist.virt.connection" not in found


def test_importing_kvist_costs_nothing_until_a_host_is_asked_for() -> None:
    look = "import sys; before = set(sys.modules); import kvist; print(*sorted(set(sys.modules) - before))"
    found = set(run([sys.executable, "-c", look]).text.split())
    assert {name for name in found if name.startswith("kvist")} == {"kvist"}
    assert found & NOT_FOR_HELP == set()


@pytest.mark.parametrize("line", ["kvist sta", "kvist set web --mem", "kvist create web --nic default,mo"])
def test_completing_a_verb_or_an_option_loads_neither_libvirt_nor_the_verb(line: str) -> None:
    found = loaded("__complete", "bash", line, str(len(line)))
    assert found & (HEAVY | {"libvirt", "lxml", "argparse", "inspect", "dataclasses"}) == set()
    assert {name for name in found if name.startswith("kvist.resources.")} == {
        "kvist.resources.hosts",
        "kvist.resources.hosts.livenames",
    }
