"""What the tab key offers: verbs, options and sub-keys from the written words, names from the host of the line."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from kvist.cli import complete
from kvist.cli.complete import candidates
from kvist.cli.main import main
from kvist.resources.hosts import livenames

NAMES = {
    "vm": ["db", "web1", "web2"],
    "network": ["default", "lab"],
    "image": ["debian-12", "micro"],
    "host": ["hv2", "sandbox:dev"],
    "sandbox": ["dev"],
    "pool": ["default"],
    "filter": ["clean-traffic", "web"],
}
PARTS = {
    ("nic", "web1"): ["52:54:00:00:00:01", "52:54:00:00:00:02"],
    ("disk", "web1"): ["vda", "vdb"],
    ("drive", "web1"): ["sda"],
    ("device", "web1"): ["rng:0", "vda"],
    ("reservation", "lab"): ["db", "web1"],
    ("hostname", "lab"): ["db.lab"],
    ("fw-rule", "web1"): ["1", "2"],
    ("filter-rule", "web"): ["1"],
    ("included", "web"): ["clean-traffic"],
    ("port", "br0"): ["eth1"],
    ("policed", "group:tier"): ["db", "group:tier"],
    ("policed", ""): ["db", "group:tier"],
    ("policed", "db"): ["db", "group:tier"],
    ("forward", ""): ["53/udp", "8080"],
    ("group", "add"): ["tier"],
    ("trashed", ""): ["old"],
    ("operation", ""): ["7"],
    ("link", "br0"): ["eth2"],
    ("link", "br9"): ["eth2"],
    ("recipe", ""): ["debian-12", "micro"],
    ("device-kind", "web1"): ["nic", "rng"],
}
"""What is a part of something, of what is named first behind the verb."""


class Live:
    """Names of what is there, and what was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None]] = []

    def __call__(self, kind: str, where: str | None, of: str) -> Iterable[str]:
        self.asked.append((kind, where))
        return NAMES[kind] if kind in NAMES else PARTS[kind, of]


@pytest.fixture
def live() -> Live:
    return Live()


def words(line: str, live: Live) -> list[str]:
    return [one.word for one in candidates(line.split(" ")[1:], live)]


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("kvist sta", ["start"]),
        ("kvist filter show cl", ["clean-traffic"]),
        ("kvist filter add web dr", ["drop"]),
        ("kvist filter add web drop in tc", ["tcp", "tcp-ipv6"]),
        ("kvist filter add web drop in tcp --dp", ["--dport"]),
        ("kvist filter add web drop in mac --protocolid r", ["rarp"]),
        ("kvist nic set web1 lab --filter cl", ["clean-traffic"]),
        ("kvist create a --nic lab,filter=w", ["lab,filter=web"]),
        ("kvist sandbox ", ["up", "ls", "exec", "shell", "down"]),
        ("kvist start we", ["web1", "web2"]),
        ("kvist start web1 we", ["web2"]),
        ("kvist start web1 ", ["db", "web2"]),
        ("kvist rename ", ["db", "web1", "web2"]),
        ("kvist rename web1 ", []),
        ("kvist autostart web1 ", ["on", "off"]),
        ("kvist wait web1 s", ["ssh"]),
        ("kvist create a --image de", ["debian-12"]),
        ("kvist create a --image=de", ["--image=debian-12"]),
        ("kvist create a --nic la", ["lab"]),
        ("kvist create a --nic lab,mac", ["lab,mac="]),
        ("kvist create a --nic network=", ["network=default", "network=lab"]),
        ("kvist set web1 --autostart o", ["on", "off"]),
        ("kvist set web1 --autostart --dry", ["--dry-run"]),
        ("kvist start --forc", []),
        ("kvist stop --forc", ["--force"]),
        ("kvist ls -o j", ["json"]),
        ("kvist ls --output=j", ["--output=json"]),
        ("kvist --allow re", ["replug", "restart", "recreate"]),
        ("kvist --host h", ["hv2"]),
        ("kvist --dry", ["--dry-run"]),
        ("kvist net start l", ["lab"]),
        ("kvist sandbox down ", ["dev"]),
        ("kvist exec web1 -- ", []),
        ("kvist nosuch ", []),
        ("kvist completion ", ["bash", "zsh", "fish"]),
        ("kvist nic set web1 ", ["52:54:00:00:00:01", "52:54:00:00:00:02"]),
        ("kvist nic remove web1 52:54:00:00:00:02", ["52:54:00:00:00:02"]),
        ("kvist disk set web1 ", ["vda", "vdb"]),
        ("kvist disk remove web1 vdb", ["vdb"]),
        ("kvist cdrom eject web1 --drive ", ["sda"]),
        ("kvist device set web1 r", ["rng:0"]),
        ("kvist device remove web1 ", ["rng:0", "vda"]),
        ("kvist device ls web1 ", ["nic", "rng"]),
        ("kvist device add web1 r", ["rng"]),
        ("kvist net unreserve lab ", ["db", "web1"]),
        ("kvist net host remove lab ", ["db.lab"]),
        ("kvist forward add 8080 w", ["web1", "web2"]),
        ("kvist forward remove 5", ["53/udp"]),
        ("kvist fw allow ", ["db", "group:tier"]),
        ("kvist fw allow db tcp/22 --from g", ["group:tier"]),
        ("kvist fw allow web1 any --nic ", ["52:54:00:00:00:01", "52:54:00:00:00:02"]),
        ("kvist fw block db ", ["group:tier"]),
        ("kvist fw remove web1 ", ["1", "2"]),
        ("kvist fw group add ", ["tier"]),
        ("kvist fw trace tcp/22 --to w", ["web1", "web2"]),
        ("kvist filter remove web ", ["1"]),
        ("kvist filter exclude web ", ["clean-traffic"]),
        ("kvist bridge add-port br0 ", ["eth2"]),
        ("kvist bridge create br9 --port ", ["eth2"]),
        ("kvist bridge remove-port br0 ", ["eth1"]),
        ("kvist trash restore ", ["old"]),
        ("kvist trash empty ", ["old"]),
        ("kvist log ", ["show", "db", "web1", "web2"]),
        ("kvist log show ", ["7"]),
        ("kvist undo ", ["7"]),
        ("kvist get w", ["web1", "web2"]),
        ("kvist image build m", ["micro"]),
        ("kvist cp web", ["web1:", "web2:"]),
    ],
)
def test_the_tab_key_offers_what_may_stand_there(line: str, offered: list[str], live: Live) -> None:
    assert words(line, live) == offered


@pytest.mark.parametrize("line", ["kvist ", "kvist set --mem", "kvist create a --nic lab,", "kvist image "])
def test_verbs_options_and_sub_keys_are_offered_without_asking_a_host(line: str, live: Live) -> None:
    assert words(line, live)
    assert {kind for kind, _ in live.asked} <= set()


@pytest.mark.parametrize("line", ["kvist -H hv2 start ", "kvist start --host=hv2 ", "kvist --host hv2 start "])
def test_names_come_from_the_host_of_the_line(line: str, live: Live) -> None:
    assert words(line, live) == NAMES["vm"]
    assert live.asked == [("vm", "hv2")]


def test_a_sub_key_that_is_there_already_is_not_offered_again(live: Live) -> None:
    assert "lab,model=virtio,mac=" in words("kvist create a --nic lab,model=virtio,", live)
    assert "lab,model=virtio,model=" not in words("kvist create a --nic lab,model=virtio,", live)


def test_options_say_what_they_mean(live: Live) -> None:
    told = dict(candidates(["stop", "--"], live))
    assert told["--force"] == "pull the plug at once instead of asking the guest"
    assert told["--all"] == "all VMs of the host"
    assert told["--dry-run"]


def test_files_are_offered_as_they_were_begun(tmp_path: Path, live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "debian.iso").touch()
    (tmp_path / "isos").mkdir()
    (tmp_path / ".hidden").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert words("kvist create a --cdrom ", live) == ["debian.iso", "isos/"]
    assert words("kvist create a --cdrom ./de", live) == ["./debian.iso"]
    assert words("kvist create a --cdrom ~/is", live) == ["~/isos/"]
    assert words(f"kvist create a --cdrom {tmp_path}/.", live) == [f"{tmp_path}/.hidden"]
    assert words("kvist create a --cdrom nowhere/", live) == []


@pytest.mark.parametrize(
    ("line", "printed"),
    [
        ("kvist create a --nic model=virt", "virtio\n"),
        ("kvist --host sandbox:d", "dev\n"),
        ("kvist --host=hv", "hv2\n"),
        ("kvist start 'we", "web1\nweb2\n"),
        ("kvist rename od", "odd\\ name\n"),
    ],
)
def test_bash_gets_what_it_takes_for_one_word(
    line: str, printed: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def names(kind: str, _where: str | None, _of: str) -> list[str]:
        return [*NAMES[kind], "odd name"]

    monkeypatch.setattr(livenames, "live_names", names)
    assert complete.main(["bash", f"{line} and more", str(len(line))]) == 0
    told = capsys.readouterr().out.splitlines()
    assert set(printed.splitlines()) <= set(told)


def test_zsh_and_fish_get_the_meaning_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert complete.main(["zsh", "--", "kvist", "sandbox", "u"]) == 0
    assert capsys.readouterr().out == "up\tStart a sandbox.\n"
    assert complete.main(["fish", "--", "kvist", "star"]) == 0
    assert capsys.readouterr().out == "start\tBoot VMs.\n"


def test_the_word_of_the_scripts_typed_by_a_person_ends_quietly(capsys: pytest.CaptureFixture[str]) -> None:
    assert [main(["__complete", *words]) for words in ((), ("bash",), ("zsh", "--"))] == [2, 2, 2]
    assert capsys.readouterr().out == ""
