"""Network filters edited against a libvirt that only remembers: what is planned, refused, done and taken back."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

import pytest

from kvist.engine.plan import Plan
from kvist.engine.step import Site
from kvist.errors import Conflict, Failed, Invalid, KvistError, NotFound, Refused
from kvist.resources.filters.filter import Filters
from kvist.resources.filters.library import BUILT_IN, Library
from kvist.resources.filters.use import exact, unknown
from kvist.resources.filters.view import view
from kvist.resources.steps.filters import DefineFilter
from kvist.specs.nic import FilterParameter, Nic
from kvist.specs.nwfilter import Conditions
from kvist.xml.document import Document

SPOOF = """<filter name='no-ip-spoofing' chain='ipv4-ip' priority='-710'><uuid>u2</uuid>
  <rule action='drop' direction='out' priority='1000'/>
  <rule action='return' direction='out'><ip srcipaddr='$IP'/></rule>
</filter>"""
WEB = """<filter name='web' chain='root'>
  <uuid>u1</uuid>
  <rule action='drop' direction='in' priority='300'>
    <tcp dstportstart='22' srcipaddr='$ADMIN'/>
  </rule>
  <filterref filter='no-ip-spoofing'/>
  <rule action='accept' direction='in' priority='-800'>
    <mac/>
  </rule>
  <rule action='accept' direction='in' priority='-100'>
    <icmp/>
  </rule>
</filter>"""
VM = """<domain><devices><interface type='network'><mac address='52:54:00:00:00:01'/>
<filterref filter='web'/></interface></devices></domain>"""
BINDING = """<filterbinding><owner><name>{vm}</name></owner><portdev name='vnet0'/>
<mac address='52:54:00:00:00:01'/></filterbinding>"""


class Stored(NamedTuple):
    name: str
    uuid: str
    xml: str


class Bound(NamedTuple):
    port: str
    filter: str
    xml: str


class Memory:
    """What libvirt's filters look like to kvist."""

    def __init__(self, *texts: str) -> None:
        self.kept = {Document.parse(text).root.get("name") or "": text for text in texts}
        self.bound: list[Bound] = []
        self.forgets = ""
        """What it drops without a word."""

    def all(self) -> list[Stored]:
        return [Stored(name, self.uuid(name), text) for name, text in sorted(self.kept.items())]

    def bindings(self) -> list[Bound]:
        return self.bound

    def uuid(self, name: str) -> str:
        return Document.parse(self.kept[name]).root.findtext("uuid") or ""

    def xml(self, name: str) -> str:
        return self.kept[name]

    def stored(self, name: str) -> str:
        return self.kept.get(name, "")

    def define(self, xml: str, *, name: str) -> None:
        assert name, "errors name the filter"
        self.kept[Document.parse(xml).root.get("name") or ""] = xml.replace(self.forgets, "") if self.forgets else xml

    def undefine(self, name: str) -> None:
        del self.kept[name]


class Setting(NamedTuple):
    filters: Filters
    memory: Memory
    site: Site
    vms: list[tuple[str, str]]
    said: list[str]

    def do(self, plan: Plan) -> Plan:
        for step in plan:
            step.apply(self.site)
            step.verify(self.site)
        return plan


@pytest.fixture
def setting() -> Setting:
    memory, vms, said = Memory(WEB, SPOOF), list[tuple[str, str]](), list[str]()
    domains = SimpleNamespace(
        both=lambda: [SimpleNamespace(name=name, live="", stored=text) for name, text in vms],
        documents=lambda *, active=False: vms,
        persistent=lambda name: name in dict(vms),
        state=lambda name: SimpleNamespace(active=name in dict(vms)),
        xml=lambda name, **_: dict(vms)[name],
    )
    connection = cast("Any", SimpleNamespace(nwfilters=memory, domains=domains))
    site = Site(connection, report=lambda what, _share: said.append(what))
    host = cast("Any", SimpleNamespace(connection=connection, site=site))
    return Setting(Filters(host), memory, site, vms, said)


def test_rules_are_listed_in_the_order_in_which_a_packet_meets_them(setting: Setting) -> None:
    shown = view(setting.filters.library, "web").as_dict()
    assert [(row["number"], row["priority"], row["protocol"], row["filter"]) for row in shown["rules"]] == [
        (1, -800, "mac", None),
        (2, 500, "ip", "no-ip-spoofing"),
        (3, 1000, None, "no-ip-spoofing"),
        (4, -100, "icmp", None),
        (5, 300, "tcp", None),
    ]
    assert shown["variables"] == ["ADMIN"]
    assert shown["includes"] == ["no-ip-spoofing"]
    assert setting.filters.show("web").xml == WEB


def test_the_hosts_firewall_sees_the_rules_of_root_before_all_others(setting: Setting) -> None:
    rule = "<rule action='drop' direction='in' priority='1'><udp/></rule>"
    chained = f"<filter name='c' chain='ipv4'><uuid>u9</uuid>{rule}</filter>"
    setting.memory.kept |= {"c": chained, "web": WEB.replace("no-ip-spoofing", "c")}
    rows = setting.filters.library.evaluated("web")
    assert [(row.filter, row.said.protocol) for row in rows] == [
        ("web", "mac"),
        ("web", "icmp"),
        ("web", "tcp"),
        ("c", "udp"),
    ]


def test_the_list_says_who_uses_a_filter_and_which_are_libvirts_own(setting: Setting) -> None:
    setting.vms.append(("shop", VM))
    setting.memory.bound += [
        Bound("vnet0", "web", BINDING.format(vm="shop")),
        Bound("tap9", "web", BINDING.format(vm="")),
    ]
    rows = {row.name: row for row in setting.filters.ls()}
    assert rows["web"].used_by == ('VM "shop"', 'running card "tap9"')
    assert (rows["web"].rules, rows["web"].built_in, rows["web"].chain, rows["web"].priority) == (3, False, "root", 0)
    assert (rows["no-ip-spoofing"].built_in, rows["no-ip-spoofing"].priority) == (True, -710)
    assert rows["no-ip-spoofing"].used_by == ('filter "web"',)


def test_a_rule_is_added_once_and_the_answer_says_how_many_cards_it_reached(setting: Setting) -> None:
    setting.memory.bound.append(Bound("vnet0", "over", BINDING.format(vm="shop")))
    setting.memory.kept["over"] = "<filter name='over'><uuid>u3</uuid><filterref filter='web'/></filter>"
    ask = {"conditions": Conditions(dport="80-90"), "priority": 7}
    plan = setting.do(setting.filters.add.plan("web", "accept", "in", "tcp", **ask))  # type: ignore[arg-type]
    assert [change.as_dict() for change in plan.changes()] == [
        {
            "object": "web",
            "field": "rule",
            "before": None,
            "after": "accept in tcp --dport 80-90 --priority 7",
            "when": "live on 1 running card",
        }
    ]
    assert [command.argv[0] for command in plan.commands()] == ["virsh"]
    assert not setting.filters.add.plan("web", "accept", "in", "tcp", **ask)  # type: ignore[arg-type]
    for step in plan:
        step.undo(setting.site)
    assert setting.memory.kept["web"] == WEB


def test_what_libvirt_forgets_is_told_with_the_way_out(setting: Setting) -> None:
    setting.memory.forgets = ' ipset="bad" ipsetflags="src"'
    sets = Conditions(ipset="bad", ipset_flags="src")
    (step,) = setting.filters.add.plan("web", "drop", "in", "tcp", sets)
    with pytest.raises(Failed, match="--ipset-flags src” as asked for, “drop in tcp” as kept") as wrong:
        step.apply(setting.site)
    assert "leave --ipset-flags out" in wrong.value.hint
    assert set(setting.memory.kept) == {"web", "no-ip-spoofing"}
    assert setting.memory.kept["web"] == WEB, "it was not in force for a moment"
    # Cut off in the middle of the trial.
    setting.memory.kept[f"kvist-trial-{step.record()['uuid']}"] = WEB
    step.undo(setting.site)
    assert set(setting.memory.kept) == {"web", "no-ip-spoofing"}


def test_a_change_by_somebody_else_meanwhile_is_not_lost(setting: Setting) -> None:
    (step,) = setting.filters.add.plan("web", "drop", "in")
    setting.memory.kept["web"] = WEB.replace("300", "301")
    with pytest.raises(Conflict, match="somebody else has changed it"):
        step.apply(setting.site)
    setting.memory.kept["web"] = WEB
    step.apply(setting.site)
    setting.memory.kept["web"] = WEB.replace("300", "301")
    with pytest.raises(Refused, match="it has been changed since"):
        step.inverse(setting.site)


def test_undoing_a_step_leaves_alone_what_is_another_filter_now(setting: Setting) -> None:
    (step,) = setting.filters.create.plan("fresh")
    step.undo(setting.site)
    assert "fresh" not in setting.memory.kept
    setting.memory.kept["fresh"] = "<filter name='fresh'><uuid>other</uuid></filter>"
    step.undo(setting.site)
    assert "fresh" in setting.memory.kept
    assert isinstance(step, DefineFilter) and step.uuid != "other"


def test_a_rule_goes_by_its_number_or_by_its_words(setting: Setting) -> None:
    plan = setting.do(setting.filters.remove.plan("web", "5"))
    assert [change.before for change in plan.changes()] == [
        "drop in tcp --source-ip '$ADMIN' --dport 22 --priority 300"
    ]
    words = ("web", "accept", "in", "icmp")
    setting.do(setting.filters.remove.plan(*words, priority=-100))  # type: ignore[arg-type]
    assert not setting.filters.remove.plan(*words, priority=-100)  # type: ignore[arg-type]
    assert "<icmp" not in setting.memory.kept["web"] and "<mac/>" in setting.memory.kept["web"]


@pytest.mark.parametrize(
    ("number", "kind", "says"),
    [
        ("9", NotFound, "has no rule 9; it has 5"),
        ("2", Refused, 'a rule of filter "no-ip-spoofing"'),
        ("x", Invalid, "neither a number nor a rule"),
    ],
)
def test_a_rule_that_is_not_the_filters_own_is_not_removed(
    number: str, kind: type[KvistError], says: str, setting: Setting
) -> None:
    with pytest.raises(kind, match=says):
        setting.filters.remove.plan("web", number)


def test_a_filter_includes_another_once_with_the_values_said_last(setting: Setting) -> None:
    setting.do(setting.filters.create.plan("a"))
    for values in (("IP=10.0.0.1,10.0.0.2",), ("IP=10.0.0.3",), ()):
        assert setting.do(setting.filters.include.plan("a", "no-ip-spoofing", values))
        assert not setting.filters.include.plan("a", "no-ip-spoofing", values)
    assert setting.memory.kept["a"].count("filterref") == 1
    setting.do(setting.filters.exclude.plan("a", "no-ip-spoofing"))
    assert not setting.filters.exclude.plan("a", "no-ip-spoofing")


@pytest.mark.parametrize("kept", ["", "IP=10.0.0.2"], ids=["neither", "the second"])
def test_a_filter_that_is_included_twice_is_included_once_with_the_values_said_last(
    kept: str, setting: Setting
) -> None:
    include = "<filterref filter='no-ip-spoofing'><parameter name='IP' value='10.0.0.{}'/></filterref>"
    twice = include.format(1) + include.format(2)
    setting.memory.kept["a"] = f"<filter name='a'><uuid>u7</uuid>{twice}</filter>"
    values = (kept or "IP=10.0.0.9",)
    plan = setting.do(setting.filters.include.plan("a", "no-ip-spoofing", values))
    assert "include no-ip-spoofing IP=10.0.0.1" in [change.before for change in plan.changes()]
    includes = Library(setting.site.connection).includes("a")
    assert [str(one.parameters[0].value) for one in includes] == [values[0].removeprefix("IP=")]
    assert not setting.filters.include.plan("a", "no-ip-spoofing", values)


def test_a_loop_of_includes_is_told_with_its_path(setting: Setting) -> None:
    for name, other in (("a", "web"), ("b", "a")):
        setting.do(setting.filters.create.plan(name))
        setting.do(setting.filters.include.plan(name, other))
    with pytest.raises(Invalid, match="web -> b -> a -> web"):
        setting.filters.include.plan("web", "b")
    with pytest.raises(Invalid, match="a -> a"):
        setting.filters.include.plan("a", "a")
    with pytest.raises(
        Invalid, match=r'there is no filter "no-ip-spofing"; no-ip-spoofing\?; "IP" is not like|"IP" is not'
    ):
        setting.filters.include.plan("a", "no-ip-spofing", ("IP",))


def test_a_filter_in_use_is_not_deleted_and_its_users_are_named(setting: Setting) -> None:
    setting.do(setting.filters.copy.plan("web", "shop"))
    setting.vms.append(("vm", VM))
    with pytest.raises(Refused, match='it is used by VM "vm"'):
        setting.filters.delete.plan(("web",))
    setting.vms.clear()
    setting.do(setting.filters.include.plan("shop", "web"))
    with pytest.raises(Refused, match='it is used by filter "shop"'):
        setting.filters.delete.plan(("web",))
    plan_of_both = setting.filters.delete.plan(("web", "shop", "web"))
    assert [step.describe() for step in plan_of_both] == ['remove filter "shop"', 'remove filter "web"']
    setting.do(plan_of_both)
    assert not setting.filters.delete.plan(("web", "shop"))
    for step in reversed(plan_of_both.steps):
        step.undo(setting.site)
    assert setting.memory.kept["web"] == WEB


def test_a_copy_has_an_identity_of_its_own(setting: Setting) -> None:
    setting.do(setting.filters.copy.plan("no-ip-spoofing", "mine"))
    assert setting.memory.uuid("mine") not in ("u1", "u2", "")
    assert not setting.filters.copy.plan("no-ip-spoofing", "mine")
    with pytest.raises(
        Conflict, match='there is a filter "web" already: chain is ipv4-ip as no-ip-spoofing, root as web'
    ):
        setting.filters.copy.plan("no-ip-spoofing", "web")


def test_libvirts_own_filters_are_protected_from_every_change(setting: Setting) -> None:
    filters, name = setting.filters, "no-ip-spoofing"
    assert name in BUILT_IN
    plans: list[Callable[[], Plan]] = [
        lambda: filters.add.plan(name, "drop", "in"),
        lambda: filters.remove.plan(name, "1"),
        lambda: filters.include.plan(name, "web"),
        lambda: filters.exclude.plan(name, "web"),
        lambda: filters.set.plan(name, priority=1),
        lambda: filters.delete.plan((name,)),
        lambda: filters.rename.plan(name, "mine"),
    ]
    for plan in plans:
        with pytest.raises(Refused, match="one of libvirt's own") as wrong:
            plan()
        assert wrong.value.hint == "kvist filter copy no-ip-spoofing my-no-ip-spoofing"
    clashes: list[Callable[[], Plan]] = [
        lambda: filters.create.plan(name),
        lambda: filters.copy.plan("web", "clean-traffic"),
    ]
    for clash in clashes:
        with pytest.raises(Invalid, match="the name of a filter of libvirt's own"):
            clash()


def test_all_that_is_wrong_with_a_new_filter_is_told_at_once(setting: Setting) -> None:
    with pytest.raises(Invalid) as wrong:
        setting.filters.create.plan("2", chain="ipv9", priority=5000)
    assert [problem.path for problem in wrong.value.problems] == ["NAME", "--priority", "--chain"]


def test_a_filter_is_made_of_a_document_and_compared_with_the_one_that_is_there(
    setting: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "filter.xml"
    file.write_text(WEB)
    assert not setting.filters.create.plan("web", from_xml=str(file))
    setting.do(setting.filters.create.plan("other", from_xml=str(file)))
    assert setting.memory.uuid("other") != "u1", "one identity is for one filter"
    file.write_text(WEB.replace("u1", "u7").replace("'300'", "'0300'").replace("-800", "-900"))
    with pytest.raises(Conflict, match="“accept in mac --priority -900” as asked for, “accept in mac --priority -800”"):
        setting.filters.create.plan("web", from_xml=str(file))
    monkeypatch.setattr("sys.stdin", io.StringIO(WEB.replace("u1", "u7")))
    setting.do(setting.filters.create.plan("third", from_xml="-"))
    assert setting.memory.uuid("third") == "u7"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            WEB.replace("'22'", "'70000'").replace("no-ip-", "no-op-"),
            '70000 is not between.*no filter "no-op-spoofing"',
        ),
        (WEB.replace("no-ip-spoofing", "web"), "web -> web"),
        ("<filter", "cannot read XML document"),
    ],
)
def test_a_document_that_libvirt_would_half_forget_is_refused(
    text: str, says: str, setting: Setting, tmp_path: Path
) -> None:
    (tmp_path / "filter.xml").write_text(text)
    with pytest.raises(Invalid, match=says):
        setting.filters.create.plan("web", from_xml=str(tmp_path / "filter.xml"))
    with pytest.raises(Invalid, match="cannot read"):
        setting.filters.create.plan("web", from_xml=str(tmp_path / "missing.xml"))


def test_chain_and_priority_are_changed_and_the_usual_priority_goes_with_the_chain(setting: Setting) -> None:
    plan = setting.do(setting.filters.set.plan("web", chain="ipv4"))
    assert [(change.field, change.before, change.after) for change in plan.changes()] == [
        ("chain", "root", "ipv4"),
        ("priority", "0", "-700"),
    ]
    assert not setting.filters.set.plan("web", chain="ipv4")
    setting.do(setting.filters.set.plan("web", priority=-650))
    assert not setting.filters.set.plan("web", priority=-650, chain="ipv4")
    with pytest.raises(Invalid, match="say what is to be otherwise"):
        setting.filters.set.plan("web")


def test_a_card_with_an_unknown_filter_is_complained_of_and_missing_values_are_warned_of(setting: Setting) -> None:
    host = setting.filters.host
    (wrong,) = unknown(host, (Nic(filter="wep"), Nic(network="lab")))
    assert str(wrong) == '.nics[0].filter: there is no filter "wep"; web?'
    assert unknown(host, (Nic(filter="web"),)) == []
    assert setting.said == [
        'warning: filter "web" names $ADMIN, and the card gives it no value: --filter-parameters ADMIN=VALUE'
    ]
    setting.said.clear()
    given = Nic(filter="web", filter_parameters=(FilterParameter(name="ADMIN", value="10.0.0.1"),))
    assert (unknown(host, (given,)), setting.said) == ([], [])


def test_a_variable_of_a_card_has_the_values_told_last_and_no_others() -> None:
    def card(*values: str) -> Nic:
        return Nic(filter="web", filter_parameters=tuple(FilterParameter(name="IP", value=each) for each in values))

    for had, wanted in ((("a", "b"), ("c",)), (("a",), ("b", "c")), (("a", "b"), ("a", "b"))):
        document = Document.new("interface", type="user")
        card(*had).write(document.root)
        exact(card(*had), card(*wanted)).write(document.root)
        assert Nic.read(document.root).filter_parameters == card(*wanted).filter_parameters
    document = Document.new("interface", type="user")
    card("a", "b").write(document.root)
    exact(card("a", "b"), Nic(filter_parameters=(FilterParameter.removed(name="IP"),))).write(document.root)
    assert Nic.read(document.root).filter_parameters == ()
    card("a").write(document.root)
    exact(card("a"), Nic(filter=None)).write(document.root)
    assert document.root.find("filterref") is None


def test_a_loop_that_is_there_already_does_not_hold_kvist_up(setting: Setting) -> None:
    setting.memory.kept["web"] = WEB.replace("no-ip-spoofing", "web")
    library = Library(setting.site.connection)
    assert [placed.filter for placed in library.evaluated("web")] == ["web"] * 3
