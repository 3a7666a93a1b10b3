"""What can go wrong, as one tree.

    KvistError
    ├── Invalid            exit 2   the request itself makes no sense; carries every problem found in it
    ├── NotFound           exit 3   no such VM, network, volume, image, sandbox ...
    ├── Refused            exit 4   it would disrupt or destroy, and nobody said that it may
    ├── TimedOut           exit 5   waited for as long as was allowed
    └── Failed             exit 1   tried and did not work
        ├── Unreachable             the host does not answer, or not to this user
        │   └── Denied              it answers, and says no
        ├── Conflict                exists already, is in use, is in the wrong state
        ├── Unsupported             this libvirt, QEMU or host cannot do it
        ├── CommandFailed           a program on the host ended with an error
        ├── GuestFailed             the guest or its agent did not do what was asked
        ├── Exhausted               no space, memory or address left
        ├── Corrupt                 data is not what it should be (checksum, format, a document nobody can read)
        ├── Interrupted             Ctrl-C; what was begun has been taken back
        └── LibvirtFailed           libvirt said so and there is no closer word for it

Every error says what (one sentence, names in double quotes) and, where there is one, the command that gets the user
on. `code` is a stable slug for scripts; `exit` and `http` are what a shell and a REST client see; `retry` says whether
the same call may work later.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, NamedTuple


class Problem(NamedTuple):
    """One thing wrong with a request: where it stands in it and what is wrong."""

    path: str
    what: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.path}: {self.what}" if self.path else self.what


class KvistError(Exception):
    """Root of every error that kvist raises on purpose."""

    code: ClassVar[str] = "error"
    exit: ClassVar[int] = 1
    http: ClassVar[int] = 500
    retry: ClassVar[bool] = False

    def __init__(self, what: str, *, hint: str = "", path: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint
        self.path = path
        self.done: Any = None
        """What was done all the same (an answer), where only what came after it failed."""

    def add(self, more: str) -> None:
        """Say more about what happened: what could not be taken back, say."""
        self.what = f"{self.what}; {more}"
        self.args = (self.what,)

    def as_dict(self) -> dict[str, Any]:
        """Give the error as plain data, the form of `-o json` and of REST."""
        shape: dict[str, Any] = {"error": self.code, "what": self.what}
        if self.hint:
            shape["hint"] = self.hint
        if self.path:
            shape["path"] = self.path
        return shape


class Invalid(KvistError):
    """The request makes no sense; nothing was changed. Holds every problem found, each with its path."""

    code = "invalid"
    exit = 2
    http = 422
    rest: Any = None
    """What could be read of it all the same, so that what else is wrong can be told too."""

    def __init__(self, problems: str | Iterable[Problem], *, hint: str = "", path: str = "") -> None:
        self.problems: Sequence[Problem] = (
            (Problem(path, problems, hint),) if isinstance(problems, str) else tuple(problems)
        )
        super().__init__("; ".join(map(str, self.problems)), hint=hint or self.problems[0].hint, path=path)

    def add(self, more: str) -> None:
        super().add(more)
        self.problems = (*self.problems, Problem("", more))

    def as_dict(self) -> dict[str, Any]:
        return {**super().as_dict(), "problems": [problem._asdict() for problem in self.problems]}


class NotFound(KvistError):
    """There is no such object."""

    code = "not-found"
    exit = 3
    http = 404


class Refused(KvistError):
    """It would disrupt or destroy something and the line did not allow it."""

    code = "refused"
    exit = 4
    http = 409


class TimedOut(KvistError):
    """It did not happen in the time that was given."""

    code = "timed-out"
    exit = 5
    http = 504
    retry = True


class Failed(KvistError):
    """It was tried and did not work."""

    code = "failed"


class Unreachable(Failed):
    """The host, its libvirt or a server does not answer."""

    code = "unreachable"
    http = 502
    retry = True


class Denied(Unreachable):
    """It answers, and this user may not."""

    code = "denied"
    http = 403
    retry = False


class Conflict(Failed):
    """The object exists already, is in use, or is in the wrong state."""

    code = "conflict"
    http = 409


class Unsupported(Failed):
    """This libvirt, QEMU, kernel or host cannot do it."""

    code = "unsupported"
    http = 501


class CommandFailed(Failed):
    """A program on the host ended with an error."""

    code = "command-failed"


class GuestFailed(Failed):
    """The guest, or the agent in it, did not do what was asked."""

    code = "guest-failed"
    http = 502
    retry = True


class Exhausted(Failed):
    """No space, memory or address is left."""

    code = "exhausted"
    http = 507


class Corrupt(Failed):
    """Data is not what it should be."""

    code = "corrupt"


class Interrupted(Failed):
    """Stopped by the user; what was begun has been taken back."""

    code = "interrupted"
    exit = 130
    http = 499


class LibvirtFailed(Failed):
    """libvirt reported an error that has no closer word in this tree."""

    code = "libvirt"
