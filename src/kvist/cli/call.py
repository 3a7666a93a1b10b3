"""Do what one line asks: find the object, read the arguments, call the verb, print what it gives."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from kvist.cli.globals import Globals
from kvist.registry.lookup import spelled
from kvist.registry.verb import Subject, Verb

if TYPE_CHECKING:
    from kvist.cli.many import Choice
    from kvist.cli.parser import Line
    from kvist.engine.execute import Answer
    from kvist.engine.plan import Plan
    from kvist.errors import Problem
    from kvist.resources.hosts.host import Host


def load(verb: Verb) -> Any:
    """Load the function of a verb."""
    module, _, path = verb.target.partition(":")
    found: Any = import_module(f"kvist.resources.{module}")
    for part in path.split("."):
        found = getattr(found, part)
    return found


RARE = {"xml": ("shows no document", "-o json"), "svg": ("draws nothing", "kvist net map -o svg")}
"""Forms of output that only those verbs have which say so, what others are told, and the way out."""


def call(verb: Verb, words: Sequence[str], chosen: Globals) -> int:
    """Run a verb with these words behind it; gives the exit code."""
    from kvist.cli.parser import Line
    from kvist.errors import Invalid

    line = Line(verb, load(verb))
    before = list(words)[: list(words).index("--")] if "--" in words else words
    if any(word in ("-h", "--help", "--help-all") for word in before):
        line.print_help(whole="--help-all" in before)
        return 0
    if chosen.output in RARE and chosen.output not in verb.forms:
        lacking, hint = RARE[chosen.output]
        raise Invalid(f"`kvist {spelled(verb)}` {lacking}", path="-o", hint=hint)
    try:
        names, values = line.read(words)
    except Invalid as wrong:
        raise Invalid([*wrong.problems, *_also_wrong(verb, chosen, line)], hint=wrong.hint) from wrong
    if line.everywhere:
        if chosen.host:
            raise Invalid("--all-hosts means every host, and --host one of them: say one of both", path="--all-hosts")
        verb = verb._replace(target=verb.everywhere, subject=Subject.NOTHING)
    other, *options = verb.instead or ("",)
    if any(values.get(option) for option in options):
        verb = verb._replace(target=other)
    if chosen.allow in ("restart", "recreate") and line.restarts:
        values["restart_now"] = True
    return _Call(verb, chosen, names, values, line.choice).run()


def _also_wrong(verb: Verb, chosen: Globals, line: Line) -> Sequence[Problem]:
    """Find what only the host can tell of a line that has mistakes already: it is sent back once, not twice."""
    from kvist.engine.operation import Operation
    from kvist.errors import Invalid, KvistError

    understood = line.understood
    if understood is None or verb.subject not in (Subject.VM, Subject.VMS) or not isinstance(load(verb), Operation):
        return ()
    from kvist.resources.hosts.host import connect

    name, values = understood
    try:
        target = _Call(verb, chosen, (name,), values)._bound(connect(chosen.host, asked=chosen.asked), name)
        target.plan(**values)
    except Invalid as wrong:
        # One without an option may well come of what was left out.
        return [problem for problem in wrong.problems if problem.path]
    except KvistError:
        # What is wrong with the line is what is to be told now.
        return ()
    return ()


class _Call:
    """One verb, on one object or several."""

    def __init__(
        self, verb: Verb, chosen: Globals, names: Sequence[str], values: dict[str, Any], choice: Choice | None = None
    ) -> None:
        from kvist.cli.progress import Progress

        self.verb, self.chosen, self.names, self.values, self.choice = verb, chosen, names, values, choice
        self.progress = Progress(quiet=chosen.quiet)

    def run(self) -> int:
        from kvist.engine.operation import Bound

        self._check_dry()

        if self.verb.subject is Subject.NOTHING:
            self._confirm()
            return self._show(self._reporting(load(self.verb)))
        from kvist.resources.hosts.host import beforehand, connect

        reach = beforehand if self.verb.subject is Subject.PLACE else connect
        host = reach(
            self.chosen.host, report=self.progress.report, asked=self.chosen.asked, patience=self.chosen.patience
        )
        if self.choice is not None and self.choice.several:
            return self._each(host, self.choice)
        target = self._bound(host, self.names[0] if self.names else "")
        if isinstance(target, Bound):
            return self._operate(target)
        self._confirm()
        return self._show(target)

    def _bound(self, host: Host, name: str) -> Any:
        """Give the verb as something to call with the values alone."""
        method = self.verb.target.rpartition(".")[2]
        subject = self.verb.subject
        owner: Any = host
        if subject in (Subject.VM, Subject.MANY):
            owner = getattr(host.vm(name), self.verb.part) if self.verb.part else host.vm(name)
        elif subject not in (Subject.HOST, Subject.PLACE, Subject.NOTHING):
            owner = getattr(host, subject.value)
        function = load(self.verb)
        if ":" in self.verb.target and "." in self.verb.target.partition(":")[2]:
            return getattr(owner, method)
        get = getattr(function, "__get__")  # noqa: B009 - functions and operations alike bind to what they are asked of
        return get(owner, type(owner))

    def _check_dry(self) -> None:
        """Refuse to only say what is done where that cannot be told: doing it would be the worst of answers."""
        # What asks gives rows or a record; a plain function that acts gives an answer or a command's exit code.
        acts = getattr(load(self.verb), "__annotations__", {}).get("return") in ("Answer", "int")
        if self.chosen.dry_run and acts:
            from kvist.errors import Invalid

            words = f"kvist {spelled(self.verb)}"
            raise Invalid(f"`{words}` cannot say what it would do; without --dry-run it does it", path="--dry-run")

    def _reporting(self, function: Callable[..., Any]) -> Callable[..., Any]:
        from inspect import signature

        if "report" in signature(function).parameters:
            return lambda **values: function(report=self.progress.report, **values)
        return function

    def _operate(self, target: Any) -> int:
        from kvist.cli.render import answer, virsh, would
        from kvist.engine.step import Disruption
        from kvist.errors import KvistError

        plan: Plan
        if self.chosen.dry_run:
            plan = target.plan(**self.values)
            if self.chosen.show_virsh:
                virsh(plan)
            would(plan, self.chosen)
            return 0
        # Nobody is kept waiting while a person thinks: the question is put before anything is locked.
        if self._is_asked() and target.plan(**self.values):
            self._confirm()
        allow = Disruption[self.chosen.allow.upper()]
        self.progress.fleeting = self.chosen.output == "table"
        try:
            done = target.allowing(allow, virsh if self.chosen.show_virsh else None)(**self.values)
        except KvistError as error:
            # It is done, and what came after it failed: both are told.
            if (told := error.done) is not None and told.changed:
                self.progress.end()
                answer(told, self.chosen)
            raise
        finally:
            self.progress.end()
            self.progress.fleeting = False
        answer(done, self.chosen)
        if done.changed:
            self._say_next()
        return 0

    def _each(self, host: Host, choice: Choice) -> int:
        from kvist.cli.many import run_each
        from kvist.cli.render import virsh
        from kvist.engine.step import Disruption
        from kvist.resources.vms.selection import select

        self.names = select(host, choice.words, tags=choice.tags, absent=self.verb.absent)
        if self.names:
            self._confirm()
        allow = Disruption[self.chosen.allow.upper()]
        look = virsh if self.chosen.show_virsh else None

        def act(on: Host, name: str) -> Answer | Plan:
            target = self._bound(on, name)
            if not self.chosen.dry_run:
                done: Answer = target.allowing(allow, look)(**self.values)
                return done
            plan: Plan = target.plan(**self.values)
            if look is not None:
                look(plan)
            return plan

        return run_each(host, self.names, act, self.chosen, self.progress, choice.width)

    def _show(self, function: Callable[..., Any]) -> int:
        from kvist.cli.render import answer, complain, show
        from kvist.engine.execute import Answer
        from kvist.engine.rows import Rows, Stream, Ticks

        try:
            result = function(**self.values)
        finally:
            self.progress.end()
        if isinstance(result, int) and not isinstance(result, bool):
            return result
        if isinstance(result, Ticks | Stream):
            from kvist.cli.live import streaming, ticking

            streaming(result, self.chosen) if isinstance(result, Stream) else ticking(result, self.chosen)
            return 0
        if isinstance(result, Answer):
            answer(result, self.chosen)
        elif result is not None:
            show(result, self.chosen)
            failed = isinstance(result, Rows) and result.exit
            if (
                result == []
                and not failed
                and self.verb.empty
                and self.chosen.output == "table"
                and not self.chosen.quiet
            ):
                sys.stderr.write(f"{self.verb.empty}\n")
                return 0
        code = 0
        if isinstance(result, Rows):
            code = result.exit
            for error in result.errors:
                complain(error, as_json=self.chosen.output == "json")
        if not code:
            self._say_next()
        return code

    def _is_asked(self) -> bool:
        """Tell whether the verb puts a question; where no terminal is, nobody is asked."""
        return bool(
            self.verb.asks
            and not self.chosen.yes
            and not self.chosen.dry_run
            and sys.stdin.isatty()
            and sys.stderr.isatty()
        )

    def _confirm(self) -> None:
        if not self._is_asked():
            return
        names = ", ".join(self.names) or ", ".join(self.values.get("names", ()))
        sys.stderr.write(self.verb.asks.format(names=names) + " [y/N] ")
        sys.stderr.flush()
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise KeyboardInterrupt

    def _say_next(self) -> None:
        name = str(self.values.get("new", "")) or (self.names[0] if self.names else str(self.values.get("name", "")))
        if self.verb.then and not self.chosen.quiet and self.chosen.output == "table" and sys.stderr.isatty():
            sys.stderr.write(f"next: {self.verb.then.format(name=name)}\n")
