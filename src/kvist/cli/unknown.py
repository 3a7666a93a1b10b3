"""Lines that begin with no verb of kvist's: what their writer may have meant, also where the word is virsh's."""

from __future__ import annotations

from collections.abc import Sequence

from kvist.errors import Invalid
from kvist.registry.lookup import NOUNS
from kvist.registry.machine import MACHINE

HABITS = {
    "attach-console": "console VM",
    "destroy": "stop VM --force",
    "domblklist": "show VM",
    "domdisplay": "show VM",
    "domid": "show VM",
    "domifaddr": "ip VM",
    "domiflist": "show VM",
    "dominfo": "show VM",
    "domrename": "rename VM NEW",
    "domstate": "show VM",
    "dumpxml": "show VM -o yaml",
    "info": "show VM",
    "launch": "create VM --image debian-12",
    "list": "ls",
    "net-info": "net ls",
    "net-list": "net ls",
    "net-start": "net start NAME",
    "new": "create VM --image debian-12",
    "ps": "ls",
    "qemu-agent-command": "exec VM -- COMMAND",
    "remove": "delete VM",
    "restart": "reboot VM",
    "rm": "delete VM",
    "run": "create VM --image debian-12",
    "shell": "ssh VM",
    "shutdown": "stop VM",
    "undefine": "delete VM",
    "virt-install": "create VM --image debian-12",
    "vncdisplay": "show VM",
}
"""Words of virsh and of other tools, and what does the same here."""

NOUN_HABITS = {"list": "ls", "rm": "remove", "delete": "remove", "info": "show", "list-all": "ls", "import": "add"}
"""The same for the verbs of nouns."""


def unknown(words: Sequence[str]) -> Invalid:
    """Give the error for a line that begins with these words, with the verb that is nearest to them."""
    from difflib import get_close_matches

    word = words[0]
    if word in NOUNS:
        known = [verb.name for verb in NOUNS[word].verbs]
        habit = NOUN_HABITS.get(words[1], "")
        near = [habit] if habit in known else get_close_matches(words[1], known, n=1)
        return Invalid(
            f'"{word}" has no verb "{words[1]}"; it has {", ".join(known)}',
            hint=f"kvist {word} {near[0]}" if near else f"kvist {word} --help",
        )
    hint = "kvist --help"
    if word in HABITS:
        hint = f"kvist {HABITS[word]}"
        if len(words) > 1 and not words[1].startswith("-"):
            hint = hint.replace(" VM", f" {words[1]}").replace(" NAME", f" {words[1]}")
    else:
        known = [verb.name for verbs in MACHINE.values() for verb in verbs] + list(NOUNS)
        if near := get_close_matches(word, known, n=1):
            hint = " ".join(("kvist", near[0], *words[1:]))
    return Invalid(f'there is no verb or noun "{word}"', hint=hint)
