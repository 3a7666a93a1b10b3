"""What the osinfo database knows of operating systems: memory and disk they need, devices they have drivers for.

An entry's file is named after its id (`http://debian.org/debian/11` is os/debian.org/debian-11.xml), so a look-up reads
that file and those of the systems it derives from, not all eight hundred. https://libosinfo.org
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from kvist.errors import Corrupt, NotFound, Unsupported
from kvist.values import Size

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_PCI = "http://pcisig.com/pci/"
DEVICES = {
    "virtio-net": (f"{_PCI}1af4/1000", f"{_PCI}1af4/1041"),
    "virtio-block": (f"{_PCI}1af4/1001", f"{_PCI}1af4/1042"),
    "virtio-balloon": (f"{_PCI}1af4/1002", f"{_PCI}1af4/1045"),
    "virtio-console": (f"{_PCI}1af4/1003", f"{_PCI}1af4/1043"),
    "virtio-scsi": (f"{_PCI}1af4/1004", f"{_PCI}1af4/1048"),
    "virtio-rng": (f"{_PCI}1af4/1005", f"{_PCI}1af4/1044"),
    "virtio-9p": (f"{_PCI}1af4/1009", f"{_PCI}1af4/1049"),
    "virtio-gpu": (f"{_PCI}1af4/1050",),
    "virtio-input": (f"{_PCI}1af4/1052",),
    "virtio-vsock": (f"{_PCI}1af4/1012", f"{_PCI}1af4/1053"),
    "virtio-fs": (f"{_PCI}1af4/105a",),
    "e1000e": (f"{_PCI}8086/10d3",),
    "xhci": (f"{_PCI}1b36/0004", f"{_PCI}1033/0194"),
    "tablet": ("http://usb.org/usb/80ee/0021",),
    "q35": ("http://qemu.org/chipset/x86/q35",),
}
"""Devices by the name they have here, with the ids that the database knows them by."""

_STEM = re.compile(r"(?P<word>[a-z][a-z0-9+-]*?)-?(?P<version>\d+(?:\.\d+)*)", re.IGNORECASE)
_LINKS = ("derives-from", "clones")


class Os(NamedTuple):
    """An operating system; sizes are None where the database gives none."""

    id: str
    short_id: str
    name: str
    family: str
    distribution: str
    version: str
    min_memory: Size | None
    recommended_memory: Size | None
    installer_memory: Size | None
    min_disk: Size | None
    recommended_disk: Size | None
    min_cpus: int | None
    devices: frozenset[str]
    efi: bool
    secure_boot: bool
    exact: bool = True

    def supports(self, device: str) -> bool:
        """Tell whether the system has a driver for a device, named as in DEVICES."""
        return any(one in self.devices for one in DEVICES[device])

    @property
    def memory(self) -> Size | None:
        """What a new VM gets when nobody says: the recommended memory, else the smallest."""
        return self.recommended_memory or self.min_memory


class Medium(NamedTuple):
    """An installation medium that the database knows."""

    os: Os
    arch: str
    kernel: str
    initrd: str
    live: bool


class _Entry(NamedTuple):
    """One file's worth of an operating system, before what it inherits is added."""

    id: str
    root: Element

    def text(self, tag: str) -> str:
        return (self.root.findtext(tag) or "").strip()


class Database:
    """The osinfo database of this machine: the user's part, the administrator's, the distribution's, in this order."""

    def __init__(self, directories: Sequence[Path] | None = None) -> None:
        self._directories = [one for one in (directories or _directories()) if (one / "os").is_dir()]
        self._entry = lru_cache(maxsize=None)(self._read)

    @cached_property
    def files(self) -> dict[str, Path]:
        """The files by vendor and name, such as `debian.org/debian-11`; the first part that has one wins."""
        found: dict[str, Path] = {}
        for directory in self._directories:
            for vendor in sorted(os.scandir(directory / "os"), key=lambda one: one.name):
                if vendor.is_dir():
                    for file in os.scandir(vendor.path):
                        if file.name.endswith(".xml"):
                            found.setdefault(f"{vendor.name}/{file.name[:-4]}", Path(file.path))
        return found

    def lookup(self, name: str, arch: str = "x86_64", *, nearest: bool = False) -> Os:
        """Find a system by its short id (`debian11`, `rhel7.9`) or its id (a URL).

        With `nearest`, a version that the database does not know becomes the newest one before it, or else the oldest
        after it, of the same distribution (`exact` is then False); a version in part (`rhel7`) becomes the newest that
        begins so. Raises NotFound with the names that come closest, Unsupported without a database.
        """
        if not self._directories:
            raise Unsupported("this machine has no database of operating systems", hint="apt install osinfo-db")
        files = self.files
        path = self._named(name, files)
        exact = path is not None
        if path is None and nearest:
            path = _nearest(name, files)
        if path is None:
            raise NotFound(f'operating system "{name}" is not in the osinfo database', hint=_suggest(name, files))
        return self._whole(self._entry(path), arch)._replace(exact=exact)

    def detect_iso(
        self, volume: str, *, system: str = "", publisher: str = "", application: str = "", arch: str = "x86_64"
    ) -> Medium | None:
        """Recognise an installation medium by the labels in its ISO header; None when nothing fits."""
        header = {
            "volume-id": volume,
            "system-id": system,
            "publisher-id": publisher,
            "application-id": application,
        }
        word = re.match(r"[a-z]*", volume.lower())
        likely = word[0] if word and len(word[0]) > 2 else ""
        files = self.files
        ours = [path for stem, path in files.items() if likely and likely in stem]
        rest = [path for path in files.values() if path not in set(ours)]
        for paths in (ours, rest):
            fits = [(weight, path, media) for path in paths for weight, media in self._fitting(path, header)]
            if fits:
                _, path, media = max(fits, key=lambda fit: (fit[0], _version(fit[1].stem)))
                return Medium(
                    self._whole(self._entry(path), arch),
                    media.get("arch", ""),
                    (media.findtext("kernel") or "").strip(),
                    (media.findtext("initrd") or "").strip(),
                    media.get("live") == "true",
                )
        return None

    def _fitting(self, path: Path, header: dict[str, str]) -> Iterator[tuple[tuple[int, int], Element]]:
        if b"<iso>" not in path.read_bytes():
            return
        for media in self._entry(path).root.iter("media"):
            iso = media.find("iso")
            if iso is None:
                continue
            wanted = [(tag, (iso.findtext(tag) or "").strip()) for tag in header if iso.find(tag) is not None]
            if wanted and all(_matches(pattern, header[tag]) for tag, pattern in wanted):
                # The more a medium asks for, the more it means when it fits.
                yield (len(wanted), sum(len(pattern) for _, pattern in wanted)), media

    def _named(self, name: str, files: dict[str, Path]) -> Path | None:
        if "://" in name:
            vendor, _, rest = name.partition("://")[2].partition("/")
            return files.get(f"{vendor}/{rest.replace('/', '-')}")
        squeezed = _squeezed(name)
        likely = [path for stem, path in files.items() if _squeezed(stem.partition("/")[2]) == squeezed]
        tag = f"<short-id>{name}</short-id>".encode()
        # Aliases such as debianbullseye stand in no file name: only then are all files searched.
        for paths in (likely, files.values()):
            for path in paths:
                if tag in path.read_bytes():
                    return path
        return None

    def _whole(self, entry: _Entry, arch: str) -> Os:
        line = list(self._ancestry(entry))
        devices: dict[str, bool] = {}
        firmware: dict[str, bool] = {}
        # What stands closer to the system itself has the last word, so the oldest is read first.
        for one in reversed(line):
            for device in one.root.iterfind("devices/device"):
                devices[device.get("id", "")] = device.get("supported") != "false"
            for kind in one.root.iterfind("firmware"):
                if kind.get("arch") in {arch, "all"}:
                    firmware[kind.get("type", "")] = kind.get("supported") != "false"

        # One entry speaks for all: the recommended memory of an ancestor may be less than the minimum of today.
        spoken = next((one.root for one in line if _resources(one.root, arch)), entry.root)

        def needed(part: str, tag: str) -> int | None:
            text = next((text for one in _resources(spoken, arch) if (text := one.findtext(f"{part}/{tag}"))), None)
            return None if text is None else int(text)

        def size(part: str, tag: str) -> Size | None:
            value = needed(part, tag)
            return None if value is None else Size(value)

        return Os(
            id=entry.id,
            short_id=entry.text("short-id"),
            name=entry.text("name"),
            family=entry.text("family"),
            distribution=entry.text("distro"),
            version=entry.text("version"),
            min_memory=size("minimum", "ram"),
            recommended_memory=size("recommended", "ram"),
            installer_memory=size("network-install", "ram"),
            min_disk=size("minimum", "storage"),
            recommended_disk=size("recommended", "storage"),
            min_cpus=needed("minimum", "n-cpus"),
            devices=frozenset(device for device, has in devices.items() if has),
            efi=firmware.get("efi", False) or firmware.get("efi-secboot", False),
            secure_boot=firmware.get("efi-secboot", False),
        )

    def _ancestry(self, entry: _Entry) -> Iterator[_Entry]:
        """Give the system and those that it derives from or is a clone of, itself first."""
        files = self.files
        waiting, seen = [entry], set[str]()
        while waiting:
            one = waiting.pop(0)
            if one.id in seen:
                continue
            seen.add(one.id)
            yield one
            for link in _LINKS:
                for parent in one.root.iterfind(link):
                    path = self._named(parent.get("id", ""), files)
                    if path is not None:
                        waiting.append(self._entry(path))

    def _read(self, path: Path) -> _Entry:
        from xml.etree import ElementTree

        try:
            root = ElementTree.parse(path).getroot().find("os")  # noqa: S314 - the distribution's own data
        except ElementTree.ParseError as wrong:
            raise Corrupt(f'file "{path}" of the osinfo database is not XML: {wrong}') from wrong
        if root is None:
            raise Corrupt(f'file "{path}" of the osinfo database describes no operating system')
        return _Entry(root.get("id", ""), root)


def _directories() -> list[Path]:
    config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return [
        Path(os.environ.get("OSINFO_USER_DIR") or config / "osinfo"),
        Path(os.environ.get("OSINFO_LOCAL_DIR") or "/etc/osinfo"),
        Path("/usr/local/share/osinfo"),
        Path(os.environ.get("OSINFO_SYSTEM_DIR") or "/usr/share/osinfo"),
    ]


def _resources(root: Element, arch: str) -> list[Element]:
    """Give what is said of this architecture, then what is said of all."""
    return [one for wanted in (arch, "all") for one in root.iterfind("resources") if one.get("arch") == wanted]


def _nearest(name: str, files: dict[str, Path]) -> Path | None:
    asked = _STEM.fullmatch(name)
    if asked is None:
        return None
    wanted = _version(name)
    kin: list[tuple[tuple[int, ...], Path]] = []
    for stem, path in files.items():
        one = _STEM.fullmatch(stem.partition("/")[2])
        if one and _squeezed(one["word"]) == _squeezed(asked["word"]):
            kin.append((_version(one[0]), path))
    # Cut to the length of what was asked, so that 7 takes in all of 7.x.
    before = [known for known in kin if known[0][: len(wanted)] <= wanted]
    if before:
        return max(before)[1]
    return min(kin)[1] if kin else None


def _suggest(name: str, files: dict[str, Path]) -> str:
    from difflib import get_close_matches

    shorts = {_short(stem.partition("/")[2]) for stem in files}
    close = get_close_matches(name.lower(), shorts, 5, 0.6)
    kin = re.match(r"[a-z]+", name.lower())
    if not close and kin:
        close = sorted((one for one in shorts if one.startswith(kin[0])), key=_version)[-5:]
    return (
        f"did you mean {', '.join(close)}?" if close else "osinfo-query os lists the names; --os generic does without"
    )


def _short(stem: str) -> str:
    return re.sub(r"-(?=\d)", "", stem)


def _squeezed(name: str) -> str:
    return name.replace("-", "").lower()


def _version(text: str) -> tuple[int, ...]:
    found = re.search(r"\d+(?:\.\d+)*$", text)
    return tuple(map(int, found[0].split("."))) if found else ()


@lru_cache(maxsize=4096)
def _pattern(text: str) -> re.Pattern[str] | None:
    try:
        return re.compile(text)
    except re.error:
        # The database is written for another engine; a pattern that Python cannot read fits nothing.
        return None


def _matches(pattern: str, value: str) -> bool:
    compiled = _pattern(pattern)
    return compiled is not None and compiled.search(value) is not None
