"""Print answers: tables for people, JSON and YAML for programs, names for shells. Data to stdout, words to stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kvist.values import Duration, Size

if TYPE_CHECKING:
    from kvist.cli.globals import Globals
    from kvist.engine.execute import Answer
    from kvist.engine.plan import Plan
    from kvist.engine.step import Change
    from kvist.errors import KvistError
    from kvist.resources.netview.outline import Branch


def show(result: Any, chosen: Globals) -> None:
    """Print what a question gave: a list of rows, one record, or a line of text."""
    if chosen.output == "xml":
        _out(result.xml)
    elif chosen.output in ("json", "yaml"):
        _data(plain(result), chosen.output)
    elif chosen.output == "svg":
        _out(result.svg())
    elif hasattr(result, "outline"):
        _trees(result.outline(), chosen)
    elif isinstance(result, str):
        _out(result if result.endswith("\n") else result + "\n")
    elif isinstance(result, list):
        if chosen.output == "name":
            # A thing that has several rows (an image of two architectures) has one name all the same.
            names = dict.fromkeys(row[0] if isinstance(row, tuple) else row for row in result)
            _out("".join(f"{name}\n" for name in names))
        else:
            _table(result)
    elif chosen.output == "name":
        # What a record begins with is what it is known by.
        _out(f"{next(iter(_mapping(result).values()))}\n")
    else:
        _record(_mapping(result))


def _trees(trees: Sequence[Branch], chosen: Globals) -> None:
    from kvist.cli.outline import drawing

    if chosen.output == "name":
        _out("".join(f"{tree.name}\n" for tree in trees))
    else:
        _out(drawing(trees, sys.stdout))


def answer(done: Answer, chosen: Globals) -> None:
    """Print what an operation did, field by field."""
    if chosen.output in ("json", "yaml"):
        _data(done.as_dict(), chosen.output)
    elif chosen.output == "name":
        _names(done.changes)
    elif chosen.quiet:
        return
    elif not done.changed:
        _out("nothing to do\n")
    else:
        _out(
            "".join(
                f"{line}\n"
                for line in _aligned(
                    [
                        (
                            change.subject,
                            change.field,
                            f"{cell(change.before)} -> {cell(change.after)}",
                            _when(change.when),
                        )
                        for change in done.changes
                    ]
                    or [(sentence,) for sentence in done.done]
                )
            )
        )


def row(name: str, result: Answer | Plan, chosen: Globals) -> None:
    """Print what came of one VM of many: the same as of one alone, and its name where there was nothing to do."""
    from kvist.engine.plan import Plan

    if chosen.output == "table" and not chosen.quiet and not (result if isinstance(result, Plan) else result.changed):
        _out(f"{name}  nothing to do\n")
    elif isinstance(result, Plan):
        would(result, chosen)
    else:
        answer(result, chosen)


def would(plan: Plan, chosen: Globals) -> None:
    """Print what a plan would do."""
    if chosen.output in ("json", "yaml"):
        _data(plan.as_dict(), chosen.output)
    elif chosen.output == "name":
        _names(plan.changes())
    elif not plan:
        _out("nothing to do\n")
    else:
        for step in plan:
            cost = f"  ({step.disruption.word})" if step.disruption else ""
            _out(f"would {step.describe()}{cost}\n")


def _names(changes: Iterable[Change]) -> None:
    told = tuple(changes)
    # What is renamed is known by its new name from then on.
    now = {change.subject: str(change.after) for change in told if change.field == "name" and change.after}
    now |= {str(change.after): change.subject for change in told if change.field == "renamed_from"}
    names = dict.fromkeys(now.get(change.subject, change.subject) for change in told)
    _out("".join(f"{name}\n" for name in names))


def virsh(plan: Plan) -> None:
    """Print the commands a person would have typed, ready to be pasted into a shell."""
    from shlex import join

    for command in plan.commands():
        text = join(command.argv)
        sys.stderr.write(f"{text} <<'XML'\n{command.document.rstrip()}\nXML\n" if command.document else f"{text}\n")


def complain(error: KvistError, *, as_json: bool = False) -> None:
    """Print an error: what, then the way out."""
    if as_json:
        _write(sys.stderr, _json(error.as_dict()))
        return
    from kvist.errors import Invalid

    red, dim, end = ("\x1b[31m", "\x1b[2m", "\x1b[0m") if _coloured(sys.stderr) else ("", "", "")
    told = [(str(one), one.hint) for one in error.problems] if isinstance(error, Invalid) else []
    lines: list[str] = []
    for what, hint in told or [(error.what, error.hint)]:
        lines.append(f"{red}error:{end} {what}\n")
        if hint:
            lines.append(f"{dim}hint:{end}  {hint}\n")
    if error.hint and not any(hint for _, hint in told) and told:
        lines.append(f"{dim}hint:{end}  {error.hint}\n")
    _write(sys.stderr, "".join(lines))


def plain(value: Any) -> Any:
    """Turn values of ours into what JSON knows: sizes are bytes, times are seconds."""
    if isinstance(value, Size):
        return int(value)
    if isinstance(value, Duration):
        return round(float(value), 3)
    if value is None or isinstance(value, bool):
        return value
    for kind in (int, float, str):
        # A kind of our own made from one of these is no plain data to YAML.
        if isinstance(value, kind):
            return kind(value)
    if hasattr(value, "as_dict"):
        return plain(value.as_dict())
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if _prints_itself(value) or not isinstance(value, Iterable):
        return str(value)
    if hasattr(value, "_asdict"):
        return {key: plain(each) for key, each in value._asdict().items()}
    return [plain(each) for each in value]


def _prints_itself(value: Any) -> bool:
    """Whether it is one of our values made of parts (an address, a range), whose text says it all."""
    return isinstance(value, tuple) and type(value).__str__ is not object.__str__


def _mapping(result: Any) -> Mapping[str, Any]:
    if isinstance(result, Mapping):
        return result
    found: Mapping[str, Any] = result._asdict() if hasattr(result, "_asdict") else result.as_dict()
    return found


def _table(rows: Sequence[Any]) -> None:
    if not rows:
        return
    heads = tuple(name.upper().replace("_", " ") for name in rows[0]._fields)
    _out("".join(f"{line}\n" for line in _aligned([heads, *(tuple(cell(each) for each in row) for row in rows)])))


def _record(record: Mapping[str, Any], indent: str = "") -> None:
    width = max((len(key) for key in record), default=0)
    for key, value in record.items():
        name = key.replace("_", " ")
        if isinstance(value, Mapping) and value:
            _out(f"{indent}{name}\n")
            _record(value, indent + "  ")
        elif isinstance(value, list | tuple) and value and isinstance(value[0], Mapping):
            _out(f"{indent}{name}\n")
            # A column in which nothing stands says nothing.
            keys = [key for key in value[0] if any(each[key] is not None for each in value)]
            for line in _aligned([tuple(cell(each[key]) for key in keys) for each in value]):
                _out(f"{indent}  {line}\n")
        elif isinstance(value, list) and value and any(" " in str(each) for each in value):
            # Sentences, not words: each has a line of its own.
            _out(f"{indent}{name}\n" + "".join(f"{indent}  {cell(each)}\n" for each in value))
        else:
            _out(f"{indent}{name:<{width}}  {cell(value)}\n")


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    columns = max(len(row) for row in rows)
    widths = [max(len(row[index]) if index < len(row) else 0 for row in rows) for index in range(columns)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip() for row in rows]


def cell(value: Any) -> str:
    """Write one value as a person reads it."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Size):
        return value.short
    if isinstance(value, Duration):
        return _span(float(value))
    if isinstance(value, list | tuple) and not _prints_itself(value):
        return ", ".join(cell(each) for each in value) or "-"
    return str(value) or "-"


def _span(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f}{unit}"
    return f"{seconds:.0f}s"


def _when(when: str) -> str:
    return "" if when == "now" else when


def _data(data: Any, form: str) -> None:
    if form == "json":
        _out(_json(data))
        return
    import yaml

    _out(yaml.safe_dump(data, sort_keys=False, allow_unicode=True))


def _json(data: Any) -> str:
    import json

    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def _coloured(stream: Any) -> bool:
    return stream.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


def _out(text: str) -> None:
    sys.stdout.write(text)


def _write(stream: Any, text: str) -> None:
    sys.stdout.flush()
    stream.write(text)
