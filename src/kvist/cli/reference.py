"""Write what is derived from the verbs and tables: the reference, the manual page, the words for completion.

`python -m kvist.cli.reference` writes them, `--check` only says which are not current.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path


def derived(root: Path) -> dict[Path, str]:
    """Give each derived file of a checkout of kvist with what is to stand in it."""
    from kvist.cli import manpage, pages, words

    made = {root / "docs" / "reference" / name: text for name, text in pages.pages().items()}
    made[root / "docs" / "man" / "kvist.1"] = manpage.page()
    made[root / "src" / "kvist" / "cli" / words.FILE.name] = words.gather()
    return made


def stale(root: Path) -> Iterator[Path]:
    """Name the derived files that are not what they are to be, and pages of what is no more."""
    made = derived(root)
    for path, text in made.items():
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            yield path
    yield from sorted({*(root / "docs" / "reference").glob("*.md")} - set(made))


def main(argv: Sequence[str]) -> int:
    """Write the files that are not current, or with --check only name them."""
    root = Path(__file__).parents[3]
    made = derived(root)
    late = list(stale(root))
    for path in late:
        sys.stdout.write(f"{path.relative_to(root)}\n")
        if "--check" in argv:
            continue
        if path in made:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(made[path], encoding="utf-8")
        else:
            path.unlink()
    return int("--check" in argv and bool(late))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
