"""Whether VMs can run on a host, with the proof and what mends it; and the mending."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

from kvist.engine.ask import Ask
from kvist.engine.operation import operation
from kvist.engine.rows import Rows
from kvist.errors import Failed

if TYPE_CHECKING:
    from kvist.engine.step import Step
    from kvist.host.checks.finding import Act, Finding
    from kvist.resources.hosts.host import Host

FIX = Ask("mend what can be mended from here, and say what is left")


def check(self: Host, *, fix: Annotated[bool, FIX] = False) -> Rows[Finding]:
    """Look whether a host runs VMs by KVM, and whether their networks can work: what was seen, and what mends it.

    Of files: what SELinux or AppArmor has denied guests since the host's start. Of networks: two packet filters at
    once, firewalld, rules of Docker's and others that drop what guests send, servers that hold the ports of DNS and
    DHCP, subnets that overlap. Exit code 1 when something is in the way.
    Without KVM, VMs run all the same, emulated, which is slower. Its libvirt need not run.

    With --fix the commands under FIX are carried out, and the checks are made again: if that did not help, all is as
    before. What is a person's to do (firmware, Windows, a choice between two networks) is told and left, and the exit
    code is 1 then. `kvist undo` takes it back.

    Example: kvist host check --fix --dry-run
    """
    from kvist.host.checks.seen import findings, look

    found = findings(look(self.hand, sandbox=self.place.sandbox is not None))
    wrong = [each for each in found if each.ok is False]
    can = [each.check for each in wrong if each.fix.acts]
    told = Failed(f"kvist can mend: {', '.join(can)}", hint="kvist host check --fix")
    return Rows(found, exit=int(bool(wrong)), errors=(told,) if can else ())


@operation
def mend(self: Host, *, fix: Annotated[bool, FIX] = True) -> Iterator[Step]:
    """Mend what is in the way of VMs and their networks, as far as that can be done from here.

    Example: kvist host check --fix
    """
    from kvist.host.checks.finding import Anew
    from kvist.host.checks.seen import findings, look
    from kvist.resources.hosts.setup import need_root
    from kvist.resources.steps.mending import Restart, SeeMended, TellWhatIsLeft

    sandbox = self.place.sandbox is not None
    wrong = [each for each in findings(look(self.hand, sandbox=sandbox)) if each.ok is False]
    acts: list[Act] = list(dict.fromkeys(act for each in wrong for act in each.fix.acts))
    if acts:
        need_root(self.hand, "kvist host check --fix")
    # Taken back newest first: so they are started in the same order then.
    for act in reversed(acts):
        if isinstance(act, Anew):
            yield Restart(**act._asdict(), back=True)
    for act in acts:
        yield _step(act, next(each.check for each in wrong if act in each.fix.acts))
    if whole := tuple((each.check, each.proof) for each in wrong if each.fix.acts and not each.fix.words):
        yield SeeMended(mended=whole, sandbox=sandbox)
    if left := tuple(each.check for each in wrong if each.fix.words or not each.fix.acts):
        yield TellWhatIsLeft(checks=left, sandbox=sandbox)


def _step(act: Act, check: str) -> Step:
    from kvist.host.checks.finding import Anew, LetBy, Written
    from kvist.resources.steps.files import WriteFile
    from kvist.resources.steps.mending import LetThrough, Mend, Restart

    match act:
        case Written():
            return WriteFile(path=act.path, before=act.before, after=act.after, why=f"mend {check}")
        case LetBy():
            return LetThrough(**act.through._asdict())
        case Anew():
            return Restart(**act._asdict())
        case _:
            return Mend(argv=act.argv, back=act.back, input=act.input, back_input=act.back_input)
