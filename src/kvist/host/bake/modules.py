"""Choose kernel modules, with those they depend on, and write the tables that modprobe reads."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple


class Module(NamedTuple):
    """A kernel module: its code, the modules it stands on, and the hardware it says it drives."""

    name: str
    code: bytes
    depends: tuple[str, ...]
    aliases: tuple[str, ...]


def choose(tree: Path, wanted: Iterable[str]) -> list[Module]:
    """Read the wanted modules below `tree` and those they depend on; what the kernel lacks is left out."""
    files = {_name(path): path for path in tree.rglob("*.ko*")}
    chosen: dict[str, Module] = {}
    waiting = [name.replace("-", "_") for name in wanted]
    while waiting:
        name = waiting.pop()
        if name in chosen or name not in files:
            continue
        chosen[name] = _read(name, files[name])
        waiting.extend(chosen[name].depends)
    return [chosen[name] for name in sorted(chosen)]


def tables(modules: Iterable[Module]) -> Iterator[tuple[str, bytes]]:
    """Give `modules.dep` and `modules.alias` as depmod writes them."""
    known = {module.name: module for module in modules}

    def chain(name: str) -> list[str]:
        below = [step for step in known[name].depends if step in known]
        steps = [*below, *(deeper for step in below for deeper in chain(step))]
        # modprobe loads from the end of the line: what two modules share must stand behind both
        return list(dict.fromkeys(reversed(steps)))[::-1]

    dep = (" ".join([f"{name}.ko:", *(f"{step}.ko" for step in chain(name))]) for name in known)
    alias = (f"alias {pattern} {module.name}" for module in known.values() for pattern in module.aliases)
    yield "modules.dep", _lines(dep)
    yield "modules.alias", _lines(alias)


def _lines(lines: Iterable[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def _name(path: Path) -> str:
    return path.name.partition(".ko")[0].replace("-", "_")


def _read(name: str, path: Path) -> Module:
    code = path.read_bytes()
    if path.suffix == ".xz":
        import lzma

        code = lzma.decompress(code)
    elif path.suffix == ".zst":
        import zstandard

        code = zstandard.ZstdDecompressor().decompressobj().decompress(code)
    # .modinfo is a run of key=value strings that end in a zero byte
    found = re.findall(rb"(?<=\0)(depends|alias)=([^\0]*)\0", code)
    depends = [value.decode().replace("-", "_") for key, value in found if key == b"depends" and value]
    aliases = tuple(value.decode() for key, value in found if key == b"alias")
    return Module(name, code, tuple(depends[0].split(",")) if depends else (), aliases)
