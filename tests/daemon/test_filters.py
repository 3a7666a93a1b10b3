"""Network filters on a real libvirt: every document and protocol, and packets of a guest that stop and go on again."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.daemon.filter_lines import lines

from kvist.cli import globals as options
from kvist.cli.call import load
from kvist.cli.parser import Line
from kvist.errors import Invalid, KvistError, LibvirtFailed
from kvist.host.run import run
from kvist.registry.lookup import find
from kvist.resources.filters.library import BUILT_IN
from kvist.resources.filters.words import problems
from kvist.resources.hosts.host import Host
from kvist.sandbox.sandbox import Sandbox
from kvist.specs.nwfilter import Filter, Rule, entries, meaning, same_filter
from kvist.specs.nwfilter_protocols import PROTOCOLS
from kvist.xml.document import Document
from kvist.xml.path import drop

if TYPE_CHECKING:
    from tests.daemon.conftest import Kvist, Virsh

GUEST = "filtered"
DRY = "filter-of-corpus"
STP = """<filter name='stp'><rule action='accept' direction='inout' priority='-20'>
  <stp srcmacaddr='1:2:3:4:5:6' type='0x12' flags='$FLAGS' root-priority='1' root-priority-hi='0x10'
    root-address='6:5:4:3:2:1' root-address-mask='ff:ff:ff:ff:ff:0' root-cost='1' root-cost-hi='70000'
    sender-priority='3' sender-address='1:2:3:4:5:6' port='10' port-hi='20' age='1' max-age='2' max-age-hi='3'
    hello-time='4' forward-delay='5' forward-delay-hi='6' comment='spanning tree'/></rule></filter>"""
"""Of the protocols, the corpus lacks this one."""


@pytest.fixture(scope="module")
def corpus() -> list[Path]:
    directory = os.environ.get("KVIST_CORPUS")
    if not directory:
        pytest.skip("corpus not given: set KVIST_CORPUS")
    return sorted(Path(directory, "nwfilter").glob("*.xml"))


@pytest.fixture(scope="module")
def type_(host: Host) -> Callable[[list[str]], Any]:
    """Type a line of the noun `filter` without starting a process for it."""

    return lambda words: _bound(host, words)()


@pytest.fixture(scope="module")
def planned(host: Host) -> Callable[[list[str]], Any]:
    """Give the plan of a line."""

    def plan(words: list[str]) -> Any:
        bound = _bound(host, words)
        operation: Any = bound.func
        return operation.plan(**bound.keywords)

    return plan


def _bound(host: Host, words: list[str]) -> partial[Any]:
    _, rest = options.split(words)
    found = find(rest)
    assert found is not None
    verb, used = found
    _, given = Line(verb, load(verb)).read(rest[used:])
    return partial(getattr(host.filters, verb.target.rpartition(".")[2]), **given)


@pytest.fixture(scope="module", autouse=True)
def nothing_left(virsh: Virsh) -> Iterator[None]:
    """The host has libvirt's own filters before and after, and no others."""
    assert filters(virsh) == BUILT_IN
    yield
    assert filters(virsh) == BUILT_IN


@pytest.fixture
def dry(host: Host) -> Iterator[None]:
    """Take the filter of the corpus away, however far a test came with it."""
    yield
    host.filters.delete((DRY,))


def filters(virsh: Virsh) -> set[str]:
    return {row.split()[1] for row in virsh("nwfilter-list").splitlines() if row.strip()}


def renamed(path: Path) -> str:
    """Give the document of a corpus file under a name of the test's, without the filters that it includes for show."""
    document = Document.parse(path.read_text())
    Filter(name=DRY, uuid=None).write(document.root)
    return document.text()


def mended(text: str) -> Document:
    """Give a document without the rules that libvirt does not take, for their mistakes are what the file is about."""
    document = Document.parse(text)
    for node in list(entries(document.root)):
        alone = Document.new("filter", name=DRY)
        alone.root.append(deepcopy(node))
        if problems(alone.root):
            drop(node)
    return document


def stored(virsh: Virsh) -> Document:
    return Document.parse(virsh("nwfilter-dumpxml", DRY))


def test_every_filter_of_the_corpus_is_read_shown_and_kept_as_libvirt_itself_keeps_it(
    corpus: list[Path], line: Kvist, host: Host, virsh: Virsh, type_: Callable[[list[str]], Any], dry: None
) -> None:
    taken, refused = [], []
    for path in corpus:
        text = renamed(path)
        (line.home / "filter.xml").write_text(text)
        try:
            host.connection.nwfilters.define(text, name=DRY)
        except LibvirtFailed:
            # What libvirt does not take, kvist refuses before it is asked.
            refused.append(path.name)
            with pytest.raises(Invalid):
                type_(["filter", "create", DRY, "--from-xml", str(line.home / "filter.xml")])
            continue
        plain = stored(virsh)
        host.connection.nwfilters.undefine(DRY)
        try:
            type_(["filter", "create", DRY, "--from-xml", str(line.home / "filter.xml")])
        except KvistError as wrong:
            raise AssertionError(f"{path.name}: {wrong.what}") from wrong
        assert same_filter(stored(virsh).root) == same_filter(plain.root), path.name
        assert same_filter(Document.parse(text).root) == same_filter(plain.root), path.name
        shown = host.filters.show(DRY)
        own = [row for row in shown.as_dict()["rules"] if row["filter"] is None]
        assert len(own) == len(plain.root.findall(Rule.TAG)), path.name
        assert Document.parse(shown.xml) == stored(virsh)
        assert not type_(["filter", "create", DRY, "--from-xml", str(line.home / "filter.xml")]).changed
        type_(["filter", "delete", DRY])
        taken.append(path.name)
    assert len(taken) >= 30
    assert [name for name in refused if "invalid" not in name] == []


def test_every_filter_that_covers_a_protocol_is_made_anew_of_lines_alone(
    corpus: list[Path],
    virsh: Virsh,
    host: Host,
    type_: Callable[[list[str]], Any],
    planned: Callable[[list[str]], Any],
    dry: None,
) -> None:
    covered: set[str] = set()
    made = 0
    for text in (*(renamed(path) for path in corpus), STP.replace("'stp'", f"'{DRY}'")):
        document = mended(text)
        host.connection.nwfilters.define(document.text(), name=DRY)
        wanted = stored(virsh)
        host.connection.nwfilters.undefine(DRY)
        for words in lines(DRY, document):
            assert type_(words).changed, words
            assert not planned(words), "the second time there is nothing to do"
        assert _without_twins(stored(virsh)) == _without_twins(wanted), text
        type_(["filter", "delete", DRY])
        covered |= {meaning(node).protocol for node in entries(document.root) if node.tag == Rule.TAG}
        made += 1
    assert made > 40
    assert set(PROTOCOLS) - covered == set()


def _without_twins(document: Document) -> tuple[Any, ...]:
    """Give what a filter means; a rule that stands there twice does nothing the second time."""
    chain, inside = same_filter(document.root)
    return chain, tuple(dict.fromkeys(inside))


def test_libvirts_own_filters_are_those_that_are_called_so(host: Host) -> None:
    rows = host.filters.ls()
    assert {row.name for row in rows} == BUILT_IN
    assert all(row.built_in for row in rows)


@pytest.fixture(scope="module")
def guest(line: Kvist) -> Iterator[str]:
    line("create", GUEST, "--image", "micro", "--memory", "128M", "--cpus", "1", "--wait", "agent")
    yield line.json("ip", GUEST)[0]["address"]
    line("delete", GUEST, "--force", "--purge", "--yes")
    line("filter", "delete", "over", "shut", "like")


def test_packets_of_a_guest_stop_and_go_on_again_while_it_runs(
    line: Kvist, sandbox: Sandbox, virsh: Virsh, guest: str
) -> None:
    def ping() -> bool:
        return run(sandbox.enter(["ping", "-n", "-c", "1", "-W", "1", guest]), check=False).code == 0

    def http() -> bool:
        ask = f"GET / HTTP/1.0\r\nHost: {guest}\r\n\r\n"
        # The shell of the sandbox has no client of its own; bash can open a connection.
        talk = 'exec 3<>"/dev/tcp/$1/80" && printf "%s" "$2" >&3 && head -n 1 <&3'
        done = run(sandbox.enter(["timeout", "2", "bash", "-c", talk, "talk", guest, ask]), check=False)
        return done.text.startswith("HTTP/1")

    def twice(*words: str) -> list[dict[str, Any]]:
        first = line.json(*words)
        assert first["changed"] is True, words
        assert line.json(*words)["changed"] is False, words
        changes: list[dict[str, Any]] = first["changes"]
        return changes

    assert ping() and http()
    twice("filter", "create", "shut")
    twice("filter", "add", "shut", "drop", "in", "ip", "--protocol", "icmp")
    twice("filter", "create", "over", "--chain", "root")
    twice("filter", "include", "over", "shut")
    boot = line("exec", GUEST, "--", "cat", "/proc/sys/kernel/random/boot_id").text
    assert {each["when"] for each in twice("nic", "set", GUEST, "default", "--filter", "over")} == {"live"}
    assert not ping() and http()
    assert [row.split()[1] for row in virsh("nwfilter-binding-list").splitlines() if row.strip()] == ["over"]
    row = next(row for row in line.json("filter", "ls") if row["name"] == "over")
    assert row["used_by"] == [f'VM "{GUEST}"']

    # A change of what is included reaches the card at once, and only while it stands.
    (change,) = twice(
        "filter", "add", "shut", "drop", "in", "ip", "--protocol", "tcp", "--dport", "80", "--priority", "7"
    )
    assert change["when"] == "live on 1 running card"
    assert not ping() and not http()
    before = virsh("nwfilter-dumpxml", "shut")
    line("filter", "remove", "shut", "1")
    assert http() and not ping()
    line("undo")
    assert virsh("nwfilter-dumpxml", "shut") == before
    assert not http()
    twice("filter", "remove", "shut", "drop", "in", "ip", "--protocol", "icmp")
    assert ping() and not http()

    # Nobody pulls away what a card stands on; another name it gets while it stands.
    assert f'it is used by VM "{GUEST}"' in line.refused("filter", "delete", "over", code=4)
    twice("filter", "rename", "over", "under")
    assert [row.split()[1] for row in virsh("nwfilter-binding-list").splitlines() if row.strip()] == ["under"]
    assert "'under'" in virsh("dumpxml", GUEST, "--inactive") and ping() and not http()
    line("undo")
    assert [row.split()[1] for row in virsh("nwfilter-binding-list").splitlines() if row.strip()] == ["over"]
    assert "'over'" in virsh("dumpxml", GUEST, "--inactive") and ping() and not http()
    assert 'it is used by filter "over"' in line.refused("filter", "delete", "shut", code=4)
    assert "shut -> over -> shut" in line.refused("filter", "include", "shut", "over", code=2)
    assert virsh("nwfilter-binding-list")

    # The firewall of the host sees the guest's answers, and forgets them with the filter.
    twice("filter", "create", "like")
    twice("filter", "add", "like", "drop", "out", "icmp", "--type", "0")
    twice("nic", "set", GUEST, "default", "--filter", "like")
    assert not ping() and http()
    line("nic", "set", GUEST, "default", "--filter", "none")
    assert ping() and http()
    assert virsh("nwfilter-binding-list").strip() == ""
    assert line("exec", GUEST, "--", "cat", "/proc/sys/kernel/random/boot_id").text == boot
    twice("filter", "delete", "like")


def test_row_38_a_card_gets_a_filter_of_libvirts_own_and_gives_its_variables_values(
    line: Kvist, sandbox: Sandbox, virsh: Virsh, guest: str
) -> None:
    card = ("nic", "set", GUEST, "default", "--filter")
    line(*card, "clean-traffic")
    assert run(sandbox.enter(["ping", "-n", "-c", "1", "-W", "2", guest])).code == 0
    complaint = line.refused(*card, "no-ip-spofing", code=2)
    assert 'there is no filter "no-ip-spofing"; no-ip-spoofing' in complaint
    line(*card, "no-ip-spoofing", "--filter-parameters", f"IP={guest},10.9.9.9")
    assert virsh("dumpxml", GUEST).count("parameter name='IP'") == 2
    line("exec", GUEST, "--", "true")
    assert "is not like 10.0.0.5" in line.refused(
        *card, "no-ip-spoofing", "--filter-parameters", "IP=10.0.0.0/8", code=2
    )
    line("nic", "set", GUEST, "default", "--filter-parameters", f"IP={guest}")
    assert virsh("dumpxml", "--inactive", GUEST).count("parameter name='IP'") == 1
    line("nic", "set", GUEST, "default", "--filter", "none")
    assert "filterref" not in virsh("dumpxml", "--inactive", GUEST)


def test_rules_are_shown_in_the_order_in_which_the_kernel_has_them(
    line: Kvist, sandbox: Sandbox, virsh: Virsh, guest: str
) -> None:
    tap = virsh("domiflist", GUEST).split()[0]
    line("filter", "create", "order")
    line("filter", "create", "order-ipv4", "--chain", "ipv4")
    line("filter", "add", "order-ipv4", "accept", "out", "tcp", "--dport", "3", "--priority", "1")
    line("filter", "include", "order", "order-ipv4")
    line("filter", "include", "order", "no-ip-spoofing", f"IP={guest}")
    ethernet = {"-711": "0x9001", "-710": "0x9002", "-705": "0x9003", "-700": "0x9004", "-1": "0x9005"}
    for priority, kind in reversed(ethernet.items()):
        line("filter", "add", "order", "accept", "out", "mac", "--protocolid", kind, "--priority", priority)
    for port, priority in (("1", "600"), ("2", "400")):
        line("filter", "add", "order", "accept", "out", "tcp", "--dport", port, "--priority", priority)
    line("nic", "set", GUEST, "default", "--filter", "order")
    try:
        rows = line.json("filter", "show", "order")["rules"]
        seen = [row["chain"] or str(row["conditions"]).split()[1] for row in rows]
        told = run(sandbox.enter(["ebtables", "-t", "nat", "-L", f"libvirt-I-{tap}"])).text
        at_once = [words[1] if words[3] == "ACCEPT" else words[3].partition(f"-{tap}-")[2] for words in _rules(told)]
        # The chain of libvirt's filter stands in for its three rules.
        assert list(dict.fromkeys(seen[:-3])) == at_once
        told = run(sandbox.enter(["iptables", "-S", f"FI-{tap}"])).text
        assert [words[words.index("--dport") + 1] for words in _rules(told) if "--dport" in words] == ["2", "1", "3"]
        assert [row["conditions"] for row in rows[-3:]] == ["dport 2", "dport 1", "dport 3"]
    finally:
        line("nic", "set", GUEST, "default", "--filter", "none")
        line("filter", "delete", "order", "order-ipv4")


def _rules(told: str) -> list[list[str]]:
    return [text.split() for text in told.splitlines() if text.startswith("-") and " -j " in text]


def test_what_libvirt_forgets_of_a_filter_is_told_and_the_old_one_is_back(
    line: Kvist, virsh: Virsh, guest: str
) -> None:
    before = virsh("nwfilter-dumpxml", "shut")
    for words, says in (
        (("tcp", "--ipset", "bad", "--ipset-flags", "src"), "leave --ipset-flags out"),
        (("tcp", "--dport", "!22"), "say it with two rules"),
    ):
        complaint = line.refused("filter", "add", "shut", "drop", "in", *words, code=1)
        assert "libvirt does not keep what filter" in complaint and says in complaint
        assert virsh("nwfilter-dumpxml", "shut") == before
    assert line.notes() == []


def test_a_deleted_filter_comes_back_as_it_was(line: Kvist, virsh: Virsh, guest: str) -> None:
    line("filter", "copy", "clean-traffic", "like")
    before = virsh("nwfilter-dumpxml", "like")
    line("filter", "delete", "like")
    line("undo")
    assert virsh("nwfilter-dumpxml", "like") == before
    assert line("filter", "show", "like", "-o", "xml").text.strip() == before
    line("filter", "rename", "like", "liked")
    line("undo")
    assert virsh("nwfilter-dumpxml", "like") == before
    assert "libvirt's own" in line.refused("filter", "delete", "clean-traffic", code=4)
    assert "shows no document" in line.refused("filter", "ls", "-o", "xml", code=2)
    line("filter", "delete", "like")
