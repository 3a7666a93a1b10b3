"""The command line: find the verb, read its arguments, do it, print the answer."""

from __future__ import annotations

import gc
import os
import sys
from typing import TYPE_CHECKING, NoReturn

from kvist.errors import Failed, Interrupted, Invalid, KvistError
from kvist.registry.lookup import NOUNS, find

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType


def run() -> NoReturn:
    """Enter from the shell."""
    # What is loaded stays, and looking through it for garbage every few hundred objects is a tenth of a short line.
    gc.set_threshold(50_000)
    stopped = _stoppable()
    code = main(sys.argv[1:])
    if stopped and code == Interrupted.exit:
        code = 128 + stopped[0]
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader (head, say) has enough; what is left must not be flushed into its face at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = _fail(_refused(error), sys.argv[1:])
    # Threads of libvirt's and the interpreter's tidying-up have nothing left to do, and cost 10 ms.
    sys.stderr.flush()
    os._exit(code)


def _stoppable() -> list[int]:
    """Let SIGTERM and SIGHUP take back what was begun, as Ctrl-C does; gives a list that the signal will stand in."""
    import signal

    got: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        got.append(number)
        raise KeyboardInterrupt

    for each in (signal.SIGTERM, signal.SIGHUP):
        # Who is told to ignore it (by nohup) goes on ignoring it.
        if signal.getsignal(each) is not signal.SIG_IGN:
            signal.signal(each, stop)
    return got


def main(argv: Sequence[str]) -> int:
    """Run one line and give its exit code (docs/exit-codes.md)."""
    words = list(argv)
    if words[:1] == ["__complete"]:
        from kvist.cli.complete import main as complete

        return complete(words[1:])
    from kvist.cli import globals as options
    from kvist.cli.command import apart

    try:
        if broken := next((word for word in words if not word.isprintable() and _undecoded(word)), None):
            raise Invalid(f"{broken!a} is no text in UTF-8", hint="LANG=C.UTF-8 kvist ...")
        chosen, words = options.split(apart(words))
        chosen = chosen._replace(words=tuple(argv))
        if chosen.version:
            return _version()
        if not words or words[0] in ("help", "-h", "--help"):
            from kvist.cli.help import overview, topic

            return topic(words[1:]) if len(words) > 1 else overview()
        if words[0] in NOUNS and _asks_for_verbs(words):
            from kvist.cli.help import noun

            return noun(words[0])
        found = find(words)
        if found is None:
            from kvist.cli.unknown import unknown

            raise unknown(words)
        verb, used = found
        from kvist.cli.call import call

        return call(verb, words[used:], chosen)
    except KeyboardInterrupt:
        return _fail(Interrupted("stopped; nothing was left half-made"), words)
    except KvistError as error:
        return _fail(error, words)
    except BrokenPipeError:
        return 0
    except OSError as error:
        if "KVIST_DEBUG" in os.environ:
            raise
        return _fail(_refused(error), words)
    except Exception as bug:
        if "KVIST_DEBUG" in os.environ:
            raise
        return _fail(_stumbled(bug), words)


def _undecoded(word: str) -> bool:
    """Whether Python could not read the bytes of a word, as with a locale that knows ASCII alone."""
    return any("\ud800" <= letter <= "\udfff" for letter in word)


def _refused(error: OSError) -> KvistError:
    """Say what the machine itself refused: a full disk, a home that is read-only, a directory that is not there."""
    if error.strerror is None:
        return _stumbled(error)
    where = f'cannot use "{error.filename}": ' if error.filename else ""
    return Failed(
        f"{where}{error.strerror}",
        hint="see that HOME, and where the output goes, can be written to and have room",
    )


def _asks_for_verbs(words: Sequence[str]) -> bool:
    if len(words) > 1:
        return words[1] in ("-h", "--help")
    return NOUNS[words[0]].plain is None


def _stumbled(bug: Exception) -> KvistError:
    return KvistError(
        f"kvist stumbled over a mistake of its own: {type(bug).__name__}: {bug}",
        hint="run the same line with KVIST_DEBUG=1 before it and report what it prints",
    )


def _fail(error: KvistError, words: Sequence[str]) -> int:
    from kvist.cli.render import complain

    complain(error, as_json=_wants_json(words))
    return error.exit


def _wants_json(_words: Sequence[str]) -> bool:
    argv = sys.argv[1:]
    return any(
        word in ("-ojson", "--output=json") or (word in ("-o", "--output") and argv[index + 1 : index + 2] == ["json"])
        for index, word in enumerate(argv)
    )


def _version() -> int:
    from importlib.metadata import version

    sys.stdout.write(f"kvist {version('kvist')}\n")
    return 0
