"""The rules of the house, held against the source itself (docs/architecture.md draws the floors)."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
HOUSE = ROOT / "src" / "kvist"
SOURCES = sorted(HOUSE.rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))

FLOORS = (
    ("values", "errors"),
    ("xml", "virt", "host"),
    ("specs", "engine", "guest", "sandbox"),
    ("resources",),
    ("registry",),
    ("cli", "server", "labs", "__main__"),
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
FRONT_DOOR = "kvist"
"""kvist/__init__.py: lazy, and the one module that stands on no floor."""

STARTERS = {
    *("system", "popen", "fork", "forkpty", "posix_spawn", "posix_spawnp"),
    *(f"exec{form}" for form in ("l", "le", "lp", "lpe", "v", "ve", "vp", "vpe")),
    *(f"spawn{form}" for form in ("l", "le", "lp", "lpe", "v", "ve", "vp", "vpe")),
}
NAMELESS = {"utils", "util", "helpers", "helper", "common", "misc"}
LONGEST = 450


class Import(NamedTuple):
    """One import: from which module, of which, in which line, and whether it happens when the module is loaded."""

    by: str
    of: str
    line: int
    at_load: bool


def module_of(path: Path) -> str:
    parts = ("kvist", *path.relative_to(HOUSE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else module


def for_types_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def imports(path: Path) -> Iterator[Import]:
    by = module_of(path)

    def walk(node: ast.AST, at_load: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import):
            for name in node.names:
                yield Import(by, name.name, node.lineno, at_load)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{by}:{node.lineno}: relative import"
            assert node.module is not None
            for name in node.names:
                inner = f"{node.module}.{name.name}"
                yield Import(by, inner if inner in MODULES else node.module, node.lineno, at_load)
        elif for_types_only(node):
            assert isinstance(node, ast.If)
            for inside in node.body:
                yield from walk(inside, False)
            for instead in node.orelse:
                yield from walk(instead, at_load)
        else:
            later = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            for child in ast.iter_child_nodes(node):
                yield from walk(child, at_load and not later)

    return walk(tree_of(path), True)


MODULES = {module_of(path): path for path in SOURCES}
IMPORTS = [each for path in SOURCES for each in imports(path)]
OURS = [each for each in IMPORTS if each.of.split(".")[0] == "kvist"]


def places(found: list[Import]) -> list[str]:
    return [f"{each.by}:{each.line} imports {each.of}" for each in found]


def test_every_room_stands_on_a_floor() -> None:
    assert {room(module) for module in MODULES if module != FRONT_DOOR} <= set(FLOOR)


def test_an_arrow_points_down() -> None:
    up = [
        each
        for each in OURS
        if each.by != FRONT_DOOR and room(each.by) != room(each.of) and FLOOR[room(each.of)] >= FLOOR[room(each.by)]
    ]
    assert places(up) == []


def test_nobody_imports_the_command_line_or_the_server() -> None:
    assert places([each for each in OURS if room(each.of) in ("cli", "server") and room(each.by) != room(each.of)]) == [
        place for place in places(OURS) if place.startswith("kvist.__main__:")
    ]


def test_modules_do_not_need_each_other_in_a_circle_to_be_loaded() -> None:
    graph: dict[str, set[str]] = {module: set() for module in MODULES}
    for each in OURS:
        if each.at_load and each.of != each.by:
            graph[each.by].add(each.of)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as circle:
        pytest.fail(" -> ".join(circle.args[1]))


def test_only_the_room_virt_imports_libvirt() -> None:
    outside = [each for each in IMPORTS if each.of.startswith("libvirt") and room(each.by) != "virt"]
    assert places(outside) == []


def test_only_one_module_starts_processes() -> None:
    outside = [
        each
        for each in IMPORTS
        if each.of.split(".")[0] in ("subprocess", "pty", "multiprocessing")
        and each.by != "kvist.host.run"
        and not (each.of == "subprocess" and only_constants(MODULES[each.by]))
    ]
    assert places(outside) == []
    called = [
        f"{module}:{node.lineno} calls os.{node.attr}"
        for module, path in MODULES.items()
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "os"
        and node.attr in STARTERS
        and room(module) != "host"
    ]
    assert called == []


def only_constants(path: Path) -> bool:
    """Of subprocess it uses names that start nothing (PIPE, Popen as a type, TimeoutExpired)."""
    used = {
        node.attr
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "subprocess"
    }
    called = {
        node.func.attr
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "subprocess"
    }
    return used <= {"PIPE", "DEVNULL", "STDOUT", "Popen", "TimeoutExpired"} and not called


def test_only_the_room_xml_imports_lxml() -> None:
    outside = [each for each in IMPORTS if each.of.split(".")[0] == "lxml" and room(each.by) != "xml"]
    assert places(outside) == []


def test_an_init_file_holds_no_logic() -> None:
    logic = [
        f"{module_of(path)}: {type(node).__name__}"
        for path in SOURCES
        if path.name == "__init__.py" and path.parent != HOUSE
        for node in tree_of(path).body
        if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
    ]
    assert logic == []


def test_the_front_door_only_opens_when_it_is_asked_for() -> None:
    body = tree_of(HOUSE / "__init__.py").body
    assert [node.name for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)] == ["__getattr__"]
    at_load = {each.of for each in imports(HOUSE / "__init__.py") if each.at_load}
    assert at_load == {"__future__", "typing"}


def test_a_module_is_named_after_the_noun_it_owns() -> None:
    assert [str(path) for path in (*SOURCES, *TESTS) if path.stem in NAMELESS or path.parent.name in NAMELESS] == []


@pytest.mark.parametrize("path", [*SOURCES, *TESTS], ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_is_short_enough_to_be_read(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").count("\n")
    assert lines <= LONGEST, f"{lines} lines: split it by what it owns"


def test_no_program_is_started_by_a_shell() -> None:
    by_shell = [
        f"{path.relative_to(ROOT)}:{node.value.lineno}"
        for path in (*SOURCES, *TESTS)
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.keyword) and node.arg == "shell" and ast.unparse(node.value) == "True"
    ]
    assert by_shell == []


def comment_lines(path: Path) -> set[int]:
    tokens = tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline)
    return {token.start[0] for token in tokens if token.type == tokenize.COMMENT}


def test_an_error_that_is_swallowed_says_why() -> None:
    silent: list[str] = []
    for path in SOURCES:
        said = comment_lines(path)
        for node in ast.walk(tree_of(path)):
            if not isinstance(node, ast.ExceptHandler):
                continue
            if not all(isinstance(each, ast.Pass | ast.Continue) for each in node.body):
                continue
            last = node.body[-1].end_lineno or node.lineno
            # The reason stands in the handler or right above it.
            if not said & set(range(node.lineno - 1, last + 1)):
                silent.append(f"{module_of(path)}:{node.lineno}: {ast.unparse(node)}")
    assert silent == [], "\n".join(silent)


def test_no_mirror_of_packages_is_written_into_the_source() -> None:
    """Packages come from the machine's own mirror; publishers of images stand in the catalogue."""
    url = re.compile(r"\b(?:http|https|ftp)://[\w.-]+[\w/.-]*(?:debian|ubuntu)(?:-security)?/?(?=[\s\"']|$)")
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in sorted(HOUSE.rglob("*"))
        if path.is_file() and path.suffix in (".py", ".sh", ".toml", ".cfg") and path.name != "catalogue.toml"
        for match in url.finditer(path.read_text(encoding="utf-8"))
    ]
    assert found == []


def test_the_unit_tier_can_be_collected_without_libvirt() -> None:
    """Its tests run where libvirt cannot be imported: what they load at the top must not lead to the room virt."""
    graph = {module: {each.of for each in OURS if each.by == module and each.at_load} for module in MODULES}

    def reached(module: str, seen: set[str]) -> set[str]:
        for of in graph.get(module, set()) - seen:
            seen.add(of)
            reached(of, seen)
        return seen

    leading: list[str] = []
    for path in sorted((ROOT / "tests" / "unit").glob("*.py")):
        for node in tree_of(path).body:
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("kvist"):
                assert node.module is not None
                wanted = {node.module, *(f"{node.module}.{name.name}" for name in node.names)} & set(MODULES)
                for module in wanted:
                    virt = sorted(of for of in reached(module, {module}) if room(of) == "virt")
                    leading += [f"{path.name}: {module} loads {virt[0]}"] if virt else []
    assert leading == []
