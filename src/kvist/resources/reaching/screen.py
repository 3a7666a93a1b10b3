"""What a VM's screen shows."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

from kvist.engine.ask import Ask
from kvist.errors import Failed, Invalid, Unsupported
from kvist.resources.reaching.reach import must_run

if TYPE_CHECKING:
    from kvist.resources.vms.vm import Machine


class Shot(NamedTuple):
    """A picture that was taken: its file, and its size in pixels."""

    file: str
    width: int
    height: int


def screenshot(
    self: Machine,
    file: Annotated[
        Path | None, Ask("file to write, .png or .ppm [VM.png]", metavar="FILE", parse=Path, complete="file")
    ] = None,
) -> Shot:
    """Save what a VM's screen shows, as PNG.

    Example: kvist screenshot web /tmp/web.png
    """
    from kvist.guest.picture import PNG, png, png_size, read_ppm

    must_run(self, "take a picture of the screen of")
    if all(video.get("type") == "none" for video in self.document().root.iterfind("devices/video/model")):
        raise Unsupported(f'VM "{self.name}" has no screen: it has no video card', hint=f"kvist console {self.name}")
    place = file or Path(f"{self.name}.png")
    if place.is_dir():
        place /= f"{self.name}.png"
    if place.suffix.lower() not in (".png", ".ppm"):
        raise Invalid(f'cannot write a picture as "{place}": it ends neither in .png nor in .ppm', path="FILE")
    _, data = self.host.connection.domains.screenshot(self.name)
    if data.startswith(PNG):
        if place.suffix.lower() == ".ppm":
            raise Unsupported(
                f'QEMU of VM "{self.name}" draws PNG', hint=f"kvist screenshot {self.name} {place.stem}.png"
            )
        width, height = png_size(data)
    else:
        picture = read_ppm(data)
        width, height = picture.width, picture.height
        data = data if place.suffix.lower() == ".ppm" else png(picture)
    _write(place, data)
    return Shot(str(place), width, height)


def _write(place: Path, data: bytes) -> None:
    half = place.with_name(f".{place.name}.{os.getpid()}.part")
    try:
        half.write_bytes(data)
        half.replace(place)
    except OSError as wrong:
        raise Failed(f'cannot write file "{place}": {wrong.strerror}') from wrong
    finally:
        half.unlink(missing_ok=True)
