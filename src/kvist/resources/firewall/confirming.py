"""Changes of policies that are taken back unless somebody confirms them in time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

from kvist.engine.ask import Ask
from kvist.engine.operation import operation
from kvist.engine.step import Step
from kvist.errors import NotFound
from kvist.host.firewall import unconfirmed
from kvist.resources.firewall.policies import read
from kvist.resources.firewall.policing import Target, change
from kvist.resources.firewall.replacing import of_words, put_back
from kvist.resources.steps.unconfirmed import Settle

if TYPE_CHECKING:
    from kvist.engine.execute import Answer
    from kvist.resources.firewall.firewall import Firewall

LOOK_EVERY = 0.5


@operation
def confirm(self: Firewall) -> Iterator[Step]:
    """Keep the change that was made with --confirm.

    Example: kvist fw confirm
    """
    waiting = unconfirmed.read(self.site.hand)
    if waiting is not None:
        yield Settle(note=waiting.text, kept=True)


def revert(
    self: Firewall,
    *,
    when_due: Annotated[
        str, Ask("wait until the time of this change is up, or somebody confirms it", metavar="TOKEN")
    ] = "",
) -> Answer:
    """Take back the change that was made with --confirm, without waiting for its time to be up.

    Example: kvist fw revert
    """
    from kvist.engine.execute import Answer

    while when_due:
        waiting = unconfirmed.read(self.site.hand)
        if waiting is None or waiting.token != when_due:
            return Answer((), ())
        if time.time() >= waiting.due:
            break
        time.sleep(LOOK_EVERY)
        self.site.look()
    return taken_back.__get__(self, type(self))()


@operation
def taken_back(self: Firewall) -> Iterator[Step]:
    """Put the policies back as they were before the change that waits to be confirmed."""
    waiting = unconfirmed.read(self.site.hand)
    if waiting is None:
        return
    yield from put_back(self.host, [of_words(words) for words in waiting.filters])
    wanted = []
    for name, lines in waiting.before:
        target = Target(self.host, name)
        try:
            target.lines  # noqa: B018 - it raises where there is none
        except NotFound:
            # The VM has gone since, and its policy with it.
            continue
        wanted.append((target, read(lines)))
    yield from change(self.host, wanted)
    yield Settle(note=waiting.text, kept=False)
