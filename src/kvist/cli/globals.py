"""Options that every verb has, wherever on the line they stand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from kvist.errors import Invalid

OUTPUTS = ("table", "json", "yaml", "name", "xml", "svg")
ALLOWED = ("replug", "restart", "recreate")


class Globals(NamedTuple):
    """What was chosen for this one line."""

    output: str = "table"
    host: str | None = None
    dry_run: bool = False
    show_virsh: bool = False
    allow: str = "none"
    yes: bool = False
    quiet: bool = False
    version: bool = False
    lock_timeout: str = ""
    words: tuple[str, ...] = ()
    """The line itself."""

    @property
    def patience(self) -> float | None:
        """Seconds to wait for another kvist that is busy with the same VM; None leaves it to kvist."""
        if not self.lock_timeout:
            return None
        from kvist.values import Duration

        try:
            return float(Duration.parse(self.lock_timeout))
        except ValueError as wrong:
            raise Invalid(str(wrong), path="--lock-timeout") from wrong

    @property
    def asked(self) -> str:
        """The line for the journal: quoted for a shell, with stars in the place of passwords."""
        from shlex import join

        return join(["kvist", *_starred(self.words)])


FLAGS = {
    "--dry-run": "dry_run",
    "--show-virsh": "show_virsh",
    "--yes": "yes",
    "-y": "yes",
    "--quiet": "quiet",
    "-q": "quiet",
    "--version": "version",
}
VALUES = {"-o": "output", "--output": "output", "--host": "host", "-H": "host", "--allow": "allow",
          "--lock-timeout": "lock_timeout"}  # fmt: skip
SECRET = ("password", "passwd", "secret")
STARS = "********"
CHOICES = {"output": OUTPUTS, "allow": ALLOWED}

HELP = (
    ("-H, --host HOST", "the host to act on: a name (kvist host add), a libvirt URI or sandbox:NAME [kvist host show]"),
    ("-o, --output FORM", "table, json, yaml or name; xml where there is a document, svg where a verb draws"),
    ("--dry-run", "say what would be done and do nothing"),
    ("--show-virsh", "also print the commands a person would have typed instead"),
    ("--allow HOW", "let the guest be disrupted this much: replug, restart, recreate"),
    ("--lock-timeout TIME", "how long to wait for another kvist that is busy with the same VM [10m]"),
    ("-y, --yes", "answer every question with yes"),
    ("-q, --quiet", "print no messages and no progress"),
)


def split(words: list[str]) -> tuple[Globals, list[str]]:
    """Take the global options out of a line; what follows `--` is left as it is. Raises Invalid."""
    chosen: dict[str, object] = {}
    rest: list[str] = []
    queue = iter(words)
    for word in queue:
        if word == "--":
            rest += [word, *queue]
            break
        name, joined, value = word.partition("=")
        if not joined and word[:2] in ("-o", "-H") and len(word) > 2 and not word.startswith("--"):
            name, joined, value = word[:2], "=", word[2:]
        if word in FLAGS:
            chosen[FLAGS[word]] = True
        elif name in VALUES:
            if not joined:
                value = next(queue, "")
            if not value:
                raise Invalid(f"{name} needs a value", hint="kvist --help")
            field = VALUES[name]
            if field in CHOICES and value not in CHOICES[field]:
                raise Invalid(f'{name} is one of {", ".join(CHOICES[field])}, not "{value}"')
            chosen[field] = value
        else:
            rest.append(word)
    return Globals(**chosen), rest  # type: ignore[arg-type]


def _starred(words: Iterable[str]) -> Iterator[str]:
    hide = False
    for word in words:
        name, joined, _ = word.partition("=")
        if hide:
            hide = False
            yield STARS
        elif word.startswith("-") and _secret(name):
            hide = not joined
            yield f"{name}={STARS}" if joined else word
        else:
            yield ",".join(_part(part) for part in word.split(","))


def _part(part: str) -> str:
    """Hide the value of a sub-key: `vnc,password=x`, `--graphics=vnc,password=x`."""
    name, joined, _ = part.rpartition("=")
    return f"{name}={STARS}" if joined and _secret(name) else part


def _secret(name: str) -> bool:
    return any(word in name.lower() for word in SECRET)
